"""What `tito` shows: every screen as rich renderables, without reading or changing anything."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..journey.checking import CheckResult, Exercise, ExerciseResult
from ..journey.manifest import Module
from ..journey.runner import Report
from ..journey.workshop import Overview

MARKS = {
    "passed": "✓",
    "failed": "✗",
    "todo": "·",
    "missing": "!",
    "stopped": "!",
    "not run": " ",
    "bar": "█",
    "rest": "░",
}
PLAIN = {
    "passed": "+",
    "failed": "x",
    "todo": "-",
    "missing": "!",
    "stopped": "!",
    "not run": " ",
    "bar": "#",
    "rest": ".",
}
COLOURS = {
    "passed": "green",
    "failed": "red",
    "todo": "yellow",
    "missing": "red",
    "stopped": "red",
    "not run": "dim",
}
STANDINGS = {
    "not started": "dim", "in progress": "yellow", "ready": "cyan", "complete": "green", "changed": "magenta",
}  # fmt: skip


class Screen(Console):
    def on_broken_pipe(self) -> None:
        """The reader of a pipe has seen enough: no error."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


def console() -> Console:
    """Standard output. What its encoding lacks is replaced, never an error; NO_COLOR and pipes are
    honoured.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    return Screen(highlight=False, soft_wrap=False)


def marks(out: Console) -> dict[str, str]:
    """The signs for results; plain ones where the console's encoding has no others."""
    try:
        "".join(MARKS.values()).encode(out.encoding)
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return MARKS


def relative(path: Path | str) -> str:
    """A path as the reader would type it from here."""
    try:
        short = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return short if not short.startswith(os.pardir + os.sep + os.pardir) else str(path)


def mark(out: Console, state: str) -> Text:
    return Text(marks(out)[state], style=COLOURS.get(state, ""))


def progress_bar(out: Console, done: int, total: int, width: int = 20) -> Text:
    filled = round(width * done / total) if total else 0
    signs = marks(out)
    bar = Text(signs["bar"] * filled, style="green")
    bar.append(signs["rest"] * (width - filled), style="dim")
    return bar.append(f" {done} of {total}", style="default")


def spans(numbers: list[int]) -> str:
    """[1, 2, 3, 5] -> "01-03, 05"."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("-".join(f"{number:02}" for number in span) for span in found)


# The verdict on one exercise


def exercise_result(out: Console, result: ExerciseResult) -> RenderableType:
    """An exercise's checks in reading order, the first failure written out; the diagnosis comes before it."""
    title = Text.assemble(mark(out, result.state), " ", (result.name, "bold"))
    words = {
        "todo": "is still to be written",
        "not run": "was not run",
        "missing": "",
        "stopped": "was stopped",
    }
    if result.state in words:
        title.append(f" {words[result.state]}")
    parts: list[RenderableType] = [title]
    if result.message:
        parts.append(Padding(Text(result.message), (0, 0, 0, 4)))
    if result.diagnosis:
        parts.append(Padding(Text(result.diagnosis, style="bold yellow"), (0, 0, 0, 4)))
    explained = False
    for check in result.checks:
        line = Text.assemble(mark(out, "passed" if check.passed else "failed"), " ", check.title)
        parts.append(Padding(line, (0, 0, 0, 4)))
        if not check.passed and not explained:
            explained = True
            parts.append(Padding(failure(check), (0, 0, 0, 8)))
    return Group(*parts)


def failure(check: CheckResult) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    if check.error:
        table.add_row("raised", Text(check.error, style="red"))
        for line in check.trace:
            table.add_row("at", Text(line))
    else:
        table.add_row("call", Text(check.call))
        table.add_row("got", Text(check.got, style="red"))
        table.add_row("expected", Text(check.expected, style="green"))
        for number, note in enumerate(check.notes):
            table.add_row("" if number else "note", Text(note))
    if check.printed:
        table.add_row("printed", Text(check.printed.rstrip()))
    return table


def report(out: Console, found: Report, every: bool = False) -> RenderableType:
    """A module's verdict: all exercises by name, those that failed in full."""
    parts: list[RenderableType] = [
        Text.assemble(("checked ", "dim"), relative(found.path), (f" in {found.seconds:.1f} s", "dim"))
    ]
    if found.error:
        parts.append(Text.assemble(mark(out, "failed"), " ", (found.error, "red")))
        parts += [Padding(Text(line), (0, 0, 0, 4)) for line in found.trace]
        return Group(*parts)
    for result in found.exercises:
        if result.state in ("passed", "todo", "not run") and not every:
            words = {"todo": "  still to be written", "not run": "  not run"}.get(result.state, "")
            parts.append(Text.assemble(mark(out, result.state), " ", result.name, (words, "dim")))
        else:
            parts.append(exercise_result(out, result))
    return Group(*parts)


def prompt(exercise: Exercise, hints: int = 0) -> RenderableType:
    """What is to be written, and the hints that were asked for."""
    parts: list[RenderableType] = [Text(exercise.prompt)]
    parts += [
        Text.assemble((f"hint {number}  ", "cyan"), hint)
        for number, hint in enumerate(exercise.hints[:hints], 1)
    ]
    return Group(*parts)


# Tables


def module_table(overviews: Iterable[Overview], current: str, path: Sequence[int]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "module", "standing", "exercises", "runs"):
        table.add_column(column, no_wrap=True)
    for view in overviews:
        module = view.module
        here = ">" if module.name == current else " "
        style = "" if module.number in path else "dim"
        if not module.released:
            table.add_row(
                here, Text(module.label, style="dim"), Text("not in this release", style="dim"), "", ""
            )
            continue
        total = len(module.exercises)
        table.add_row(
            here,
            Text(module.label, style=style),
            Text(view.standing, style=STANDINGS[view.standing]),
            Text(f"{len(view.solved):2} of {total:2} solved", style=style),
            runs(view),
        )
    return table


def runs(view: Overview) -> Text:
    """Whose code `import tinytorch` runs for this module."""
    if view.yours == 0:
        return Text("the reference", style="dim")
    if view.yours == len(view.module.exercises):
        return Text("yours", style="bold green")
    return Text(
        f"yours in {view.yours} of {len(view.module.exercises)}, the reference for the rest", style="green"
    )


def exercise_table(out: Console, module: Module, view: Overview, current: str | None) -> RenderableType:
    parts = []
    for name in module.exercises:
        state = "passed" if name in view.solved else ("failed" if name in view.written else "todo")
        words = {"passed": "", "failed": "  written, not passed", "todo": ""}[state]
        here = "> " if name == current else "  "
        parts.append(Text.assemble(here, mark(out, state), " ", name, (words, "dim")))
    return Group(*parts)
