"""Checks in a process of their own: whatever the reader's code does, there is an answer."""

import sys
import time

import pytest

from tinytorch.journey import source
from tinytorch.journey.manifest import journey
from tinytorch.journey.proof import reference_source, stub_source
from tinytorch.journey.runner import Limits, check_file

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="starts processes")
MODULE = journey().module("activations")
REFERENCE = reference_source(MODULE)


@pytest.fixture
def check(tmp_path):
    """Check the stub of module 02 with some functions written; or a whole text."""

    def run(text=None, names=("relu", "tanh"), limit=10.0, limits=None, **functions):
        text = text or source.replace(stub_source(MODULE), functions)
        file = tmp_path / "mine" / "activations.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
        return check_file(
            MODULE, file, text, None, names, limit=limit, limits=limits, folder=file.parent,
        )  # fmt: skip

    return run


def states(report):
    return {result.name: result.state for result in report.exercises}


RELU = "@op\ndef relu(input):\n    {}\n"
GOOD = RELU.format("return np.maximum(input, 0)")


def test_written_and_unwritten(check):
    report = check(relu=GOOD)
    assert states(report) == {"relu": "passed", "tanh": "todo"}
    assert not report.passed
    assert report.error == ""


def test_the_reference_passes_as_parts_and_whole(tmp_path, check):
    assert check(REFERENCE, names=None).passed
    file = tmp_path / "activations.py"
    assert check_file(MODULE, file, REFERENCE, None, whole=True).passed


def test_a_failure_keeps_its_words_across_the_processes(check):
    result = check(relu=RELU.format("return np.abs(input)")).exercises[0]
    assert result.state == "failed"
    assert "absolute value" in result.diagnosis
    failed = result.failures[0]
    assert failed.call.startswith("relu(tensor([-2")
    assert "shape" in failed.got


def test_an_endless_loop_is_stopped_and_the_rest_is_checked(check):
    began = time.monotonic()
    report = check(
        relu=RELU.format("while True: pass"),
        tanh="@op\ndef tanh(input):\n    return np.tanh(input)\n",
        limit=1,
    )
    assert states(report) == {"relu": "stopped", "tanh": "passed"}
    assert "more than 1 seconds" in report.exercises[0].message
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("body", ["import os; os._exit(0)", "import os, signal; os.kill(os.getpid(), 9)"])
def test_code_that_ends_python_is_not_passed(check, body):
    report = check(relu=RELU.format(body))
    assert states(report)["relu"] == "stopped"
    assert "exit status" in report.exercises[0].message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise SystemExit(0)", "exit()"),
        ("return relu(input)", "RecursionError"),
        ("return np.zeros(10**15)", "MemoryError"),
        ("raise KeyboardInterrupt", ""),
    ],
)
def test_code_that_raises_fails(check, body, words):
    report = check(relu=RELU.format(body))
    result = next(each for each in report.exercises if each.name == "relu")
    assert result.state != "passed"
    assert words in report.error + result.message + "".join(f"{c.error} {c.got}" for c in result.checks)


def test_a_flood_of_output_does_no_harm(check):
    report = check(
        relu=RELU.format(
            "import os\n    print('x' * 10**7); os.write(1, b'y' * 10**7)\n    return np.maximum(input, 0)"
        )
    )
    assert states(report)["relu"] == "passed"
    assert len(report.exercises[0].checks[0].printed) < 3000


def test_a_line_that_is_not_python_is_named(check):
    report = check(stub_source(MODULE) + "def broken(:\n    pass\n")
    assert "invalid syntax" in report.error or "expected" in report.error
    assert report.error.startswith(f"line {len(stub_source(MODULE).splitlines()) + 1}")
    assert report.trace[0] == "def broken(:"
    assert not report.passed


def test_an_error_outside_of_the_exercises_is_named_with_its_line(check):
    text = "import nothing_of_this_name\n" + stub_source(MODULE)
    report = check(text)
    assert "nothing_of_this_name" in report.error
    assert report.trace == ("line 1, in <module>: import nothing_of_this_name",)


def test_a_file_that_ends_python_on_import_is_not_passed(check):
    report = check(stub_source(MODULE) + "\nimport os\nos._exit(0)\n")
    assert "ended Python while it was imported" in report.error
    assert not report.passed


def test_a_name_that_the_rest_of_tinytorch_needs_may_not_go(tmp_path):
    text = REFERENCE.replace("def normal_cdf(", "def my_normal_cdf(").replace(
        "normal_cdf(x, app", "my_normal_cdf(x, app"
    )
    file = tmp_path / "activations.py"
    file.write_text(text, "utf-8")
    report = check_file(MODULE, file, text, None, whole=True)
    assert "normal_cdf" in report.error


def test_a_file_may_not_pass_by_its_last_function_alone(check):
    """An empty answer about an exercise is never a pass."""
    report = check(relu=GOOD, names=("relu",))
    assert [len(result.checks) > 0 for result in report.exercises] == [True]


# Grading: limits and the fence


@pytest.fixture
def fenced(check):
    def run(body):
        report = check(
            relu=RELU.format(body), names=("relu",), limits=Limits(2 << 30, 1 << 20, 20, fenced=True)
        )
        result = report.exercises[0]
        return result.state, report.error + result.message + "".join(each.error for each in result.checks)

    return run


def test_behind_the_fence_good_code_passes(fenced):
    assert fenced("return np.maximum(input, 0)")[0] == "passed"


@pytest.mark.parametrize(
    "body",
    [
        "open('/tmp/outside-of-my-folder', 'w')",
        "open('../outside', 'a')",
        "import os; os.open('/tmp/outside-of-my-folder', os.O_CREAT | os.O_WRONLY)",
        "import os; os.remove(__file__ + '/../../x')",
        "import os; os.fork()",
        "import os; os.system('true')",
        "import subprocess; subprocess.run(['true'])",
        "import socket; socket.socket().connect(('127.0.0.1', 9))",
        "import ctypes; ctypes.CDLL(None).fork()",
        "import shutil; shutil.rmtree('/tmp/outside-of-my-folder')",
        "import os; [open(f'{i}.txt', 'w') for i in range(100)]",
    ],
)
def test_the_fence_refuses(fenced, body):
    state, words = fenced(f"{body}; return np.maximum(input, 0)")
    assert state == "failed"
    assert "not allowed" in words


def test_a_large_file_inside_the_folder_is_cut_off(fenced, tmp_path):
    state, _ = fenced("open('big', 'wb').write(b'x' * (5 << 20)); return np.maximum(input, 0)")
    assert state != "passed"
    assert sum(file.stat().st_size for file in tmp_path.rglob("big")) <= 1 << 20


def test_memory_is_limited(fenced):
    state, words = fenced("return np.ones(1 << 30)")
    assert state == "failed"
    assert "Memory" in words
