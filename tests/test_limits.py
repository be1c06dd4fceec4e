"""Too many tries: refused before anything is hashed, and told to the second when to come back.

Security promises 3, 7, 8 and 9.
"""

import datetime as dt
import time
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import LazySettings
from django.core import signing
from django.test import Client

from accounts.models import Action, AuditEvent, Counter, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import Sent, invite
from portal.lib import clock
from tests.conftest import PASSWORD, make_authenticator, signed_in
from tests.pages import COUNTING, CountingHasher, hashes_during, holds, sign_in, text

LOGIN = "/client/login"
KNOWN = "portal_known"
WRONG = "wrong"
NEW = "seven herons over the estuary"
CHANGE = {"new_password": NEW, "confirm_password": NEW}


class Watch:
    """The time that django-ratelimit reads, which stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = time.time()

    def time(self) -> float:
        """What `time.time()` would say."""
        return self.seconds

    def move(self, seconds: float) -> None:
        """Later, for it and for us."""
        self.seconds += seconds
        clock.move(dt.timedelta(seconds=seconds))


@pytest.fixture(autouse=True)
def watch(monkeypatch: pytest.MonkeyPatch, settings: LazySettings) -> Watch:
    """A time that stands still, and a hasher that counts."""
    settings.PASSWORD_HASHERS = [COUNTING]
    watch = Watch()
    monkeypatch.setattr("django_ratelimit.core.time", SimpleNamespace(time=watch.time))
    return watch


def try_in(typed: str, password: str = WRONG, address: str = "203.0.113.7", **given: Any) -> Any:
    """Sign in with a browser that nobody knows."""
    form = {"username": typed, "password": password}
    return Client().post(LOGIN, form, REMOTE_ADDR=address, **given)


def refuse(typed: str = "Alice", tries: int = 10) -> None:
    """Use up what strangers have for an account, each try from another address."""
    for number in range(tries):
        assert try_in(typed, address=f"198.51.100.{number}").status_code == 200


def known_to(user: User) -> Client:
    """A browser that the user has signed in with, and out again."""
    client = Client()
    assert sign_in(client, user.username).status_code == 302
    client.post("/client/sign-out")
    return client


def test_the_eleventh_try_is_refused_and_told_when_to_come_back(alice: User) -> None:
    refuse()
    answer = try_in("Alice", PASSWORD)
    assert answer.status_code == 429
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 300
    assert f"Wait {seconds} seconds" in text(answer)


def test_nothing_is_hashed_for_somebody_refused(alice: User) -> None:
    """Promise 7: not for whom there is, nor for whom there is not."""
    refuse()
    refuse("nobody")
    assert hashes_during(lambda: try_in("Alice", PASSWORD)) == 0
    assert hashes_during(lambda: try_in("nobody", PASSWORD)) == 0
    assert hashes_during(lambda: try_in("Dave", PASSWORD)) == 1


@pytest.mark.parametrize("early", range(0, 300, 60))
def test_the_waiting_time_is_true_to_the_second(alice: User, watch: Watch, early: int) -> None:
    """Whenever in its window the refusal came."""
    watch.move(early)
    refuse()
    seconds = int(try_in("Alice", PASSWORD).headers["Retry-After"])
    watch.move(seconds - 1)
    assert try_in("Alice", PASSWORD).status_code == 429
    watch.move(1)
    assert try_in("Alice", PASSWORD).status_code == 302


def test_an_account_is_one_however_it_is_spelt(alice: User) -> None:
    spellings = ["Alice", "alice", "ALICE", "alice@example.com", "ALICE@Example.com", " Alice "]
    for number in range(10):
        spelt = spellings[number % len(spellings)]
        assert try_in(spelt, address=f"198.51.100.{number}").status_code == 200
    for spelt in spellings:
        assert try_in(spelt, PASSWORD).status_code == 429


def test_who_is_not_there_is_refused_like_who_is(alice: User) -> None:
    """Promise 6 holds for refusals too."""
    refuse()
    refuse("nobody", 5)
    refuse("NOBODY", 5)
    known, unknown = try_in("Alice"), try_in("Nobody")
    assert known.status_code == unknown.status_code == 429
    assert text(known).partition("Wait")[0] == text(unknown).partition("Wait")[0]


def test_an_address_has_sixty_tries_whoever_it_tries(alice: User) -> None:
    for number in range(60):
        assert try_in(f"somebody{number}").status_code == 200
    assert try_in("Alice", PASSWORD).status_code == 429
    assert try_in("Alice", PASSWORD, address="203.0.113.8").status_code == 302


@pytest.mark.parametrize(
    ("network", "beside"),
    [("2001:db8:1:2:{:x}::1", "2001:db8:1:3::1"), ("2001:db8::{:x}", "2001:db8:0:1::1")],
)
def test_an_ipv6_network_of_64_bits_is_one_address(alice: User, network: str, beside: str) -> None:
    for number in range(60):
        address = network.format(number)
        assert try_in(f"somebody{number}", address=address).status_code == 200
    assert try_in("Alice", PASSWORD, address=network.format(0xFFFF)).status_code == 429
    assert try_in("Alice", PASSWORD, address=beside).status_code == 302


@pytest.mark.parametrize("proxies", [0, 1])
def test_a_forged_address_changes_no_bucket(
    alice: User, settings: LazySettings, proxies: int
) -> None:
    """Promise 9: behind a proxy of ours, what it saw is what counts."""
    settings.TRUSTED_PROXIES = proxies
    seen = ", 203.0.113.7" if proxies else ""

    def attack(number: int, password: str = WRONG) -> Any:
        forged = f"198.51.100.{number}{seen}"
        peer = "192.0.2.1" if proxies else "203.0.113.7"
        typed = "Alice" if password == PASSWORD else f"somebody{number}"
        return try_in(typed, password, peer, HTTP_X_FORWARDED_FOR=forged)

    for number in range(60):
        assert attack(number).status_code == 200
    assert attack(99, PASSWORD).status_code == 429
    refused = AuditEvent.objects.filter(action=Action.LOGIN_REFUSED)
    assert set(refused.values_list("address", flat=True)) == {"203.0.113.7"}
    victim = {"HTTP_X_FORWARDED_FOR": "198.51.100.9"} if proxies else {}
    peer = "192.0.2.1" if proxies else "198.51.100.9"
    assert try_in("Alice", PASSWORD, peer, **victim).status_code == 302


def test_a_browser_that_has_signed_in_before_counts_for_itself(alice: User, watch: Watch) -> None:
    """Promise 8: more wrong passwords from elsewhere than any limit there is."""
    home = known_to(alice)
    refuse(tries=9)  # one was her own, when her browser was new
    for _ in range(9):
        watch.move(301)
        refuse()
    for number in range(60):
        Client().post(LOGIN, {"username": f"somebody{number}", "password": WRONG})
    assert try_in("Alice", PASSWORD, "192.0.2.99").status_code == 429
    assert Client().post(LOGIN, {"username": "x", "password": "x"}).status_code == 429
    assert sign_in(home, "alice@example.com").headers["Location"] == "/client/"


def test_a_known_browser_that_guesses_is_refused_and_strangers_are_not(alice: User) -> None:
    """Nor are its tries a way around the limits: ten in five minutes."""
    home = known_to(alice)
    for _ in range(10):
        assert sign_in(home, "Alice", "wrong").status_code == 200
    assert hashes_during(lambda: sign_in(home, "Alice")) == 0
    assert sign_in(home, "Alice").status_code == 429
    assert try_in("Alice", PASSWORD).status_code == 302


@pytest.mark.parametrize("change", ["cut", "swapped", "empty", "rubbish", "of another salt"])
def test_a_cookie_that_is_not_ours_makes_a_stranger(alice: User, change: str) -> None:
    home = known_to(alice)
    cookie = home.cookies[KNOWN].value
    home.cookies[KNOWN] = {
        "cut": cookie[:-1],
        "swapped": cookie[:-1] + ("A" if cookie[-1] != "A" else "B"),
        "empty": "",
        "rubbish": "e30:1:\u00fc",
        "of another salt": signing.dumps({str(alice.pk): "a0"}, salt="another"),
    }[change]
    refuse(tries=9)
    assert sign_in(home, "Alice").status_code == 429


def test_a_browser_that_knows_somebody_else_is_a_stranger(alice: User, dave: User) -> None:
    daves = known_to(dave)
    refuse()
    assert sign_in(daves, "Alice").status_code == 429
    assert sign_in(daves, "Dave").status_code == 302


def test_a_browser_knows_both_of_its_users(alice: User, dave: User) -> None:
    shared = known_to(alice)
    sign_in(shared, "Dave")
    shared.post("/client/sign-out")
    refuse(tries=9)
    refuse("Dave", tries=9)
    assert try_in("Alice").status_code == try_in("Dave").status_code == 429
    for name in ("Alice", "Dave"):
        assert sign_in(shared, name).status_code == 302
        shared.post("/client/sign-out")


def test_the_cookie_comes_with_the_whole_proof_and_opens_nothing(alice: User) -> None:
    """Not with a password alone where a code is asked for as well."""
    cookie = sign_in(Client(), "Alice").cookies[KNOWN]
    assert cookie["httponly"] and cookie["samesite"] == "Lax"
    bearer = Client()
    bearer.cookies[KNOWN] = cookie.value
    assert bearer.get("/client/").headers["Location"].startswith(LOGIN)
    make_authenticator(alice)
    assert KNOWN not in sign_in(Client(), "Alice").cookies


@pytest.fixture
def sent(acme: Tenant) -> Sent:
    """An invitation that nobody has accepted yet."""
    return invite(
        actor=None,
        origin=COMMAND_LINE,
        email="new@example.com",
        username="Newcomer",
        tenant=acme,
        role="viewer",
        send_mail=False,
    )


def test_who_tries_invitations_is_refused_before_they_are_looked_up(sent: Sent) -> None:
    """Sixty from an address; reading a page is not counted, and others are not hindered."""
    path = sent.link.partition("//")[2].partition("/")[2]
    for number in range(60):
        assert Client().post(f"/client/invite/guess{number}", CHANGE).status_code == 404
    answer: list[Any] = []
    assert hashes_during(lambda: answer.append(Client().post(f"/{path}", CHANGE))) == 0
    assert answer[0].status_code == 429 and int(answer[0].headers["Retry-After"]) <= 300
    assert Client().get(f"/{path}").status_code == 200
    assert Client().post(f"/{path}", CHANGE, REMOTE_ADDR="203.0.113.8").status_code == 302


CURRENT_PASSWORD = {
    "/client/profile/password": {"current_password": "wrong", **CHANGE},
    "/client/profile/2fa/enable": {"current_password": "wrong"},
    "/client/api-access/new": {"confirm-password": "wrong", "confirm_it_is_you": "1"},
}


@pytest.mark.parametrize("path", CURRENT_PASSWORD)
def test_guessing_the_current_password_is_refused_before_it_is_hashed(
    alice: User, path: str
) -> None:
    """Promise 3: a stolen session is no place to guess, and all such pages count together."""
    client = signed_in(alice)
    if "api-access" in path:
        clock.move(dt.timedelta(minutes=11))
    for _ in range(10):
        assert client.post(path, CURRENT_PASSWORD[path]).status_code == 200
    right = {
        key: PASSWORD if value == "wrong" else value
        for key, value in CURRENT_PASSWORD[path].items()
    }
    before = CountingHasher.count
    answer = client.post(path, right)
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) >= 1
    change = {"current_password": PASSWORD, **CHANGE}
    assert client.post("/client/profile/password", change).status_code == 429
    assert CountingHasher.count == before
    assert holds(alice, PASSWORD)
    Counter.objects.all().delete()
    assert client.post("/client/profile/password", change).status_code == 302
