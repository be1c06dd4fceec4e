"""One's own account, and what it is asked for: proofs, codes, a second factor."""

import datetime as dt
import uuid

from playwright.sync_api import Page

from accounts.models import Session, Tenant
from portal.lib import clock
from tests.browser.conftest import can_sign_in, enter_code
from tests.browser.programs import Codes
from tests.browser.stage import Stage, scene
from tests.conftest import PASSWORD, make_authenticator, make_user

PROFILE = "client/profile"
STAFFS_PROFILE = "staff/profile"
NEW_KEY = "client/api-access/new"
A_WHILE = dt.timedelta(minutes=15)


@scene(PROFILE, "Profile")
def profile(stage: Stage) -> Page:
    return stage.as_alice("/client/profile")


@scene(PROFILE, "Profile")
def profile_after_a_change_with_2fa_on(stage: Stage) -> Page:
    make_authenticator(stage.alice)
    page = stage.seen_by(stage.alice, "/client/profile/preferences", has_second_factor=True)
    page.get_by_role("button", name="Save preferences").click()
    page.get_by_text("Preferences saved.").wait_for()
    return page


@scene(f"{PROFILE}/password", "Change Password")
def password(stage: Stage) -> Page:
    return stage.as_alice("/client/profile/password")


@scene(f"{PROFILE}/password", "Change Password")
def password_with_errors(stage: Stage) -> Page:
    page = stage.seen_by(can_sign_in(stage.alice), "/client/profile/password")
    page.get_by_label("Current password").fill("not this one")
    page.get_by_label("New password").fill("short")
    page.get_by_label("Confirm password").fill("other")
    page.get_by_role("button", name="Change Password").click()
    page.get_by_role("alert").wait_for()
    return page


@scene(f"{PROFILE}/2fa/enable", "Enable 2FA")
def enable_2fa(stage: Stage) -> Page:
    return stage.seen_by(can_sign_in(stage.alice), "/client/profile/2fa/enable")


@scene(f"{PROFILE}/2fa/confirm", "Enable 2FA")
def enrolment(stage: Stage) -> Page:
    page = enable_2fa(stage)
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("Cannot scan it?").click()
    return page


@scene(f"{PROFILE}/2fa/confirm", "Enable 2FA")
def enrolment_with_a_wrong_code(stage: Stage) -> Page:
    page = enrolment(stage)
    enter_code(page, "no code", button="Enable 2FA")
    page.get_by_role("alert").wait_for()
    return page


@scene(f"{PROFILE}/2fa/disable", "Disable 2FA")
def disable_2fa(stage: Stage) -> Page:
    make_authenticator(stage.alice)
    return stage.seen_by(stage.alice, "/client/profile/2fa/disable", has_second_factor=True)


@scene(f"{PROFILE}/preferences", "Preferences")
def preferences(stage: Stage) -> Page:
    return stage.as_alice("/client/profile/preferences")


@scene(PROFILE, "Profile")
def profile_with_several_sessions(stage: Stage) -> Page:
    agents = {
        "203.0.113.7": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) Version/19.1 Safari",
        "2001:db8:85a3:1234:5678:8a2e:370:7334": "Mozilla/5.0 (Windows NT 10.0) Firefox/145.0",
    }
    now = clock.now()
    for address, agent in agents.items():
        Session.objects.create(
            key_hash=uuid.uuid4().bytes * 2,
            user=stage.alice,
            signed_in_at=now - A_WHILE,
            proved_at=now - A_WHILE,
            expires_at=now + A_WHILE,
            address=address,
            agent=agent,
        )
    return stage.as_alice("/client/profile")


@scene(f"{PROFILE}/2fa/confirm", "Save your recovery codes")
def recovery_codes(stage: Stage) -> Page:
    page = enrolment(stage)
    enter_code(page, Codes(page.locator("#totp-secret").inner_text()).fresh(), button="Enable 2FA")
    page.get_by_role("heading", name="Save your recovery codes").wait_for()
    return page


@scene(f"{PROFILE}/2fa/recovery-codes", "New recovery codes")
def new_recovery_codes(stage: Stage) -> Page:
    make_authenticator(stage.alice)
    return stage.seen_by(stage.alice, "/client/profile/2fa/recovery-codes", has_second_factor=True)


@scene(f"{PROFILE}/2fa/enable", "Enable 2FA")
def second_factor_required_by_the_team(stage: Stage) -> Page:
    Tenant.objects.filter(pk=stage.acme.pk).update(require_2fa=True)
    return stage.as_alice("/client/")


@scene(NEW_KEY, "Confirm it is you")
def confirm_it_is_you(stage: Stage) -> Page:
    make_authenticator(can_sign_in(stage.alice))
    clock.move(-A_WHILE)
    page = stage.open_page(stage.alice, has_second_factor=True)
    clock.reset()
    page.goto("/client/api-access/new")
    return page


@scene(NEW_KEY, "Confirm it is you")
def confirm_it_is_you_refused(stage: Stage) -> Page:
    page = confirm_it_is_you(stage)
    page.get_by_label("Password").fill("not this one")
    page.get_by_label("Authentication code").fill("no code")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("alert").wait_for()
    return page


@scene(STAFFS_PROFILE, "Profile")
def profile_of_staff(stage: Stage) -> Page:
    return stage.as_staff("/staff/profile")


@scene(f"{STAFFS_PROFILE}/password", "Change Password")
def password_of_staff(stage: Stage) -> Page:
    return stage.as_staff("/staff/profile/password")


@scene(f"{STAFFS_PROFILE}/preferences", "Preferences")
def preferences_of_staff(stage: Stage) -> Page:
    return stage.as_staff("/staff/profile/preferences")


@scene(f"{STAFFS_PROFILE}/2fa/recovery-codes", "New recovery codes")
def new_recovery_codes_of_staff(stage: Stage) -> Page:
    return stage.as_staff("/staff/profile/2fa/recovery-codes")


@scene(f"{STAFFS_PROFILE}/2fa/enable", "Enable 2FA")
def staff_before_the_second_factor(stage: Stage) -> Page:
    newcomer = can_sign_in(make_user("Nina", is_staff=True))
    return stage.seen_by(newcomer, "/staff/")
