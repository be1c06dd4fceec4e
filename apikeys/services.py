"""Acts on API keys and contracts. Who may is asked here again, whoever calls."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from accounts.access import require_role
from accounts.audit import record
from accounts.models import Action, AuditEvent, FormNonce, Role, Tenant, User
from accounts.notices import notify, people_of
from accounts.origin import Origin
from accounts.services.tenants import create_tenant
from apikeys.catalogue import DEFAULT_BUNDLE, DEFAULT_SPORTS, bundles, in_order
from apikeys.models import ApiKey, ApiKeySecret, Contract
from portal.lib import clock
from portal.lib.crypto import digest, random_alphanumeric

KEY_ROLES = frozenset({Role.OWNER, Role.DEVELOPER})
PREFIX = "vbk_"
SECRET_LENGTH = 24  # of 62 characters: 142 bits


@dataclass(frozen=True)
class IssuedKey:
    """A key and its secret, which is known in this answer and nowhere else."""

    key: ApiKey
    secret: str


class FormAlreadySent(Exception):
    """The form made its key before. `key` is that key."""

    def __init__(self, key: ApiKey | None) -> None:
        super().__init__("the form was sent before")
        self.key = key


class OutOfDate(Exception):
    """What was confirmed is no longer what is there. `event` says who changed it, and when."""

    def __init__(self, key: ApiKey, event: AuditEvent | None) -> None:
        super().__init__("the key has changed")
        self.key = key
        self.event = event


class TooManyKeys(Exception):
    """The contract's number of live keys is reached."""


@transaction.atomic
def create_key(
    *,
    tenant: Tenant,
    actor: User,
    origin: Origin,
    nonce: uuid.UUID,
    label: str,
    allowlist: Sequence[str],
    scopes: Sequence[str],
) -> IssuedKey:
    """A new key for the tenant, once a form: a second sending is FormAlreadySent.

    The contract's row is locked, so that keys made at once cannot outnumber it.
    """
    require_role(actor, tenant, KEY_ROLES)
    contract = Contract.objects.select_for_update().get(tenant=tenant)
    spent, is_new = FormNonce.objects.get_or_create(user=actor, nonce=nonce)
    if not is_new:
        made = ApiKey.objects.for_tenant(tenant)
        raise FormAlreadySent(made.filter(pk=spent.result).first() if spent.result else None)
    if ApiKey.objects.for_tenant(tenant).live().count() >= contract.max_keys:
        raise TooManyKeys
    picked = in_order(set(scopes) & set(contract.scopes))
    key = ApiKey.objects.create(
        tenant=tenant,
        label=label,
        scopes=picked,
        is_narrowed=len(picked) < len(contract.scopes),
        sports=contract.sports,
        allowlist=list(allowlist),
        created_by=actor,
    )
    secret = _new_secret(key, actor)
    FormNonce.objects.filter(pk=spent.pk).update(result=key.pk)
    _record(Action.API_KEY_CREATED, key, actor, origin, scopes=key.scopes, allowlist=key.allowlist)
    return IssuedKey(key, secret)


@transaction.atomic
def rotate_key(
    *, tenant: Tenant, key_id: uuid.UUID, version: int, actor: User, origin: Origin
) -> IssuedKey:
    """A new secret, everything else the same; the old one is dead from this commit on.

    version: that of the key on the page that was confirmed, else OutOfDate. One transaction:
    whatever happens in between, exactly one secret is alive.
    """
    require_role(actor, tenant, KEY_ROLES)
    key = _locked(tenant, key_id, version)
    key.secrets.filter(retired_at=None).update(retired_at=clock.now())
    secret = _new_secret(key, actor)
    key.save(update_fields=["label"])  # the trigger moves the version on: pages are out of date
    _record(Action.API_KEY_ROTATED, key, actor, origin)
    return IssuedKey(key, secret)


@transaction.atomic
def revoke_key(
    *, tenant: Tenant, key_id: uuid.UUID, version: int, actor: User, origin: Origin
) -> ApiKey:
    """Dead, for good. OutOfDate if it changed since the page was made."""
    require_role(actor, tenant, KEY_ROLES)
    key = _locked(tenant, key_id, version)
    now = clock.now()
    key.secrets.filter(retired_at=None).update(retired_at=now)
    key.revoked_at, key.revoked_by = now, actor
    key.save(update_fields=["revoked_at", "revoked_by"])
    _record(Action.API_KEY_REVOKED, key, actor, origin)
    return key


