"""Milestone 06: networks are profiled, compressed, written as bundles and read back, or refused."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tinytorch as tt
from tests.milestones.conftest import ROOT, environment_in
from tinytorch.core.profiling import model_nbytes
from tinytorch.core.tokenization import CharTokenizer

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="the browser has no subprocesses")

FOLDER = "milestones/06_2024_mlperf"
PROFILE, COMPRESS = f"{FOLDER}/profile.py", f"{FOLDER}/compress.py"
# Not at the front: the milestone's profile.py must not stand in for Python's own module of that name.
sys.path.append(str(ROOT / FOLDER))
import bundle as bundles  # noqa: E402
import compress  # noqa: E402
from bundle import BundleError, read_bundle, write_bundle  # noqa: E402
from models import MODELS  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with digits in MNIST's format, the networks of M03 and M05 trained briefly, and bundles."""
    place = tmp_path_factory.mktemp("system")
    rng = np.random.default_rng(6)
    digits = rng.integers(0, 2, (10, 7, 7)).repeat(4, 1).repeat(4, 2)
    for split, count in (("train", 6500), ("t10k", 500)):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        images = (180 * digits[labels] + rng.integers(0, 75, (count, 28, 28))).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = np.array(array.shape, ">u4").tobytes()
            (place / f"{split}-{name}-ubyte").write_bytes(
                bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
            )
    done = started(place, "milestones/03_1986_mlp/mnist.py", "--epochs", 3, "--data-dir", place)
    assert done.returncode == 0, done.stderr
    assert started(place, "milestones/05_2017_transformer/tinytalks.py", "--epochs", 1).returncode == 1
    networks = ("--models", "mnist", "tinytalks", "--data-dir", place)
    done = started(place, COMPRESS, *networks, "--json", place / "receipt.json")
    assert done.returncode == 0, done.stdout + done.stderr
    return SimpleNamespace(folder=place, bundles=place / "bundles", said=done.stdout)


def started(folder, script, *options):
    """Run a script in a folder, with its checkpoints there."""
    return subprocess.run(
        [sys.executable, ROOT / script, *map(str, options)],
        cwd=folder, env=environment_in(folder), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip


@pytest.fixture
def trained(place, monkeypatch):
    """The networks as they were before, by name."""
    monkeypatch.setenv("TINYTORCH_DATA", str(place.folder / "data"))
    return lambda name: MODELS[name].trained(0)


@pytest.fixture
def copied(place, tmp_path):
    """A copy of a bundle, to be damaged."""

    def copied(name):
        folder = tmp_path / name
        folder.mkdir()
        for file in (place.bundles / name).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        return folder

    return copied


# Four times smaller


@pytest.mark.parametrize("name", MODELS)
def test_every_network_becomes_four_times_smaller_in_memory_and_on_disk(name, tmp_path):
    tt.manual_seed(0)
    entry = MODELS[name]
    model = entry.build()
    recipe = compress.plan(model)
    smaller = bundles.packed(model, **recipe)
    write_bundle(tmp_path / name, entry, smaller, recipe, {}, "")
    assert model_nbytes(model) / model_nbytes(smaller) >= 4
    stored = (tmp_path / name / "model.safetensors").stat().st_size
    assert bundles.float_nbytes(model) / stored >= 4
    assert model_nbytes(model) <= bundles.float_nbytes(model) <= 1.01 * model_nbytes(model)


def test_the_script_says_what_it_reached(place):
    receipt = json.loads((place.folder / "receipt.json").read_text(encoding="utf-8"))
    assert receipt["metric"] == "compression"
    assert receipt["bar"] == 4
    assert receipt["value"] >= 4
    assert receipt["passed"]
    assert receipt["parameters"] == 203_530 + 404_736
    for name in ("mnist", "tinytalks"):
        figures = json.loads((place.bundles / name / "figures.json").read_text(encoding="utf-8"))
        for what in ("memory", "disk"):
            assert f"{figures[what]['after']:,}" in place.said
            assert figures[what]["before"] / figures[what]["after"] >= receipt["value"] - 1e-4
        assert f"{figures['accuracy']['after']:.2f}" in (place.bundles / name / "card.md").read_text("utf-8")


def test_eight_bits_alone_miss_the_bar_and_so_does_lost_accuracy(place, trained, tmp_path, monkeypatch):
    run = SimpleNamespace(
        entries=[MODELS["mnist"]], seeds=[0], data_dir=place.folder, timed=contextlib.nullcontext,
        options=SimpleNamespace(out=tmp_path),
    )  # fmt: skip
    assert compress.main(run).passed
    with monkeypatch.context() as patched:
        patched.setattr(compress, "AIM", 1.0)
        receipt = compress.main(run)
        assert not receipt.passed
        assert 3.9 < receipt.value < 4
    monkeypatch.setattr(compress, "lost", lambda figures: 1.5)
    assert not compress.main(run).passed


# Bundles


@pytest.mark.parametrize("name", ["mnist", "tinytalks"])
def test_a_bundle_is_as_accurate_and_as_small_as_its_figures_say(place, name):
    entry, found = MODELS[name], read_bundle(place.bundles / name)
    assert entry.accuracy(found.model, entry.test_set(place.folder)) == found.figures["accuracy"]["after"]
    assert model_nbytes(found.model) == found.figures["memory"]["after"]
    stored = (place.bundles / name / "model.safetensors").stat().st_size
    assert stored == found.figures["disk"]["after"] == found.config["weights"]["bytes"]
    assert not found.model.training
    assert found.name == name


def test_a_network_for_digits_loses_nothing_that_it_had_learned(place):
    accuracy = read_bundle(place.bundles / "mnist").figures["accuracy"]
    assert accuracy["before"] > 95
    assert accuracy["before"] - accuracy["after"] <= 1


def test_a_gpt_from_a_bundle_has_identical_logits(place, trained):
    model, found = trained("tinytalks"), read_bundle(place.bundles / "tinytalks")
    smaller = bundles.packed(model, **compress.plan(model))
    ids = tt.tensor([found.tokenizer.encode("What is your name?\n")])
    with tt.no_grad():
        np.testing.assert_array_equal(found.model(ids)[0].numpy(), smaller(ids)[0].numpy())
    assert found.model.lm_head.weight is found.model.transformer.wte.weight
    assert found.model.lm_head.weight.values.dtype == tt.int8
    assert found.model.transformer.h[0].mlp.c_fc.weight.packed.dtype == tt.uint8


def changed(**values):
    def change(folder):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, **values}), encoding="utf-8")

    return change


