"""What the matrix of tests/test_access.py is made of: the table, and a world to try it in."""

import io
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import AuditEvent, Membership, Role, Session, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from accounts.services.tenants import set_tenant_active
from apikeys.models import ApiKey
from apikeys.services import open_tenant
from markets.models import Group, MarketType, Sport
from portal.launch.run import MARKET_TYPES
from tests.conftest import PASSWORD, make_authenticator, make_member, make_user, signed_in

# stranger: another tenant's owner; newcomer: staff without a second factor
PEOPLE = ["anonymous", *Role.values[::-1], "stranger", "suspended", "newcomer", "staff"]
# What each gets, one letter a person, in the order of PEOPLE, for GET (and HEAD) and for POST:
#   o  the page        d  done, and led on (302)     >  asked to sign in (302)
#   e  to enrol 2FA    x  403      ?  404            -  405
MEMBERS_PAGES = {
    "": ("ddddddddd", "---------"),
    "client": ("ddddddddd", "---------"),
    "client/": (">ooooo>xx", ">----->xx"),
    "client/help": ("ooooooooo", "---------"),
    "healthz": ("ooooooooo", "---------"),
    "readyz": ("ooooooooo", "---------"),
    "client/api-access": (">ooooo>xx", ">----->xx"),
    "client/api-access/new": (">xxooo>xx", ">xxooo>xx"),
    "client/api-access/<uuid:key_id>": (">oooo?>xx", ">----->xx"),
    "client/api-access/<uuid:key_id>/test": (">oooo?>xx", ">----->xx"),
    "client/api-access/<uuid:key_id>/edit": (">xxoo?>xx", ">xxdd?>xx"),
    "client/api-access/<uuid:key_id>/rotate": (">xxoo?>xx", ">xxoo?>xx"),
    "client/api-access/<uuid:key_id>/revoke": (">xxoo?>xx", ">xxdd?>xx"),
    "client/delivery": (">ooooo>xx", ">----->xx"),
    "client/delivery/ask-for-amqp": (">xx--->xx", ">xxddd>xx"),
    "client/delivery/ask-for-password": (">xx--->xx", ">xxddd>xx"),
    "client/markets": (">ooooo>xx", ">----->xx"),
    "client/markets/edit": (">xdxdd>xx", ">xoxoo>xx"),
    "client/markets/seen": (">x-x-->xx", ">xdxdd>xx"),
    "client/markets/review": (">xdxdd>xx", ">xoxoo>xx"),
    "client/markets/apply": (">xdxdd>xx", ">xdxdd>xx"),
    "client/markets/enable-all": (">xoxoo>xx", ">xdxdd>xx"),
    "client/markets/disable-all": (">xoxoo>xx", ">xdxdo>xx"),
    "client/markets/history": (">ooooo>xx", ">----->xx"),
    "client/markets/history/<int:number>": (">ooooo>xx", ">----->xx"),
    "client/markets/history/<int:number>/restore": (">xdxdd>xx", ">xdxdd>xx"),
    "client/markets/import": (">xoxoo>xx", ">xoxoo>xx"),
    "client/markets.csv": (">ooooo>xx", ">----->xx"),
    "client/usage": (">ooooo>xx", ">----->xx"),
    "client/usage.csv": (">ooooo>xx", ">----->xx"),
    "client/profile": (">ooooo>xx", ">----->xx"),
    "client/profile/password": (">ooooo>xx", ">ddddd>xx"),
    "client/profile/2fa/enable": (">ooooo>xx", ">ddddd>xx"),
    "client/profile/2fa/confirm": (">ddddd>xx", ">ddddd>xx"),
    "client/profile/2fa/disable": (">ddddd>xx", ">ddddd>xx"),
    "client/profile/2fa/recovery-codes": (">ddddd>xx", ">ddddd>xx"),
    "client/profile/sessions/<uuid:session_id>/end": (">----->xx", ">ddddd>xx"),
    "client/profile/sessions/end-others": (">----->xx", ">ddddd>xx"),
    "client/profile/preferences": (">ooooo>xx", ">ddddd>xx"),
    "client/team": (">ooooo>xx", ">----->xx"),
    "client/team/invite": (">xxxoo>xx", ">xxxdd>xx"),
    "client/team/require-2fa": (">xxx-->xx", ">xxxdd>xx"),
    "client/team/<uuid:membership_id>/role": (">xxxo?>xx", ">xxxd?>xx"),
    "client/team/<uuid:membership_id>/remove": (">xxxo?>xx", ">xxxd?>xx"),
    "client/team/invitations/<uuid:invitation_id>/resend": (">xxx-->xx", ">xxxd?>xx"),
    "client/team/invitations/<uuid:invitation_id>/revoke": (">xxx-->xx", ">xxxd?>xx"),
    "client/activity": (">ooooo>xx", ">----->xx"),
    "client/activity.csv": (">ooooo>xx", ">----->xx"),
    "client/login": ("odddddodd", "odddddodd"),
    "client/login/code": (">>>>>>>>>", ">>>>>>>>>"),
    "client/sign-out": ("---------", ">>>>>>>>>"),
    "client/switch-tenant": (">----->xx", ">ddddd>xx"),
    "client/invite/<str:token>": ("ooooooooo", "ddddddddd"),
    "client/invite/<str:token>/join": ("---------", "d?????d??"),
    "staff/profile": (">xxxxx>oo", ">xxxxx>--"),
    "staff/profile/password": (">xxxxx>oo", ">xxxxx>dd"),
    "staff/profile/2fa/enable": (">xxxxx>od", ">xxxxx>dd"),
    "staff/profile/2fa/confirm": (">xxxxx>dd", ">xxxxx>dd"),
    "staff/profile/2fa/disable": (">xxxxx>dd", ">xxxxx>dd"),
    "staff/profile/2fa/recovery-codes": (">xxxxx>do", ">xxxxx>do"),
    "staff/profile/sessions/<uuid:session_id>/end": (">xxxxx>--", ">xxxxx>dd"),
    "staff/profile/sessions/end-others": (">xxxxx>--", ">xxxxx>dd"),
    "staff/profile/preferences": (">xxxxx>oo", ">xxxxx>dd"),
}
# The panel is for staff with a second factor alone: one letter for GET, one for POST. To everybody
# else each of its routes is the same.
PANEL_TO_OTHERS = ">xxxxx>e"
PANEL = {
    "staff/": "oo",
    "staff/login/": "dd",
    "staff/jsi18n/": "o-",
    "staff/^(?P<app_label>accounts|markets|apikeys)/$": "oo",
    "staff/(?P<url>.*)$": "??",
    "staff/accounts/invitation/": "oo",
    "staff/accounts/invitation/add/": "od",
    "staff/accounts/invitation/<path:object_id>/": "dd",
    "staff/accounts/invitation/<path:object_id>/change/": "ox",
    "staff/accounts/invitation/<path:object_id>/delete/": "xx",
    "staff/accounts/invitation/<path:object_id>/history/": "dd",
    "staff/accounts/invitation/<uuid:object_id>/resend": "-d",
    "staff/accounts/invitation/<uuid:object_id>/revoke": "-d",
    "staff/accounts/user/": "oo",
    "staff/accounts/user/add/": "xx",
    "staff/accounts/user/<path:object_id>/": "dd",
    "staff/accounts/user/<path:object_id>/change/": "ox",
    "staff/accounts/user/<path:object_id>/delete/": "xx",
    "staff/accounts/user/<path:object_id>/history/": "dd",
    "staff/accounts/user/<uuid:object_id>/disable": "-d",
    "staff/accounts/user/<uuid:object_id>/enable": "-d",
    "staff/accounts/user/<uuid:object_id>/reset-2fa": "-d",
    "staff/accounts/auditevent/": "oo",
    "staff/accounts/auditevent/add/": "xx",
    "staff/accounts/auditevent/<path:object_id>/": "dd",
    "staff/accounts/auditevent/<path:object_id>/change/": "ox",
    "staff/accounts/auditevent/<path:object_id>/delete/": "xx",
    "staff/accounts/auditevent/<path:object_id>/history/": "dd",
    "staff/accounts/tenant/": "oo",
    "staff/accounts/tenant/add/": "od",
    "staff/accounts/tenant/<path:object_id>/": "dd",
    "staff/accounts/tenant/<path:object_id>/change/": "od",
    "staff/accounts/tenant/<path:object_id>/delete/": "xx",
    "staff/accounts/tenant/<path:object_id>/history/": "dd",
    "staff/accounts/tenant/<uuid:object_id>/suspend": "-d",
    "staff/accounts/tenant/<uuid:object_id>/reactivate": "-d",
    **{
        f"staff/markets/{model}/{page}": letters
        for model in ("sport", "group", "markettype")
        for page, letters in {
            "": "oo",
            "add/": "od",
            "<path:object_id>/": "dd",
            "<path:object_id>/change/": "od",
            "<path:object_id>/delete/": "xx",
            "<path:object_id>/history/": "dd",
        }.items()
    },
    "staff/markets/markettype/<uuid:object_id>/retire": "-d",
    "staff/apikeys/amqpaccess/": "oo",
    "staff/apikeys/amqpaccess/add/": "xx",
    "staff/apikeys/amqpaccess/<path:object_id>/": "dd",
    "staff/apikeys/amqpaccess/<path:object_id>/change/": "ox",
    "staff/apikeys/amqpaccess/<path:object_id>/delete/": "xx",
    "staff/apikeys/amqpaccess/<path:object_id>/history/": "dd",
    "staff/apikeys/amqpaccess/<uuid:object_id>/provision": "-d",
    "staff/apikeys/amqpaccess/<uuid:object_id>/retry": "-d",
    "staff/apikeys/amqpaccess/<uuid:object_id>/new-password": "-d",
    "staff/apikeys/amqpaccess/<uuid:object_id>/suspend": "-d",
    "staff/apikeys/amqpaccess/<uuid:object_id>/reactivate": "-d",
    "staff/apikeys/amqpaccess/<uuid:object_id>/remove": "-d",
    "staff/apikeys/contract/": "oo",
    "staff/apikeys/contract/add/": "xx",
    "staff/apikeys/contract/<path:object_id>/": "dd",
    "staff/apikeys/contract/<path:object_id>/change/": "od",
    "staff/apikeys/contract/<path:object_id>/delete/": "xx",
    "staff/apikeys/contract/<path:object_id>/history/": "dd",
}
TABLE = MEMBERS_PAGES | {
    route: tuple(PANEL_TO_OTHERS + letter for letter in letters) for route, letters in PANEL.items()
}
NAMED = {"name_en": "New", "name_ru": "Новый", "sort_order": 1, "settlement": "live"}
WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|TRUNCATE|SELECT procrastinate_)", re.IGNORECASE)
LETTERS = {200: "o", 403: "x", 404: "?", 405: "-"}


