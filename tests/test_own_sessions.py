"""Profile → Sessions: where, what, since when, last seen; ending one of them, or all others.

Security promise 29.
"""

import datetime as dt
import re
import uuid

import pytest
from django.test import Client

from accounts.models import Action, AuditEvent, Session, User
from portal.lib import clock
from tests.conftest import make_authenticator, signed_in
from tests.pages import is_signed_in, session_cookie, sign_in, text, with_cookie

PROFILE = "/client/profile"
OTHERS = f"{PROFILE}/sessions/end-others"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)


def enter(name: str, agent: str, address: str) -> Client:
    """Sign in with that browser, from there."""
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    assert sign_in(client, name).status_code == 302
    return client


def row_of(client: Client) -> Session:
    """The browser's own row: the one that its profile calls “This one”."""
    page = client.get(PROFILE).content.decode()
    (row,) = [row for row in rows(page) if "This one" in row]
    (found,) = re.findall(r'id="session-([0-9a-f-]{36})"', row)
    return Session.objects.get(id=found)


def rows(page: str) -> list[str]:
    """The table's rows."""
    table = page.partition('id="sessions"')[2]
    return re.findall(r"<tr>(?:(?!</tr>).)*session-(?:(?!</tr>).)*</tr>", table, re.DOTALL)


def end(client: Client, session: Session | uuid.UUID) -> str:
    """**Sign out** on that row; what the page says."""
    found = session.id if isinstance(session, Session) else session
    return text(client.post(f"{PROFILE}/sessions/{found}/end", follow=True))


def test_each_says_where_what_since_when_and_last_seen(alice: User) -> None:
    alice.time_zone = "Europe/Berlin"
    alice.save()
    phone = enter("Alice", IPHONE, "2001:db8::7")
    clock.move(dt.timedelta(hours=2))
    desk = enter("Alice", FIREFOX, "203.0.113.7")
    clock.move(dt.timedelta(hours=1))
    is_signed_in(phone)
    first, second = rows(desk.get(PROFILE).content.decode())
    assert "Firefox · Linux" in first and "203.0.113.7" in first and "This one" in first
    assert "Safari · iPhone" in second and "2001:db8::7" in second
    assert ">Sign out<" in second and ">Sign out<" not in first
    session = row_of(phone)
    zone = clock.zone("Europe/Berlin")
    assert session.last_seen_at - session.signed_in_at >= dt.timedelta(hours=3)
    for moment in (session.signed_in_at, session.last_seen_at):
        assert f"{moment.astimezone(zone):%H:%M}" in second
    assert "CE" in second  # CET or CEST: the zone is written


def test_only_ones_own_are_listed_and_none_that_is_over(alice: User, dave: User) -> None:
    enter("Dave", FIREFOX, "198.51.100.9")
    enter("Alice", IPHONE, "192.0.2.1")
    clock.move(dt.timedelta(hours=11, minutes=59))
    client = enter("Alice", FIREFOX, "203.0.113.7")
    clock.move(dt.timedelta(minutes=2))
    page = client.get(PROFILE).content.decode()
    assert len(rows(page)) == 1
    assert "198.51.100.9" not in page and "192.0.2.1" not in page


def test_last_seen_is_written_every_five_minutes_at_most(alice: User) -> None:
    client = signed_in(alice)
    began = Session.objects.get().last_seen_at
    clock.move(dt.timedelta(minutes=4))
    client.get(PROFILE)
    assert Session.objects.get().last_seen_at == began
    clock.move(dt.timedelta(minutes=2))
    client.get(PROFILE)
    assert Session.objects.get().last_seen_at - began >= dt.timedelta(minutes=6)


def test_one_that_is_ended_is_out_at_its_next_request(alice: User) -> None:
    here, there, elsewhere = (signed_in(alice) for _ in range(3))
    assert "That session is over." in end(here, row_of(there))
    assert there.get(PROFILE).headers["Location"].startswith("/client/login?")
    assert is_signed_in(here) and is_signed_in(elsewhere)
    (event,) = AuditEvent.objects.filter(action=Action.SESSION_ENDED_ELSEWHERE)
    assert (event.actor_id, event.target_id, event.detail) == (alice.pk, alice.pk, {"ended": 1})


def test_its_cookie_opens_nothing_afterwards(alice: User) -> None:
    here, there = signed_in(alice), signed_in(alice)
    cookie = session_cookie(there)
    end(here, row_of(there))
    assert not is_signed_in(with_cookie(cookie))


def test_a_page_that_saves_does_not_bring_it_back(alice: User, globex: object) -> None:
    """What was ended in one tab stays ended in another."""
    here, there = signed_in(alice), signed_in(alice)
    end(here, row_of(there))
    there.post("/client/switch-tenant", {"tenant": "acme"})
    assert Session.objects.filter(user=alice).count() == 1


def test_ended_twice_it_is_said_to_be_over(alice: User) -> None:
    here, there = signed_in(alice), signed_in(alice)
    session = row_of(there)
    end(here, session)
    assert "That session was over already." in end(here, session)
    assert AuditEvent.objects.filter(action=Action.SESSION_ENDED_ELSEWHERE).count() == 1


def test_everywhere_else_is_everywhere_else(alice: User, dave: User) -> None:
    here, *others = (signed_in(alice) for _ in range(4))
    daves = signed_in(dave)
    assert "Sign out everywhere else" in text(here.get(PROFILE))
    assert "3 other sessions are over." in text(here.post(OTHERS, follow=True))
    assert not any(is_signed_in(client) for client in others)
    assert is_signed_in(here) and is_signed_in(daves)
    assert "Sign out everywhere else" not in text(here.get(PROFILE))
    (event,) = AuditEvent.objects.filter(action=Action.SESSION_ENDED_ELSEWHERE)
    assert event.detail == {"ended": 3}


def test_with_none_elsewhere_nothing_is_recorded(alice: User) -> None:
    here = signed_in(alice)
    assert "0 other sessions are over." in text(here.post(OTHERS, follow=True))
    assert not AuditEvent.objects.filter(action=Action.SESSION_ENDED_ELSEWHERE).exists()


def test_somebody_elses_is_as_unknown_as_none(alice: User, dave: User) -> None:
    """Promise 35: the same words, and nothing happens."""
    here, daves = signed_in(alice), signed_in(dave)
    said = end(here, row_of(daves))
    assert "That session was over already." in said
    assert said == end(here, uuid.uuid4())
    assert is_signed_in(daves)
    assert not AuditEvent.objects.filter(action=Action.SESSION_ENDED_ELSEWHERE).exists()


def test_the_page_gives_no_cookie_away(alice: User) -> None:
    here, there = signed_in(alice), signed_in(alice)
    page = here.get(PROFILE).content.decode()
    for client in (here, there):
        assert session_cookie(client) not in page
        assert bytes(row_of(client).key_hash).hex() not in page


@pytest.mark.parametrize("path", [OTHERS, f"{PROFILE}/sessions/{uuid.UUID(int=1)}/end"])
def test_looking_ends_nothing(alice: User, path: str) -> None:
    here, there = signed_in(alice), signed_in(alice)
    assert here.get(path).status_code == 405
    assert is_signed_in(there)


def test_staff_have_the_same_under_their_own_roof(sam: User) -> None:
    make_authenticator(sam)
    here, there = (signed_in(sam, has_second_factor=True) for _ in range(2))
    assert len(rows(here.get("/staff/profile").content.decode())) == 2
    answer = here.post("/staff/profile/sessions/end-others")
    assert answer.headers["Location"] == "/staff/profile"
    assert not is_signed_in(there, "/staff/profile")
