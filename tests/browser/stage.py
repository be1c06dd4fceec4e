"""How a page is put on stage: with whom, with what in the database, and what it should say."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.urls import Resolver404, resolve
from playwright.sync_api import Page, expect

from accounts.models import Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from tests.browser.conftest import OpenPage
from tests.browser.live import Portal
from tests.conftest import make_authenticator, make_user

NOWHERE = "no route"


@dataclass
class Stage:
    """What every scene has: Acme and its owner Alice. `until_end` ends what a scene starts."""

    portal: Portal
    open_page: OpenPage
    acme: Tenant
    alice: User
    until_end: ExitStack

    def as_alice(self, path: str) -> Page:
        """The page, seen by Acme's owner."""
        return self.seen_by(self.alice, path)

    def as_staff(self, path: str) -> Page:
        """The page, seen by staff with a second factor."""
        sam = make_user("Sam", is_staff=True)
        make_authenticator(sam)
        return self.seen_by(sam, path, has_second_factor=True)

    def seen_by(self, user: User | None, path: str, *, has_second_factor: bool = False) -> Page:
        """The page, seen by somebody who has signed in, or by a stranger."""
        page = self.open_page(user, has_second_factor=has_second_factor)
        page.goto(path)
        return page

    def invitation(self, **changes: Any) -> str:
        """The path of an invitation's link."""
        given: dict[str, Any] = {"email": "olga@example.com", "username": "Olga", "name": "Olga Ek"}
        given |= {"actor": self.alice, "tenant": self.acme, "role": "developer"}
        sent = invite(origin=COMMAND_LINE, send_mail=False, **(given | changes))
        return urlsplit(sent.link).path


Show = Callable[[Stage], Page]


@dataclass(frozen=True)
class Scene:
    """A state of a page: its route, its heading, and how one gets there."""

    route: str
    heading: str
    show: Show

    def on(self, stage: Stage) -> Page:
        """The page, which is the one that is meant."""
        page = self.show(stage)
        expect(page.get_by_role("heading", level=1)).to_have_text(self.heading)
        shown = route_of(page)
        # Django leaves the "^" out of a route that it has joined.
        assert shown == self.route.replace("/^", "/"), f"{shown} is shown, not {self.route}"
        return page


SCENES: dict[str, Scene] = {}


def scene(route: str, heading: str) -> Callable[[Show], Show]:
    """Adds the function to the walk, under its name."""

    def add(show: Show) -> Show:
        SCENES[show.__name__] = Scene(route, heading, show)
        return show

    return add


def route_of(page: Page) -> str:
    """As the resolver writes it, and as tests/access.py lists it."""
    try:
        return str(resolve(urlsplit(page.url).path).route)
    except Resolver404:
        return NOWHERE
