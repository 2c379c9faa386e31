"""Programs written for PyTorch run on TinyTorch unchanged, and come to the same numbers.

Each program is an ordinary script that imports torch and leaves its results in `figures`. It runs here once
with every name of torch standing for tinytorch's and, where PyTorch is installed, once more as it is. Data
and first weights come from NumPy's generators, so that both train on the same numbers.
"""

import importlib
import runpy
import sys
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent
NAMESPACES = (
    "",
    ".autograd",
    ".nn",
    ".nn.functional",
    ".nn.init",
    ".nn.utils",
    ".optim",
    ".optim.lr_scheduler",
    ".utils",
    ".utils.data",
)


@contextmanager
def one_thread(framework):
    """The matrices of these programs are so small that threads would only wait for each other."""
    before = framework.get_num_threads()
    framework.set_num_threads(1)
    try:
        yield
    finally:
        framework.set_num_threads(before)


@cache
def figures(program, framework, precision="float32"):
    """What a program leaves in `figures` when `import torch` gives it this framework."""
    found = {space: importlib.import_module(framework + space) for space in NAMESPACES}
    with one_thread(found[""]), pytest.MonkeyPatch.context() as patch:
        for space, module in found.items():
            patch.setitem(sys.modules, "torch" + space, module)
        patch.setattr(sys, "argv", [program, "--double"] if precision == "float64" else [program])
        return runpy.run_path(str(FOLDER / f"{program}.py"), run_name="__main__")["figures"]


PROGRAMS = ["autoencoder", "classifier", "encoder", "gan", "gpt", "resnet", "rnn", "vae"]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_figure_is_pytorchs_step_by_step(program, precision):
    pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    ours, theirs = (figures(program, framework, precision) for framework in ("tinytorch", "torch"))
    assert list(ours) == list(theirs)
    rtol = {"float32": 1e-4, "float64": 1e-8}[precision]  # rounding errors grow with every step
    for name, expected in theirs.items():
        np.testing.assert_allclose(ours[name], expected, rtol, rtol / 10, err_msg=name)


def test_the_list_of_programs_is_whole_and_they_know_nothing_of_tinytorch():
    texts = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py")}
    del texts["test_programs"]
    assert sorted(texts) == PROGRAMS
    for name, text in texts.items():
        assert "import torch" in text, name
        assert "tinytorch" not in text, name


# What each program is for, whether or not PyTorch is there.


@pytest.mark.parametrize("schedule", ["step", "cosine", "one cycle", "warmup"])
def test_a_classifier_tells_two_spirals_apart_and_goes_on_from_its_checkpoint(schedule):
    found = figures("classifier", "tinytorch")
    losses = found[f"{schedule}: losses"]
    assert losses[-1] < 0.25 < 0.6 < losses[0]
    assert found[f"{schedule}: accuracy"] >= 0.95
    resumed = 5 * 8  # the first update after the checkpoint: 5 epochs of 8 batches came before
    assert losses[resumed] < np.mean(losses[:16])


def test_schedules_start_and_end_where_they_should():
    found = figures("classifier", "tinytorch")
    assert found["step: rates"][-1] == pytest.approx(0.05 * 0.3**3)
    assert found["cosine: rates"][-1] == pytest.approx(1e-3)
    assert max(found["one cycle: rates"]) == pytest.approx(0.1, rel=1e-2)
    assert found["one cycle: rates"][-1] < 2e-4
    assert np.argmax(found["warmup: rates"]) == 19


def test_a_gpt_written_from_scratch_learns_its_text():
    found = figures("gpt", "tinytorch")
    assert found["losses"][0] > 2.5
    assert found["losses"][-1] < 0.5
    assert found["tied"] == 1
    assert found["decayed"] < found["parameters"]
    assert len(found["greedy"]) == 42


def test_a_vae_reconstructs_crosses():
    found = figures("vae", "tinytorch")
    assert found["losses"][-1] < 0.5 * found["losses"][0]
    assert found["wrong pixels"] < 0.4 * found["bright"]
    assert min(found["means"]) >= 0
    assert max(found["means"]) > 0.5


@pytest.mark.parametrize("cell", ["RNN", "LSTM"])
def test_a_cell_written_by_hand_remembers_the_first_symbol(cell):
    found = figures("rnn", "tinytorch")
    assert found[f"{cell}: losses"][-1] < 0.3
    assert found[f"{cell}: accuracy"] >= 0.95


def test_a_resnet_tells_the_direction_of_stripes():
    found = figures("resnet", "tinytorch")
    assert found["losses"][-1] < 0.3
    assert found["accuracy"] >= 0.95
    assert found["batches"] == 36 + 1
    assert found["moved"] > 0


@pytest.mark.parametrize("decoder", ["transposed", "upsampled"])
def test_an_autoencoder_takes_away_most_of_the_noise(decoder):
    found = figures("autoencoder", "tinytorch")
    assert found[f"{decoder}: error"] < 0.25 * found[f"{decoder}: noise"]


def test_an_encoder_answers_two_questions_and_looks_at_no_padding():
    found = figures("encoder", "tinytorch")
    assert found["most"] >= 0.9
    assert found["first"] >= 0.95
    assert found["on padding"] == 0
    assert found["embedding of padding"] == 0
    assert found["rows of attention"] == pytest.approx(1)


def test_a_generator_comes_closer_to_the_ring():
    found = figures("gan", "tinytorch")
    assert found["after"] < 0.6 * found["before"]
