"""tito as a program: commands, exit status, and consoles that can do little."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch.core import competition
from tinytorch.core.quantization import quantize
from tinytorch.journey.manifest import journey

click = pytest.importorskip("click", reason="click is not there, and so tito is not either")
commands = importlib.import_module("tinytorch.tito.cli").tito
ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="starts processes")
RELU = "@op\ndef relu(input):\n    return np.maximum(input, 0)\n"


def every_command(group=commands, words=()):
    for name, command in group.commands.items():
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from every_command(command, (*words, name))


@pytest.mark.parametrize(
    ("words", "command"),
    list(every_command()),
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_every_command_has_help_and_an_example_that_is_a_command(words, command):
    assert command.help, words
    assert command.epilog is not None
    examples = [line.strip()[2:] for line in command.epilog.splitlines() if line.strip().startswith("$ ")]
    assert examples, words
    context = click.Context(commands)
    for line in examples:
        parts = line.split(">")[0].split()
        assert parts[0] == "tito"
        group, here = commands, parts[1:]
        while here and isinstance(group, click.Group):
            found = group.get_command(context, here[0])
            assert found is not None, line
            group, here = found, here[1:]


def test_help_as_a_program(tito):
    done = tito("--help")
    assert done.returncode == 0
    assert "tito module complete 01" in done.stdout


def test_without_a_workspace_it_says_how_to_make_one(tito):
    for words in (["status"], [], ["hint"], ["export", "x.zip"], ["milestone", "list"]):
        done = tito(*words)
        assert done.returncode == 2, words
        assert "`tito init` makes one" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_first_steps(tito, reader, tmp_path):
    done = tito("init")
    assert done.returncode == 0, done.stderr
    assert "modules/source/01_tensor/tensor.py" in done.stdout.replace("\\", "/")
    assert tito("module", "start", "02").returncode == 0
    done = tito("module", "check", "02", "relu")
    assert done.returncode == 1
    assert "modules/source/02_activations/activations.py" in done.stdout.replace("\\", "/")
    assert "relu is still to be written" in done.stdout
    reader.write(2, relu=RELU)
    assert tito("module", "check", "02", "relu").returncode == 0
    done = tito("module", "complete", "02")
    assert done.returncode == 1
    assert "not exported" in done.stdout
    done = tito("module", "complete", "02", "--partial")
    assert done.returncode == 0
    assert "yours in 1 of" in tito("status").stdout
    reader.solve(2)
    done = tito("module", "complete", "02")
    assert done.returncode == 0, done.stdout
    assert "02 Activations is yours" in done.stdout
    table = json.loads(tito("status", "--json").stdout)["modules"]
    assert table["02_activations"]["standing"] == "complete"
    assert table["01_tensor"]["runs"] == "reference"
    assert "02 Activations" in tito("module", "list").stdout
    assert tito("module", "unexport", "02").returncode == 0
    assert "yours" not in tito("status").stdout.partition("02 Activations")[2].partition("\n")[0]


def test_a_failed_check_shows_call_got_expected_and_diagnosis(tito, reader):
    reader.start(2)
    reader.write(2, relu=RELU.replace("np.maximum(input, 0)", "np.abs(input)"))
    done = tito("module", "check", "02")
    assert done.returncode == 1
    for words in ("absolute value", "call", "got", "expected", "relu(tensor([-2"):
        assert words in done.stdout
    assert done.stdout.index("absolute value") < done.stdout.index("call")


def test_a_file_that_is_not_python_names_line_and_place(tito, reader):
    file = reader.start(2)
    file.write_text(file.read_text("utf-8").replace("def relu(input):", "def relu(input:"), "utf-8")
    done = tito("module", "check", "02")
    assert done.returncode == 1
    assert re.search(r"line \d+: ", done.stdout)
    assert "def relu(input:" in done.stdout


def test_hints_come_one_by_one_and_solutions_after_passing(tito, reader):
    reader.start(2)
    first, second = tito("hint", "relu"), tito("hint", "relu")
    assert "hint 1" in first.stdout
    assert "hint 2" not in first.stdout
    assert "hint 2" in second.stdout
    assert tito("solution", "relu").returncode == 1
    revealed = tito("solution", "relu", "--reveal")
    assert revealed.returncode == 0
    assert "def relu(input):" in revealed.stdout
    assert reader.shop.progress().exercises["02_activations"]["relu"].revealed
    reader.write(2, relu=RELU)
    tito("module", "check", "02", "relu")
    assert tito("solution", "relu").returncode == 0


def test_reset_asks_or_is_told(tito, reader):
    file = reader.start(2)
    reader.write(2, relu=RELU)
    assert tito("module", "reset", "02", "relu").returncode == 2
    assert "np.maximum(input, 0)" in file.read_text("utf-8")
    assert tito("module", "reset", "02", "relu", "--yes").returncode == 0
    assert "np.maximum(input, 0)" not in file.read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["module", "check", "99"], "is not a module"),
        (["module", "check", "nonsense"], "is not a module"),
        (["module", "check", "02"], "`tito module start 02` makes it"),
        (["hint", "nonsense"], "has no exercise 'nonsense'"),
        (["milestone", "run", "7"], "7"),
        (["path", "choose", "nowhere"], "nowhere"),
        (["import", "none.zip"], "none.zip"),
        (["nonsense"], "No such command"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_status_2(tito, reader, words, says):
    done = tito(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_progress_file_is_said_and_rebuilt(tito, reader):
    reader.start(2)
    reader.write(2, relu=RELU)
    tito("module", "check", "02")
    reader.shop.progress_file.write_text('{"version": 1', "utf-8")
    done = tito("status")
    assert done.returncode == 2
    assert "damaged" in done.stderr
    assert tito("doctor").returncode == 1
    done = tito("doctor", "--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "relu" in reader.shop.progress().exercises["02_activations"]
    assert (reader.shop.tito / "progress.damaged.json").exists()


def test_the_doctor_finds_a_module_that_does_not_import(tito, reader):
    package = reader.shop.package_file(journey().module(2))
    package.parent.mkdir(parents=True)
    package.write_text("import not_there\n", "utf-8")
    done = tito("doctor")
    assert done.returncode == 1
    assert "import tinytorch fails on your modules" in done.stdout
    assert "tito module unexport" in done.stdout
    assert tito("status").returncode == 0  # the tool itself runs on the reference
    assert tito("module", "unexport", "02").returncode == 0
    assert tito("doctor").returncode == 0


def test_export_does_not_replace_unasked(tito, reader, tmp_path):
    reader.start(2)
    assert tito("export", "mine.zip").returncode == 0
    assert tito("export", "mine.zip").returncode == 2
    assert tito("export", "mine.zip", "--force").returncode == 0
    assert tito("import", "mine.zip").returncode == 0


def test_a_milestone_names_what_is_missing_and_runs_mixed_when_asked(tito, reader):
    reader.start(2)
    reader.solve(2)
    assert tito("module", "complete", "02").returncode == 0
    done = tito("milestone", "run", "02")
    assert done.returncode == 1
    assert "03 Layers" in done.stdout
    assert "02 Activations" not in done.stdout
    done = tito("milestone", "run", "2", "--mixed", "--", "--seeds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "your modules: 02 Activations" in done.stdout
    (receipt,) = reader.shop.progress().milestones["2"]
    assert receipt["modules"]["02_activations"] == "yours"
    assert receipt["modules"]["01_tensor"] == "reference"
    assert "your modules 02" in tito("milestone", "list").stdout.replace("\n", " ").replace("  ", " ")


def test_checkpoints_say_what_proved_them(tito, reader):
    with reader.shop.changing() as progress:
        receipt = {
            "metric": "MNIST test accuracy (%)", "value": 98.1, "bar": 95.0, "passed": True,
            "script": "milestones/03_1986_mlp/mnist.py", "modules": {"01_tensor": "yours"},
        }  # fmt: skip
        progress.add_receipt(3, receipt)
    done = tito("checkpoint", "status")
    assert "98.1" in done.stdout
    assert "1 of 2" in done.stdout


def test_the_boards_of_the_competition(tito, reader, tmp_path):
    from tests.core.test_competition import small, system_of, task_of

    (tmp_path / "bundles" / "leaderboard").mkdir(parents=True)
    done = tito("competition", "board")
    assert done.returncode == 2
    assert "no accepted submission" in done.stderr
    task = task_of(floor=0.5)
    board = competition.Leaderboard(tmp_path / "bundles" / "leaderboard" / "signs" / "accepted", task)
    for name, sparsity in (("dense", 0.0), ("pruned", 0.9)):
        system = system_of(tmp_path, small(task, sparsity), lambda: quantize(task.make_reference()), name)
        verdict = board.add(competition.enter(name, task, system), system)
        assert verdict.accepted, verdict
    done = tito("competition", "board")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("signs")
    assert done.stdout.index("pruned") < done.stdout.index("dense")  # it is much smaller
    (path, *_) = board.folder.glob("*.json")
    path.write_text("{}", "utf-8")
    done = tito("competition", "board")
    assert done.returncode == 2
    assert "changed after it was accepted" in done.stderr


# Consoles that can do little


@pytest.mark.parametrize(
    "words", [["status"], ["module", "check", "02"], ["checkpoint", "status"], ["milestone", "list"], []]
)
def test_a_windows_console_without_the_signs(tito, reader, words):
    reader.start(2)
    reader.write(2, relu=RELU.replace("np.maximum(input, 0)", "np.abs(input)"))
    done = tito(*words, PYTHONUTF8="0", PYTHONIOENCODING="cp1252")
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1)
    assert done.stdout.strip()


def test_no_colour_in_a_pipe_nor_with_no_color(tito, reader):
    reader.start(2)
    assert "\x1b" not in tito("status").stdout
    assert "\x1b" not in tito("module", "check", "02", NO_COLOR="1", FORCE_COLOR="").stdout


def test_a_pipe_that_closes_is_no_error(reader, tmp_path):
    environment = {**os.environ, "TINYTORCH_WORKSPACE": str(tmp_path)}
    command = f"{sys.executable} {ROOT / 'tito.py'} status | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(tito, shell):
    done = tito("completion", shell)
    assert done.returncode == 0
    assert "_TITO_COMPLETE" in done.stdout


def test_modules_complete_by_number_and_name(tito, reader):
    found = tito(_TITO_COMPLETE="bash_complete", COMP_WORDS="tito module check auto", COMP_CWORD="3")
    assert "05" in found.stdout
