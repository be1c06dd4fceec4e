"""Team and activity."""

from playwright.sync_api import Page

from accounts.models import Invitation, Membership, Role, User
from accounts.origin import Origin
from accounts.services.team import change_role
from tests.browser.stage import Stage, scene
from tests.conftest import make_authenticator, make_member

TEAM = "client/team"
MEMBER = "client/team/<uuid:membership_id>"
ACTIVITY = "client/activity"
PHONE = Origin("2001:db8:85a3:1234:5678:8a2e:370:7334", "Mozilla/5.0 (iPhone) Version/19.1 Safari")


@scene(TEAM, "Team")
def team_of_one(stage: Stage) -> Page:
    return stage.as_alice("/client/team")


@scene(TEAM, "Team")
def team(stage: Stage) -> Page:
    make_authenticator(stage.alice)
    dave(stage)
    User.objects.filter(username="Dave").update(
        name="David Alexander Featherstonehaugh-Cholmondeley",
        email="david.alexander.featherstonehaugh-cholmondeley@sportsbook.example",
        is_active=False,
    )
    stage.invitation(email="olga.with-a-long-address@northern-sportsbook.example")
    stage.invitation(email="igor@example.com", username="Igor", role="owner")
    Invitation.objects.filter(username="Igor").update(mail_error="[Errno 111] Connection refused")
    return stage.seen_by(stage.alice, "/client/team", has_second_factor=True)


@scene(TEAM, "Team")
def team_seen_by_a_viewer(stage: Stage) -> Page:
    stage.invitation()
    return stage.seen_by(make_member(stage.acme, "Victor", Role.VIEWER), "/client/team")


@scene(f"{TEAM}/invite", "Invite")
def invite(stage: Stage) -> Page:
    return stage.as_alice("/client/team/invite")


@scene(f"{TEAM}/invite", "Invite")
def invite_with_errors(stage: Stage) -> Page:
    page = invite(stage)
    page.get_by_label("E-mail").fill("no address")
    page.get_by_label("Username").fill("al@ice")
    page.get_by_role("button", name="Send invite").click()
    page.get_by_role("alert").wait_for()
    return page


@scene(TEAM, "Team")
def invited_just_now(stage: Stage) -> Page:
    page = invite(stage)
    page.get_by_label("E-mail").fill("olga@example.com")
    page.get_by_label("Username").fill("Olga")
    page.get_by_label("Role").select_option("Developer")
    page.get_by_role("button", name="Send invite").click()
    page.get_by_text("Invitation sent").wait_for()
    return page


@scene(f"{MEMBER}/role", "Role of Dave")
def role(stage: Stage) -> Page:
    return stage.as_alice(f"/client/team/{dave(stage).pk}/role")


@scene(f"{MEMBER}/role", "Role of Alice")
def role_of_the_last_owner(stage: Stage) -> Page:
    own = Membership.objects.get(user=stage.alice)
    page = stage.as_alice(f"/client/team/{own.pk}/role")
    page.get_by_label("Viewer").check()
    page.get_by_role("button", name="Save role").click()
    page.get_by_role("alert").wait_for()
    return page


@scene(f"{MEMBER}/remove", "Remove Dave")
def remove(stage: Stage) -> Page:
    return stage.as_alice(f"/client/team/{dave(stage).pk}/remove")


@scene(ACTIVITY, "Activity")
def activity(stage: Stage) -> Page:
    member = dave(stage)
    for number in range(26):
        for new in (Role.TRADER, Role.DEVELOPER):
            change_role(
                tenant=stage.acme,
                membership_id=member.pk,
                role=new,
                actor=stage.alice,
                origin=PHONE if number % 2 else Origin("203.0.113.7"),
            )
    return stage.as_alice("/client/activity")


@scene(ACTIVITY, "Activity")
def activity_that_a_filter_leaves_nothing_of(stage: Stage) -> Page:
    page = stage.as_alice("/client/activity")
    page.get_by_label("Who").fill("nobody")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name="Clear the filter").first.wait_for()
    return page


def dave(stage: Stage) -> Membership:
    """Develops at Acme."""
    return Membership.objects.get(user=make_member(stage.acme, "Dave", Role.DEVELOPER))