@transaction.atomic
def edit_key(
    *,
    tenant: Tenant,
    key_id: uuid.UUID,
    version: int,
    actor: User,
    origin: Origin,
    label: str,
    allowlist: Sequence[str],
) -> ApiKey:
    """Change label and allowlist. Saving what is there already changes and records nothing."""
    require_role(actor, tenant, KEY_ROLES)
    key = _locked(tenant, key_id, version)
    changed: dict[str, Any] = {}
    if key.label != label:
        changed["label"] = [key.label, label]
    if key.allowlist != list(allowlist):
        changed["allowlist"] = [key.allowlist, list(allowlist)]
    if changed:
        key.label, key.allowlist = label, list(allowlist)
        key.save(update_fields=["label", "allowlist"])
        _record(Action.API_KEY_CHANGED, key, actor, origin, **changed)
    return key


@transaction.atomic
def open_tenant(*, slug: str, name: str, actor: User | None, origin: Origin) -> Tenant:
    """A tenant with what every tenant starts with: the basic odds bundle, cs2, 600 a minute."""
    tenant = create_tenant(slug=slug, name=name, actor=actor, origin=origin)
    scopes = in_order(bundles()[DEFAULT_BUNDLE].scopes)
    Contract.objects.create(tenant=tenant, scopes=scopes, sports=DEFAULT_SPORTS)
    return tenant


@transaction.atomic
def change_contract(
    *, tenant: Tenant, actor: User | None, origin: Origin, terms: dict[str, Any]
) -> Contract:
    """Set new terms: scopes, sports, limit_rpm, max_keys, max_streams.

    A key that was made with the whole of the contract holds the whole of the new one; a key for
    which fewer scopes were picked keeps those, as far as the contract still has them.
    """
    contract = Contract.objects.select_for_update().get(tenant=tenant)
    before = {name: getattr(contract, name) for name in terms}
    changed = {
        name: [before[name], value] for name, value in terms.items() if before[name] != value
    }
    if not changed:
        return contract
    for key in ApiKey.objects.for_tenant(tenant).live().select_for_update():
        follows = {"sports"} if key.is_narrowed else {"scopes", "sports"}
        columns = follows & changed.keys()
        for column in columns:
            setattr(key, column, terms[column])
        if columns:
            key.save(update_fields=columns)
    for name, value in terms.items():
        setattr(contract, name, value)
    contract.save(update_fields=list(terms))
    record(
        Action.CONTRACT_CHANGED,
        actor=actor,
        origin=origin,
        tenant=tenant,
        target=contract,
        **changed,
    )
    return contract


def _locked(tenant: Tenant, key_id: uuid.UUID, version: int) -> ApiKey:
    key = ApiKey.objects.for_tenant(tenant).select_for_update().get(pk=key_id)
    if key.version != version or not key.is_live:
        raise OutOfDate(key, AuditEvent.objects.about(key.pk).first())
    return key


def _new_secret(key: ApiKey, actor: User) -> str:
    body = random_alphanumeric(SECRET_LENGTH)
    secret = PREFIX + body
    ApiKeySecret.objects.create(
        key=key,
        sha256=digest(secret),
        first_4=body[:4],
        last_4=body[-4:],
        created_by=actor,
    )
    return secret


def _record(action: Action, key: ApiKey, actor: User, origin: Origin, **detail: Any) -> AuditEvent:
    event = record(action, actor=actor, origin=origin, tenant=key.tenant, target=key, **detail)
    if action is not Action.API_KEY_CHANGED or "allowlist" in detail:
        notify(
            "api_key",
            users=people_of(key.tenant, *KEY_ROLES),
            origin=origin,
            action=str(action),
            label=key.label,
            tenant=key.tenant.name,
            by=actor.username,
            is_open_to_all=not key.allowlist
            and action in (Action.API_KEY_CREATED, Action.API_KEY_CHANGED),
        )
    return event