def routes(resolver: URLResolver | None = None, before: str = "") -> Iterator[str]:
    """Every route there is, as its pattern, from the resolver itself."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield route
        else:
            yield from routes(entry, route)


class World:
    """Acme with a key, an invitation and one person of each kind; a browser for each of them."""

    def __init__(self, acme: Tenant, globex: Tenant, key: ApiKey) -> None:
        fallen = open_tenant(slug="fallen", name="Fallen", actor=None, origin=COMMAND_LINE)
        self.acme, self.key = acme, key
        self.users: dict[str, User | None] = {
            "anonymous": None,
            **{role.value: make_member(acme, role.label, role) for role in Role},
            "stranger": make_member(globex, "Mallory", Role.OWNER),
            "suspended": make_member(fallen, "Fred", Role.OWNER),
            "newcomer": make_user("Nina", is_staff=True),
            "staff": make_user("Sam", is_staff=True),
        }
        make_authenticator(self._user("staff"))
        self._cookies = {
            person: signed_in(user, has_second_factor=person == "staff").cookies
            for person, user in self.users.items()
            if user is not None
        }
        set_tenant_active(tenant_id=fallen.pk, is_active=False, actor=None, origin=COMMAND_LINE)
        self.invitation = invite(
            actor=None,
            origin=COMMAND_LINE,
            email="new@example.com",
            username="New",
            tenant=acme,
            role=Role.VIEWER,
        )

        call_command("load_market_types", MARKET_TYPES, stdout=io.StringIO())
        self.ids = {
            "key_id": key.pk,
            "membership_id": Membership.objects.get(user=self._user("viewer")).pk,
            "invitation_id": self.invitation.invitation.pk,
            "session_id": Session.objects.get(user=self._user("viewer")).id,
        }
        self._rows = {
            "invitation": self.invitation.invitation.pk,
            "user": self._user("viewer").pk,
            "auditevent": AuditEvent.objects.get(target_id=key.pk).pk,
            "tenant": acme.pk,
            "contract": acme.pk,
            "amqpaccess": acme.pk,
            "sport": Sport.objects.get().pk,
            "group": Group.objects.earliest("sort_order").pk,
            "markettype": MarketType.objects.earliest("sort_order").pk,
        }

    def browser(self, person: str, **options: Any) -> Client:
        """A browser with that person's session, as it was after signing in."""
        client = Client(raise_request_exception=False, **options)
        self.restore(client, person)
        return client

    def restore(self, client: Client, person: str) -> None:
        """The cookies that the person came with, whatever an answer did to them."""
        client.cookies.clear()
        if person in self._cookies:
            name = settings.SESSION_COOKIE_NAME
            client.cookies[name] = self._cookies[person][name].value

    def address(self, route: str) -> str:
        """A path of that route, with Acme's things in it."""
        path = (
            route.replace("<str:token>", self.invitation.link.rpartition("/")[2])
            .replace("<int:number>", "0")
            .replace("^(?P<app_label>accounts|markets|apikeys)/$", "accounts/")
            .replace("(?P<url>.*)$", "nowhere")
        )
        model = path.split("/")[2] if path.count("/") > 2 else ""
        for parameter, target in self.ids.items():
            path = path.replace(f"<uuid:{parameter}>", str(target))
        for converter in ("<path:object_id>", "<uuid:object_id>"):
            path = path.replace(converter, str(self._rows.get(model)))
        return f"/{path}"

    def form(self, route: str) -> dict[str, Any]:
        """A form that would be taken, where somebody may send one there."""
        new = {"new_password": "quite another walk", "confirm_password": "quite another walk"}
        mine = {"current_password": PASSWORD}
        scopes = self.acme.contract.scopes  # type: ignore[attr-defined]
        one_page = route.removeprefix("client/").removeprefix("staff/")
        return {
            "api-access/new": {"label": "L", "nonce": uuid.uuid4(), "scopes": scopes},
            "api-access/<uuid:key_id>/edit": {"label": "L", "version": self.key.version},
            "api-access/<uuid:key_id>/rotate": {"version": self.key.version},
            "api-access/<uuid:key_id>/revoke": {"version": self.key.version},
            "markets/review": {"revision": 0, "choice-ace": "off"},
            "markets/apply": {"revision": 0, "choice-ace": "off"},
            "markets/enable-all": {"revision": 0},
            "markets/disable-all": {"revision": 0, "typed": "acme"},
            "markets/history/<int:number>/restore": {"revision": 0},
            "profile/password": mine | new,
            "profile/2fa/enable": mine,
            "profile/2fa/disable": mine | {"code": "000000"},
            "profile/preferences": {"language": "en", "time_zone": "UTC", "theme": "dark"},
            "team/invite": {"email": "o@example.com", "username": "o", "role": Role.OWNER},
            "team/<uuid:membership_id>/role": {"role": Role.TRADER},
            "switch-tenant": {"tenant": "acme"},
            "invite/<str:token>": new,
            "accounts/invitation/add/": {"email": "o@example.com", "username": "o"},
            "accounts/user/<uuid:object_id>/reset-2fa": {"reason": "lost telephone"},
            "accounts/tenant/add/": {"slug": "new", "name": "New"},
            "apikeys/amqpaccess/<uuid:object_id>/remove": {"reason": "contract ended"},
            "accounts/tenant/<path:object_id>/change/": {"name": "Renamed"},
            "markets/sport/add/": NAMED | {"code": "dota2"},
            "markets/sport/<path:object_id>/change/": NAMED,
            "markets/group/add/": NAMED | {"code": "n", "sport": self._rows["sport"]},
            "markets/group/<path:object_id>/change/": NAMED,
            "markets/markettype/add/": NAMED | {"code": "n", "group": self._rows["group"]},
            "markets/markettype/<path:object_id>/change/": NAMED | {"group": self._rows["group"]},
            "markets/markettype/<uuid:object_id>/retire": {"confirmed": "1"},
            "apikeys/contract/<path:object_id>/change/": {
                "scopes": scopes[:1],
                "sports": ["cs2"],
                "limit_rpm": 1,
                "max_keys": 1,
                "max_streams": 1,
            },
        }.get(one_page, {})

    def _user(self, person: str) -> User:
        user = self.users[person]
        assert user is not None
        return user


@contextmanager
def undone() -> Iterator[list[str]]:
    """Lists the writes of a block, and undoes them."""
    writes: list[str] = []

    def watch(execute: Any, sql: str, *rest: Any) -> Any:
        if WRITES.match(sql):
            writes.append(sql)
        return execute(sql, *rest)

    with transaction.atomic(), connection.execute_wrapper(watch):
        yield writes
        transaction.set_rollback(True)
