"""The panel at /staff/: Django's admin, for staff with a verified second factor and nobody else."""

import uuid
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, models
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from accounts.access import login_not_required, tenant_not_required
from accounts.fresh import fresh_login_required
from portal.lib.http import answers

# What Django's admin brings and this panel does not: passwords are the people's own affair.
_DROPPED = {"password_change", "password_change_done", "autocomplete", "view_on_site", "logout"}


class StaffSite(admin.AdminSite):
    """One rule for every page: staff, active, and the second factor proved in this session."""

    site_title = _("Staff")
    site_header = _("Staff")
    index_title = _("What staff look after")
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        """ASVS 5.0 6.3.3."""
        user = request.user
        return bool(user.is_active and user.is_staff and request.session.get("has_second_factor"))

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """What is made for this panel; apps of Django's own (groups) have no say here."""
        if admin_class is not None and issubclass(admin_class, StaffAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """`login` answers whoever may not come in."""
        allowed = super().admin_view(view, cacheable)

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not self.has_permission(request):
                return self.login(request)
            response: HttpResponseBase = allowed(request, *args, **kwargs)
            return response

        return guarded

    @property
    def urls(self) -> tuple[list[URLPattern | URLResolver], str, str]:
        """Without what the panel does not offer. Staff have no tenant, and it needs none."""
        kept = [url for url in self.get_urls() if getattr(url, "name", None) not in _DROPPED]
        _need_no_tenant(kept)
        return kept, "admin", self.name

    def index(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        """With what waits for staff above it."""
        parts = [part for part in self._registry.values() if isinstance(part, StaffAdmin)]
        waiting = [found for part in parts if (found := part.waiting())]
        return super().index(request, {"waiting": waiting, **(extra_context or {})})

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: Any = None
    ) -> TemplateResponse:
        """One app's part of the panel, under its own name."""
        title = apps.get_app_config(app_label).verbose_name
        return super().app_index(request, app_label, {"title": title, **(extra_context or {})})

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Whoever may not come in: members are refused, staff enrol, strangers sign in."""
        if not request.user.is_authenticated:
            return redirect("accounts:sign_in")
        if not request.user.is_staff:
            raise PermissionDenied
        if self.has_permission(request):
            return redirect("admin:index")
        return redirect("staff_profile:two_factor_enable")

    login = login_not_required(tenant_not_required(login))


def _need_no_tenant(urls: Sequence[URLPattern | URLResolver]) -> None:
    for url in urls:
        if isinstance(url, URLResolver):
            _need_no_tenant(url.url_patterns)
        elif getattr(url.callback, "tenant_required", True):
            tenant_not_required(url.callback)


class Act:
    """A button on a row's page: a POST of its own, with a word and a sentence for its success.

    `run` gives the sentence; or an answer of its own, for what is shown once.
    """

    def __init__(
        self,
        name: str,
        label: Any,
        run: Callable[[HttpRequest, Any], Any],
        *,
        offered: Callable[[Any], bool],
        is_dangerous: bool = False,
        needs_reason: bool = False,
    ) -> None:
        self.name = name
        self.label = label
        self.run = run
        self.offered = offered
        self.is_dangerous = is_dangerous
        self.needs_reason = needs_reason


def given_reason(request: HttpRequest) -> str:
    """Why an act is done, as typed: 300 characters at most, without what no database holds."""
    return request.POST.get("reason", "").replace("\x00", "").strip()[:300]


class ActRefused(Exception):
    """The act cannot be done any more; the message says why."""


class StaffAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows are looked at; acts, with a service behind each, change them. Nothing is deleted."""

    acts: list[Act] = []
    add_label = _("Add")
    change_label = _("Save changes")
    actions = None
    change_form_template = "admin/staff_change_form.html"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Things end by an act (revoked, suspended, disabled); their history stays."""
        return False

    def waiting(self) -> tuple[str, str] | None:
        """A sentence on what waits for staff here, and the page to go to; None where nothing is."""
        return None

    # The audit trail says what happened, from the services; the admin's own log would say it twice.
    def log_addition(self, *args: Any) -> Any:
        """Not kept."""

    def log_change(self, *args: Any) -> Any:
        """Not kept."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, under its own name; without a filter that no column can be asked for."""
        title = capfirst(self.opts.verbose_name_plural)
        try:
            return super().changelist_view(request, {"title": title, **(extra_context or {})})
        except (DataError, OverflowError):  # a NUL byte, or a year that no calendar has
            return redirect(f"{request.path}?{ERROR_FLAG}=1")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Only by what the list offers: else one could ask for passwords, letter by letter."""
        filters = [each[0] if isinstance(each, tuple) else each for each in self.list_filter]
        names = [getattr(each, "parameter_name", each) for each in filters]
        offered = [each for each in [*names, self.date_hierarchy] if isinstance(each, str)]
        is_offered = any(lookup == name or lookup.startswith(f"{name}__") for name in offered)
        return is_offered and super().lookup_allowed(lookup, value, request)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The form; of several sent at once, those that found the thing there are told so."""
        try:
            return super().add_view(request, form_url, extra_context)
        except (IntegrityError, ValidationError):
            messages.error(request, _("Somebody made the same a moment ago. Nothing was done."))
            meta = self.model._meta
            return redirect(f"admin:{meta.app_label}_{meta.model_name}_changelist")

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """The audit trail of the row."""
        return redirect(f"{reverse('admin:accounts_auditevent_changelist')}?target_id={object_id}")

    def get_urls(self) -> list[URLPattern]:
        """The acts' addresses before Django's own."""
        meta = self.model._meta
        own = [
            path(
                f"<uuid:object_id>/{act.name}",
                self.admin_site.admin_view(
                    fresh_login_required(answers("POST")(self._view_of(act)))
                ),
                name=f"{meta.app_label}_{meta.model_name}_{act.name}",
            )
            for act in self.acts
        ]
        return own + super().get_urls()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Put the row's acts beside its form, and below it the button that says what it does."""
        obj = kwargs.get("obj")
        meta = self.model._meta
        context["save_label"] = self.change_label if obj else self.add_label
        context["acts"] = [
            {
                "label": act.label,
                "is_dangerous": act.is_dangerous,
                "needs_reason": act.needs_reason,
                "url": reverse(
                    f"admin:{meta.app_label}_{meta.model_name}_{act.name}", args=[obj.pk]
                ),
            }
            for act in self.acts
            if obj is not None and act.offered(obj)
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def formfield_for_dbfield(self, *args: Any, **kwargs: Any) -> Any:
        """Without Django's windows for rows of other tables: those have pages of their own."""
        field = super().formfield_for_dbfield(*args, **kwargs)
        if field and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field

    def _view_of(self, act: Act) -> Callable[..., HttpResponseBase]:
        def view(request: HttpRequest, object_id: uuid.UUID) -> HttpResponseBase:
            obj: models.Model | None = self.get_object(request, str(object_id))
            if obj is None:
                return self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined,no-any-return]
                    request, self.opts, str(object_id)
                )
            try:
                if act.needs_reason and not given_reason(request):
                    raise ActRefused(_("Give a reason: it goes into the audit trail and the mail."))
                done = act.run(request, obj)
                if isinstance(done, HttpResponseBase):
                    return done
                messages.success(request, done)
            except ActRefused as refused:
                messages.error(request, str(refused))
            meta = self.model._meta
            return redirect(f"admin:{meta.app_label}_{meta.model_name}_change", object_id)

        return view


class ReadOnlyAdmin(StaffAdmin):
    """Rows that are only looked at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """They come into being elsewhere."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """They are not edited."""
        return False
