"""`reencrypt`, `prune_audit`, and staff who take a second factor away.

Security promises 17, 20 and 42.
"""

import datetime as dt
import io
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections, transaction
from django.test import Client

from accounts.audit import record
from accounts.models import Action, AuditEvent, Authenticator, RecoveryCode, Session, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.recovery import make_recovery_codes
from portal.lib import clock
from tests.conftest import PASSWORD, make_authenticator, signed_in
from tests.mailbox import queued
from tests.pages import code_of, is_signed_in, mid_step, sign_in, text

DAY = dt.timedelta(days=1)


def run(command: str) -> str:
    """What the command says."""
    said = io.StringIO()
    call_command(command, stdout=said)
    return said.getvalue()


@pytest.fixture
def devices(alice: User, dave: User) -> list[Authenticator]:
    """Two authenticators, encrypted with the key of the settings."""
    mid_step()
    return [make_authenticator(user) for user in (alice, dave)]


def enters(user: User, device: Authenticator) -> bool:
    """Do password and code open?"""
    client = Client()
    sign_in(client, user.username)
    client.post("/client/login/code", {"code": code_of(device)})
    return is_signed_in(client)


def test_after_reencrypt_the_old_key_may_go(
    devices: list[Authenticator], alice: User, settings: LazySettings
) -> None:
    """Promise 17: the new key in front, the command, the old one dropped; codes go on working."""
    before = [device.secret for device in devices]
    old, new = settings.FIELD_KEYS[0], Fernet.generate_key().decode()
    settings.FIELD_KEYS = [new, old]
    assert enters(alice, devices[0])
    assert run("reencrypt") == "2 encrypted anew.\n"
    settings.FIELD_KEYS = [new]
    for device, secret in zip(devices, before, strict=True):
        device.refresh_from_db()
        assert device.secret == secret
    clock.move(dt.timedelta(seconds=90))
    assert enters(alice, devices[0])


def test_without_it_the_old_key_is_still_needed(
    devices: list[Authenticator], settings: LazySettings
) -> None:
    """So the test above would notice a command that does nothing."""
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(ValueError, match="not in FIELD_KEYS"):
        assert devices[0].secret


def test_a_secret_of_an_unknown_key_is_named_and_left_alone(
    devices: list[Authenticator], settings: LazySettings
) -> None:
    stored = dict(Authenticator.objects.values_list("pk", "encrypted_secret"))
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(CommandError) as refused:
        run("reencrypt")
    assert str(devices[0].pk) in str(refused.value) or str(devices[1].pk) in str(refused.value)
    assert "written with a key that is not in FIELD_KEYS" in str(refused.value)
    assert dict(Authenticator.objects.values_list("pk", "encrypted_secret")) == stored


def test_reencrypt_can_be_run_again(devices: list[Authenticator]) -> None:
    secrets = [device.secret for device in devices]
    for _ in range(2):
        assert run("reencrypt") == "2 encrypted anew.\n"
    for device, secret in zip(devices, secrets, strict=True):
        device.refresh_from_db()
        assert device.secret == secret


@pytest.fixture
def panel(sam: User) -> Client:
    """Sam's browser, with a second factor."""
    make_authenticator(sam)
    return signed_in(sam, has_second_factor=True)


def reset(panel: Client, user: User, reason: str) -> str:
    """**Reset 2FA**; what the panel says."""
    path = f"/staff/accounts/user/{user.pk}/reset-2fa"
    return text(panel.post(path, {"reason": reason}, follow=True))


@pytest.mark.parametrize("reason", ["", "   "])
def test_a_reset_needs_a_reason(
    panel: Client, devices: list[Authenticator], dave: User, reason: str
) -> None:
    """Promise 20."""
    client = signed_in(dave, has_second_factor=True)
    assert "Give a reason: it goes into the audit trail and the mail." in reset(panel, dave, reason)
    assert Authenticator.objects.filter(user=dave).exists()
    assert is_signed_in(client)
    assert not queued()


def test_a_reset_takes_everything_away_and_ends_all_sessions(
    panel: Client, devices: list[Authenticator], dave: User, sam: User
) -> None:
    make_recovery_codes(user=dave, origin=COMMAND_LINE)
    sessions = [signed_in(dave, has_second_factor=True) for _ in range(2)]
    said = reset(panel, dave, "Lost the phone; called back on the number of the contract")
    assert "2FA is gone, every session is over" in said
    assert not Authenticator.objects.filter(user=dave).exists()
    assert not RecoveryCode.objects.filter(user=dave).exists()
    assert not any(is_signed_in(client) for client in sessions)
    assert not Session.objects.filter(user=dave).exists()
    event = AuditEvent.objects.get(action=Action.AUTHENTICATOR_RESET)
    assert (event.actor_id, event.target_id) == (sam.pk, dave.pk)
    assert event.detail["reason"].startswith("Lost the phone")
    assert sign_in(Client(), "Dave").headers["Location"] == "/client/"


