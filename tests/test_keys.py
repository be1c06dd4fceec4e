"""**API Access** and a key's own page: what is shown of a key, and to whom."""

import datetime as dt
import re
from collections.abc import Callable

from accounts.models import Role, Tenant, User
from accounts.origin import COMMAND_LINE
from apikeys.models import ApiKey, Contract, KeyUse
from apikeys.services import revoke_key, rotate_key
from portal.lib import clock
from tests.conftest import MakeKey, signed_in
from tests.pages import Page, text

LIST = "/client/api-access"


def revoke(key: ApiKey, actor: User) -> None:
    """By the service."""
    given = {"key_id": key.pk, "version": ApiKey.objects.get(pk=key.pk).version}
    revoke_key(tenant=key.tenant, actor=actor, origin=COMMAND_LINE, **given)


def test_without_keys_the_page_says_what_one_is_and_offers_the_first(dave: User) -> None:
    answer = signed_in(dave).get(LIST)
    assert "No API keys yet" in text(answer)
    assert f"{LIST}/new" in Page(answer).links


def test_without_keys_a_viewer_is_told_whom_to_ask(victor: User) -> None:
    answer = signed_in(victor).get(LIST)
    assert "An owner or a developer of your team can make one." in text(answer)
    assert f"{LIST}/new" not in Page(answer).links


def test_a_key_is_shown_with_all_that_tells_it_apart(
    acme: Tenant, alice: User, dave: User, make_key: MakeKey
) -> None:
    key, secret = make_key(
        acme, label="Pricing, production", allowlist=["203.0.113.7/32", "10.0.0.0/8"]
    )
    used = clock.now() - dt.timedelta(hours=3)
    KeyUse.objects.create(key=key, last_used_at=used, last_address="203.0.113.7")
    page = text(signed_in(dave).get(LIST))
    for words in (
        "Pricing, production",
        f"vbk_{secret[4:8]}…{secret[-4:]}",
        "14 of 14",
        "203.0.113.7 10.0.0.0/8",
        f"Alice {key.created_at:%Y-%m-%d}",
        f"{used:%Y-%m-%d %H:%M} UTC 203.0.113.7",
        "Live",
        "1 of 20 live keys",
        "Edit Rotate Revoke",
    ):
        assert words in page
    assert secret not in page and secret[4:12] not in page


