"""What a reader has reached: one JSON file, versioned, written whole or not at all.

The command line and the page read and write the same file:

    {"version": 1, "path": "Complete Builder", "track": "", "current": "01_tensor",
     "exercises": {"01_tensor": {"matmul": {"passed": "2026-01-31T12:00:00+00:00", "fingerprint": "…",
     "hints": 1,
                                            "revealed": false}}},
     "modules": {"01_tensor": {"exported": "…", "sha256": "…", "yours": ["matmul"], "complete": true}},
     "milestones": {"3": [{"at": "…", "script": "…", "value": 97.9, "bar": 95.0, "passed": true, …}]},
     "pending": {}}

`pending` holds an export from before its file is written until after: whoever finds one there finishes it.
"""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..utils.safetensors import checked_depth

VERSION = 1
RECEIPTS = 20  # kept for each milestone


class ProgressError(ValueError):
    """A progress file that cannot be read as one."""


@dataclass
class Attempt:
    """One exercise. `fingerprint`: of the function that passed last, at the time `passed`."""

    passed: str = ""
    fingerprint: str = ""
    hints: int = 0
    revealed: bool = False


@dataclass
class Exported:
    """One module's file in modules/package: since when, its SHA-256, and whose functions are in it."""

    exported: str
    sha256: str
    yours: list[str]
    complete: bool


@dataclass
class Progress:
    path: str = "Complete Builder"
    track: str = ""
    current: str = "01_tensor"
    exercises: dict[str, dict[str, Attempt]] = field(default_factory=dict)
    modules: dict[str, Exported] = field(default_factory=dict)
    milestones: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    pending: dict[str, Exported] = field(default_factory=dict)
    version: int = VERSION

    def attempt(self, module: str, exercise: str) -> Attempt:
        """The entry of an exercise; a new one if there is none yet."""
        return self.exercises.setdefault(module, {}).setdefault(exercise, Attempt())

    def add_receipt(self, milestone: int, receipt: dict[str, Any]) -> None:
        """Keep a receipt, with the time; of many, the newest and the best that passed stay."""
        kept = self.milestones.setdefault(str(milestone), [])
        kept.append({"at": now(), **receipt})
        if len(kept) > RECEIPTS:
            best = max((r for r in kept if r.get("passed")), key=lambda r: r.get("value", 0), default=None)
            del kept[: len(kept) - RECEIPTS]
            if best is not None and best not in kept:
                kept[0] = best

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "the progress file") -> "Progress":
        """Raises ProgressError, which says what is wrong, for anything that to_json did not write."""
        try:
            table = json.loads(checked_depth(text))
        except ValueError as error:
            raise ProgressError(f"{where} is damaged: {error}") from None
        if not isinstance(table, dict) or not isinstance(table.get("version"), int):
            raise ProgressError(f"{where} is not a progress file: it has no version")
        if table["version"] > VERSION:
            raise ProgressError(
                f"{where} was written by a newer TinyTorch (format {table['version']}, "
                f"this one knows {VERSION}); update TinyTorch"
            )
        try:
            return cls(
                path=_text(table["path"]),
                track=_text(table["track"]),
                current=_text(table["current"]),
                exercises={
                    _text(module): {_text(name): _attempt(entry) for name, entry in entries.items()}
                    for module, entries in table["exercises"].items()
                },
                modules={_text(name): _exported(entry) for name, entry in table["modules"].items()},
                pending={_text(name): _exported(entry) for name, entry in table["pending"].items()},
                milestones={
                    _text(number): [dict(receipt) for receipt in receipts]
                    for number, receipts in table["milestones"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProgressError(f"{where} is damaged: {type(error).__name__}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _attempt(entry: dict[str, Any]) -> Attempt:
    found = Attempt(**entry)
    if type(found.hints) is not int or type(found.revealed) is not bool:
        raise TypeError(f"expected a number of hints and whether the solution was shown, got {entry!r}")
    _text(found.passed), _text(found.fingerprint)
    return found


def _exported(entry: dict[str, Any]) -> Exported:
    found = Exported(**entry)
    if type(found.complete) is not bool or not isinstance(found.yours, list):
        raise TypeError(f"expected an exported module, got {entry!r}")
    _text(found.exported), _text(found.sha256), [_text(name) for name in found.yours]
    return found


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