def test_a_reset_is_told_to_the_user_and_the_owners_with_its_reason(
    panel: Client, devices: list[Authenticator], alice: User, dave: User, tina: User
) -> None:
    reset(panel, dave, "Lost the phone")
    jobs = queued("two_factor_reset")
    assert {job.user_id for job in jobs} == {str(alice.pk), str(dave.pk)}
    assert {job.context["reason"] for job in jobs} == {"Lost the phone"}


def test_a_reset_leaves_the_password_alone(
    panel: Client, devices: list[Authenticator], dave: User
) -> None:
    """Staff never choose one, nor see one."""
    before = User.objects.get(pk=dave.pk).password
    reset(panel, dave, "Lost the phone")
    assert User.objects.get(pk=dave.pk).password == before
    page = panel.get(f"/staff/accounts/user/{dave.pk}/change/").content.decode()
    assert 'type="password"' not in page and before not in page


def test_staff_do_not_reset_their_own(panel: Client, sam: User) -> None:
    """Else a stolen session could: turning 2FA off asks for a code."""
    assert "You cannot do this to your own account." in reset(panel, sam, "Lost the phone")
    assert Authenticator.objects.filter(user=sam, confirmed=True).exists()


@pytest.fixture
def trail(committed_db: None, acme: Tenant, alice: User) -> Tenant:
    """Events of eight years, of noise and of acts."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM accounts_auditevent")
        cursor.execute("ALTER TABLE accounts_auditevent ENABLE TRIGGER USER")
    now = clock.now()
    for days in (0, 89, 91, 7 * 365, 7 * 365 + 3):
        for action in (Action.LOGIN_SUCCEEDED, Action.LOGIN_REFUSED, Action.API_KEY_CREATED):
            event = record(action, actor=alice, origin=COMMAND_LINE, tenant=acme)
            with connections["owner"].cursor() as cursor:
                cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER USER")
                cursor.execute(
                    "UPDATE accounts_auditevent SET at = %s WHERE id = %s",
                    [now - days * DAY, event.pk],
                )
                cursor.execute("ALTER TABLE accounts_auditevent ENABLE TRIGGER USER")
    return acme


def kept() -> list[tuple[str, int]]:
    """What is left: the action and its age in days."""
    now = clock.now()
    events = AuditEvent.objects.order_by("-at", "pk")
    return [(event.action, (now - event.at).days) for event in events]


def test_noise_is_kept_for_ninety_days_and_acts_for_seven_years(trail: Tenant) -> None:
    assert run("prune_audit") == "7 audit events deleted.\n"
    signing_in = ["login.succeeded", "login.refused"]
    assert kept() == [
        *[(action, days) for days in (0, 89) for action in [*signing_in, "api_key.created"]],
        ("api_key.created", 91),
        ("api_key.created", 7 * 365),
    ]
    assert run("prune_audit") == "0 audit events deleted.\n"


def test_how_long_is_a_setting(trail: Tenant, settings: LazySettings) -> None:
    settings.AUDIT_SIGN_IN_DAYS, settings.AUDIT_DAYS = 1, 90
    run("prune_audit")
    assert kept()[3:] == [("api_key.created", 89)]


DELETE = "DELETE FROM accounts_auditevent WHERE at < now() - interval '1 year'"
RETENTION = "SET LOCAL portal.retention = 'on'"


@pytest.mark.parametrize(
    ("role", "statements"),
    [
        ("default", [DELETE]),
        ("default", [RETENTION, DELETE]),
        ("default", [RETENTION, "TRUNCATE accounts_auditevent"]),
        ("default", [RETENTION, "UPDATE accounts_auditevent SET actor_name = 'Nobody'"]),
        ("default", ["ALTER TABLE accounts_auditevent DISABLE TRIGGER USER"]),
        ("owner", [DELETE]),
        ("owner", [RETENTION, "TRUNCATE accounts_auditevent"]),
        ("owner", [RETENTION, "UPDATE accounts_auditevent SET actor_name = 'Nobody'"]),
    ],
)
def test_nothing_but_retention_takes_an_event_away(
    trail: Tenant, role: str, statements: list[str]
) -> None:
    """Promise 42: the application may not at all, the owner only where retention is said."""
    before = kept()
    with (
        pytest.raises(DatabaseError) as refused,
        transaction.atomic(using=role),
        connections[role].cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)
    cause: Any = refused.value.__cause__
    assert isinstance(cause, psycopg.errors.InsufficientPrivilege)
    assert kept() == before


def test_signing_in_goes_on_while_it_is_pruned(trail: Tenant, alice: User) -> None:
    """And the password is as good as before."""
    run("prune_audit")
    assert sign_in(Client(), "Alice", PASSWORD).status_code == 302
