"""What an exercise is made of, and how it is judged: prompt, hints, checks, known mistakes.

A file of `tinytorch/journey/checks/` holds the exercises of one module:

    exercises = Exercises("activations")

    relu = exercises.add(
        "relu",
        prompt="Each element below zero becomes zero; the others stay as they are.",
        hints=("Compare each element with 0 and keep the larger.", "np.maximum does that for a whole array."),
        mistakes=(
            swap("np.maximum(input, zeros_beside(input))", "np.abs(input)", "A negative became positive."),
        ),
    )

    @relu.check("negative numbers become zero")
    def _():
        call(activations.relu, tensor([-2.0, 0.0, 3.0])).gives([0.0, 0.0, 3.0])

A check is a plain function that returns, or raises CheckError with what was called, what came and what
should have come. A known mistake is a wrong solution. If the reader's function fails the same checks with
the same values, it is that mistake, and its one-sentence diagnosis is shown: nobody has to write code that
recognizes a mistake.
"""

import ast
import contextlib
import io
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, NoReturn

import numpy as np

from . import source
from .patching import Patch, patched

State = Literal["passed", "failed", "todo", "missing", "stopped", "not run"]
SHOWN = 16  # elements: arrays up to this size are written out
DEEPEST = 200  # calls inside each other that a check in the browser may make
PRINTED = 2000  # characters kept of what the reader's code prints in one check


# Content


@dataclass(frozen=True)
class Mistake:
    """A wrong solution, as changes to the reference's text or whole, and what to tell whoever wrote it."""

    diagnosis: str
    changes: tuple[tuple[str, str], ...] = ()
    text: str = ""

    def source(self, reference: str) -> str:
        """The wrong function's source. Raises SourceError if the text that it changes is not there."""
        if self.text:
            return self.text
        for old, new in self.changes:
            if old not in reference:
                raise source.SourceError(
                    f"the mistake {self.diagnosis!r} changes {old!r}, which is not there"
                )
            reference = reference.replace(old, new)
        return reference


def swap(old: str, new: str, diagnosis: str, *more: tuple[str, str]) -> Mistake:
    """The reference with `old` replaced by `new` (and further pairs)."""
    return Mistake(diagnosis, ((old, new), *more))


def wrong(text: str, diagnosis: str) -> Mistake:
    """A whole function, written wrongly: its `def` at the left margin."""
    import textwrap

    return Mistake(diagnosis, text=textwrap.dedent(text).strip() + "\n")


@dataclass(frozen=True)
class Check:
    title: str
    run: Callable[[], None]


