"""The catalogue: what can be bet on. It is the provider's, and the same for every tenant."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.lib import clock

CODE_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
code_validator = RegexValidator(
    CODE_PATTERN.removesuffix("$") + r"\Z",
    _("Use lower-case letters, digits and underscores, beginning with a letter."),
)


class Settlement(models.TextChoices):
    """When the outcome is known."""

    LIVE = "live", _("as it happens")
    END_OF_ROUND = "end_of_round", _("at the end of the round")


class Sport(models.Model):
    """A sport, by the code that stands in the feed's addresses."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.CharField(_("code"), max_length=32, unique=True, validators=[code_validator])
    name_en = models.CharField(_("English name"), max_length=120)
    name_ru = models.CharField(_("Russian name"), max_length=120)

    class Meta:
        ordering = ["code"]
        verbose_name = _("sport")
        verbose_name_plural = _("sports")

    def __str__(self) -> str:
        return self.code


class Group(models.Model):
    """Market types of a sport that belong together on the page."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sport = models.ForeignKey(
        Sport, on_delete=models.PROTECT, related_name="groups", verbose_name=_("sport")
    )
    code = models.CharField(_("code"), max_length=64, validators=[code_validator])
    name_en = models.CharField(_("English name"), max_length=120)
    name_ru = models.CharField(_("Russian name"), max_length=120)
    sort_order = models.PositiveIntegerField(_("position"), default=0)

    class Meta:
        ordering = ["sport__code", "sort_order", "code"]
        verbose_name = _("group of market types")
        verbose_name_plural = _("groups of market types")
        constraints = [
            models.UniqueConstraint(fields=["sport", "code"], name="group_is_named_once_in_a_sport")
        ]

    def __str__(self) -> str:
        return f"{self.sport_id and self.sport.code}: {self.code}"


class MarketType(models.Model):
    """One kind of market. Its code is the stable key, and means one thing for ever.

    `retired_at`: when it was taken out of the catalogue, which is for good: off for everybody,
    and its code is never used again. `announced_at`: when tenants were told of it; None for
    what its sport began with, which is news to nobody.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    group = models.ForeignKey(
        Group, on_delete=models.PROTECT, related_name="market_types", verbose_name=_("group")
    )
    code = models.CharField(_("code"), max_length=64, unique=True, validators=[code_validator])
    name_en = models.CharField(_("English name"), max_length=160)
    name_ru = models.CharField(_("Russian name"), max_length=160)
    specifiers = ArrayField(
        models.CharField(max_length=64), verbose_name=_("specifiers"), default=list, blank=True
    )
    outcomes = ArrayField(
        models.CharField(max_length=64), verbose_name=_("outcomes"), default=list, blank=True
    )
    settlement = models.CharField(_("settled"), max_length=16, choices=Settlement.choices)
    sort_order = models.PositiveIntegerField(_("position"), default=0)
    created_at = models.DateTimeField(_("added at"), default=clock.now, editable=False)
    announced_at = models.DateTimeField(_("announced at"), null=True, editable=False)
    retired_at = models.DateTimeField(_("taken out at"), null=True, editable=False)

    class Meta:
        ordering = ["group__sport__code", "group__sort_order", "group__code", "sort_order", "code"]
        verbose_name = _("market type")
        verbose_name_plural = _("market types")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(code__regex=CODE_PATTERN), name="market_code_is_well_formed"
            ),
            models.CheckConstraint(
                condition=models.Q(settlement__in=Settlement.values),
                name="market_settlement_is_known",
            ),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def is_retired(self) -> bool:
        """Taken out of the catalogue."""
        return self.retired_at is not None


class Catalogue(models.Model):
    """One row: the version of all of the above, drawn by triggers from a sequence.

    A sequence, because what it gave is not given back by a ROLLBACK: one version never stands for
    two contents, so what was read under a version may be remembered.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    version = models.BigIntegerField(editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="there_is_one_catalogue")
        ]

    def __str__(self) -> str:
        return str(self.version)
