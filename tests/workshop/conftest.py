"""A reader's workspace for the tests, and a reader who can solve exercises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch.journey import source
from tinytorch.journey.manifest import journey
from tinytorch.journey.proof import reference_source
from tinytorch.journey.workshop import Workshop

ROOT = Path(__file__).resolve().parents[2]


class Reader:
    """Someone with a workspace, who writes functions into their files."""

    def __init__(self, folder):
        self.shop = Workshop.create(folder)

    def module(self, which):
        return journey().module(which)

    def start(self, which):
        self.shop.start(self.module(which))
        return self.shop.source_file(self.module(which))

    def write(self, which, **functions):
        """Put these sources in the place of functions; `Class__name` stands for Class.name."""
        file = self.shop.source_file(self.module(which))
        new = {
            name.replace("__", ".", 1) if name[0].isupper() else name: text
            for name, text in functions.items()
        }
        file.write_text(source.replace(file.read_text("utf-8"), new), "utf-8")

    def solve(self, which, *names):
        """Write the reference's solution of these exercises, or of all."""
        module = self.module(which)
        file = self.shop.source_file(module)
        solved = source.fill(file.read_text("utf-8"), reference_source(module), names or module.exercises)
        file.write_text(solved, "utf-8")


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path)


@pytest.fixture
def tito(tmp_path):
    """Run tito as a program in the test's folder: a CompletedProcess."""

    def run(*words, folder=tmp_path, timeout=120, **environment):
        unwanted = ("TINYTORCH_WORKSPACE", "PYTHONPATH", "NO_COLOR", "FORCE_COLOR")
        kept = {name: value for name, value in os.environ.items() if name not in unwanted}
        return subprocess.run(
            [sys.executable, str(ROOT / "tito.py"), *map(str, words)],
            cwd=folder, env={**kept, "PYTHONUTF8": "1", "COLUMNS": "100", **environment},
            stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, encoding="utf-8",
            errors="replace",
        )  # fmt: skip

    return run
