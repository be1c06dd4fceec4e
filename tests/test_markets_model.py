"""Any sequence of changes gives the effective state of a plain model, which is ten lines long."""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from django.db import transaction
from hypothesis import HealthCheck, given, settings

from accounts.models import Tenant, User
from accounts.origin import COMMAND_LINE
from markets.catalogue_file import CatalogueFile, Row
from markets.effective import BEGINNING, Choice, Choices, consequence
from markets.models import MarketType
from markets.services.catalogue import load_catalogue, retire_type
from markets.services.choices import apply_choices, restore_revision, set_default
from markets.state import state_of
from tests.markets import disabled, off_by_python, row

CODES = [f"type_{letter}" for letter in "abcdef"]
SPORT = {"code": "cs2", "name_en": "CS2", "name_ru": "CS2"}
KILLS = Row(1, {"code": "kills", "name_en": "Kills", "name_ru": "Kills", "sort_order": 1})


class Model:
    """What a tenant's markets are, told plainly."""

    def __init__(self) -> None:
        self.types: dict[str, bool] = {}  # code → still in the catalogue
        self.history: list[tuple[bool, dict[str, bool]]] = [(True, {})]

    def off(self) -> list[str]:
        default, overrides = self.history[-1]
        return sorted(
            code for code, is_live in self.types.items()
            if not (is_live and overrides.get(code, default))
        )  # fmt: skip

    def choose(self, default: bool, overrides: dict[str, bool]) -> None:
        if (default, overrides) != self.history[-1]:
            self.history.append((default, overrides))


class World:
    """The same things done to the model and, by the services, to Acme."""

    def __init__(self, acme: Tenant, trader: User) -> None:
        self.acme, self.trader, self.model = acme, trader, Model()

    def by(self) -> dict[str, Any]:
        revision = len(self.model.history) - 1
        about = {"tenant": self.acme, "actor": self.trader, "origin": COMMAND_LINE}
        return about | {"revision": revision}

    def override(self, chosen: dict[str, Choice]) -> None:
        known = {code: choice for code, choice in chosen.items() if code in self.model.types}
        apply_choices(**self.by(), choices=known)
        default, overrides = self.model.history[-1]
        kept = {code: on for code, on in overrides.items() if code not in known}
        words = {code: word is Choice.ON for code, word in known.items() if word != "default"}
        self.model.choose(default, kept | words)

    def flip(self, default: bool, keep: bool) -> None:
        set_default(**self.by(), default_on=default, keep_overrides=keep)
        self.model.choose(default, self.model.history[-1][1] if keep else {})

    def restore(self, back: int) -> None:
        number = max(len(self.model.history) - 1 - back, 0)
        restore_revision(**self.by(), number=number)
        self.model.choose(*self.model.history[number])

    def load(self, codes: set[str]) -> None:
        """The file is the whole catalogue; a code that was taken out is in none any more."""
        live = sorted(code for code in codes if self.model.types.get(code, True))
        if not live:
            return
        types = [
            Row(2, {"sort_order": 1, "specifiers": [], "outcomes": [], **row(code)})
            for code in live
        ]
        file = CatalogueFile(SPORT, [KILLS], types)
        load_catalogue(file=file, may_retire_most=True, actor=None, origin=COMMAND_LINE)
        self.model.types = dict.fromkeys(self.model.types, False) | dict.fromkeys(live, True)

    def retire(self, code: str) -> None:
        found = MarketType.objects.filter(code=code, retired_at=None).first()
        if found:
            retire_type(type_id=found.pk, actor=self.trader, origin=COMMAND_LINE)
            self.model.types[code] = False

    def holds(self) -> None:
        revision = len(self.model.history) - 1
        assert disabled(self.acme) == (revision, self.model.off())
        assert off_by_python(self.acme) == self.model.off()


codes = st.sampled_from(CODES)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just(World.override), st.dictionaries(codes, st.sampled_from(Choice))),
        st.tuples(st.just(World.flip), st.booleans(), st.booleans()),
        st.tuples(st.just(World.restore), st.integers(0, 5)),
        st.tuples(st.just(World.restore), st.just(1)),  # Undo
        st.tuples(st.just(World.load), st.sets(codes)),
        st.tuples(st.just(World.retire), codes),
    ),
    max_size=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_sequence_of_changes_gives_the_plain_models_state(
    acme: Tenant, tina: User, steps: list[tuple[Callable[..., None], Any]]
) -> None:
    """After each step, by Python, by SQL, and in the number of the revision."""
    with transaction.atomic():
        world = World(acme, tina)
        world.load(set(CODES[:3]))
        for act, *given_ in steps:
            act(world, *given_)
            world.holds()
        transaction.set_rollback(True)
    assert state_of(acme).revision == 0


class Known:
    """A type, as far as its state depends on it."""

    def __init__(self, code: str, is_retired: bool) -> None:
        self.code, self.is_retired = code, is_retired


CHOICES = st.builds(Choices, st.booleans(), st.dictionaries(codes, st.booleans()))
TYPES = st.lists(st.builds(Known, codes, st.booleans()), unique_by=lambda each: each.code)


@given(before=CHOICES, after=CHOICES, types=TYPES)
def test_a_consequence_names_each_type_once_and_is_true(
    before: Choices, after: Choices, types: list[Known]
) -> None:
    done = consequence(before, after, types)
    named = [*done.goes_on, *done.goes_off, *done.same]
    assert len(named) + done.untouched == len(types) and len(set(named)) == len(named)
    assert all(after.is_on(each) and not before.is_on(each) for each in done.goes_on)
    assert all(before.is_on(each) and not after.is_on(each) for each in done.goes_off)
    assert not any(each.is_retired for each in (*done.goes_on, *done.goes_off))
    same = all(before.of(each.code) is after.of(each.code) for each in types)
    assert not same or all(each in (*done.goes_on, *done.goes_off) for each in named)


@given(choices=CHOICES, sent=st.dictionaries(codes, st.sampled_from(Choice)))
def test_what_was_chosen_is_what_is_chosen(choices: Choices, sent: dict[str, Choice]) -> None:
    after = choices.with_choices(sent)
    assert all(after.of(code) is choice for code, choice in sent.items())
    assert all(after.of(code) is choices.of(code) for code in CODES if code not in sent)
    assert BEGINNING.overrides == {}
