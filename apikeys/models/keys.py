"""API keys, which last, and their secrets, which a rotation replaces."""

import datetime as dt
import ipaddress
import uuid
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant
from apikeys.models.contracts import Contract
from apikeys.models.fields import CidrField
from apikeys.models.waiting import WaitingLastUse
from portal.lib import clock
from portal.lib.address import Network, network_text


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Questions about many keys."""

    def for_tenant(self, tenant: Tenant | None) -> "ApiKeyQuerySet":
        """The tenant's own: the lookup is the permission. Nobody's tenant has none."""
        return self.filter(tenant=tenant) if tenant else self.none()

    def live(self) -> "ApiKeyQuerySet":
        """Those that have not been revoked."""
        return self.filter(revoked_at=None)

    def for_display(self) -> "ApiKeyQuerySet":
        """With what a page shows of each, in one query: people, last use, the live secret."""
        newest = ApiKeySecret.objects.filter(key=models.OuterRef("pk")).order_by(
            models.F("retired_at").desc(nulls_first=True)
        )
        return self.select_related("created_by", "revoked_by", "use").annotate(
            shown_first=models.Subquery(newest.values("first_4")[:1]),
            shown_last=models.Subquery(newest.values("last_4")[:1]),
            secret_created_at=models.Subquery(newest.values("created_at")[:1]),
            waiting_use=WaitingLastUse("pk"),
        )


class LastUse(NamedTuple):
    """When and from where a key was last let in. address: None if it could not be read."""

    at: dt.datetime
    address: str | None


class ApiKey(models.Model):
    """A lasting thing: label, scopes, sports, allowlist, history. Revoked is dead, for good."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    label = models.CharField(_("label"), max_length=80)
    scopes = ArrayField(models.CharField(max_length=64))
    # Fewer scopes were picked than the contract held: its changes do not add any.
    is_narrowed = models.BooleanField(default=False)
    sports = ArrayField(models.CharField(max_length=32))
    allowlist = ArrayField(CidrField(), default=list, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    version = models.BigIntegerField(default=1, editable=False)  # set by a trigger alone

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return self.label

    @property
    def is_live(self) -> bool:
        """Not revoked."""
        return self.revoked_at is None

    def granted_scopes(self, contract: Contract) -> list[str]:
        """Those of the key that the contract still holds: what a call is let in for."""
        return [scope for scope in self.scopes if scope in contract.scopes]

    @property
    def last_use(self) -> LastUse | None:
        """Of a key `for_display`: the later of what is its own row and what waits to be merged."""
        own: KeyUse | None = getattr(self, "use", None)
        uses = [LastUse(own.last_used_at, own.last_address)] if own else []
        waiting: Any = self.waiting_use  # type: ignore[attr-defined]
        if waiting:
            milliseconds, address = waiting
            at = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
            uses.append(LastUse(at, address))
        return max(uses, key=lambda use: use.at, default=None)

    @property
    def networks(self) -> list[Network]:
        """The allowlist, parsed; an empty one allows every address."""
        return [ipaddress.ip_network(network) for network in self.allowlist]

    @property
    def shown_networks(self) -> list[str]:
        """The allowlist as people write it: a single address without its `/32` or `/128`."""
        return [network_text(network) for network in self.networks]


class ApiKeySecret(models.Model):
    """What opens the door. Only its SHA-256 and the eight characters that pages show are kept.

    A slow hash would protect nothing: the secret is random, and every call would pay for it.
    Retired secrets stay, so that a call with one is known for what it is.
    """

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="secrets")
    sha256 = models.BinaryField(max_length=32, unique=True, editable=False)
    first_4 = models.CharField(max_length=4)
    last_4 = models.CharField(max_length=4)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    retired_at = models.DateTimeField(null=True)
    version = models.BigIntegerField(default=1, editable=False)  # set by a trigger alone

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["key"],
                condition=models.Q(retired_at=None),
                name="one_live_secret_per_key",
            )
        ]

    def __str__(self) -> str:
        return f"vbk_{self.first_4}…{self.last_4}"


class KeyUse(models.Model):
    """When and from where a key was last let in: apart from the key, whose changes are told."""

    key = models.OneToOneField(
        ApiKey, primary_key=True, on_delete=models.CASCADE, related_name="use"
    )
    last_used_at = models.DateTimeField()
    last_address = models.GenericIPAddressField(null=True)

    def __str__(self) -> str:
        return f"{self.key_id} at {self.last_used_at}"
