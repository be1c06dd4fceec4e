"""The catalogue as staff see it: groups, types, and taking a type out."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.origin import Origin
from accounts.staff import Act, ActRefused, StaffAdmin
from markets.forms import GroupForm, MarketTypeForm, SportForm
from markets.models import Catalogue, Group, MarketType, Sport
from markets.services import catalogue as services
from markets.state import tenants_with


def _by(request: HttpRequest) -> dict[str, Any]:
    return {"actor": request.user, "origin": Origin.of(request)}


def _retire(request: HttpRequest, market_type: MarketType) -> Any:
    """A page that asks first: it is for every tenant at once, and nobody can bring it back."""
    if "confirmed" not in request.POST and not market_type.is_retired:
        on, tenants = tenants_with(market_type.code)
        back_url = reverse("admin:markets_markettype_change", args=[market_type.pk])
        context = {"type": market_type, "on": on, "tenants": tenants, "back_url": back_url}
        return render(request, "markets/retire.html", context)
    try:
        services.retire_type(type_id=market_type.pk, **_by(request))
    except services.IsRetired:
        raise ActRefused(_("It was taken out meanwhile.")) from None
    # To the page that can say in how many processes of the machine door it is in effect.
    url = reverse("admin:markets_markettype_change", args=[market_type.pk])
    return redirect(f"{url}?taken_out=1")


class _StateFilter(admin.SimpleListFilter):
    """By the words of the column, and not by whether a moment is empty."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """What can be asked for."""
        return [("live", _("in the catalogue")), ("retired", _("taken out"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Those."""
        if self.value() is None:
            return queryset
        return queryset.filter(retired_at__isnull=self.value() == "live")


class _CatalogueAdmin(StaffAdmin):
    """Rows whose code is set once. Services save them, and record."""

    fixed: list[str] = []

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """What never changes, once it is there."""
        return self.fixed if obj else []

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: Any = None
    ) -> HttpResponse:
        """To the row."""
        messages.success(request, _("“%(code)s” is in the catalogue.") % {"code": obj.code})
        return redirect(f"admin:markets_{self.opts.model_name}_change", obj.pk)


@admin.register(MarketType)
class MarketTypeAdmin(_CatalogueAdmin):
    """Market types. A new one is told to owners and traders; taking one out is an act."""

    form = MarketTypeForm
    change_form_template = "markets/staff_type.html"
    fixed = ["code"]
    add_label = _("Add market type")
    list_display = ["code", "name_en", "name_ru", "group", "settlement", "sort_order", "state"]
    list_select_related = ["group__sport"]
    list_filter = ["group", "settlement", _StateFilter]
    search_fields = ["code", "name_en", "name_ru"]
    acts = [
        Act(
            "retire",
            _("Take out for good"),
            _retire,
            offered=lambda each: not each.is_retired,
            is_dangerous=True,
        )
    ]

    @admin.display(description=_("state"), ordering="retired_at")
    def state(self, market_type: MarketType) -> str:
        """In words."""
        return str(_("taken out") if market_type.is_retired else _("in the catalogue"))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """After it was taken out with the version that this gave the catalogue, or a later one."""
        obj = kwargs.get("obj")
        if obj and obj.is_retired and "taken_out" in request.GET:
            context["taken_out"] = Catalogue.objects.get().version
        return super().render_change_form(request, context, *args, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was taken out is only looked at."""
        return obj is None or not obj.is_retired

    def save_model(self, request: HttpRequest, obj: MarketType, form: Any, change: bool) -> None:
        """By the services. One that was taken out while the form was open stays as it was."""
        columns = dict(form.cleaned_data)
        if not change:
            obj.pk = services.add_type(columns=columns, **_by(request)).pk
            return
        try:
            services.change_type(type_id=obj.pk, columns=columns, **_by(request))
        except services.IsRetired:
            messages.error(request, _("It was taken out meanwhile."))


@admin.register(Group)
class GroupAdmin(_CatalogueAdmin):
    """Groups of market types. One shows on the page as soon as it holds a type."""

    form = GroupForm
    fixed = ["sport", "code"]
    add_label = _("Add group")
    list_display = ["code", "sport", "name_en", "name_ru", "sort_order"]
    list_select_related = ["sport"]
    search_fields = ["code", "name_en", "name_ru"]

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:
        """By the services."""
        columns = dict(form.cleaned_data)
        if not change:
            obj.pk = services.add_group(columns=columns, **_by(request)).pk
            return
        services.change_group(group_id=obj.pk, columns=columns, **_by(request))


@admin.register(Sport)
class SportAdmin(_CatalogueAdmin):
    """Sports. Those with a catalogue come with its file."""

    form = SportForm
    fixed = ["code"]
    add_label = _("Add sport")
    list_display = ["code", "name_en", "name_ru"]

    def save_model(self, request: HttpRequest, obj: Sport, form: Any, change: bool) -> None:
        """By the services."""
        columns = dict(form.cleaned_data)
        if not change:
            obj.pk = services.add_sport(columns=columns, **_by(request)).pk
            return
        services.change_sport(sport_id=obj.pk, columns=columns, **_by(request))
