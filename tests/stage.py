"""Where acts are played: Acme, its people, a key; and browsers that are known by an address."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.test import Client

from accounts.models import Action, Invitation, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from apikeys.models import ApiKey
from tests.conftest import make_authenticator, make_member, make_user, signed_in
from tests.pages import sign_in

Send = Callable[[], Any]

ADDRESS = "203.0.113.9"
AGENT = "Testbrowser/1.0"
NEW = {
    "new_password": "seven herons over the estuary",
    "confirm_password": "seven herons over the estuary",
}


class Stage:
    """Acme: Alice owns it and has a second factor, Dave develops; Sam is staff; one key."""

    def __init__(self, acme: Tenant, key: ApiKey) -> None:
        self.acme, self.key = acme, key
        self.alice = make_member(acme, "Alice", Role.OWNER)
        self.dave = make_member(acme, "Dave", Role.DEVELOPER)
        self.sam = make_user("Sam", is_staff=True)
        self.device = make_authenticator(self.alice)

    def browser(self, user: User | None = None) -> Client:
        """A browser with an address and a name, of somebody signed in or of nobody."""
        client = Client(raise_request_exception=False, REMOTE_ADDR=ADDRESS, HTTP_USER_AGENT=AGENT)
        if user is not None:
            name = settings.SESSION_COOKIE_NAME
            has_second_factor = user in {self.alice, self.sam}
            client.cookies[name] = (
                signed_in(user, has_second_factor=has_second_factor).cookies[name].value
            )
        return client

    def post(self, user: User | None, path: str, form: dict[str, Any] | None = None) -> Send:
        """Ready to send a form."""
        client = self.browser(user)
        return lambda: client.post(path, form or {})

    def invitation(self, email: str = "new@example.com", username: str = "New") -> Invitation:
        """An invitation to Acme; `link` is the path of its page."""
        sent = invite(
            actor=None,
            origin=COMMAND_LINE,
            email=email,
            username=username,
            tenant=self.acme,
            role=Role.VIEWER,
            send_mail=False,
        )
        sent.invitation.link = sent.link[len(settings.PORTAL_BASE_URL) :]  # type: ignore[attr-defined]
        return sent.invitation

    def past_password(self) -> Client:
        """Alice's browser between password and code."""
        client = self.browser()
        sign_in(client, "Alice")
        return client


@dataclass(frozen=True)
class Act:
    """What is done, and what is written: (action, actor, tenant, target) in their order."""

    ready: Callable[[Stage], Send]
    written: list[tuple[Action, str, str, str]]
    touches: str = (
        "^(accounts|apikeys|markets)_(?!session|counter|auditevent|wrongcode|pendingsignin)"
    )
    changes: bool = True
    needs_broker: bool = False
