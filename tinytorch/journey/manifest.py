"""journey.toml, read and checked: the twenty modules, the milestones, and what leads through them.

>>> from tinytorch.journey.manifest import journey
>>> journey().module("autograd").needs
(1,)
"""

import tomllib
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, TypeVar

Record = TypeVar("Record")


class ManifestError(ValueError):
    """journey.toml says something that cannot be true."""


@dataclass(frozen=True, slots=True)
class Tier:
    name: str
    promise: str


@dataclass(frozen=True, slots=True)
class Module:
    number: int
    slug: str
    title: str
    tier: str
    group: str
    stars: int
    hours: int
    needs: tuple[int, ...]
    follows: tuple[int, ...]
    builds: str
    released: bool
    exercises: tuple[str, ...]
    relation: Literal["needs", "enhances", "optimizes"] = "needs"
    critical: bool = False
    capstone: bool = False

    @property
    def name(self) -> str:
        """Folder and chapter name, such as "05_autograd"."""
        return f"{self.number:02}_{self.slug}"

    @property
    def label(self) -> str:
        """The name people read, such as "05 Autograd"."""
        return f"{self.number:02} {self.title}"


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that a milestone has to reach, such as accuracy of at least 95 % on MNIST."""

    metric: str
    at_least: float
    unit: str
    dataset: str = ""

    def __str__(self) -> str:
        if self.unit == "×":
            return f"{self.at_least:g}× {self.metric}"
        where = f" on {self.dataset}" if self.dataset else ""
        return f"{self.at_least:g} {self.unit}+ {self.metric}{where}"


@dataclass(frozen=True, slots=True)
class Milestone:
    """`proves`: the scripts in `folder` that have to pass; `also`: its other scripts."""

    number: int
    slug: str
    title: str
    year: int
    needs: tuple[int, ...]
    shows: str
    history: str
    datasets: tuple[str, ...]
    folder: str
    proves: tuple[str, ...]
    released: bool
    also: tuple[str, ...] = ()
    north_star: bool = False
    bars: tuple[Bar, ...] = ()

    @property
    def label(self) -> str:
        """The name people read, such as "M03 MLP revival"."""
        return f"M{self.number:02} {self.title}"

    @property
    def unlocked_after(self) -> int:
        """Number of the module whose completion opens this milestone."""
        return max(self.needs)

    @property
    def goal(self) -> str:
        """What it shows, with its bars: one phrase."""
        return ": ".join(filter(None, [self.shows, " and ".join(map(str, self.bars))]))


@dataclass(frozen=True, slots=True)
class Track:
    title: str
    modules: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Path:
    title: str
    weeks: tuple[int, ...]
    ends: str
    suits: str
    tracks: tuple[Track, ...]

    @property
    def duration(self) -> str:
        return weeks_in_words(self.weeks)


@dataclass(frozen=True, slots=True)
class Capability:
    """Something you can do `after` a module; a `milestone` measures it. `lane`: which of its level's parallel
    tracks it is on."""

    text: str
    after: int
    milestone: int | None = None
    lane: int = 1


@dataclass(frozen=True, slots=True)
class Level:
    number: int
    title: str
    capabilities: tuple[Capability, ...]

    @property
    def lanes(self) -> tuple[tuple[Capability, ...], ...]:
        """The capabilities by track, each in order."""
        count = max(capability.lane for capability in self.capabilities)
        return tuple(
            tuple(capability for capability in self.capabilities if capability.lane == lane)
            for lane in range(1, count + 1)
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """`limit`: kilobytes a shipped set may take. `download`: about how many megabytes are fetched."""

    name: str
    shipped: bool
    samples: int
    contents: str
    milestones: tuple[int, ...]
    purpose: str
    limit: int | None = None
    download: int | None = None

    @property
    def size(self) -> str:
        return f"at most {self.limit} KB" if self.shipped else f"about {self.download} MB"


@dataclass(frozen=True, slots=True)
class Investment:
    """A point of the chart of time (x) against depth (y), both from 0 to 1."""

    title: str
    weeks: tuple[int, ...]
    x: float
    y: float

    @property
    def duration(self) -> str:
        return weeks_in_words(self.weeks)


@dataclass(frozen=True, slots=True)
class Success:
    title: str
    points: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Journey:
    tiers: tuple[Tier, ...]
    modules: tuple[Module, ...]
    milestones: tuple[Milestone, ...]
    paths: tuple[Path, ...]
    levels: tuple[Level, ...]
    datasets: tuple[Dataset, ...]
    investments: tuple[Investment, ...]
    success: tuple[Success, ...]

    def module(self, which: int | str) -> Module:
        """A module by its number (5), slug ("autograd") or name ("05_autograd").

        Raises KeyError, with the names that exist, for anything else.
        """
        for module in self.modules:
            if which in (module.number, module.slug, module.name):
                return module
        known = ", ".join(module.name for module in self.modules)
        raise KeyError(f"there is no module {which!r}; the modules are {known}")

    def milestone(self, number: int) -> Milestone:
        for milestone in self.milestones:
            if milestone.number == number:
                return milestone
        raise KeyError(f"there is no milestone {number!r}; they run from 1 to {len(self.milestones)}")

    def required(self, milestone: Milestone) -> tuple[Module, ...]:
        """The modules that have to be the reader's own: what it is built on, and the Foundation."""
        needed = self.all_needs(*milestone.needs)
        needed |= {module.number for module in self.modules_of(self.tiers[0].name)}
        return tuple(m for m in self.modules if m.number in needed and m.number <= milestone.unlocked_after)

    def modules_of(self, tier: str) -> tuple[Module, ...]:
        return tuple(module for module in self.modules if module.tier == tier)

    def all_needs(self, *numbers: int) -> frozenset[int]:
        """The numbers of every module that these are built on, directly or not, themselves included."""
        found: set[int] = set()
        waiting = list(numbers)
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                waiting.extend(self.module(number).needs)
        return frozenset(found)


