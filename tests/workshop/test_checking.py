"""What checks say, and how a wrong function finds its diagnosis."""

import sys
from types import ModuleType

import numpy as np
import pytest

from tinytorch.core.tensor import tensor
from tinytorch.journey.checking import (
    CheckError,
    Exercises,
    call,
    diagnose,
    examine,
    gradients,
    raises,
    run_check,
    run_checks,
    see,
    shown,
    swap,
    wrong,
)

REFERENCE = "def double(x):\n    return 2 * x\n\n\ndef shout(text):\n    return text.upper()\n"


@pytest.fixture
def module():
    made = ModuleType("tinytorch.core.example")
    exec(REFERENCE, made.__dict__)
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


@pytest.fixture
def exercises(module):
    found = Exercises("example")
    double = found.add(
        "double",
        prompt="Twice x.",
        hints=("a", "b"),
        mistakes=(
            swap("2 * x", "x", "This gives x back."),
            wrong("def double(x):\n    return x + 2\n", "This adds two."),
        ),
    )

    @double.check("three becomes six")
    def _():
        call(module.double, 3.0).gives(6.0)

    @double.check("two becomes four")
    def _():
        call(module.double, 2.0).gives(4.0)

    shout = found.add("shout", prompt="Loud.", hints=("a", "b"), mistakes=())

    @shout.check("letters become capitals")
    def _():
        call(module.shout, "a").gives("A")

    return found


def failure(run):
    with pytest.raises(CheckError) as caught:
        run()
    return caught.value


def test_a_failure_says_call_got_and_expected():
    found = failure(lambda: call(np.negative, np.array([1.0])).gives([1.0]))
    assert found.call == "negative(array([1]))"
    assert found.got == "array([-1]), shape (1,), float64"
    assert found.expected == "[1]"


@pytest.mark.parametrize(
    ("got", "expected", "note"),
    [
        (np.zeros((2, 1)), np.zeros(2), "got shape (2, 1), expected (2,)"),
        (np.zeros(2), np.zeros(2, np.float32), "got dtype float64, expected float32"),
        (np.zeros(2), tensor([0.0, 0.0]), "got a NumPy array, expected a tensor"),
        (None, [1.0], "got the type NoneType, expected list"),
        (None, np.zeros(2), "got the type NoneType, expected an array"),
        (
            np.arange(40.0),
            np.arange(40.0) + (np.arange(40) == 3),
            "1 of 40 elements differ, the first at (3,)",
        ),
    ],
)
def test_what_differs_is_said(got, expected, note):
    assert any(note in each for each in failure(lambda: see("it", got).gives(expected)).notes)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1.0, 1.0 + 1e-9), (np.float32(2), 2.0), (True, True), ("a", "a"), (np.array([np.nan]), [np.nan]),
        (np.array([1, 2]), [1, 2]), ((1.0, "a"), (1.0, "a")), (None, None), (tensor([1.0]), [1.0]),
        (np.zeros((0, 3)), np.zeros((0, 3))),
    ],
)  # fmt: skip
def test_equal_values_pass(got, expected):
    see("it", got).gives(expected)


@pytest.mark.parametrize(
    ("got", "expected"),
    [(1.0, 2.0), (True, 1), (1, True), (1, "1"), ([1.0], (1.0,)), ((1.0, 2.0), (1.0, 3.0)), (np.nan, 1.0)],
)
def test_different_values_fail(got, expected):
    failure(lambda: see("it", got).gives(expected))


def test_raises_wants_the_kind_and_the_words():
    raises(ValueError, int, "x", says="invalid")
    assert (
        "ValueError that says 'sorry'" in failure(lambda: raises(ValueError, int, "x", says="sorry")).expected
    )
    assert failure(lambda: raises(ValueError, int, "3")).got == "3"
    with pytest.raises(TypeError):
        raises(ValueError, int, [])


def test_gradients_show_both_sides_element_by_element():
    gradients("x * x", lambda x: x * x, [1.0, -2.0])
    gradients("x @ y", lambda x, y: x @ y, np.ones((2, 3)), np.ones((3, 2)))
    from tinytorch.core.autograd import derivative
    from tinytorch.core.tensor import op

    @op
    def cube(x):
        return x * x * x

    derivative(cube, lambda g, x: 2 * g * x * x)
    found = failure(lambda: gradients("x cubed", cube, [1.0, 2.0]))
    assert found.notes[0].split() == ["element", "analytic", "numeric"]
    assert len(found.notes) == 3
    row = found.notes[2].split()
    assert row[0] == "(1,)"
    assert float(row[2]) == pytest.approx(1.5 * float(row[1]), rel=1e-3)


def test_an_input_without_a_gradient_is_said():
    assert failure(lambda: gradients("y", lambda x, y: y * 1.0, [1.0], [2.0])).got == "no gradient"


