"""Are the exercises what they claim to be? For every one: the reference passes, also while what comes after
it is a stub; the stub fails; and each known mistake is caught, fails with the same values each time, and is
answered by its own diagnosis.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from . import source
from .checking import Exercise, failures_of, most_alike, run_checks
from .checks import exercises_of
from .manifest import Module
from .patching import patched

REFERENCE = Path(__file__).resolve().parents[1] / "core"
LEAST_CHECKS = LEAST_HINTS = LEAST_MISTAKES = 2
TELLING = 24  # characters from which a line of an answer says something


def reference_source(module: Module) -> str:
    """The text of a module's file in this package."""
    return (REFERENCE / f"{module.slug}.py").read_text(encoding="utf-8")


def stub_source(module: Module) -> str:
    """The file a reader begins with."""
    exercises = exercises_of(module.slug).all.values()
    return source.stub(reference_source(module), {exercise.name: exercise.prompt for exercise in exercises})


def problems(module: Module) -> Iterator[str]:
    """What is wrong with the exercises of a module: one sentence each, none if all is well.

    Runs on the modules that `import tinytorch.core` gives, which have to be the reference.
    """
    exercises = exercises_of(module.slug).all
    if tuple(exercises) != module.exercises:
        listed, written = ", ".join(module.exercises), ", ".join(exercises)
        yield f"{module.name}: journey.toml lists {listed}; the checks are for {written}"
        return
    yield from _leaks(module)
    yield from _early(module)
    reference = reference_source(module)
    for exercise in exercises.values():
        for problem in _problems_of(exercise, reference):
            yield f"{module.name} {exercise.name}: {problem}"


def _problems_of(exercise: Exercise, reference: str) -> Iterator[str]:
    for what, count, least in (
        ("check", len(exercise.checks), LEAST_CHECKS),
        ("hint", len(exercise.hints), LEAST_HINTS),
        ("known mistake", len(exercise.mistakes), LEAST_MISTAKES),
    ):
        if count < least:
            yield f"has {count} {what}s, at least {least} are needed"
    titles = [check.title for check in exercise.checks]
    if len(set(titles)) != len(titles):
        yield "two checks have the same title"
    for check in run_checks(exercise).failures:
        words = check.error or f"{check.call} got {check.got}, expected {check.expected}"
        yield f"the reference fails {check.title!r}: {words}"
    module = import_module(f"tinytorch.core.{exercise.module}")
    written = source.function(reference, exercise.name)
    empty = source.function(source.stub(reference, {exercise.name: exercise.prompt}), exercise.name)
    if not failures_of(exercise, module, empty):
        yield "the stub passes"
    failing = []
    for mistake in exercise.mistakes:
        try:
            failures, again = (failures_of(exercise, module, mistake.source(written)) for _ in range(2))
        except (source.SourceError, SyntaxError) as error:
            yield f"the mistake {mistake.diagnosis!r} cannot be run: {error}"
            continue
        failing.append((mistake.diagnosis, failures))
        if not failures:
            yield f"no check catches the mistake {mistake.diagnosis!r}"
        if failures != again:
            yield f"the mistake {mistake.diagnosis!r} fails with other values each time"
    for diagnosis, failures in failing:
        answer = most_alike(failures, failing)
        if failures and answer != diagnosis:
            yield f"the mistake {diagnosis!r} is answered by {answer!r}"


def _early(module: Module) -> Iterator[str]:
    """Exercises whose checks need a function that is to be written only after them."""
    code = import_module(f"tinytorch.core.{module.slug}")
    exercises, stub = list(exercises_of(module.slug).all.values()), stub_source(module)
    stubs, lines = source.functions(stub), source.lines_of(stub)
    for number, exercise in enumerate(exercises, 1):
        with ExitStack() as later:
            for other in exercises[number:]:
                text = stubs[other.name].text(lines)
                later.enter_context(patched(code, other.name, text, "<stub>"))
            result = run_checks(exercise)
        for check in result.failures[:1]:
            words = check.error or f"{check.call} got {check.got}"
            yield f"{module.name} {exercise.name}: {check.title!r} needs a later exercise: {words}"


def _leaks(module: Module) -> Iterator[str]:
    """Answers most of whose lines the stub file shows somewhere else."""
    reference, emptied = reference_source(module), stub_source(module)
    shown, kept = {line.strip() for line in emptied.splitlines()}, source.functions(emptied)
    for name in module.exercises:
        whole = {line.strip() for line in source.function(reference, name).splitlines()}
        head = {line.strip() for line in kept[name].text(source.lines_of(emptied)).splitlines()}
        answer = {line for line in whole - head if len(line) >= TELLING}
        if len(answer & shown) > len(answer) / 2:
            yield f"{module.name} {name}: the stub file shows the answer: {'; '.join(sorted(answer & shown))}"