@dataclass
class Exercise:
    """One function to write. name: qualified, as in the module's file."""

    module: str
    name: str
    prompt: str
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    checks: list[Check] = field(default_factory=list)

    def check(self, title: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
        """Decorator: one more check of this exercise, with the name that people read."""

        def add(run: Callable[[], None]) -> Callable[[], None]:
            self.checks.append(Check(title, run))
            return run

        return add


class Exercises:
    """The exercises of one module, in order."""

    def __init__(self, module: str):
        self.module, self.all = module, {}

    all: dict[str, Exercise]

    def add(self, name: str, *, prompt: str, hints: Sequence[str], mistakes: Sequence[Mistake]) -> Exercise:
        self.all[name] = Exercise(self.module, name, prompt, tuple(hints), tuple(mistakes))
        return self.all[name]


# What checks say


class CheckError(AssertionError):
    """A check's answer: what was called, what came, what should have come."""

    def __init__(self, call: str, got: str, expected: str, notes: Iterable[str] = (), value: Any = None):
        super().__init__(f"{call}: got {got}, expected {expected}")
        self.call, self.got, self.expected, self.notes = call, got, expected, tuple(notes)
        self.signature = (call, _rounded(value))


class Seen:
    """A value that a check looks at, under the words for where it came from."""

    def __init__(self, words: str, value: Any):
        self.words, self.value = words, value

    def gives(self, expected: Any, rtol: float = 1e-5, atol: float = 1e-6, note: str = "") -> None:
        """Equal in kind, shape, dtype (where `expected` is an array or Tensor) and value.

        A list or number expects an array or Tensor of any float dtype, or the same plain Python value.
        """
        problem = _difference(self.value, expected, rtol, atol)
        if problem is not None:
            self.fails(shown(expected), [*problem, *([note] if note else [])])

    def satisfies(self, condition: bool, expected: str, note: str = "") -> None:
        """`expected`: the condition in words, such as "a number from 0 to 1"."""
        if not condition:
            self.fails(expected, [note] if note else [])

    def fails(self, expected: str, notes: Iterable[str] = ()) -> NoReturn:
        raise CheckError(self.words, shown(self.value), expected, notes, self.value)


def see(words: str, value: Any) -> Seen:
    """A value to compare, with the words that say what it is: see("weight after two steps", weight)."""
    return Seen(words, value)


def call(function: Any, *args: Any, **kwargs: Any) -> Seen:
    """Call the reader's function and look at what comes: call(softmax, x, dim=1).gives(expected)."""
    return Seen(call_in_words(function, args, kwargs), function(*args, **kwargs))


def call_in_words(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> str:
    name = str(getattr(function, "__qualname__", None) or getattr(function, "__name__", function))
    given = [shown(arg, short=True) for arg in args]
    given += [f"{key}={shown(value, short=True)}" for key, value in kwargs.items()]
    return f"{name.removeprefix('_')}({', '.join(given)})"


def raises(kind: type[BaseException], function: Any, *args: Any, says: str = "", **kwargs: Any) -> None:
    """The call has to raise an error of this kind whose message has the words `says` in it."""
    words = call_in_words(function, args, kwargs)
    expected = f"{kind.__name__}" + (f" that says {says!r}" if says else "")
    try:
        value = function(*args, **kwargs)
    except kind as error:
        if says.lower() not in str(error).lower():
            raise CheckError(words, f"{type(error).__name__}: {error}", expected, (), str(error)) from None
        return
    raise CheckError(words, shown(value), expected, (), value)


def gradients(
    words: str, function: Callable[..., Any], *inputs: Any, rtol: float = 1e-4, atol: float = 1e-6
) -> None:
    """Backward through `function` against differences: analytic and numeric gradient, element by element.

    inputs: float64 arrays; each becomes a Tensor that requires a gradient. The function's result is
    weighted with fixed numbers and summed, so that every element of it counts.
    """
    from tinytorch.core.tensor import Tensor, tensor

    arrays = [np.array(x, np.float64) for x in inputs]

    def weighted(*tensors: Any) -> Any:
        out = function(*tensors)
        weights = np.random.default_rng(7).uniform(0.5, 1.5, out.shape)
        return (out * tensor(weights)).sum()

    tensors = [tensor(x) for x in arrays]
    for x in tensors:
        x.requires_grad = True
    weighted(*tensors).backward()
    for number, (x, array) in enumerate(zip(tensors, arrays, strict=True), 1):
        which = words if len(arrays) == 1 else f"{words}, gradient of argument {number}"
        if not isinstance(x.grad, Tensor):
            raise CheckError(which, "no gradient", f"one of shape {array.shape}", (), None)
        analytic, numeric = x.grad.numpy(), np.zeros_like(array)
        if analytic.shape != array.shape:
            raise CheckError(
                which, f"a gradient of shape {analytic.shape}", f"shape {array.shape}", (), analytic
            )
        for index in np.ndindex(array.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [tensor(other) for other in arrays]
                moved[number - 1].array[index] += step
                ends.append(float(weighted(*moved).item()))
            numeric[index] = (ends[0] - ends[1]) / 2e-6
        wrong_at = np.argwhere(~np.isclose(analytic, numeric, rtol, atol))
        if len(wrong_at):
            notes = ["element       analytic      numeric"]
            notes += [
                f"{tuple(map(int, i))!s:<12} {analytic[tuple(i)]:>10.5g}   {numeric[tuple(i)]:>10.5g}"
                for i in wrong_at[:6]
            ]
            if len(wrong_at) > 6:
                notes.append(f"and {len(wrong_at) - 6} more of {array.size}")
            raise CheckError(which, shown(analytic), shown(numeric), notes, analytic)


# Values in words


def shown(value: Any, short: bool = False) -> str:
    """A value as a message shows it: small arrays written out, large ones by shape and dtype."""
    array = _array(value)
    if array is None:
        text = _numbers(value) if isinstance(value, (list, float)) else " ".join(repr(value).split())
        text = re.sub(" at 0x[0-9a-f]+", "", text, flags=re.IGNORECASE)  # another one in each run
        return text if len(text) <= 200 else text[:197] + "…"
    kind = "tensor" if _is_tensor(value) else "array"
    if array.size > (8 if short else SHOWN):
        return f"{kind} of shape {array.shape}, {array.dtype}"
    numbers = _numbers(array.tolist())
    if short:
        return f"{kind}({numbers})"
    return f"{kind}({numbers}), shape {array.shape}, {array.dtype}"


def _numbers(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_numbers, value))}]"
    return f"{value:.5g}" if isinstance(value, float) else repr(value)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "array") and hasattr(value, "requires_grad")


def _array(value: Any) -> np.ndarray | None:
    if _is_tensor(value):
        value = value.array
    return value if isinstance(value, np.ndarray) else None


