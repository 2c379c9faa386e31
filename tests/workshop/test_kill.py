"""kill -9 at random moments: no file is half-written, and no progress is lost."""

import ast
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinytorch.journey import archive
from tinytorch.journey.manifest import journey
from tinytorch.journey.workshop import Workshop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform in ("emscripten", "win32"), reason="there is no kill -9 here"),
]
ROOT = Path(__file__).resolve().parents[2]
ACTIVATIONS = journey().module("activations")
KILLS = 200

# A process that does one thing to a workspace over and over, from a state that is whole.
WORK = """
import sys
from pathlib import Path
import tinytorch
from tinytorch.journey.manifest import journey
from tinytorch.journey.workshop import Workshop
from tinytorch.journey import workshop
from tinytorch.journey.checking import ExerciseResult
from tinytorch.journey.runner import Report

what, root = sys.argv[1], Path(sys.argv[2])
module = journey().module("activations")
if what != "check, for real":
    # The reader's file is the reference's: so as to be killed in the middle of writing, not of checking.
    def passing(module, path, text, *rest, **more):
        return Report(module.name, str(path), [ExerciseResult(name, "passed") for name in module.exercises])
    workshop.check_file = passing
print("ready", flush=True)
while True:
    shop = Workshop(root)
    if what == "check" or what == "check, for real":
        with shop.changing() as progress:
            for name in module.exercises[5:]:
                progress.exercises.get(module.name, {}).pop(name, None)
        shop.check(module)
    elif what == "complete":
        shop.complete(module)
    elif what == "export":
        shop.export_zip(root / "out.zip")
    else:
        shop.import_zip(root / "in.zip")
"""


def is_whole(root, solved):
    """Everything that a killed process can have left is sound, and what was reached is there."""
    shop = Workshop(root)
    progress = json.loads(shop.progress_file.read_text("utf-8"))
    known = progress["exercises"]["02_activations"]
    assert all(known[name]["passed"] and known[name]["hints"] == 1 for name in solved)
    for file in (root / "modules").rglob("*.py"):
        ast.parse(file.read_text("utf-8"))
    assert shop.overview(ACTIVATIONS).standing == "complete"
    assert shop.overview(ACTIVATIONS).yours == len(ACTIVATIONS.exercises)
    for file in (*root.glob("out.zip"), *(shop.tito / "backups").glob("*.zip")):
        archive.unpack(file.read_bytes())
    assert not (shop.tito / "incoming.zip").exists()
    assert not list((root / "modules").rglob(".*.part"))


@pytest.mark.parametrize("what", ["check", "check, for real", "complete", "export", "import"])
def test_killed_at_random_moments(reader, tmp_path, what):
    reader.start(2)
    reader.solve(2)
    report, _ = reader.shop.complete(ACTIVATIONS)
    assert report.passed, report
    solved = ACTIVATIONS.exercises[:5]
    with reader.shop.changing() as progress:
        for name in solved:
            progress.attempt("02_activations", name).hints = 1
    reader.shop.export_zip(tmp_path / "in.zip")
    rng, environment = (
        random.Random(what),
        {**os.environ, "PYTHONPATH": str(ROOT), "TINYTORCH_WORKSPACE": "off"},
    )
    for _ in range(KILLS // 4):
        process = subprocess.Popen(
            [sys.executable, "-c", WORK, what, str(tmp_path)], env=environment, stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0, 0.4 if what == "check, for real" else 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        is_whole(tmp_path, solved)