def with_weights(data):
    """Other weights, under their own hash."""

    def change(folder):
        (folder / "model.safetensors").write_bytes(data)
        changed(weights={"sha256": hashlib.sha256(data).hexdigest()})(folder)

    return change


def without(name):
    return lambda folder: (folder / name).unlink()


def flipped(folder):
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def wrote(name, text):
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("config.json"), "config.json is missing"),
        (without("model.safetensors"), "model.safetensors is missing"),
        (without("labels.json"), "labels.json is missing"),
        (without("figures.json"), "figures.json is missing"),
        (flipped, "SHA-256 differs"),
        (
            lambda folder: os.truncate(folder / "model.safetensors", (64 << 20) + 1),
            "more than 67,108,864 bytes",
        ),
        (lambda folder: os.truncate(folder / "labels.json", (1 << 20) + 1), "more than 1,048,576 bytes"),
        (with_weights(zlib.compress(bytes((64 << 20) + 1))), "more than limit=67,108,864 bytes"),
        (with_weights(b""), "do not fit"),
        (with_weights(b"\x80\x04cos\nsystem\n(S'true'\ntR."), "do not fit"),
        (changed(format=2), "format 2 is not known"),
        (changed(model="resnet"), "'resnet' is not known"),
        (changed(model="cifar10"), "cifar10|do not fit"),
        (changed(recipe={}), "lacks 'four_bits'"),
        (changed(recipe=[]), "not as expected"),
        (changed(recipe={"four_bits": ["9"], "group_size": 32}), "no layer at"),
        (changed(recipe={"four_bits": ["1"], "group_size": 3}), "group_size"),
        (changed(recipe={"four_bits": ["1"], "group_size": 1 << 40}), "group_size is from 2"),
        (changed(recipe={"four_bits": [], "group_size": 32}), "do not fit"),
        (changed(sample_shape=[1 << 30]), "sample_shape"),
        (wrote("config.json", "{"), "cannot be read"),
        (wrote("config.json", "[" * 100_000), "cannot be read"),
        (wrote("config.json", "[]"), "expected a dict"),
        (wrote("labels.json", '["0", "1"]'), "2 labels, 10 are needed"),
    ],
)
def test_a_bundle_that_is_not_sound_is_refused(copied, damage, message):
    folder = copied("mnist")
    damage(folder)
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


def test_a_tokenizer_that_does_not_fit_is_refused(copied):
    folder = copied("tinytalks")
    wrote("tokenizer.json", "{}")(folder)
    with pytest.raises(BundleError):
        read_bundle(folder)
    CharTokenizer.train("ab").save(folder / "tokenizer.json")
    with pytest.raises(BundleError, match="the tokenizer has"):
        read_bundle(folder)