def _difference(got: Any, expected: Any, rtol: float, atol: float) -> list[str] | None:
    """Notes on what differs; None where nothing does."""
    have, want = _array(got), _array(expected)
    if want is None and have is None:
        if (
            isinstance(expected, float)
            and isinstance(got, (int, float, np.number))
            and not isinstance(got, bool)
        ):
            return None if np.isclose(got, expected, rtol, atol, equal_nan=True) else []
        if isinstance(expected, (list, tuple)) and type(got) is type(expected) and len(got) == len(expected):
            pairs = zip(got, expected, strict=True)
            return next((d for d in (_difference(a, b, rtol, atol) for a, b in pairs) if d is not None), None)
        if type(got) is type(expected):
            return None if got == expected else []
        return [f"got the type {type(got).__name__}, expected {type(expected).__name__}"]
    if have is None:
        wanted = "a tensor" if _is_tensor(expected) else "an array"
        return [f"got the type {type(got).__name__}, expected {wanted}"]
    if _is_tensor(expected) and not _is_tensor(got):
        return ["got a NumPy array, expected a tensor"]
    exact = want is not None
    want = np.asarray(expected) if want is None else want
    if have.shape != want.shape:
        return [f"got shape {have.shape}, expected {want.shape}"]
    if exact and have.dtype != want.dtype:
        return [f"got dtype {have.dtype}, expected {want.dtype}"]
    if want.dtype.kind not in "fc" and have.dtype.kind not in "fc":
        equal = have == want
    else:
        equal = np.isclose(have, want, rtol, atol, equal_nan=True)
    if equal.all():
        return None
    if want.ndim == 0 or want.size <= SHOWN:
        return []
    first = tuple(map(int, np.argwhere(~equal)[0]))
    return [
        f"{int((~equal).sum())} of {want.size} elements differ, the first at {first}: "
        f"got {have[first]:.6g}, expected {want[first]:.6g}"
    ]


def _rounded(value: Any) -> Any:
    """A value by which two failures are compared: four digits, shape and dtype."""
    array = _array(value)
    if array is not None:
        if array.dtype.kind in "fc":
            with np.errstate(all="ignore"):
                return array.shape, str(array.dtype), tuple(f"{x:.3e}" for x in array.ravel()[:4096].tolist())
        return array.shape, str(array.dtype), array.tobytes()[:16384]
    if isinstance(value, (float, np.floating)):
        return f"{value:.3e}"
    if isinstance(value, (list, tuple)):
        return tuple(_rounded(member) for member in value)
    if isinstance(value, dict):
        return tuple((str(key), _rounded(member)) for key, member in value.items())
    text = repr(value)
    return type(value).__name__ if " at 0x" in text else text


# Judging


@dataclass
class CheckResult:
    """`trace`: the reader's own lines that an error went through. `signature` compares failures."""

    title: str
    passed: bool
    call: str = ""
    got: str = ""
    expected: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    trace: tuple[str, ...] = ()
    printed: str = ""
    signature: Any = None


@dataclass
class ExerciseResult:
    name: str
    state: State
    checks: list[CheckResult] = field(default_factory=list)
    diagnosis: str = ""
    message: str = ""

    @property
    def failures(self) -> list[CheckResult]:
        return [check for check in self.checks if not check.passed]


class Printed(io.TextIOBase):
    """Takes what a check's code prints and keeps the beginning."""

    def __init__(self) -> None:
        self.kept, self.length = [], 0

    kept: list[str]

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        room = PRINTED - self.length
        if room > 0:
            self.kept.append(text[:room])
        self.length += len(text)
        return len(text)

    def text(self) -> str:
        text = "".join(self.kept)
        return text if self.length <= PRINTED else f"{text}… ({self.length:,} characters in all)"


def run_check(check: Check, path: str = "") -> CheckResult:
    """Run one check. Nothing that the checked code raises, SystemExit included, gets out, except
    KeyboardInterrupt.
    """
    printed = Printed()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), same_luck():
            check.run()
    except CheckError as failed:
        return CheckResult(
            check.title, False, failed.call, failed.got, failed.expected, failed.notes,
            printed=printed.text(), signature=failed.signature,
        )  # fmt: skip
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, SystemExit):
            words = "the code called exit()"
        return CheckResult(
            check.title, False, error=words, trace=tuple(_own_lines(error, path)),
            printed=printed.text(), signature=(type(error).__name__, str(error).partition("\n")[0]),
        )  # fmt: skip
    return CheckResult(check.title, True, printed=printed.text())


@contextlib.contextmanager
def same_luck() -> Iterator[None]:
    """Every check starts with the same random numbers, whatever ran before it, and NumPy warns of nothing.

    In the browser the stack is small, and code that calls itself for ever would overflow it before Python
    says so.
    """
    from tinytorch.core import tensor

    tensor.manual_seed(0)
    np.random.seed(0)
    limit = sys.getrecursionlimit()
    if sys.platform == "emscripten":
        sys.setrecursionlimit(min(limit, len(traceback.extract_stack()) + DEEPEST))
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        sys.setrecursionlimit(limit)


