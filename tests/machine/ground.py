"""What all rules stand on: people, browsers, the clock, and what must hold after each rule."""

import datetime as dt
import uuid
from typing import Any

from django.core import mail
from django.db import transaction
from django.test import Client
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from accounts.models import AuditEvent, Authenticator, Invitation, Membership, Role, User
from accounts.models import Session as SessionRow
from accounts.origin import COMMAND_LINE
from accounts.services.recovery import make_recovery_codes
from apikeys.services import create_key, open_tenant
from portal.lib import clock
from portal.lib.crypto import digest
from tests.conftest import PASSWORD, make_authenticator, make_member, make_user
from tests.machine.model import HOUR, MINUTE, NEAR, SECOND, HalfWay, Person, Session, World
from tests.pages import with_cookie

START = dt.datetime(2026, 3, 2, 9, 0, 7, tzinfo=dt.UTC)
BROWSERS = st.integers(0, 2)
MOVES = [SECOND, 20 * SECOND, 31 * SECOND] * 3 + [4 * MINUTE, 6 * MINUTE, 16 * MINUTE]
MOVES += [59 * MINUTE, 5 * HOUR, 11 * HOUR, 13 * HOUR, 30 * HOUR, 71 * HOUR, 73 * HOUR]


class Ground(RuleBasedStateMachine):
    """Three browsers, the people of two tenants, and staff who invite."""

    world: World

    @initialize()
    def open(self) -> None:
        """Alice owns Acme, Dave develops there; Mallory owns Globex. The last two have 2FA."""
        self.now = START
        clock.move(self.now - clock.now())
        self.rollback = transaction.atomic()
        self.rollback.__enter__()
        mail.outbox.clear()
        self.world = World()
        self.browsers = [Client() for _ in range(3)]
        self.known: set[tuple[int, str]] = set()
        self.sam = make_user("Sam", is_staff=True)
        self.tenants = {
            slug: open_tenant(slug=slug, name=slug.title(), actor=None, origin=COMMAND_LINE)
            for slug in ("acme", "globex")
        }
        self.devices: dict[str, Authenticator] = {}
        self.keys: dict[str, str] = {}
        for name, slug, role in [
            ("alice", "acme", Role.OWNER),
            ("dave", "acme", Role.DEVELOPER),
            ("mallory", "globex", Role.OWNER),
        ]:
            user = make_member(self.tenants[slug], name, role)
            self.world.people.append(Person(str(user.pk), name, slug, PASSWORD))
            if name != "alice":
                self._give_factor(self.world.people[-1], user)
            if role == Role.OWNER:
                self.keys[slug] = self._key(slug, user)

    def _give_factor(self, person: Person, user: User) -> None:
        self.devices[person.key] = make_authenticator(user)
        person.recovery = make_recovery_codes(user=user, origin=COMMAND_LINE)[:3]
        person.has_factor = True

    def _key(self, slug: str, actor: User) -> str:
        issued = create_key(
            tenant=self.tenants[slug],
            actor=actor,
            origin=COMMAND_LINE,
            nonce=uuid.uuid4(),
            label="Pricing",
            allowlist=[],
            scopes=[],
        )
        return str(issued.key.pk)

    def teardown(self) -> None:
        """Every cookie is tried a last time; then nothing has happened."""
        if hasattr(self, "rollback"):
            self.settle()
            for cookie in self.world.cookies():
                self.open_with(cookie)
            transaction.set_rollback(True)
            self.rollback.__exit__(None, None, None)
        clock.reset()

    @rule(by=st.sampled_from(MOVES))
    def wait(self, by: dt.timedelta) -> None:
        """Seconds to days."""
        self.now += by

    @rule(data=st.data(), is_after=st.booleans())
    def wait_for_an_end(self, data: st.DataObject, is_after: bool) -> None:
        """To shortly before or after something ends: where the mistakes are."""
        ends = sorted(end for end in self.world.ends() if end > self.now + 4 * NEAR)
        if ends:
            end = data.draw(st.sampled_from(ends[:6]))
            self.now = end + (NEAR + SECOND) * (1 if is_after else -1)

    @invariant()
    def the_database_holds_the_sessions_that_are_alive(self) -> None:
        """Promises 28 and 29: those, and none that anybody ended; nobody half way is somebody."""
        if not hasattr(self, "world"):
            return
        self.settle()
        rows = SessionRow.objects.live().exclude(user=None).exclude(user=self.sam)
        held = {bytes(row.key_hash): str(row.user_id) for row in rows}
        alive = self.world.alive(self.now)
        assert held == {digest(each.cookie): each.person.key for each in alive}
        assert all(row.expires_at == row.signed_in_at + 12 * HOUR for row in rows)

    @invariant()
    def each_link_made_one_person_at_most(self) -> None:
        """Promises 22 to 25."""
        if not hasattr(self, "world"):
            return
        self.settle()
        pending = {bytes(row.token_hash) for row in Invitation.objects.pending()}
        alive = [link for link in self.world.links if link.is_alive(self.now)]
        assert pending == {digest(link.path.rpartition("/")[2]) for link in alive}
        people = len(self.world.people)
        assert Membership.objects.count() == people == User.objects.count() - 1
        accepted = AuditEvent.objects.filter(action="invitation.accepted").count()
        assert accepted == self.world.accepted

    def settle(self) -> None:
        """Set the clock: away from every end, so that none comes while something is asked.

        What the asking itself took is taken back: walks are the same whenever they are walked.
        """
        while self.world.is_near_an_end(self.now):
            self.now += SECOND
        clock.move(self.now - clock.now())

    def hand_out(self, new: Session | HalfWay) -> None:
        """Promise 10: a cookie that nobody ever had."""
        assert new.cookie and new.cookie not in self.world.cookies()
        if isinstance(new, Session):
            self.world.sessions.append(new)
        else:
            self.world.half_way.append(new)

    def entered(self, n: int, new: Session | HalfWay, before: str) -> None:
        """The browser holds something new, and what it held before is good for nothing."""
        self.world.drop(before)
        self.hand_out(new)
        if isinstance(new, Session):
            self.known.add((n, new.person.key))

    def somebody(self, data: st.DataObject) -> tuple[Session | None, Any]:
        """A live session, and a browser with its cookie."""
        self.settle()
        alive = self.world.alive(self.now)
        if not alive:
            return None, None
        session = data.draw(st.sampled_from(alive))
        return session, with_cookie(session.cookie)

    def open_with(self, cookie: str) -> None:
        is_alive = self.world.session_of(cookie, self.now) is not None
        answer = with_cookie(cookie).get("/client/profile")
        assert answer.status_code == (200 if is_alive else 302)
        if not is_alive:
            assert answer.headers["Location"].startswith("/client/login?")
            assert not SessionRow.objects.filter(key_hash=digest(cookie)).exclude(user=None)
