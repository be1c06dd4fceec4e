"""Invitations: sent by staff, looked at by anybody, accepted once or not at all."""

import re
from typing import Any

from django.core import mail
from django.test import Client, TestCase
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from accounts.models import User
from tests.conftest import PASSWORD, signed_in
from tests.machine.ground import BROWSERS, Ground
from tests.machine.model import Link, Person, Session
from tests.pages import session_cookie

STAFFS = "/staff/accounts/invitation"
GOOD = {"new_password": PASSWORD, "confirm_password": PASSWORD}
BAD = [{}, {"new_password": "short"}, {**GOOD, "confirm_password": "another one"}]
MOST = 4  # of people who are invited


class Invitations(Ground):
    """Each mail's link is kept, also when a newer one has killed it."""

    @precondition(lambda self: len({link.name for link in self.world.links}) < MOST)
    @rule(slug=st.sampled_from(["acme", "globex"]))
    def invite(self, slug: str) -> None:
        """A developer, by staff."""
        self.settle()
        name = f"guest{len(self.world.links)}"
        form = {"tenant": self.tenants[slug].pk, "role": "developer", "name": ""}
        form |= {"username": name, "email": f"{name}@example.com"}
        answer, (path,) = self._by_staff(f"{STAFFS}/add/", form)
        invitation = re.findall(r"[0-9a-f-]{36}", answer.headers["Location"])[0]
        self.world.links.append(Link(path, invitation, name, slug, self.now))

    @precondition(lambda self: self.world.links)
    @rule(data=st.data(), act=st.sampled_from(["resend", "resend", "revoke"]))
    def resend_or_revoke(self, data: st.DataObject, act: str) -> None:
        """Promise 25; in vain when it was accepted or revoked. Resending wakes an expired one."""
        self.settle()
        link = data.draw(st.sampled_from(self.world.links))
        of_it = [each for each in self.world.links if each.invitation == link.invitation]
        is_open = not of_it[-1].is_spent
        _, paths = self._by_staff(f"{STAFFS}/{link.invitation}/{act}", {})
        assert len(paths) == (is_open and act == "resend")
        for each in of_it:
            each.is_spent = True
        for path in paths:
            self.world.links.append(Link(path, link.invitation, link.name, link.tenant, self.now))

    @precondition(lambda self: self.world.links)
    @rule(data=st.data(), method=st.sampled_from(["get", "head"]))
    def look_at_a_link(self, data: st.DataObject, method: str) -> None:
        """Promise 22."""
        link = self._some_link(data)
        answer = getattr(Client(), method)(link.path)
        assert answer.status_code == (200 if link.is_alive(self.now) else 404)

    @precondition(lambda self: self.world.links)
    @rule(data=st.data(), form=st.sampled_from(BAD))
    def accept_badly(self, data: st.DataObject, form: dict[str, str]) -> None:
        """Promise 22: a password that is refused spends nothing."""
        link = self._some_link(data)
        answer = Client().post(link.path, form)
        assert answer.status_code == (200 if link.is_alive(self.now) else 404)

    @precondition(lambda self: self.world.links)
    @rule(data=st.data(), n=BROWSERS)
    def accept(self, data: st.DataObject, n: int) -> None:
        """Promises 23 and 24: alive, it makes a member who is signed in; dead, nothing."""
        link = self._some_link(data)
        browser, before = self.browsers[n], session_cookie(self.browsers[n])
        is_alive = link.is_alive(self.now)
        answer = browser.post(link.path, GOOD)
        if not is_alive:
            assert answer.status_code == 404 and session_cookie(browser) in {before, ""}
            return
        assert answer.headers["Location"] == "/client/"
        user = User.objects.get(username=link.name)
        person = Person(str(user.pk), link.name, link.tenant, PASSWORD)
        self.world.people.append(person)
        self.world.accepted += 1
        link.is_spent = True
        self.entered(n, Session(session_cookie(browser), person, self.now), before)

    def _some_link(self, data: st.DataObject) -> Link:
        self.settle()
        return data.draw(st.sampled_from(self.world.links))

    def _by_staff(self, path: str, form: dict[str, Any]) -> tuple[Any, list[str]]:
        """The answer, and the paths of the links that were mailed for it."""
        mail.outbox.clear()
        with TestCase.captureOnCommitCallbacks(execute=True):
            answer = signed_in(self.sam, has_second_factor=True).post(path, form)
        assert answer.status_code == 302
        return answer, [self._path_in(str(message.body)) for message in mail.outbox]

    def _path_in(self, text: str) -> str:
        (path,) = re.findall(r"/client/invite/[\w-]+", text)
        return str(path)