def test_long_values_are_shortened():
    assert shown(np.zeros((50, 2), np.float32)) == "array of shape (50, 2), float32"
    assert shown(tensor([[1.5, -2.0]])) == "tensor([[1.5, -2]]), shape (1, 2), float32"
    assert len(shown("x" * 1000)) == 198
    assert "0x" not in shown(np.random.default_rng(0)).lower()
    assert shown({"a": tensor([[1.0], [2.0]])}).count("\n") == 0


def test_what_the_code_prints_is_kept_up_to_a_limit(exercises):
    double = exercises.all["double"]
    double.checks.clear()

    @double.check("prints")
    def _():
        print("hello")
        print("x" * 10_000)

    result = run_check(double.checks[0])
    assert result.printed.startswith("hello\nxxx")
    assert "10,007 characters in all" in result.printed
    assert len(result.printed) < 2100


@pytest.mark.parametrize(
    "error", [SystemExit(3), RecursionError("deep"), MemoryError(), AssertionError("no"), OSError("x")]
)
def test_nothing_that_the_code_raises_gets_out(exercises, error):
    double = exercises.all["double"]
    double.checks.clear()

    @double.check("raises")
    def _():
        raise error

    result = run_check(double.checks[0])
    assert not result.passed
    assert ("exit()" if isinstance(error, SystemExit) else type(error).__name__) in result.error


def test_an_interrupt_does(exercises):
    double = exercises.all["double"]
    double.checks.clear()

    @double.check("interrupted")
    def _():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_check(double.checks[0])


def test_every_check_starts_with_the_same_random_numbers(exercises):
    double, drawn = exercises.all["double"], []
    double.checks.clear()
    for title in "ab":
        double.check(title)(lambda: drawn.append(np.random.random()))
    run_checks(double)
    assert drawn[0] == drawn[1]


# Diagnosis


def examined(exercises, module, text):
    return {r.name: r for r in examine(exercises.all.values(), module, text, REFERENCE, "mine.py")}


def test_a_known_mistake_written_in_other_words_gets_its_diagnosis(exercises, module):
    mine = REFERENCE.replace("return 2 * x", "y = x\n    return y")
    result = examined(exercises, module, mine)["double"]
    assert result.state == "failed"
    assert result.diagnosis == "This gives x back."
    mine = REFERENCE.replace("return 2 * x", "return 1 + 1 + x")
    assert examined(exercises, module, mine)["double"].diagnosis == "This adds two."


def test_a_mistake_that_nobody_knows_gets_none(exercises, module):
    assert examined(exercises, module, REFERENCE.replace("2 * x", "7 * x"))["double"].diagnosis == ""


def test_what_fails_alike_in_everything_comes_before_what_fails_alike_first(exercises, module):
    double = exercises.all["double"]
    first = wrong("def double(x):\n    return x if x == 3 else 2 * x\n", "Only three is wrong.")
    object.__setattr__(double, "mistakes", (first, *double.mistakes))
    result = examined(exercises, module, REFERENCE.replace("2 * x", "x"))["double"]
    assert result.diagnosis == "This gives x back."
    only = "x if x == 3.0 else x + 7"
    assert (
        examined(exercises, module, REFERENCE.replace("2 * x", only))["double"].diagnosis
        == "Only three is wrong."
    )


def test_each_exercise_is_judged_by_itself(exercises, module):
    text = "def double(x):\n    return 7\n\n\ndef shout(text):\n    return double('x') and text.upper()\n"
    found = examined(exercises, module, text)
    assert found["double"].state == "failed"
    assert found["shout"].state == "passed"  # on the reference's double
    assert module.double(4) == 8


def test_a_function_that_passed_stays_for_the_next(exercises, module):
    text = "def double(x):\n    return x + x\n\n\ndef shout(text):\n    raise NotImplementedError\n"
    found = examined(exercises, module, text)
    assert (found["double"].state, found["shout"].state) == ("passed", "todo")
    assert module.double("ab") == "abab"
    assert module.double.__code__.co_filename == "mine.py"


def test_a_function_that_is_gone_is_missing(exercises, module):
    found = examined(exercises, module, "def shout(text):\n    return text.upper()\n")
    assert found["double"].state == "missing"


def test_the_decorators_of_the_stub_have_to_stay(exercises, module):
    found = examined(exercises, module, "@nothing\n" + REFERENCE)
    assert "no decorator" in found["double"].message
    assert found["double"].state == "failed"
    assert found["shout"].state == "passed"


def test_the_readers_lines_are_named(exercises, module, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("def double(x):\n    return x.nothing\n", "utf-8")
    found = examine(exercises.all.values(), module, mine.read_text("utf-8"), REFERENCE, str(mine))
    assert found[0].checks[0].trace == ("line 2, in double: return x.nothing",)


def test_a_diagnosis_leaves_the_function_as_it_was(exercises, module):
    double = exercises.all["double"]
    diagnose(double, module, "def double(x):\n    return 2 * x\n", run_checks(double))
    assert module.double(4) == 8
