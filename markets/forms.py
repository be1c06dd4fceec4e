"""What a person sends about markets: choices, a default, a file; and the filter of the page."""

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from markets.catalogue import Contents
from markets.effective import Choice
from markets.models import Group, MarketType, Sport

PREFIX = "choice-"  # and the type's code: the name of a row's three buttons
LARGEST_REVISION = 2**63 - 1
MOST_BYTES = 500_000  # of a file

Wanted = tuple[tuple[str, str], ...]  # of the filter's fields, those that are filled in


class RevisionForm(forms.Form):
    """The revision that a page was made from."""

    revision = forms.IntegerField(min_value=0, max_value=LARGEST_REVISION, widget=forms.HiddenInput)

    @classmethod
    def read(cls, sent: QueryDict) -> int:
        """The revision; -1, which is always out of date, where there is none to be read."""
        form = cls(sent)
        return int(form.cleaned_data["revision"]) if form.is_valid() else -1


def sent_choices(sent: QueryDict, catalogue: Contents) -> dict[str, Choice]:
    """Code → choice of all rows that were sent, and of the group that a button switches whole.

    What is not in the catalogue, or no choice, is passed over: a type may have been taken out
    since the page was made.
    """
    words = {choice.value: choice for choice in Choice}
    live = {each.code for each in catalogue.live}
    choices = {}
    for name, value in sent.items():
        code = name.removeprefix(PREFIX)
        if code != name and code in live and value in words:
            choices[code] = words[str(value)]
    group, _colon, word = sent.get("group", "").rpartition(":")
    if word in words:
        for each in catalogue.live:
            if each.group == group:
                choices[each.code] = words[word]
    return choices


class FilterForm(forms.Form):
    """Which types are shown. It is sent by GET, so that it is in the address."""

    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={"type": "search", "autocomplete": "off"}),
    )
    group = forms.ChoiceField(label=_("Group"), required=False)
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[
            ("", _("All")),
            ("on", _("On")),
            ("off", _("Off")),
            ("own", _("Not left to the default")),
            ("new", _("New")),
        ],
    )

    def __init__(self, *args: Any, catalogue: Contents, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        groups = [(group.code, group.name) for group in catalogue.groups]
        self.fields["group"] = forms.ChoiceField(
            label=_("Group"), required=False, choices=[("", _("All")), *groups]
        )


def wanted_of(sent: QueryDict, catalogue: Contents) -> Wanted:
    """What was asked for and can be; what cannot be is as if it was not asked for."""
    if not sent:  # as it mostly is, and then no form is made to hear so
        return ()
    form = FilterForm(sent, catalogue=catalogue)
    form.is_valid()
    return tuple(sorted((name, value) for name, value in form.cleaned_data.items() if value))


class DefaultForm(RevisionForm):
    """**Enable all**, **Disable all**: what becomes of overrides, where there are some."""

    overrides = forms.ChoiceField(
        label=_("Types with a choice of their own"),
        choices=[
            ("keep", _("Keep their choice")),
            ("clear", _("Clear their choice: they follow the default too")),
        ],
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, has_overrides: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not has_overrides:
            del self.fields["overrides"]

    @property
    def keeps(self) -> bool:
        """Are the overrides kept? Where nothing was asked there are none."""
        return bool(self.cleaned_data.get("overrides", "keep") == "keep")


class DisableAllForm(DefaultForm):
    """The same, and the tenant's slug typed out: it empties the feed."""

    typed = forms.CharField(
        label=_("Confirm"),
        max_length=80,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )

    def __init__(self, *args: Any, slug: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._slug = slug
        self.fields["typed"].help_text = _("Type “%(slug)s” to confirm.") % {"slug": slug}

    def clean_typed(self) -> str:
        """The slug, exactly."""
        typed = str(self.cleaned_data["typed"])
        if typed != self._slug:
            raise forms.ValidationError(_("This is not “%(slug)s”.") % {"slug": self._slug})
        return typed


class ImportForm(forms.Form):
    """A file as **Download CSV** gives it."""

    file = forms.FileField(
        label=_("CSV file"),
        help_text=_("With the columns “code” and “choice”: default, on or off."),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
    )

    def clean_file(self) -> str:
        """Its text. Spreadsheets write UTF-8 with a mark at the beginning, or without."""
        uploaded = self.cleaned_data["file"]
        if uploaded.size > MOST_BYTES:
            raise forms.ValidationError(_("This file is too large."))
        try:
            return str(uploaded.read().decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise forms.ValidationError(
                _("This file is not UTF-8. Save it as “CSV UTF-8”.")
            ) from None


class MarketTypeForm(forms.ModelForm):  # type: ignore[type-arg]
    """A type, for staff. Its code is set once."""

    class Meta:
        model = MarketType
        fields = [
            "code",
            "group",
            "name_en",
            "name_ru",
            "specifiers",
            "outcomes",
            "settlement",
            "sort_order",
        ]
        help_texts = {
            "code": _("Never changes, and is never used again."),
            "specifiers": _("Separated by commas."),
            "outcomes": _("Separated by commas."),
        }


class SportForm(forms.ModelForm):  # type: ignore[type-arg]
    """A sport, for staff. Its code is set once."""

    class Meta:
        model = Sport
        fields = ["code", "name_en", "name_ru"]


class GroupForm(forms.ModelForm):  # type: ignore[type-arg]
    """A group, for staff. Its sport and code are set once."""

    class Meta:
        model = Group
        fields = ["sport", "code", "name_en", "name_ru", "sort_order"]