def test_a_folder_that_is_not_there_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match="is not a folder"):
        read_bundle(tmp_path / "bundles")


def test_a_bundle_is_written_whole_or_not_at_all(copied):
    folder, entry = copied("mnist"), MODELS["mnist"]
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    model = entry.build()
    recipe = compress.plan(model)
    smaller = bundles.packed(model, **recipe)
    with pytest.raises(TypeError):
        write_bundle(folder, entry, smaller, recipe, {"figures": object()}, "")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["mnist"]
    write_bundle(folder, entry, smaller, recipe, {"new": 1}, "# New\n")
    assert read_bundle(folder).figures == {"new": 1}
    assert [path.name for path in folder.parent.iterdir()] == ["mnist"]


def test_a_folder_with_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(BundleError, match="no bundle"):
        write_bundle(tmp_path, MODELS["mnist"], None, {}, {}, "")
    assert (tmp_path / "thesis.txt").exists()


def test_figures_are_added_to_a_bundle_once(copied):
    folder = copied("mnist")
    for ratio in (11.0, 12.0):
        bundles.add_figures(folder, {"speed": ratio}, f"## Speed\n\n{ratio} times\n")
    found = read_bundle(folder)
    assert found.figures["speed"] == 12
    assert found.figures["memory"]["after"] == model_nbytes(found.model)
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert text.count("## Speed") == 1
    assert "12.0 times" in text


# The scripts


@pytest.mark.parametrize("script", [PROFILE, COMPRESS])
def test_a_script_explains_itself(run, script):
    done = run(script, "--help")
    assert done.returncode == 0
    assert "--models" in done.stdout
    assert run(script, "--models", "resnet").returncode == 2


@pytest.mark.parametrize("script", [PROFILE, COMPRESS])
@pytest.mark.parametrize("name", MODELS)
def test_a_network_that_is_not_trained_yet_names_the_command_that_trains_it(run, script, name, place):
    done = run(script, "--models", name, "--seed", 3, "--data-dir", place.folder)
    assert done.returncode == 2
    assert f"python milestones/{MODELS[name].path} --seed 3" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_training_that_was_interrupted_is_not_compressed(place, run, tmp_path):
    path = tmp_path / "data" / "checkpoints" / MODELS["mnist"].checkpoint(0).name
    path.parent.mkdir(parents=True)
    state = tt.load(place.folder / "data" / "checkpoints" / path.name)
    tt.save({**state, "epoch": 1}, path)
    done = run(COMPRESS, "--models", "mnist", "--data-dir", place.folder)
    assert done.returncode == 2
    assert "interrupted" in done.stderr
    assert "--resume" in done.stderr


def test_a_folder_with_something_else_stops_the_script_in_words(place):
    folder = place.folder / "mine" / "mnist"
    folder.mkdir(parents=True)
    done = started(place.folder, COMPRESS, "--models", "mnist", "--data-dir", place.folder, "--out", "mine")
    assert done.returncode == 2
    assert "no bundle" in done.stderr
    assert "Traceback" not in done.stderr


def test_networks_under_the_profiler(place):
    receipt, traces = place.folder / "profile.json", place.folder / "traces"
    done = started(
        place.folder, PROFILE, "--models", "mnist", "tinytalks", "--trace", traces, "--json", receipt
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(receipt.read_text(encoding="utf-8"))["value"] <= 10
    figures = json.loads((traces / "figures.json").read_text(encoding="utf-8"))
    assert figures["mnist"]["flops_per_sample"] == 2 * (784 * 256 + 256 * 10) + 256  # and 256 of ReLU
    assert figures["tinytalks"]["parameters"] == 404_736
    for name, found in figures.items():
        assert found["gflops"] > 0
        assert found["training_memory"]["measured"] > found["bytes"]
        events = json.loads((traces / f"{name}.json").read_text(encoding="utf-8"))["traceEvents"]
        assert {"linear"} <= {event["name"] for event in events}
        assert f"{found['parameters']:,} parameters" in done.stdout


def test_a_trace_folder_that_is_a_file_is_refused(place):
    file = place.folder / "file"
    file.touch()
    for trace in (file, file / "deeper"):
        done = started(place.folder, PROFILE, "--models", "mnist", "--trace", trace)
        assert done.returncode == 2
        assert f"--trace {trace}" in done.stderr
        assert "Traceback" not in done.stderr


def test_no_script_stands_in_for_a_module_of_python():
    import profile

    assert Path(profile.__file__).parent != ROOT / FOLDER
