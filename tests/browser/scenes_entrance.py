"""Pages before the door, and pages of errors."""

from playwright.sync_api import Page

from accounts.models import Role
from accounts.origin import COMMAND_LINE
from apikeys.services import open_tenant
from tests.browser.conftest import can_sign_in, enter_code, sign_in
from tests.browser.live import running_portal
from tests.browser.stage import NOWHERE, Stage, scene
from tests.conftest import make_authenticator, make_member

LOGIN = "client/login"
CODE = "client/login/code"
INVITATION = "client/invite/<str:token>"


@scene(LOGIN, "Sign in")
def login(stage: Stage) -> Page:
    return stage.seen_by(None, "/client/login")


@scene(LOGIN, "Sign in")
def login_refused(stage: Stage) -> Page:
    page = stage.open_page()
    sign_in(page, "Alice", "not her password")
    return page


@scene(LOGIN, "Sign in")
def login_after_the_session_has_ended(stage: Stage) -> Page:
    return stage.seen_by(None, "/client/login?ended=1&next=/client/api-access")


@scene(LOGIN, "Sign in")
def login_after_too_many_codes(stage: Stage) -> Page:
    return stage.seen_by(None, "/client/login?again=1")


@scene(CODE, "Second step")
def code(stage: Stage) -> Page:
    make_authenticator(can_sign_in(stage.alice))
    page = stage.open_page()
    sign_in(page, "Alice")
    return page


@scene(CODE, "Second step")
def code_refused(stage: Stage) -> Page:
    page = code(stage)
    enter_code(page, "no code")
    return page


@scene(INVITATION, "Join Acme Sportsbook")
def invitation(stage: Stage) -> Page:
    return stage.seen_by(None, stage.invitation())


@scene(INVITATION, "Join Acme Sportsbook")
def invitation_with_a_poor_password(stage: Stage) -> Page:
    page = invitation(stage)
    page.get_by_label("New password").fill("sportsbook")
    page.get_by_label("Confirm password").fill("sportsbooks")
    page.get_by_role("button", name="Set password").click()
    page.get_by_role("alert").wait_for()
    return page


@scene(INVITATION, "Join the staff of Ticktock")
def invitation_of_staff(stage: Stage) -> Page:
    return stage.seen_by(None, stage.invitation(actor=None, tenant=None, role=""))


@scene(INVITATION, "Join Globex")
def invitation_of_an_address_with_an_account(stage: Stage) -> Page:
    return stage.seen_by(None, to_globex(stage))


@scene(INVITATION, "Join Globex")
def invitation_of_oneself(stage: Stage) -> Page:
    return stage.as_alice(to_globex(stage))


@scene(INVITATION, "Join Globex")
def invitation_of_somebody_else(stage: Stage) -> Page:
    other = make_member(stage.acme, "Victor", Role.VIEWER)
    return stage.seen_by(other, to_globex(stage))


@scene(INVITATION, "This link does not work")
def invitation_that_is_dead(stage: Stage) -> Page:
    return stage.seen_by(None, "/client/invite/spent")


@scene("client/help", "Getting help")
def help_for_strangers(stage: Stage) -> Page:
    return stage.seen_by(None, "/client/help")


@scene("client/help", "Getting help")
def help_for_members(stage: Stage) -> Page:
    return stage.as_alice("/client/help")


@scene("client/api-access/new", "Not for your role")
def not_for_ones_role(stage: Stage) -> Page:
    viewer = make_member(stage.acme, "Victor", Role.VIEWER)
    return stage.seen_by(viewer, "/client/api-access/new")


@scene(NOWHERE, "Page not found")
def not_found(stage: Stage) -> Page:
    return stage.as_alice("/client/nowhere")


@scene(NOWHERE, "Page not found")
def not_found_by_strangers(stage: Stage) -> Page:
    return stage.seen_by(None, "/client/nowhere")


@scene(INVITATION, "Too many tries")
def too_many_tries(stage: Stage) -> Page:
    page = invitation(stage)
    token = page.locator("[name=csrfmiddlewaretoken]").input_value()
    form = {"csrfmiddlewaretoken": token, "new_password": "", "confirm_password": ""}
    for _ in range(200):
        answer = page.request.post(page.url, form=form, headers={"Origin": stage.portal.url})
        if answer.status == 429:
            break
    page.get_by_role("button", name="Set password").click()
    return page


@scene(NOWHERE, "This request cannot be read")
def malformed(stage: Stage) -> Page:
    return stage.seen_by(None, f"/client/{'x' * 2048}")


@scene(LOGIN, "Try again")
def stale_form(stage: Stage) -> Page:
    page = stage.seen_by(None, "/client/login")
    page.context.clear_cookies()
    page.get_by_label("Username").fill("Alice")
    page.get_by_label("Password").fill("whatever it is")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Try again").wait_for()
    return page


@scene("client/", "Not available for a moment")
def database_away(stage: Stage) -> Page:
    nowhere = "postgresql://portal_app@/portal?host=/nowhere"
    portal = stage.until_end.enter_context(running_portal(stage.portal.home, DATABASE_URL=nowhere))
    page = stage.open_page()
    cookie = {"name": "portal_session", "value": "somebody's", "url": portal.url}
    page.context.add_cookies([cookie])  # type: ignore[list-item]
    page.goto(f"{portal.url}/client/")
    return page


def to_globex(stage: Stage) -> str:
    """An invitation of Alice into a second tenant."""
    globex = open_tenant(slug="globex", name="Globex", actor=None, origin=COMMAND_LINE)
    return stage.invitation(actor=None, tenant=globex, email="alice@example.com", username="Al")
