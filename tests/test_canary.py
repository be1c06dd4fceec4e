"""Secrets put through every flow, and then looked for wherever something is kept.

Promises 17, 38 and 43: in no log, however loud, in no table, mail, audit event or job. The link of
an invitation is in its mail, and nowhere else.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from accounts.models import AuditEvent, Authenticator, Invitation, Tenant, User
from tests.browser.live import MailServer, running_portal
from tests.canary import Browser, Flows, Secrets
from tests.mailbox import empty_queue

pytestmark = pytest.mark.service

PROFILE, TEAM, KEYS = "/client/profile", "/client/team", "/client/api-access"


@pytest.fixture
def flows(committed_db: None) -> Iterator[Flows]:
    empty_queue()
    with (
        tempfile.TemporaryDirectory(prefix="portal-live-") as home,
        MailServer().running() as inbox,
        running_portal(
            Path(home), EMAIL_URL=inbox.url, DJANGO_SETTINGS_MODULE="tests.loud", LOG_LEVEL="DEBUG"
        ) as portal,
    ):
        yield Flows(portal, inbox)
    empty_queue()


def test_canaries_are_found_nowhere(flows: Flows, acme: Tenant, globex: Tenant) -> None:
    staff, owner = flows.browser(), flows.browser()
    _staff_come_in(flows, staff)
    _an_owner_is_invited(flows, staff, owner, acme)
    _keys(flows, owner)
    _a_team(flows, owner)
    _signing_in(flows)
    _another_tenant(flows, staff, globex)
    _an_account(flows, owner, staff)
    worker_log = flows.portal.home / "worker.log"
    flows.work(worker_log)
    _search(flows, worker_log)


def _staff_come_in(flows: Flows, staff: Browser) -> None:
    password = flows.password("staff")
    args = ["--staff", "--email", "sam@example.com", "--username", "Sam"]
    link = flows.portal.manage("invite", *args)
    flows.invited()
    flows.accept(staff, flows.invited(link), password)
    flows.enrol(staff, User.objects.get(username="Sam"), password, "/staff/profile")
    assert staff.get("/staff/").status == 200


def _an_owner_is_invited(flows: Flows, staff: Browser, owner: Browser, acme: Tenant) -> None:
    form = {"tenant": str(acme.pk), "role": "owner", "email": "olga@example.com"}
    staff.post("/staff/accounts/invitation/add/", {**form, "username": "Olga"})
    dead = flows.invited()
    invitation = f"/staff/accounts/invitation/{Invitation.objects.get(username='Olga').pk}"
    staff.post(f"{invitation}/resend", on=f"{invitation}/change/")
    alive = flows.invited()
    assert owner.get(dead).status == 404
    flows.accept(owner, alive, flows.password("owner"))
    assert owner.get(dead).status == 404


def _keys(flows: Flows, owner: Browser) -> None:
    secret = flows.key_on(owner.post(f"{KEYS}/new", {"label": "Pricing"}))
    assert flows.call(secret)[0] == 200
    key = re.findall(rf"{KEYS}/[0-9a-f-]{{36}}", owner.get(KEYS).content.decode())[0]
    owner.post(f"{key}/edit", {"allowlist": "10.0.0.0/8"})
    flows.grow_old(owner)
    for name in ("misremembered", "owner"):
        form = {"confirm-password": flows.password(name), "confirm_it_is_you": "1"}
        assert owner.post(f"{key}/rotate", form).status == 200
    rotated = flows.key_on(owner.post(f"{key}/rotate"))
    assert rotated != secret
    assert flows.call(secret)[0] == flows.call(rotated)[0] == 403
    owner.post(f"{key}/revoke")


def _a_team(flows: Flows, owner: Browser) -> None:
    for name in ("dora", "rita"):
        form = {"email": f"{name}@example.com", "username": name, "role": "developer"}
        owner.post(f"{TEAM}/invite", form)
        flows.invited()
    dora = Invitation.objects.get(username="dora").pk
    rita = Invitation.objects.get(username="rita").pk
    owner.post(f"{TEAM}/invitations/{dora}/resend", on=TEAM)
    flows.accept(flows.browser(), flows.invited(), flows.password("dora"))
    owner.post(f"{TEAM}/invitations/{rita}/revoke", on=TEAM)


def _signing_in(flows: Flows) -> None:
    """Wrong passwords, a password in the wrong field, and the right one."""
    stranger = flows.browser()
    flows.sign_in(stranger, "dora", flows.password("wrong"))
    flows.sign_in(stranger, flows.password("in the wrong field"), "x")
    flows.sign_in(stranger, "nobody", flows.password("nobody"))
    stranger.get("/client/?password=" + flows.secrets.add("a query", "goldfinch-in-a-query"))
    assert flows.sign_in(stranger, "dora", flows.password("dora")).url.endswith("/client/")
    stranger.post("/client/sign-out", on=PROFILE)


def _another_tenant(flows: Flows, staff: Browser, globex: Tenant) -> None:
    """Dora has an account: she signs in, and joins with it."""
    form = {"tenant": str(globex.pk), "role": "viewer", "email": "dora@example.com"}
    staff.post("/staff/accounts/invitation/add/", {**form, "username": "dora"})
    path, dora = flows.invited(), flows.browser()
    flows.sign_in(dora, "dora", flows.password("dora"))
    assert dora.post(f"{path}/join", on=path).url.endswith("/client/")
    assert globex.memberships.filter(user__username="dora").exists()  # type: ignore[attr-defined]


def _an_account(flows: Flows, owner: Browser, staff: Browser) -> None:
    """Password, second factor, recovery codes, sessions; and what staff do about it."""
    olga, old, new = User.objects.get(username="Olga"), *map(flows.password, ("owner", "new"))
    form = {"new_password": new, "confirm_password": new}
    owner.post(f"{PROFILE}/password", {**form, "current_password": flows.password("mistaken")})
    assert owner.post(f"{PROFILE}/password", {**form, "current_password": old}).url.endswith(
        PROFILE
    )
    flows.enrol(owner, olga, new, PROFILE)
    form = {"current_password": new, "code": flows.code(olga)}
    codes = flows.recovery(owner.post(f"{PROFILE}/2fa/recovery-codes", form))
    for recovery_code in ("", codes[0]):
        again = flows.browser()
        flows.sign_in(again, "olga@example.com", new)
        again.post("/client/login/code", {"code": flows.wrong(olga)})
        form = {"code": recovery_code or flows.code(olga)}
        assert again.post("/client/login/code", form).url.endswith("/client/")
    owner.post(f"{PROFILE}/sessions/end-others", on=PROFILE)
    flows.grow_old(owner)
    form = {"confirm-password": new, "confirm-code": flows.code(olga), "confirm_it_is_you": "1"}
    owner.post(f"{PROFILE}/2fa/disable", form)
    form = {"current_password": new, "code": flows.code(olga)}
    assert owner.post(f"{PROFILE}/2fa/disable", form).url.endswith(PROFILE)
    flows.enrol(owner, olga, new, PROFILE)
    account = f"/staff/accounts/user/{olga.pk}"
    staff.post(f"{account}/reset-2fa", {"reason": "Lost it"}, on=f"{account}/change/")
    assert not Authenticator.objects.filter(user=olga).exists()


def _search(flows: Flows, worker_log: Path) -> None:
    """There is something to be found everywhere, and it is not there."""
    secrets, server = flows.secrets, flows.portal.log.read_text()
    kinds = set(secrets.texts.values())
    assert {"an API key", "a TOTP secret", "a recovery code", "a form's token"} <= kinds
    assert len(secrets.codes) >= 3 and AuditEvent.objects.count() > 20
    assert "DEBUG" in server and "POST /client/login 200" in server
    assert "send_notice" in worker_log.read_text()
    postgres = settings.PORTAL_HOME / "log" / "postgres.log"
    kept = {
        "the server's log": server,
        "the worker's log": worker_log.read_text(),
        "Postgres's log": postgres.read_text() if postgres.exists() else "",
        "the database, before the mails were sent": flows.dumps[0],
        "the database, after": flows.dumps[1],
    }
    found = {where: secrets.found_in(text) for where, text in kept.items()}
    assert not any(found.values()), found
    assert not any("goldfinch" in text for text in kept.values())
    _search_mails(flows)


def _search_mails(flows: Flows) -> None:
    """Each token is in the one mail that brought it; nothing else is in any."""
    assert len(flows.mails) > 15
    links = Secrets(dict.fromkeys(flows.tokens, ""))
    others = Secrets(
        {s: what for s, what in flows.secrets.texts.items() if s not in links.texts},
        flows.secrets.codes,
    )
    for mail in flows.mails:
        assert others.found_in(mail) == set()
        assert len(links.found_in(mail)) <= 1
    for token in flows.tokens:
        assert sum(token in mail for mail in flows.mails) <= 1
