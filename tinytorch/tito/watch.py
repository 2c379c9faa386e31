"""`tito` alone: watch the current exercise and check it again each time its file is saved.

In the spirit of rustlings. Without a terminal it checks once and says what it found.
"""

import os
import sys
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from ..journey.checking import ExerciseResult
from ..journey.checks import exercises_of
from ..journey.runner import Report
from ..journey.workshop import Workshop, WorkshopError
from . import screens
from .keys import Reader, keys

POLL = 0.05  # seconds between looks at the file
KEYS = "n next   p previous   h hint   l list   r run again   s solution   q quit"


class Watch:
    """The exercise that is watched, and what was last found of it."""

    def __init__(self, shop: Workshop, out: Console):
        self.shop, self.out = shop, out
        self.module = shop.current()
        if not shop.source_file(self.module).exists():
            shop.start(self.module)
        self.name = shop.next_exercise(self.module) or self.module.exercises[-1]
        self.hints, self.note, self.listing = 0, "", False
        self.report: Report | None = None

    @property
    def file(self) -> Path:
        return self.shop.source_file(self.module)

    def stamp(self) -> tuple[int, int] | None:
        """What changes when the file is saved."""
        try:
            state = self.file.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size

    def check(self) -> None:
        """Check the current exercise, and those that were changed since they passed."""
        self.note, self.listing = "", False
        try:
            view = self.shop.overview(self.module)
            again = [name for name in view.written if name not in view.solved and self.passed_once(name)]
            wanted = [name for name in self.module.exercises if name == self.name or name in again]
            self.report = self.shop.check(self.module, wanted)
        except WorkshopError as error:
            self.report, self.note = None, str(error)

    def passed_once(self, name: str) -> bool:
        attempt = self.shop.progress().exercises.get(self.module.name, {}).get(name)
        return attempt is not None and bool(attempt.passed)

    @property
    def result(self) -> ExerciseResult | None:
        found = self.report.exercises if self.report and not self.report.error else []
        return next((result for result in found if result.name == self.name), None)

    def move(self, step: int) -> None:
        """To a neighbour in the list of exercises; beyond the last one the module is exported, if it
        passes.
        """
        exercises = self.module.exercises
        place = exercises.index(self.name) + step
        if 0 <= place < len(exercises):
            self.name, self.hints = exercises[place], 0
            self.check()
        elif place == len(exercises):
            self.finish()

    def next(self) -> None:
        """The next exercise that is not solved, in the order of the module and then from its beginning."""
        view = self.shop.overview(self.module)
        after = self.module.exercises.index(self.name) + 1
        order = self.module.exercises[after:] + self.module.exercises[:after]
        unsolved = [name for name in order if name not in view.solved]
        if not unsolved:
            self.finish()
        elif unsolved == [self.name]:
            self.note = f"{self.name} is the last one that is not solved."
        else:
            self.name, self.hints = next(name for name in unsolved if name != self.name), 0
            self.check()

    def finish(self) -> None:
        """Export the module and go on with the next one of the path."""
        found, exported = self.shop.complete(self.module)
        if exported is None:
            self.report = found
            self.note = f"{self.module.label} is not exported: not everything passes."
            return
        done, self.module = self.module, self.shop.current()
        if not self.shop.source_file(self.module).exists():
            self.shop.start(self.module)
        self.name, self.hints = self.shop.next_exercise(self.module) or self.module.exercises[-1], 0
        self.check()
        self.note = f"{done.label} is yours: the framework runs on it."

    def hint(self) -> None:
        total = len(exercises_of(self.module.slug).all[self.name].hints)
        with self.shop.changing() as progress:
            attempt = progress.attempt(self.module.name, self.name)
            self.hints = min(self.hints + 1, total)
            attempt.hints = max(attempt.hints, self.hints)

    def solution(self) -> None:
        from ..journey import source
        from ..journey.proof import reference_source

        if self.result is None or self.result.state != "passed":
            self.note = (
                f"The solution is here once yours passes; `tito solution {self.name} --reveal` shows it now."
            )
            return
        self.note = source.function(reference_source(self.module), self.name)

    def line(self) -> int:
        """Where the exercise begins in the file; 1 if that cannot be told."""
        from ..journey import source

        try:
            return source.functions(self.shop.read(self.module))[self.name].start
        except (SyntaxError, KeyError, WorkshopError):
            return 1

    # What is shown

    def screen(self) -> RenderableType:
        view = self.shop.overview(self.module)
        bar = screens.progress_bar(self.out, len(view.solved), len(self.module.exercises))
        parts: list[RenderableType] = [
            Text.assemble((self.module.label, "bold"), "  ", bar),
            Rule(style="dim"),
        ]
        if self.listing:
            parts.append(screens.exercise_table(self.out, self.module, view, self.name))
        else:
            where = f"{screens.relative(self.file)}:{self.line()}"
            parts += [Text.assemble((self.name, "bold cyan"), "  ", (where, "dim")), Text("")]
            parts.append(screens.prompt(exercises_of(self.module.slug).all[self.name], self.hints))
            parts.append(Text(""))
            parts += self.verdict()
        if self.note:
            parts += [Text(""), Text(self.note, style="cyan")]
        parts += [Rule(style="dim"), Text(KEYS, style="dim")]
        return Group(*parts)

    def verdict(self) -> list[RenderableType]:
        if self.report is None:
            return []
        if self.report.error:
            return [screens.report(self.out, self.report)]
        result = self.result
        parts: list[RenderableType] = []
        if result is not None and result.state == "todo":
            parts.append(Text("Write it, save the file, and it is checked here.", style="yellow"))
        elif result is not None:
            parts.append(screens.exercise_result(self.out, result))
            if result.state == "passed":
                words = f"\nPassed in {self.report.seconds:.1f} s. Press n for the next one."
                parts.append(Text(words, style="green"))
        parts += [
            Padding(screens.exercise_result(self.out, other), (1, 0, 0, 0))
            for other in self.report.exercises
            if other.name != self.name and other.state != "passed"
        ]
        return parts


def watch(shop: Workshop) -> int:
    """Run until q or Ctrl-C. Without a terminal: one check; the exit status says whether it passed."""
    out = screens.console()
    state = Watch(shop, out)
    state.check()
    if not (sys.stdin.isatty() and out.is_terminal):
        out.print(state.screen())
        return 0 if state.result is not None and state.result.state == "passed" else 1
    try:
        with keys() as read:
            _loop(state, out, read)
    except (KeyboardInterrupt, EOFError):
        out.print()
    return 0


def _loop(state: Watch, out: Console, read: Reader) -> None:
    actions = {
        "n": state.next, "p": lambda: state.move(-1), "h": state.hint, "r": state.check, "s": state.solution,
    }  # fmt: skip
    seen, size = state.stamp(), os.get_terminal_size()
    _show(state, out)
    while True:
        key = read(POLL)
        if key in ("q", "\x03", "\x04"):
            return
        if key in actions:
            state.listing = False
            actions[key]()
        elif key == "l":
            state.listing = not state.listing
        elif (now := state.stamp()) != seen and now is not None:
            seen = now
            state.check()
        elif os.get_terminal_size() == size:
            continue
        if key:
            seen = state.stamp()
        size = os.get_terminal_size()
        _show(state, out)


def _show(state: Watch, out: Console) -> None:
    out.clear()
    out.print(state.screen())