def test_a_key_without_an_allowlist_and_never_used_says_so(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    make_key(acme)
    page = text(signed_in(dave).get(LIST))
    assert "Any address" in page and "never" in page


def test_a_long_allowlist_is_cut_on_the_list_and_whole_on_the_keys_page(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme, allowlist=[f"10.0.{n}.0/24" for n in range(5)])
    client = signed_in(dave)
    page = text(client.get(LIST))
    assert "10.0.0.0/24 10.0.1.0/24 all 5" in page and "10.0.4.0/24" not in page
    assert "10.0.4.0/24" in text(client.get(f"{LIST}/{key.pk}"))


def test_revoked_keys_are_folded_away_with_who_and_when(
    acme: Tenant, alice: User, dave: User, make_key: MakeKey
) -> None:
    gone, secret = make_key(acme, label="Old")
    make_key(acme, label="New")
    revoke(gone, dave)
    answer = signed_in(alice).get(LIST)
    live, _, folded = answer.content.decode().partition('<details class="fold">')
    assert "New" in live and ">Old<" not in live.partition("<main")[2]
    assert "1 of 20 live keys" in text(answer)
    assert "Revoked keys (1)" in folded and ">Old<" in folded
    assert "Dave" in folded and f"{clock.now():%Y-%m-%d}" in folded
    assert f"vbk_{secret[4:8]}…{secret[-4:]}" in folded


def test_with_revoked_keys_alone_the_first_step_is_offered_again(
    acme: Tenant, dave: User, alice: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    revoke(key, dave)
    page = text(signed_in(dave).get(LIST))
    assert "No API keys yet" in page and "Revoked keys (1)" in page


def test_the_newest_key_comes_first(acme: Tenant, dave: User, make_key: MakeKey) -> None:
    for label in ("first", "second", "third"):
        make_key(acme, label=label)
        clock.move(dt.timedelta(minutes=1))
    page = text(signed_in(dave).get(LIST))
    assert page.index("third") < page.index("second") < page.index("first")


def test_one_tenant_sees_nothing_of_another(
    acme: Tenant, dave: User, mallory: User, make_key: MakeKey
) -> None:
    """The wall: lists are drawn through the tenant."""
    key, _ = make_key(acme, label="Acme's own")
    page = text(signed_in(mallory).get(LIST))
    assert "Acme" not in page and "No API keys yet" in page
    assert signed_in(mallory).get(f"{LIST}/{key.pk}").status_code == 404
    assert signed_in(dave).get(f"{LIST}/{key.pk}").status_code == 200


def test_with_two_tenants_the_current_one_decides(
    acme: Tenant, globex: Tenant, dave: User, mallory: User, make_key: MakeKey
) -> None:
    """Promise 35: what is the other tenant's of one's own is a 404 too, until one switches."""
    key, _ = make_key(globex, label="Globex's own")
    globex.memberships.create(user=dave, role=Role.DEVELOPER)
    client = signed_in(dave)
    assert client.get(f"{LIST}/{key.pk}").status_code == 404
    client.post("/client/switch-tenant", {"tenant": "globex"})
    assert client.get(f"{LIST}/{key.pk}").status_code == 200


def test_every_role_reads_list_and_detail(
    acme: Tenant, alice: User, dave: User, tina: User, victor: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    for user in (alice, dave, tina, victor):
        for path in (LIST, f"{LIST}/{key.pk}"):
            assert signed_in(user).get(path).status_code == 200


def test_the_keys_page_says_what_it_may_do_and_what_happened(
    acme: Tenant, alice: User, dave: User, make_key: MakeKey
) -> None:
    key, secret = make_key(acme, scopes=["cs2:matches:list", "cs2:markets:read"])
    page = text(signed_in(dave).get(f"{LIST}/{key.pk}"))
    for words in (
        f"vbk_{secret[4:8]}…{secret[-4:]}",
        "2 of 14 of the contract's scopes",
        "cs2:matches:list cs2:markets:read",
        "Any address",
        "600 requests a minute",
        "Sports cs2",
        "API key created Alice",
    ):
        assert words in page


def test_scopes_that_the_contract_lost_do_not_count_as_the_keys(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    """It says what a call would be let in for, and nothing more."""
    key, _ = make_key(acme, scopes=["cs2:matches:list", "cs2:markets:read"])
    Contract.objects.update(scopes=["cs2:matches:list", "cs2:matches:read", "cs2:teams:list"])
    client = signed_in(dave)
    page = text(client.get(f"{LIST}/{key.pk}"))
    assert "1 of 3 of the contract's scopes" in page and "cs2:markets:read" not in page
    assert "1 of 3" in text(client.get(LIST))


def test_a_label_is_words_and_never_markup(acme: Tenant, dave: User, make_key: MakeKey) -> None:
    key, _ = make_key(acme, label="<script>alert(1)</script>")
    client = signed_in(dave)
    for path in ("", "/edit", "/rotate", "/revoke"):
        assert "<script>alert" not in client.get(f"{LIST}/{key.pk}{path}").content.decode()
    assert "<script>alert" not in client.get(LIST).content.decode()


def test_what_is_kept_of_the_list_follows_all_that_it_shows(
    acme: Tenant, alice: User, dave: User, make_key: MakeKey
) -> None:
    """Each of these is seen at the next look, in the reader's own zone and language."""
    key, _ = make_key(acme, label="Before")
    make_key(acme, label="Stays")
    client = signed_in(dave)
    mine = ApiKey.objects.filter(pk=key.pk)
    daves = User.objects.filter(pk=dave.pk)
    used_at = dt.datetime(2026, 3, 28, 23, 30, tzinfo=dt.UTC)
    changes: list[tuple[str, Callable[[], object]]] = [
        ("After", lambda: mine.update(label="After")),
        ("192.0.2.0/24", lambda: mine.update(allowlist=["192.0.2.0/24"])),
        ("3 of 3", lambda: Contract.objects.update(scopes=key.scopes[:3])),
        ("2 of 7 live keys", lambda: Contract.objects.update(max_keys=7)),
        ("Alina", lambda: User.objects.filter(pk=alice.pk).update(username="Alina")),
        ("2026-03-28 23:30 UTC", lambda: KeyUse.objects.create(key=key, last_used_at=used_at)),
        ("198.51.100.4", lambda: KeyUse.objects.update(last_address="198.51.100.4")),
        ("2026-03-29 02:30 MSK", lambda: daves.update(time_zone="Europe/Moscow")),
        ("Действует", lambda: daves.update(language="ru")),
        ("Live", lambda: daves.update(language="en")),
        ("1 of 7 live keys", lambda: revoke(key, dave)),
    ]
    for words, change in changes:
        assert words not in text(client.get(LIST)), words
        change()
        assert words in text(client.get(LIST)), words


def test_after_a_rotation_list_and_key_show_the_same_new_secret(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, old = make_key(acme)
    client = signed_in(dave)
    assert f"vbk_{old[4:8]}…{old[-4:]}" in text(client.get(LIST))
    given = {"key_id": key.pk, "version": ApiKey.objects.get(pk=key.pk).version}
    new = rotate_key(tenant=acme, actor=dave, origin=COMMAND_LINE, **given).secret
    for path in (LIST, f"{LIST}/{key.pk}"):
        page = text(client.get(path))
        assert f"vbk_{new[4:8]}…{new[-4:]}" in page and f"vbk_{old[4:8]}…{old[-4:]}" not in page


def test_what_is_kept_of_the_list_is_of_that_tenant_and_role(
    acme: Tenant, globex: Tenant, dave: User, victor: User, mallory: User, make_key: MakeKey
) -> None:
    """Everybody looks twice."""
    make_key(acme, label="Pricing")
    make_key(globex, label="Pricing")
    for _ in range(2):
        pages = [Page(signed_in(each).get(LIST)) for each in (dave, victor, mallory)]
        assert ["Rotate" in page.text for page in pages] == [True, False, True]
        daves, victors, mallorys = (
            {link for link in page.links if re.fullmatch(rf"{LIST}/[0-9a-f-]{{36}}", link)}
            for page in pages
        )
        assert daves == victors and len(daves | mallorys) == 2
