"""Many readers' workspaces checked, none of which can disturb the others or the one who grades.

Every module runs in a process of its own, in a folder of its own, with limits on time, memory and files,
and behind a hook that refuses to write elsewhere, start processes or open connections. That keeps accidents
and pranks apart. It is no jail: Python code that sets out to break the hook from inside can. Grade what you
do not trust at all in a container.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import archive
from .checking import ExerciseResult
from .manifest import Module, journey
from .runner import Limits, check_file

FILE = 10 << 20  # bytes that one file of checked code may have
LARGEST_ZIP = 32 << 20  # bytes


@dataclass(frozen=True)
class Grade:
    """One exercise of one submission. `remark`: the diagnosis, the first failure or the error, in words."""

    submission: str
    module: str
    exercise: str
    state: str
    checks_passed: int
    checks: int
    remark: str


def grade(
    submissions: Iterable[Path],
    modules: Iterable[Module] = (),
    seconds: float = 120,
    memory: int = 2 << 30,
    finished: Callable[[str], None] | None = None,
) -> Iterator[Grade]:
    """The grades of all submissions, in their order.

    modules: only these (all); seconds, memory: limits for the checks of one module, memory in bytes where
    the system can enforce it; finished: hears the name of each submission when it is done.
    """
    chosen = tuple(modules) or tuple(module for module in journey().modules if module.released)

    def one(path: Path) -> list[Grade]:
        found = list(grade_one(path, chosen, seconds, memory))
        if finished:
            finished(path.name)
        return found

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for grades in pool.map(one, submissions):
            yield from grades


def grade_one(path: Path, modules: Iterable[Module], seconds: float, memory: int) -> Iterator[Grade]:
    """The grades of one zip file. One that is not a workspace gives a single entry that says why."""
    try:
        if path.stat().st_size > LARGEST_ZIP:
            raise archive.ArchiveError(f"more than {LARGEST_ZIP:,} bytes")
        found = archive.unpack(path.read_bytes())
    except (archive.ArchiveError, OSError) as error:
        yield Grade(path.name, "", "", "unreadable", 0, 0, str(error))
        return
    with tempfile.TemporaryDirectory(prefix="tinytorch-grade-", ignore_cleanup_errors=True) as scratch:
        root = Path(scratch).resolve()
        (root / "modules" / ".tito").mkdir(parents=True)
        package = root / "modules" / "package" / "core"
        package.mkdir(parents=True)
        for name, text in found.files.items():
            if name.startswith("package/"):
                (package / name.removeprefix("package/")).write_text(text, "utf-8")
        for module in modules:
            source = found.files.get(f"source/{module.name}/{module.slug}.py")
            if source is None:
                for exercise in module.exercises:
                    yield Grade(path.name, module.name, exercise, "not started", 0, 0, "")
                continue
            yield from _grade_module(path.name, root, module, source, seconds, memory)


def _grade_module(
    submission: str, root: Path, module: Module, text: str, seconds: float, memory: int
) -> Iterator[Grade]:
    folder = root / module.name
    folder.mkdir()
    file = folder / f"{module.slug}.py"
    file.write_text(text, "utf-8")
    limits = Limits(memory=memory, file=FILE, seconds=seconds, fenced=True)
    report = check_file(module, file, text, root, limits=limits, folder=folder)
    for result in report.exercises or [ExerciseResult(name, "not run") for name in module.exercises]:
        remark = report.error or result.diagnosis or result.message or _first_failure(result)
        passed = sum(check.passed for check in result.checks)
        state = "failed" if report.error else result.state
        yield Grade(submission, module.name, result.name, state, passed, len(result.checks), remark)


def _first_failure(result: ExerciseResult) -> str:
    for check in result.failures:
        return f"{check.title}: {check.error or f'{check.call} gave {check.got}, expected {check.expected}'}"
    return ""
