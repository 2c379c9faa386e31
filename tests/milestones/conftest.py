"""How the tests run a milestone script: as a reader does, as a program, from another folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "milestone", "script", "metric", "value", "bar", "passed", "seed", "seconds", "samples_per_second",
    "parameters", "data", "modules",
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """Run a script with options in an empty folder, its checkpoints there too: a CompletedProcess."""

    def run(script, *options, timeout=80, **environment):
        return subprocess.run(
            [sys.executable, ROOT / script, *map(str, options)],
            cwd=tmp_path,
            env=environment_in(tmp_path, **environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


def environment_in(folder, **more):
    unwanted = ("PYTHONPATH", "TINYTORCH_WORKSPACE")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "TINYTORCH_DATA": str(folder / "data"), "OPENBLAS_NUM_THREADS": "1", **more}


@pytest.fixture
def receipt_of(run, tmp_path):
    """Run a script to its end and give its JSON receipt; `status` None: whether it reaches its bar or not."""

    def receipt_of(script, *options, status=0, timeout=80, **environment):
        done = run(script, *options, "--json", tmp_path / "receipt.json", timeout=timeout, **environment)
        assert done.returncode in ((0, 1) if status is None else (status,)), done.stdout + done.stderr
        receipt = json.loads((tmp_path / "receipt.json").read_text(encoding="utf-8"))
        assert receipt.keys() == KEYS
        assert receipt["script"] == script
        assert receipt["passed"] == (done.returncode == 0)
        assert receipt["seconds"] > 0
        assert receipt["samples_per_second"] > 0
        return receipt

    return receipt_of
