"""The panel of staff."""

from playwright.sync_api import Page

from accounts.models import AuditEvent, Invitation, Role
from accounts.origin import COMMAND_LINE
from accounts.services.tenants import set_tenant_active
from apikeys.services import open_tenant
from tests.browser.stage import Stage, scene
from tests.conftest import make_member

TENANTS = "staff/accounts/tenant/"
CONTRACTS = "staff/apikeys/contract/"
INVITATIONS = "staff/accounts/invitation/"
USERS = "staff/accounts/user/"
AUDIT = "staff/accounts/auditevent/"
CHANGE = "<path:object_id>/change/"


@scene("staff/", "What staff look after")
def panel(stage: Stage) -> Page:
    return stage.as_staff("/staff/")


@scene("staff/^(?P<app_label>accounts|markets|apikeys)/$", "Tenants and people")
def panel_of_people(stage: Stage) -> Page:
    return stage.as_staff("/staff/accounts/")


@scene(TENANTS, "Tenants")
def tenants(stage: Stage) -> Page:
    for number in range(12):
        tenant = open_tenant(
            slug=f"brand-{number}",
            name=f"Brand {number} of a Group with a Long Name",
            actor=None,
            origin=COMMAND_LINE,
        )
    set_tenant_active(tenant_id=tenant.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    return stage.as_staff(f"/{TENANTS}")


@scene(TENANTS, "Tenants")
def tenants_none_found(stage: Stage) -> Page:
    return stage.as_staff(f"/{TENANTS}?q=nobody")


@scene(f"{TENANTS}add/", "Add tenant")
def tenant_to_be_made(stage: Stage) -> Page:
    return stage.as_staff(f"/{TENANTS}add/")


@scene(f"{TENANTS}add/", "Add tenant")
def tenant_to_be_made_with_errors(stage: Stage) -> Page:
    page = tenant_to_be_made(stage)
    page.get_by_label("Slug").fill("acme")
    page.get_by_label("Name").fill("Acme again")
    page.get_by_role("button", name="Create tenant").click()
    page.locator(".errornote").wait_for()
    return page


@scene(f"{TENANTS}{CHANGE}", "Change tenant")
def tenant(stage: Stage) -> Page:
    return stage.as_staff(f"/{TENANTS}{stage.acme.pk}/change/")


@scene(f"{TENANTS}{CHANGE}", "Change tenant")
def tenant_suspended_just_now(stage: Stage) -> Page:
    page = tenant(stage)
    page.get_by_role("button", name="Suspend").click()
    page.get_by_role("button", name="Reactivate").wait_for()
    return page


@scene(CONTRACTS, "Contracts")
def contracts(stage: Stage) -> Page:
    return stage.as_staff(f"/{CONTRACTS}")


@scene(f"{CONTRACTS}{CHANGE}", "Change contract")
def contract(stage: Stage) -> Page:
    return stage.as_staff(f"/{CONTRACTS}{stage.acme.pk}/change/")


@scene(f"{CONTRACTS}{CHANGE}", "Change contract")
def contract_with_errors(stage: Stage) -> Page:
    page = contract(stage)
    for box in page.get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_role("button", name="Save changes").click()
    page.locator(".errornote").wait_for()
    return page


@scene(INVITATIONS, "Invitations")
def invitations(stage: Stage) -> Page:
    for number in range(3):
        stage.invitation(email=f"olga.{number}@example.com", username=f"Olga {number}")
    mail_is_away()
    return stage.as_staff(f"/{INVITATIONS}")


@scene(f"{INVITATIONS}add/", "Invite operator")
def invite_operator(stage: Stage) -> Page:
    return stage.as_staff(f"/{INVITATIONS}add/?tenant={stage.acme.pk}")


@scene(f"{INVITATIONS}add/", "Invite operator")
def invite_operator_with_errors(stage: Stage) -> Page:
    page = invite_operator(stage)
    page.get_by_label("E-mail").fill("alice@example.com")
    page.get_by_label("Username").fill("al@ice")
    page.get_by_role("button", name="Send invite").click()
    page.locator(".errornote").wait_for()
    return page


@scene(f"{INVITATIONS}{CHANGE}", "View invitation")
def invitation_whose_mail_did_not_go(stage: Stage) -> Page:
    stage.invitation()
    mail_is_away()
    return stage.as_staff(f"/{INVITATIONS}{Invitation.objects.get().pk}/change/")


@scene(f"{INVITATIONS}{CHANGE}", "View invitation")
def invitation_revoked_just_now(stage: Stage) -> Page:
    page = invitation_whose_mail_did_not_go(stage)
    page.get_by_role("button", name="Revoke").click()
    page.get_by_text("the link is dead").wait_for()
    return page


@scene(USERS, "Users")
def users(stage: Stage) -> Page:
    for username, role in (("Dave", Role.DEVELOPER), ("Tina", Role.TRADER)):
        make_member(stage.acme, username, role)
    return stage.as_staff(f"/{USERS}")


@scene(f"{USERS}{CHANGE}", "View user")
def user(stage: Stage) -> Page:
    return stage.as_staff(f"/{USERS}{stage.alice.pk}/change/")


@scene(AUDIT, "Audit events")
def audit(stage: Stage) -> Page:
    stage.invitation()
    return stage.as_staff(f"/{AUDIT}")


@scene(f"{AUDIT}{CHANGE}", "View audit event")
def audit_event(stage: Stage) -> Page:
    newest = AuditEvent.objects.order_by("-at").first()
    assert newest is not None
    return stage.as_staff(f"/{AUDIT}{newest.pk}/change/")


@scene("staff/(?P<url>.*)$", "Page not found")
def not_found_by_staff(stage: Stage) -> Page:
    return stage.as_staff("/staff/nowhere")


@scene("client/api-access", "Not for your role")
def clients_page_for_staff(stage: Stage) -> Page:
    return stage.as_staff("/client/api-access")


def mail_is_away() -> None:
    Invitation.objects.update(mail_error="[Errno 111] Connection refused")
