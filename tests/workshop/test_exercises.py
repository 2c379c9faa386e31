"""Mutation proof: for every exercise the reference passes, the stub fails, each known mistake gets its own
diagnosis.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch.journey.checks import exercises_of
from tinytorch.journey.manifest import journey
from tinytorch.journey.proof import problems

RELEASED = [module for module in journey().modules if module.released]
by_module = pytest.mark.parametrize("module", RELEASED, ids=lambda module: module.name)


@by_module
def test_the_reference_passes_stubs_fail_and_every_mistake_gets_its_own_diagnosis(module):
    assert list(problems(module)) == []


@pytest.mark.skipif(sys.platform == "emscripten", reason="starts processes")
@by_module
def test_the_same_where_nothing_above_the_module_exists(module):
    script = Path(__file__).with_name("bare_proof.py")
    done = subprocess.run(
        [sys.executable, str(script), str(module.number)],
        capture_output=True, text=True, timeout=120, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_enough_of_them():
    counts = {module.name: len(module.exercises) for module in RELEASED}
    assert min(counts.values()) >= 5, counts
    assert sum(counts.values()) >= 130


@by_module
def test_no_two_exercises_share_a_prompt_or_a_diagnosis_that_says_nothing(module):
    exercises = exercises_of(module.slug).all.values()
    prompts = [exercise.prompt for exercise in exercises]
    assert len(set(prompts)) == len(prompts)
    for exercise in exercises:
        assert len(exercise.prompt) >= 40, exercise.name
        assert all(len(mistake.diagnosis) >= 15 for mistake in exercise.mistakes), exercise.name
        assert len(set(exercise.hints)) == len(exercise.hints), exercise.name