def weeks_in_words(weeks: tuple[int, ...]) -> str:
    """(4, 4) -> "4 weeks", (6, 8) -> "6–8 weeks"."""
    low, high = weeks
    return f"{low} weeks" if low == high else f"{low}–{high} weeks"


@lru_cache(maxsize=1)
def journey() -> Journey:
    """The journey of this package. Read once; raises ManifestError if journey.toml is malformed."""
    return parse(resources.files(__package__).joinpath("journey.toml").read_text(encoding="utf-8"))


def parse(text: str) -> Journey:
    """A Journey from the text of a manifest. Raises ManifestError, which names the entry at fault."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"journey.toml is not valid TOML: {error}") from error
    found = _record(Journey, table, "journey.toml")
    _check(found)
    return found


def _record(kind: type[Record], table: Any, where: str) -> Record:
    """An instance of a dataclass from a TOML table of the same keys."""
    if not isinstance(table, dict):
        raise ManifestError(f"{where}: expected a table, got {table!r}")
    assert is_dataclass(kind)
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    if unknown := sorted(set(table) - set(known)):
        raise ManifestError(f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(known)}")
    missing = [name for name, field in known.items() if name not in table and field.default is MISSING]
    if missing:
        raise ManifestError(f"{where}: key {missing[0]!r} is missing")
    return kind(**{key: _value(hints[key], value, f"{where}: {key}") for key, value in table.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type that a field's annotation asks for."""
    origin = typing.get_origin(hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise ManifestError(f"{where}: expected a list, got {value!r}")
        (item, _) = typing.get_args(hint)
        return tuple(_value(item, entry, f"{where}[{i + 1}]") for i, entry in enumerate(value))
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise ManifestError(f"{where}: {value!r} is not one of {', '.join(typing.get_args(hint))}")
        return value
    if origin is types.UnionType:
        (hint, _) = typing.get_args(hint)  # TOML has no null: a value that is there is not None
    if is_dataclass(hint):
        return _record(typing.cast(type, hint), value, where)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ManifestError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value


def _check(journey: Journey) -> None:
    """What the shapes of the entries cannot say: numbers run from 1, references lead somewhere."""
    for name, numbered in (
        ("modules", journey.modules),
        ("milestones", journey.milestones),
        ("levels", journey.levels),
    ):
        numbers = [entry.number for entry in numbered]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ManifestError(f"journey.toml: {name} must be numbered 1, 2, 3, … in order, got {numbers}")
    tiers = {tier.name for tier in journey.tiers}
    for module in journey.modules:
        if module.tier not in tiers:
            raise ManifestError(f"module {module.name}: there is no tier {module.tier!r}")
        if not 1 <= module.stars <= 5:
            raise ManifestError(f"module {module.name}: stars go from 1 to 5, got {module.stars}")
        if late := [n for n in (*module.needs, *module.follows) if not 1 <= n < module.number]:
            raise ManifestError(f"module {module.name}: module {late[0]} does not come before it")
        if module.exercises and not module.released:
            raise ManifestError(f"module {module.name}: has exercises but is not released")
    for what, number in _modules_named(journey):
        if not 1 <= number <= len(journey.modules):
            raise ManifestError(f"{what}: there is no module {number}")
    for what, number in _milestones_named(journey):
        if not 1 <= number <= len(journey.milestones):
            raise ManifestError(f"{what}: there is no milestone {number}")
    datasets = {dataset.name for dataset in journey.datasets}
    for milestone in journey.milestones:
        for name in (*milestone.datasets, *(bar.dataset for bar in milestone.bars if bar.dataset)):
            if name not in datasets:
                raise ManifestError(f"milestone {milestone.label}: there is no dataset {name!r}")
    for dataset in journey.datasets:
        if (dataset.limit if dataset.shipped else dataset.download) is None:
            key = "limit" if dataset.shipped else "download"
            raise ManifestError(f"dataset {dataset.name}: key {key!r} is missing")
    timed: tuple[Path | Investment, ...] = (*journey.paths, *journey.investments)
    for entry in timed:
        if len(entry.weeks) != 2 or entry.weeks[0] > entry.weeks[1]:
            raise ManifestError(f"{entry.title}: weeks are [fewest, most], got {list(entry.weeks)}")


def _modules_named(journey: Journey) -> Iterator[tuple[str, int]]:
    for milestone in journey.milestones:
        yield from ((f"milestone {milestone.label}", number) for number in milestone.needs)
    for path in journey.paths:
        for track in path.tracks:
            yield from ((f"path {path.title}", number) for number in track.modules)
    for level in journey.levels:
        yield from ((f"level {level.number}", capability.after) for capability in level.capabilities)


def _milestones_named(journey: Journey) -> Iterator[tuple[str, int]]:
    for dataset in journey.datasets:
        yield from ((f"dataset {dataset.name}", number) for number in dataset.milestones)
    for level in journey.levels:
        for capability in level.capabilities:
            if capability.milestone is not None:
                yield f"level {level.number}", capability.milestone