def _own_lines(error: BaseException, path: str) -> Iterator[str]:
    for frame in traceback.extract_tb(error.__traceback__):
        if path and frame.filename == path:
            yield f"line {frame.lineno}, in {frame.name}: {(frame.line or '').strip()}"


def run_checks(
    exercise: Exercise, path: str = "", began: Callable[[str], None] | None = None
) -> ExerciseResult:
    """All checks of an exercise, on the function as it is now. `began` hears the title of each before it
    runs.
    """
    results = []
    for check in exercise.checks:
        if began:
            began(check.title)
        results.append(run_check(check, path))
    passed = all(result.passed for result in results)
    return ExerciseResult(exercise.name, "passed" if passed else "failed", results)


Failures = list[tuple[str, Any]]  # (title of the check, signature)


def diagnose(exercise: Exercise, module: ModuleType, reference: str, result: ExerciseResult) -> str:
    """The diagnosis of the known mistake that fails as the reader's function did; "" where none does.

    reference: the source of the reference's function.
    """
    mistakes = ((m.diagnosis, failures_of(exercise, module, m.source(reference))) for m in exercise.mistakes)
    return most_alike(failures_in(result), mistakes)


def most_alike(failures: Failures, mistakes: Iterable[tuple[str, Failures]]) -> str:
    """The diagnosis of the mistake with all these failures, else of the first that shares the first one."""
    alike = ""
    for diagnosis, theirs in mistakes:
        if theirs == failures:
            return diagnosis
        if theirs and failures and theirs[0] == failures[0]:
            alike = alike or diagnosis
    return alike


def failures_in(result: ExerciseResult) -> Failures:
    return [(check.title, check.signature) for check in result.failures]


def failures_of(exercise: Exercise, module: ModuleType, text: str) -> Failures:
    """How a function of this source fails the checks."""
    with patched(module, exercise.name, text, "<known mistake>"):
        return failures_in(run_checks(exercise))


def examine(
    exercises: Iterable[Exercise],
    module: ModuleType,
    text: str,
    reference: str,
    path: str,
    began: Callable[[str, str], None] | None = None,
    ended: Callable[[ExerciseResult], None] | None = None,
) -> list[ExerciseResult]:
    """Judge the functions of a reader's file one after the other, each on the reference's other functions
    and on the reader's own that passed before.

    module: the running module, with the reference's functions in it; those of the reader that pass stay in
    it.
    text: the reader's file; path: where it is. Raises SyntaxError if it is not Python.
    began, ended: hear each check before it runs and each exercise when it is judged.
    """
    found, lines = source.functions(text), source.lines_of(text)
    theirs, their_lines = source.functions(reference), source.lines_of(reference)
    answers = []
    for exercise in exercises:
        if exercise.name not in found:
            words = f"{exercise.name} is not in the file any more. `tito module reset` brings back its stub."
            answer = ExerciseResult(exercise.name, "missing", message=words)
        elif source.is_stub(found[exercise.name].node):
            answer = ExerciseResult(exercise.name, "todo")
        else:
            original = theirs[exercise.name]
            answer = _decorated_otherwise(original, found[exercise.name]) or _judge(
                exercise, module, found[exercise.name], lines, original.text(their_lines), path, began
            )
        answers.append(answer)
        if ended:
            ended(answer)
    return answers


def _decorated_otherwise(theirs: source.Function, written: source.Function) -> ExerciseResult | None:
    """A failure where the stub's decorators did not stay: what is exchanged is only what they decorate."""
    wanted, have = ([f"@{ast.unparse(d)}" for d in f.node.decorator_list] for f in (theirs, written))
    if wanted == have:
        return None
    words = f"above it has to stand {' and '.join(wanted) or 'no decorator'}, as in the stub"
    return ExerciseResult(theirs.name, "failed", message=words)


def _judge(
    exercise: Exercise,
    module: ModuleType,
    written: source.Function,
    lines: list[str],
    reference: str,
    path: str,
    began: Callable[[str, str], None] | None,
) -> ExerciseResult:
    try:
        patch = Patch(module, exercise.name, written.text(lines), path, written.start)
    except Exception as error:  # in a default of the reader's
        return ExerciseResult(exercise.name, "failed", message=f"{type(error).__name__}: {error}")
    patch.apply()
    result = run_checks(exercise, path, (lambda title: began(exercise.name, title)) if began else None)
    if result.state == "failed":
        patch.undo()
        result.diagnosis = diagnose(exercise, module, reference, result)
    return result
