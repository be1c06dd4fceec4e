"""What owners do on the pages and staff in the panel: tests/changing.py does it when it is told to.

Each act is of somebody who has just signed in, opens the page, and sends its form.
"""

import io
import uuid
from typing import Any

from django.core.management import call_command
from django.test import Client

from accounts.models import Membership, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from apikeys.models import ApiKey
from apikeys.services import change_contract, create_key, open_tenant
from portal.launch.run import MARKET_TYPES
from tests.conftest import signed_in
from tests.pages import Page
from tests.test_key_acts import SECRET, do
from tests.test_markets_page import MARKETS, whole_form
from tests.test_staff import act, change_page


def prepare(tenants: int, keys: int, limit_rpm: int) -> dict[str, Any]:
    """So many tenants with so many keys each, the catalogue, and Sam, who is staff."""
    call_command("load_market_types", MARKET_TYPES, stdout=io.StringIO())
    User.objects.create(username="Sam", email="sam@example.com", is_staff=True)
    made = []
    by: dict[str, Any] = {"actor": None, "origin": COMMAND_LINE}
    for number in range(tenants):
        tenant = open_tenant(slug=f"tenant-{number}", name=f"Tenant {number}", **by)
        terms = {"max_keys": keys, "limit_rpm": limit_rpm}
        contract = change_contract(tenant=tenant, terms=terms, **by)
        owner = User.objects.create(username=f"Owner{number}", email=f"{number}@example.com")
        Membership.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
        for _ in range(keys):
            issued = create_key(
                tenant=tenant,
                actor=owner,
                origin=COMMAND_LINE,
                nonce=uuid.uuid4(),
                label="Pricing",
                allowlist=[],
                scopes=contract.scopes,
            )
            made.append([str(tenant.pk), str(issued.key.pk), issued.secret])
    return {"keys": made, "scopes": contract.scopes}


def revoke(key_id: str) -> None:
    """**Revoke key**."""
    _do(key_id, "revoke")


def rotate(key_id: str) -> dict[str, str]:
    """**Rotate key**: the new secret."""
    (secret,) = set(SECRET.findall(_do(key_id, "rotate").content.decode()))
    return {"secret": secret}


def allow(key_id: str, network: str) -> None:
    """**Edit** the allowlist."""
    _do(key_id, "edit", allowlist=network)


def switch(tenant_id: str, code: str, choice: str) -> None:
    """**Apply** one choice on the page Markets."""
    owner = signed_in(Membership.objects.get(tenant_id=tenant_id).user)
    form = {**whole_form(owner), f"choice-{code}": choice}
    owner.post(f"{MARKETS}/apply", form, follow=True)


def press(tenant_id: str, button: str) -> None:
    """A button of the tenant's page in the panel: suspend, reactivate."""
    act(_panel(), Tenant.objects.get(pk=tenant_id), button)


def rename(tenant_id: str, name: str) -> None:
    """**Save changes** on the same page."""
    _panel().post(change_page(Tenant.objects.get(pk=tenant_id)), {"name": name})


def change_terms(tenant_id: str, **terms: Any) -> None:
    """**Save changes** to some terms of the contract."""
    panel, page = _panel(), f"/staff/apikeys/contract/{tenant_id}/change/"
    opened = Page(panel.get(page))
    panel.post(page, {**opened.fields, **opened.checked, **terms})


def _do(key_id: str, what: str, **given: Any) -> Any:
    key = ApiKey.objects.select_related("created_by").get(pk=key_id)
    assert key.created_by
    return do(signed_in(key.created_by), key, what, **given)


def _panel() -> Client:
    return signed_in(User.objects.get(username="Sam"), has_second_factor=True)
