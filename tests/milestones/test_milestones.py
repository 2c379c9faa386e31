"""The milestone scripts, run as a reader runs them: as programs, from another folder."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.milestones.conftest import ROOT, environment_in

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="the browser has no subprocesses")

PERCEPTRON = "milestones/01_1957_perceptron/perceptron.py"
XOR = "milestones/02_1969_xor/xor.py"
TINYDIGITS = "milestones/03_1986_mlp/tinydigits.py"
MNIST = "milestones/03_1986_mlp/mnist.py"


# What the milestones reach


@pytest.mark.parametrize("seed", [0, 50])
def test_a_perceptron_learns_what_a_line_separates(receipt_of, seed):
    receipt = receipt_of(PERCEPTRON, "--seed", seed)
    assert receipt["value"] >= 99
    assert receipt["parameters"] == 3
    assert receipt["seed"] == list(range(seed, seed + 5))


def test_the_perceptron_says_what_it_cannot_do(run):
    assert "no line separates them" in run(PERCEPTRON, "--seeds", 1).stdout


def test_xor_needs_two_layers(run, tmp_path):
    done = run(XOR, "--json", tmp_path / "receipt.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of the 4 answers right, 75%" in done.stdout
    receipt = json.loads((tmp_path / "receipt.json").read_text(encoding="utf-8"))
    assert receipt["value"] >= 95
    assert len(receipt["seed"]) == 20


def test_xor_reports_the_seeds_that_failed(run):
    done = run(XOR, "--epochs", 2, "--seeds", 3)
    assert done.returncode == 1
    assert "Two layers: 0 of 3 seeds" in done.stdout
    assert "Stuck: seed 0, 1, 2" in done.stdout
    assert "missed" in done.stdout


def test_an_mlp_reads_tinydigits(receipt_of):
    receipt = receipt_of(TINYDIGITS)
    assert receipt["value"] >= 92
    assert len(receipt["seed"]) == 5


def test_a_missed_bar_is_exit_status_1(receipt_of):
    assert receipt_of(TINYDIGITS, "--epochs", 1, "--seeds", 1, status=1)["value"] < 92


@pytest.mark.slow
def test_an_mlp_reads_mnist(receipt_of):
    from tinytorch.datasets import DatasetError, cache_dir, load_mnist

    if not os.environ.get("TINYTORCH_MIRROR"):
        try:
            for split in ("train", "test"):
                load_mnist(split, download=False)
        except DatasetError:
            pytest.skip("MNIST is not in the cache; set TINYTORCH_MIRROR, or run the milestone once")
    receipt = receipt_of(MNIST, "--epochs", 2, TINYTORCH_DATA=str(cache_dir()))
    assert receipt["value"] >= 96
    assert receipt["parameters"] == 203_530


# Options


def test_the_same_seed_gives_the_same_result(receipt_of):
    first, second = (receipt_of(TINYDIGITS, "--seeds", 1, "--epochs", 3, status=None) for _ in range(2))
    assert first["value"] == second["value"]


def test_resuming_ends_like_a_run_that_was_not_stopped(run, receipt_of, tmp_path):
    """It is interrupted as by Ctrl-C when it has written a checkpoint, and goes on with --resume."""
    whole = receipt_of(TINYDIGITS, "--seeds", 1, "--epochs", 250)
    checkpoint = tmp_path / "data" / "checkpoints" / "03_1986_mlp-tinydigits-0.safetensors"
    checkpoint.unlink()
    going = subprocess.Popen(
        [sys.executable, ROOT / TINYDIGITS, "--seeds", "1", "--epochs", "250"],
        cwd=tmp_path,
        env=environment_in(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with going:
        while not checkpoint.exists():
            assert going.poll() is None, "it ended before it wrote a checkpoint"
        going.send_signal(signal.SIGINT)
        _, errors = going.communicate(timeout=60)
    assert going.returncode == 130
    assert "--resume goes on from the last checkpoint" in errors.decode()
    resumed = receipt_of(TINYDIGITS, "--seeds", 1, "--epochs", 250, "--resume")
    assert resumed["value"] == whole["value"]


def test_resuming_a_finished_run_only_measures_again(run):
    assert run(XOR, "--seeds", 2).returncode == 0
    again = run(XOR, "--seeds", 2, "--resume")
    assert again.returncode == 0
    assert "epoch 300 of 300" not in again.stderr


def test_a_new_run_forgets_the_checkpoints_of_the_last(run, tmp_path):
    run(XOR, "--seeds", 3)
    run(XOR, "--seeds", 1)
    left = {path.name for path in (tmp_path / "data" / "checkpoints").iterdir()}
    assert "02_1969_xor-xor-0.safetensors" in left
    resumed = run(XOR, "--seeds", 1, "--epochs", 7, "--resume")
    assert resumed.returncode == 2
    assert "--epochs 300" in resumed.stderr


@pytest.fixture
def workspace(tmp_path):
    """A reader's workspace in the working directory, with one module in it."""
    core = tmp_path / "modules" / "package" / "core"
    core.mkdir(parents=True)
    (tmp_path / "modules" / ".tito").mkdir()

    def write(text):
        (core / "activations.py").write_text(text, encoding="utf-8")

    write((ROOT / "tinytorch" / "core" / "activations.py").read_text(encoding="utf-8"))
    return write


