"""Signing in with a password, and then with a code."""

from django.conf import settings
from django.test import Client
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.machine.ground import BROWSERS, Ground
from tests.machine.model import HalfWay, Person, Session, step_of
from tests.pages import code_of, session_cookie, sign_in, wrong_code

CODE = "/client/login/code"


class SigningIn(Ground):
    """By name or address; with codes of the authenticator or of the list."""

    @rule(n=BROWSERS, data=st.data(), goes_on=st.booleans())
    def sign_in(self, n: int, data: st.DataObject, goes_on: bool) -> None:
        """With the right password, a former one, or one that never was; by name or address.

        Whoever is asked for a code may go on at once with the right one.
        """
        self.settle()
        person = data.draw(st.sampled_from(self.world.people))
        password = data.draw(
            st.sampled_from([person.password] * 3 + [*person.former[-2:], "wrong"])
        )
        typed = data.draw(st.sampled_from([person.name.upper(), f"{person.name}@example.com"]))
        browser, before = self.browsers[n], session_cookie(self.browsers[n])
        is_in = self.world.session_of(before, self.now) is not None
        answer = sign_in(browser, typed, password)
        after = session_cookie(browser)
        if is_in:
            assert answer.headers["Location"] == "/client/" and after == before
        elif password != person.password:
            assert answer.status_code == 200 and after in {before, ""}
        elif person.has_factor:
            assert answer.headers["Location"] == CODE
            half = HalfWay(after, person, self.now)
            self.entered(n, half, before)
            if goes_on:
                self.send_step(n, half, step_of(self.now))
        else:
            assert answer.headers["Location"] == "/client/"
            self.entered(n, Session(after, person, self.now), before)

    @precondition(lambda self: self.world.half_way)
    @rule(
        data=st.data(),
        kind=st.sampled_from(["now", "now", "next", "before", "again", "wrong", "wrong"]),
    )
    def send_code(self, data: st.DataObject, kind: str) -> None:
        """Of the authenticator: fresh, of a neighbouring step, used before, or wrong."""
        n, half = self._half_way(data)
        step = {"next": 1, "before": -1}.get(kind, 0) + step_of(self.now)
        if kind == "again" and half.person.last_step > 0:
            step = half.person.last_step
        if kind == "wrong":
            self._send(n, half, wrong_code(self.devices[half.person.key]), is_right=False)
        else:
            self.send_step(n, half, step)

    @precondition(lambda self: self.world.half_way)
    @rule(data=st.data(), is_spent=st.booleans())
    def send_recovery_code(self, data: st.DataObject, is_spent: bool) -> None:
        """One that is left, or one that was used."""
        n, half = self._half_way(data)
        person = half.person
        codes = person.spent_recovery if is_spent else person.recovery
        code = codes[0] if codes else "abcd-efgh-jkmn-pqrs"
        is_right = bool(codes) and not is_spent
        if self._send(n, half, code.upper(), is_right=is_right):
            person.recovery.remove(code)
            person.spent_recovery.append(code)

    def _half_way(self, data: st.DataObject) -> tuple[int, HalfWay]:
        """A state before the code, also one that is over; and a browser into which it is put."""
        self.settle()
        half = data.draw(st.sampled_from(self.world.half_way[-3:]))
        return self.put_into(data.draw(BROWSERS), half), half

    def begin(self, person: Person) -> HalfWay:
        """In a new browser, as far as the code."""
        stranger = Client()
        assert sign_in(stranger, person.name, person.password).headers["Location"] == CODE
        half = HalfWay(session_cookie(stranger), person, self.now)
        self.hand_out(half)
        return half

    def put_into(self, n: int, half: HalfWay) -> int:
        """Give the cookie to that browser."""
        self.browsers[n].cookies[settings.SESSION_COOKIE_NAME] = half.cookie
        return n

    def send_step(self, n: int, half: HalfWay, step: int) -> None:
        """Send the authenticator's code of that step."""
        person, device = half.person, self.devices[half.person.key]
        is_right = person.takes_step(step, self.now)
        code = code_of(device, step - step_of(self.now))
        if self._send(n, half, code, is_right=is_right):
            person.last_step = step

    def _send(self, n: int, half: HalfWay, code: str, *, is_right: bool) -> bool:
        person, now, browser = half.person, self.now, self.browsers[n]
        counted_for = n if (n, person.key) in self.known else None
        answer = browser.post(CODE, {"code": code})
        if not half.is_alive(now):
            assert answer.headers["Location"].startswith("/client/login")
            half.is_ended = True
            return False
        if person.is_shut(counted_for, now):
            assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
            return False
        if is_right:
            assert answer.headers["Location"] == "/client/"
            self.entered(n, Session(session_cookie(browser), person, self.now), half.cookie)
            return True
        person.wrong.setdefault(counted_for, []).append(self.now)
        half.tries += 1
        half.is_ended = not half.is_alive(now)
        assert answer.status_code == (302 if half.is_ended else 200)
        return False
