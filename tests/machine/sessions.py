"""What people do with the sessions they have, and with those they had."""

import re
import uuid

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from accounts.models import Session as SessionRow
from portal.lib.crypto import digest
from tests.machine.model import Session, step_of
from tests.machine.signing_in import SigningIn
from tests.pages import session_cookie

PASSWORDS = [f"{animal} over the estuary" for animal in ("seven herons", "two owls", "one kite")]


def fresh(wanted: str, taken: str) -> str:
    """A new password is one that is new."""
    return next(password for password in [wanted, *PASSWORDS] if password != taken)


class Sessions(SigningIn):
    """Opening pages, changing the password, ending sessions, looking over the wall."""

    @precondition(lambda self: self.world.cookies())
    @rule(data=st.data())
    def open_a_page(self, data: st.DataObject) -> None:
        """With any cookie that was ever handed out."""
        self.settle()
        self.open_with(data.draw(st.sampled_from(self.world.cookies())))

    @precondition(lambda self: self.world.alive(self.now))
    @rule(
        data=st.data(),
        wanted=st.sampled_from(PASSWORDS),
        is_right=st.sampled_from([True, True, False]),
    )
    def change_password(self, data: st.DataObject, wanted: str, is_right: bool) -> None:
        """Promise 29: every other session is over, and this one is no longer than it was.

        Nor does somebody come in whose old password was right, and whose code comes only now.
        """
        session, client = self.somebody(data)
        if session is None:
            return
        person = session.person
        new = fresh(wanted, person.password)
        form = {"new_password": new, "confirm_password": new}
        form["current_password"] = person.password if is_right else "wrong"
        waiting = self.begin(person) if person.has_factor else None
        answer = client.post("/client/profile/password", form)
        if not is_right:
            assert answer.status_code == 200
            return
        assert answer.headers["Location"] == "/client/profile"
        person.former.append(person.password)
        person.password = new
        self.world.end_all_of(person)
        if waiting:
            self.send_step(self.put_into(0, waiting), waiting, step_of(self.now) + 1)
        self.hand_out(Session(session_cookie(client), person, session.since))

    @precondition(lambda self: self.world.alive(self.now))
    @rule(data=st.data())
    def end_a_session(self, data: st.DataObject) -> None:
        """One's own, or, in vain, somebody else's."""
        session, client = self.somebody(data)
        if session is None:
            return
        target = data.draw(st.sampled_from(self.world.alive(self.now)))
        row = SessionRow.objects.get(key_hash=digest(target.cookie))
        assert client.post(f"/client/profile/sessions/{row.id}/end").status_code == 302
        target.is_ended = target.person is session.person

    @precondition(lambda self: self.world.alive(self.now))
    @rule(data=st.data())
    def end_all_others(self, data: st.DataObject) -> None:
        """Sign out everywhere else."""
        session, client = self.somebody(data)
        if session is None:
            return
        assert client.post("/client/profile/sessions/end-others").status_code == 302
        for each in self.world.sessions:
            each.is_ended |= each.person is session.person and each is not session

    @precondition(lambda self: self.world.alive(self.now))
    @rule(data=st.data())
    def sign_out(self, data: st.DataObject) -> None:
        """The row is gone; whatever else the person has goes on."""
        session, client = self.somebody(data)
        if session is not None:
            assert client.post("/client/sign-out").headers["Location"] == "/client/login"
            session.is_ended = True

    @precondition(lambda self: self.world.alive(self.now))
    @rule(data=st.data())
    def look_over_the_wall(self, data: st.DataObject) -> None:
        """Promise 35: another tenant's key is like one that never was, to the byte."""
        session, client = self.somebody(data)
        if session is None:
            return
        mine = session.person.tenant
        (theirs,) = [key for slug, key in self.keys.items() if slug != mine]
        assert client.get(f"/client/api-access/{self.keys[mine]}").status_code == 200
        answers = [client.get(f"/client/api-access/{key}") for key in (theirs, uuid.uuid4())]
        assert [answer.status_code for answer in answers] == [404, 404]
        bodies = {re.sub(rb'value="\w{64}"', b"", answer.content) for answer in answers}
        assert len(bodies) == 1
