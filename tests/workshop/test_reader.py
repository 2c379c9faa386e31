"""A scripted reader solves all twenty modules from the stubs, by tito alone, and the milestones run on that
code.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch.journey import source
from tinytorch.journey.manifest import journey
from tinytorch.journey.proof import reference_source

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "emscripten", reason="starts processes"),
]
ROOT = Path(__file__).resolve().parents[2]
RELEASED = [module for module in journey().modules if module.released]
# Scripts that need no download, short enough for a test: (number, script, options).
RUNS = [
    (1, "perceptron", ["--seeds", "2"]),
    (2, "xor", ["--seeds", "2"]),
    (3, "tinydigits", ["--seeds", "1", "--epochs", "3"]),
    (4, "digits", ["--seeds", "1", "--epochs", "1"]),
    (5, "attention", ["--seeds", "1", "--epochs", "1"]),
    (5, "tinytalks", ["--seeds", "1", "--epochs", "1"]),
]


def solution(module, name):
    """What this reader writes: the reference's function, in the reader's own hand."""
    text = source.function(reference_source(module), name)
    indent = re.match(r" *", text.splitlines()[-1]).group()
    return f"{text.rstrip()}\n{indent}# written by the reader\n"


def test_all_modules_by_tito_and_then_the_milestones(tito, tmp_path):
    assert tito("init").returncode == 0
    for module in RELEASED:
        done = tito("module", "start", module.name)
        assert done.returncode == 0, done.stderr
        file = tmp_path / "modules" / "source" / module.name / f"{module.slug}.py"
        first, *rest = module.exercises
        file.write_text(source.replace(file.read_text("utf-8"), {first: solution(module, first)}), "utf-8")
        done = tito("module", "check", module.name, first)
        assert done.returncode == 0, done.stdout
        assert tito("module", "complete", module.name).returncode == 1  # the others are still stubs
        solved = {name: solution(module, name) for name in rest}
        file.write_text(source.replace(file.read_text("utf-8"), solved), "utf-8")
        done = tito("module", "complete", module.name)
        assert done.returncode == 0, f"{module.label}\n{done.stdout}{done.stderr}"
    table = json.loads(tito("status", "--json").stdout)["modules"]
    assert {entry["standing"] for entry in table.values()} == {"complete"}
    assert tito("doctor").returncode == 0
    for number, script, options in RUNS:
        receipts = {}
        for whose in ("mine", "reference"):
            file, more = tmp_path / "receipt.json", ["--reference"] if whose == "reference" else []
            done = tito(
                "milestone", "run", number, "--script", script, "--", *options, *more, "--json", file,
                timeout=600, TINYTORCH_DATA=str(tmp_path / "data"),
            )  # fmt: skip
            assert done.returncode in (0, 1), done.stdout + done.stderr
            receipts[whose] = json.loads(file.read_text("utf-8"))
        assert set(receipts["mine"]["modules"].values()) == {"yours"}
        assert set(receipts["reference"]["modules"].values()) == {"reference"}
        assert receipts["mine"]["value"] == receipts["reference"]["value"], script
    milestones = json.loads((tmp_path / "modules" / ".tito" / "progress.json").read_text("utf-8"))[
        "milestones"
    ]
    assert {number: len(kept) for number, kept in milestones.items()} == {
        "1": 1,
        "2": 1,
        "3": 1,
        "4": 1,
        "5": 2,
    }


def test_the_modules_that_a_reader_wrote_pass_their_own_tests(tmp_path, reader):
    """The whole package, imported on the reader's modules, computes what it did."""
    for module in RELEASED:
        package = reader.shop.package_file(module)
        package.parent.mkdir(parents=True, exist_ok=True)
        solved = {name: solution(module, name) for name in module.exercises}
        package.write_text(source.replace(reference_source(module), solved), "utf-8")
    code = """
import tinytorch as tt
from tinytorch import nn, optim
tt.manual_seed(0)
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
optimizer = optim.Adam(model.parameters())
x, y = tt.randn(16, 1, 8, 8), tt.arange(16) % 10
for _ in range(5):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(repr(loss.item()))
"""
    import os

    answers = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "TINYTORCH_WORKSPACE": where, "PYTHONPATH": str(ROOT)},
        ).stdout
        for where in (str(tmp_path), "off")
    ]  # fmt: skip
    assert answers[0] == answers[1]
