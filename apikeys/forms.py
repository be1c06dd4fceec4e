"""What a person types about a key, and what staff write into a contract."""

import uuid
from typing import Any, cast

from django import forms
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from apikeys.catalogue import DEFAULT_SPORTS, bundles, contract_scopes, in_order
from apikeys.models import ApiKey, Contract
from apikeys.networks import read_allowlist
from portal.lib.address import Address, parse_address


class _KeyForm(forms.Form):
    """Label and allowlist: what every key has and what can be changed later."""

    label = forms.CharField(
        label=_("Label"),
        max_length=80,
        help_text=_("What will use it, for example “Pricing, production”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    allowlist = forms.CharField(
        label=_("IP allowlist"),
        required=False,
        max_length=20_000,
        help_text=_(
            "Addresses and CIDR ranges, separated by commas or lines. "
            "Leave it empty to allow every address."
        ),
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "class": "mono"}),
    )

    def clean_allowlist(self) -> list[str]:
        """The networks, canonical; a sentence for every entry that is none."""
        found = read_allowlist(str(self.cleaned_data["allowlist"]))
        if found.errors:
            raise forms.ValidationError([forms.ValidationError(error) for error in found.errors])
        return [str(network) for network in found.networks]


class NewKeyForm(_KeyForm):
    """A new key: its scopes are picked from the contract, all of them by default."""

    nonce = forms.UUIDField(widget=forms.HiddenInput)
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("What calls with this key may see. Fewer is safer."),
        error_messages={"required": _("Pick at least one scope.")},
    )

    def __init__(self, *args: Any, contract: Contract, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scopes = cast(forms.MultipleChoiceField, self.fields["scopes"])
        scopes.choices = [(code, _scope_label(code)) for code in contract.scopes]
        scopes.initial = list(contract.scopes)
        self.fields["nonce"].initial = uuid.uuid4


class EditKeyForm(_KeyForm):
    """Label and allowlist of a key that is there, and its version when the form was made."""

    version = forms.IntegerField(widget=forms.HiddenInput)

    @classmethod
    def of(cls, key: ApiKey) -> "EditKeyForm":
        """The form as it is first shown."""
        return cls(
            initial={
                "label": key.label,
                "allowlist": "\n".join(key.shown_networks),
                "version": key.version,
            }
        )


class ConfirmForm(forms.Form):
    """The version of what a confirmation page showed."""

    version = forms.IntegerField(widget=forms.HiddenInput)


class TrialForm(forms.Form):
    """A call that somebody would like to know the verdict on."""

    address = forms.CharField(
        label=_("Address"),
        max_length=60,
        help_text=_("Where the call would come from."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono"}),
    )
    method = forms.ChoiceField(
        label=_("Method"),
        choices=[(name, name) for name in ("GET", "HEAD", "POST")] + [("WS", _("WebSocket"))],
    )
    route = forms.CharField(
        label=_("Route"),
        max_length=200,
        help_text=_("The path, for example /cs2/v1/matches."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono"}),
    )

    @classmethod
    def of(cls, address: str | None) -> "TrialForm":
        """The form as it is first shown, to somebody at that address."""
        return cls(initial={"address": address, "method": "GET", "route": "/v1/whoami"})

    def clean_address(self) -> Address:
        """As the machine door reads it."""
        address = parse_address(self.cleaned_data["address"])
        if address is None:
            raise forms.ValidationError(_("This is no IP address."))
        return address

    def clean_route(self) -> str:
        """The path; a query, which the verdict does not look at, is left out."""
        route = str(self.cleaned_data["route"]).partition("?")[0]
        if not route.startswith("/"):
            raise forms.ValidationError(_("A route begins with a slash."))
        return route

    @property
    def call(self) -> dict[str, Any]:
        """What `apikeys.trial.try_call` asks for."""
        method = self.cleaned_data["method"]
        return {
            "address": self.cleaned_data["address"],
            "method": "GET" if method == "WS" else method,
            "path": self.cleaned_data["route"],
            "wants_stream": method == "WS",
        }


def _scope_label(code: str) -> SafeString:
    scope = contract_scopes().get(code)
    words = scope.grants(get_language() or "en") if scope else ""
    return format_html("<code>{}</code> <span>{}</span>", code, words)


class ContractForm(forms.ModelForm):  # type: ignore[type-arg]
    """Terms of a tenant, for staff: bundles are shorthands, the flat list is what is stored."""

    bundles = forms.MultipleChoiceField(
        label=_("Add bundles"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Their scopes are added to the ones picked below."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"), required=False, widget=forms.CheckboxSelectMultiple
    )
    sports = forms.MultipleChoiceField(
        label=_("Sports"),
        choices=[(sport, sport) for sport in DEFAULT_SPORTS],
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = Contract
        fields = ["scopes", "sports", "limit_rpm", "max_keys", "max_streams"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shorthands = cast(forms.MultipleChoiceField, self.fields["bundles"])
        shorthands.choices = [(code, code) for code in bundles()]
        scopes = cast(forms.MultipleChoiceField, self.fields["scopes"])
        scopes.choices = [(code, _scope_label(code)) for code in contract_scopes()]

    def clean(self) -> dict[str, Any]:
        """The scopes of the bundles and the picked ones; a bundle brings what it requires."""
        cleaned = super().clean() or {}
        scopes = set(cleaned.get("scopes", []))
        for code in cleaned.get("bundles", []):
            bundle = bundles()[code]
            for part in (code, *bundle.requires):
                scopes.update(bundles()[part].scopes)
        if not scopes:
            self.add_error("scopes", _("Pick at least one scope or bundle."))
        cleaned["scopes"] = in_order(scopes)
        return cleaned
