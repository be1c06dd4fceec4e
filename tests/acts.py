"""Every act that leaves a record, through the front door: who does it, and what is written."""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

from accounts.models import (
    Action,
    Authenticator,
    Membership,
    Role,
    Session,
    Tenant,
    User,
)
from accounts.origin import COMMAND_LINE
from accounts.services.recovery import make_recovery_codes
from accounts.services.tenants import set_tenant_active, set_user_active
from apikeys.models import ApiKey
from portal.lib import clock
from tests.acts_markets import MARKET_ACTS
from tests.conftest import PASSWORD, signed_in
from tests.pages import code_of, wrong_code
from tests.stage import NEW, Act, Send, Stage


def _enrol(stage: Stage) -> Send:
    device = Authenticator(user=stage.dave, confirmed=False, name="TOTP")
    device.set_new_secret()
    device.save()
    return stage.post(stage.dave, "/client/profile/2fa/confirm", {"code": code_of(device)})


def _with_code(stage: Stage, path: str) -> Send:
    form = {"current_password": PASSWORD, "code": code_of(stage.device)}
    return stage.post(stage.alice, path, form)


def _send_code(stage: Stage, code: str) -> Send:
    client = stage.past_password()
    return lambda: client.post("/client/login/code", {"code": code})


def _recovery(stage: Stage) -> Send:
    return _send_code(stage, make_recovery_codes(user=stage.alice, origin=COMMAND_LINE)[0])


def _session_of(stage: Stage, user: User) -> str:
    signed_in(user)
    return str(Session.objects.filter(user=user).latest("signed_in_at").id)


def _confirm_it_is_you(stage: Stage) -> Send:
    client = stage.browser(stage.dave)
    clock.move(dt.timedelta(minutes=11))
    client.get("/client/")  # which is noted in the session's row
    form = {"confirm_it_is_you": "1", "confirm-password": PASSWORD}
    return lambda: client.post("/client/api-access/new", form)


def _not_confirm_it_is_you(stage: Stage) -> Send:
    client = stage.browser(stage.dave)
    clock.move(dt.timedelta(minutes=11))
    form = {"confirm_it_is_you": "1", "confirm-password": "not the password"}
    return lambda: client.post("/client/api-access/new", form)


def _join(stage: Stage) -> Send:
    stage.dave.memberships.all().delete()
    other = Tenant.objects.create(slug="other", name="Other")
    Membership.objects.create(tenant=other, user=stage.dave, role=Role.VIEWER)
    link = stage.invitation(stage.dave.email, "Dave").link  # type: ignore[attr-defined]
    return stage.post(stage.dave, f"{link}/join")


def _staff(model: str, what: str, form: dict[str, Any] | None = None) -> Callable[[Stage], Send]:
    def ready(stage: Stage) -> Send:
        row = {
            "invitation": lambda: stage.invitation().pk,
            "tenant": lambda: stage.acme.pk,
            "user": lambda: stage.alice.pk,
            "contract": lambda: stage.acme.pk,
        }[model]
        app = "apikeys" if model == "contract" else "accounts"
        middle = "" if what == "add/" else f"{row()}/"
        return stage.post(stage.sam, f"/staff/{app}/{model}/{middle}{what}", form)

    return ready