def test_the_readers_modules_run_and_are_named(receipt_of, workspace):
    modules = receipt_of(XOR, "--seeds", 1)["modules"]
    assert modules["02_activations"] == "yours"
    assert modules["01_tensor"] == "reference"


def test_reference_runs_without_the_readers_modules(receipt_of, run, workspace):
    workspace("raise SystemExit('the reader has not finished this')")
    assert run(XOR, "--seeds", 1).returncode != 0
    modules = receipt_of(XOR, "--seeds", 1, "--reference")["modules"]
    assert set(modules.values()) == {"reference"}


def test_an_unwritten_module_is_named(run, workspace):
    reference = (ROOT / "tinytorch" / "core" / "activations.py").read_text(encoding="utf-8")
    stub = "def unwritten(a):\n    raise NotImplementedError('tanh is yours to write')\ntanh.fn = unwritten\n"
    workspace(f"{reference}\n\n{stub}")
    done = run(XOR, "--seeds", 1)
    assert done.returncode == 2
    assert "tanh is yours to write" in done.stderr
    assert "--reference" in done.stderr
    assert "Traceback" not in done.stderr


def test_plot_draws_a_file(run, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib draws the plot")
    assert run(PERCEPTRON, "--seeds", 1, "--plot", tmp_path / "line.svg").returncode == 0
    assert (tmp_path / "line.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", "0"], "0 is less than 1"),
        (["--seed", "-1"], "-1 is less than 0"),
        (["--seeds", "two"], "'two' is not a whole number"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--ref"], "unrecognized arguments: --ref"),
        (["--json", "no/such/folder/receipt.json"], "there is no folder"),
        (["--json", "."], "that is a folder"),
        (["--plot", "plot.xyz"], "has to end in one of"),
        (["--resume"], "there is no checkpoint"),
    ],
)
def test_a_bad_option_is_named_before_any_work(run, options, words):
    done = run(XOR, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_gpu_is_one_sentence(run):
    from tinytorch import cuda

    if cuda.is_available():
        pytest.skip("there is a GPU here")
    done = run(XOR, "--device", "cuda")
    assert done.returncode == 2
    assert "needs a GPU and CuPy" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_data_is_one_sentence(run, tmp_path):
    done = run(MNIST, "--data-dir", tmp_path)
    assert done.returncode == 2
    assert "no train-images-idx3-ubyte.gz" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_network_is_one_message(run, tmp_path):
    done = run(MNIST, TINYTORCH_MIRROR=(tmp_path / "empty").as_uri())
    assert done.returncode == 2
    assert "train-images-idx3-ubyte.gz" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_workspace_that_is_not_there_is_one_message(run):
    done = run(XOR, TINYTORCH_WORKSPACE="no-such-folder")
    assert done.returncode == 2
    assert "TINYTORCH_WORKSPACE is 'no-such-folder'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_checkpoint_is_one_message(run, tmp_path):
    assert run(XOR, "--seeds", 1).returncode == 0
    (tmp_path / "data" / "checkpoints" / "02_1969_xor-xor-0.safetensors").write_bytes(b"\x08")
    done = run(XOR, "--seeds", 1, "--resume")
    assert done.returncode == 2
    assert "begin anew" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_place_for_checkpoints_the_training_goes_on(run, tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    done = run(XOR, "--seeds", 1)
    assert done.returncode == 0
    assert "no checkpoint in" in done.stderr