def _reactivate(stage: Stage) -> Send:
    set_tenant_active(tenant_id=stage.acme.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    return _staff("tenant", "reactivate")(stage)


def _enable(stage: Stage) -> Send:
    set_user_active(user_id=stage.alice.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    return _staff("user", "enable")(stage)


def _contract(stage: Stage) -> Send:
    terms = {"limit_rpm": 60, "max_keys": 5, "max_streams": 5}
    lists = {"scopes": stage.key.scopes, "sports": ["cs2"]}
    return _staff("contract", "change/", lists | terms)(stage)


def _key(what: str, form: dict[str, Any] | None = None) -> Callable[[Stage], Send]:
    def ready(stage: Stage) -> Send:
        version = ApiKey.objects.get(pk=stage.key.pk).version
        path = f"/client/api-access/{stage.key.pk}/{what}"
        return stage.post(stage.dave, path, {"version": version, **(form or {})})

    return ready


def _new_key(stage: Stage) -> Send:
    form = {"label": "New key", "nonce": uuid.uuid4(), "scopes": stage.key.scopes}
    return stage.post(stage.dave, "/client/api-access/new", form)


def _member(what: str, form: dict[str, Any] | None = None) -> Callable[[Stage], Send]:
    def ready(stage: Stage) -> Send:
        membership = Membership.objects.get(user=stage.dave)
        return stage.post(stage.alice, f"/client/team/{membership.pk}/{what}", form)

    return ready


def _optional(stage: Stage) -> Send:
    Tenant.objects.filter(pk=stage.acme.pk).update(require_2fa=True)
    return stage.post(stage.alice, "/client/team/require-2fa", {"required": "0"})


SESSIONS = "^accounts_session"
ACTS = {
    "sign in": Act(
        lambda s: s.post(None, "/client/login", {"username": "Dave", "password": PASSWORD}),
        [(Action.LOGIN_SUCCEEDED, "Dave", "", "Dave")],
        SESSIONS,
    ),
    "sign in with a code": Act(
        lambda s: _send_code(s, code_of(s.device)),
        [(Action.LOGIN_SUCCEEDED, "Alice", "", "Alice")],
        SESSIONS,
    ),
    "sign in with a recovery code": Act(
        _recovery,
        [
            (Action.RECOVERY_CODE_USED, "Alice", "", "Alice"),
            (Action.LOGIN_SUCCEEDED, "Alice", "", "Alice"),
        ],
        "^accounts_recoverycode",
    ),
    "a wrong password": Act(
        lambda s: s.post(None, "/client/login", {"username": "dave", "password": "wrong"}),
        [(Action.LOGIN_REFUSED, "", "", "Dave")],
        changes=False,
    ),
    "nobody's username": Act(
        lambda s: s.post(None, "/client/login", {"username": "nobody", "password": "wrong"}),
        [(Action.LOGIN_REFUSED, "", "", "")],
        changes=False,
    ),
    "a wrong code": Act(
        lambda s: _send_code(s, wrong_code(s.device)),
        [(Action.LOGIN_REFUSED, "", "", "Alice")],
        changes=False,
    ),
    "sign out": Act(
        lambda s: s.post(s.dave, "/client/sign-out"),
        [(Action.LOGOUT, "Dave", "", "Dave")],
        SESSIONS,
    ),
    "end a session elsewhere": Act(
        lambda s: s.post(s.dave, f"/client/profile/sessions/{_session_of(s, s.dave)}/end"),
        [(Action.SESSION_ENDED_ELSEWHERE, "Dave", "", "Dave")],
        SESSIONS,
    ),
    "confirm who one is": Act(
        _confirm_it_is_you,
        [(Action.REAUTHENTICATED, "Dave", "", "Dave")],
        SESSIONS,
    ),
    "not prove who one is": Act(
        _not_confirm_it_is_you,
        [(Action.CONFIRMATION_REFUSED, "Dave", "", "Dave")],
        changes=False,
    ),
    "change the password": Act(
        lambda s: s.post(s.dave, "/client/profile/password", {"current_password": PASSWORD, **NEW}),
        [(Action.PASSWORD_CHANGED, "Dave", "", "Dave")],
    ),
    "not know the current password": Act(
        lambda s: s.post(s.dave, "/client/profile/password", {"current_password": "x", **NEW}),
        [(Action.PASSWORD_REFUSED, "Dave", "", "Dave")],
        changes=False,
    ),
    "not know the password that 2FA asks for": Act(
        lambda s: s.post(s.dave, "/client/profile/2fa/enable", {"current_password": "x"}),
        [(Action.CONFIRMATION_REFUSED, "Dave", "", "Dave")],
        changes=False,
    ),
    "not know the code that 2FA asks for": Act(
        lambda s: s.post(
            s.alice,
            "/client/profile/2fa/disable",
            {"current_password": PASSWORD, "code": wrong_code(s.device)},
        ),
        [(Action.CONFIRMATION_REFUSED, "Alice", "", "Alice")],
        changes=False,
    ),
    "enable 2FA": Act(
        _enrol,
        [
            (Action.AUTHENTICATOR_ENABLED, "Dave", "", "Dave"),
            (Action.RECOVERY_CODES_MADE, "Dave", "", "Dave"),
        ],
    ),
    "disable 2FA": Act(
        lambda s: _with_code(s, "/client/profile/2fa/disable"),
        [(Action.AUTHENTICATOR_DISABLED, "Alice", "", "Alice")],
    ),
    "new recovery codes": Act(
        lambda s: _with_code(s, "/client/profile/2fa/recovery-codes"),
        [(Action.RECOVERY_CODES_MADE, "Alice", "", "Alice")],
        "^accounts_recoverycode",
    ),
    "reset 2FA": Act(
        _staff("user", "reset-2fa", {"reason": "lost telephone"}),
        [(Action.AUTHENTICATOR_RESET, "Sam", "", "Alice")],
    ),
    "invite": Act(
        lambda s: _staff(
            "invitation",
            "add/",
            {"tenant": s.acme.pk, "role": "viewer", "email": "o@example.com", "username": "o"},
        )(s),
        [(Action.INVITATION_SENT, "Sam", "acme", "o@example.com")],
    ),
    "invite as an owner": Act(
        lambda s: s.post(
            s.alice,
            "/client/team/invite",
            {"email": "o@example.com", "username": "o", "role": "viewer"},
        ),
        [(Action.INVITATION_SENT, "Alice", "acme", "o@example.com")],
    ),
    "resend": Act(
        _staff("invitation", "resend"),
        [(Action.INVITATION_RESENT, "Sam", "acme", "new@example.com")],
    ),
    "revoke": Act(
        _staff("invitation", "revoke"),
        [(Action.INVITATION_REVOKED, "Sam", "acme", "new@example.com")],
    ),
    "accept": Act(
        lambda s: s.post(None, s.invitation().link, NEW),  # type: ignore[attr-defined]
        [
            (Action.INVITATION_ACCEPTED, "New", "acme", "new@example.com"),
            (Action.LOGIN_SUCCEEDED, "New", "", "New"),
        ],
    ),
    "join": Act(_join, [(Action.INVITATION_ACCEPTED, "Dave", "acme", "dave@example.com")]),
    "another role": Act(
        _member("role", {"role": "viewer"}),
        [(Action.MEMBER_ROLE_CHANGED, "Alice", "acme", "Dave")],
    ),
    "remove a member": Act(_member("remove"), [(Action.MEMBER_REMOVED, "Alice", "acme", "Dave")]),
    "require 2FA": Act(
        lambda s: s.post(s.alice, "/client/team/require-2fa", {"required": "1"}),
        [(Action.TWO_FACTOR_REQUIRED, "Alice", "acme", "Acme Sportsbook")],
    ),
    "require 2FA no longer": Act(
        _optional, [(Action.TWO_FACTOR_OPTIONAL, "Alice", "acme", "Acme Sportsbook")]
    ),
    "open a tenant": Act(
        _staff("tenant", "add/", {"slug": "new", "name": "New"}),
        [(Action.TENANT_CREATED, "Sam", "new", "New")],
    ),
    "rename a tenant": Act(
        _staff("tenant", "change/", {"name": "Renamed"}),
        [(Action.TENANT_CHANGED, "Sam", "acme", "Renamed")],
    ),
    "suspend": Act(
        _staff("tenant", "suspend"), [(Action.TENANT_SUSPENDED, "Sam", "acme", "Acme Sportsbook")]
    ),
    "reactivate": Act(_reactivate, [(Action.TENANT_REACTIVATED, "Sam", "acme", "Acme Sportsbook")]),
    "change a contract": Act(
        _contract, [(Action.CONTRACT_CHANGED, "Sam", "acme", "Acme Sportsbook")]
    ),
    "disable a user": Act(_staff("user", "disable"), [(Action.USER_DISABLED, "Sam", "", "Alice")]),
    "enable a user": Act(_enable, [(Action.USER_ENABLED, "Sam", "", "Alice")]),
    "create a key": Act(_new_key, [(Action.API_KEY_CREATED, "Dave", "acme", "New key")]),
    "edit a key": Act(
        _key("edit", {"label": "Renamed"}), [(Action.API_KEY_CHANGED, "Dave", "acme", "Renamed")]
    ),
    "rotate a key": Act(_key("rotate"), [(Action.API_KEY_ROTATED, "Dave", "acme", "Pricing")]),
    **MARKET_ACTS,
    "revoke a key": Act(_key("revoke"), [(Action.API_KEY_REVOKED, "Dave", "acme", "Pricing")]),
}
