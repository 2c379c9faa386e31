"""Milestone 05, run as a reader runs it; the full training is not a test."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import tinytorch as tt
from tests.milestones.conftest import ROOT, environment_in
from tinytorch.models import GPT, GPTConfig

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="the browser has no subprocesses")

ATTENTION = "milestones/05_2017_transformer/attention.py"
TINYTALKS = "milestones/05_2017_transformer/tinytalks.py"
CHECKPOINT = "05_2017_transformer-tinytalks-0.safetensors"


@pytest.fixture(scope="module")
def tinytalks():
    """The script as a module, to call its functions."""
    spec = importlib.util.spec_from_file_location("tinytalks", ROOT / TINYTALKS)
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


# Reversal


def test_attention_reverses_and_without_it_nothing_is_learned(run):
    done = run(ATTENTION, "--seeds", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    exact, blind = re.search(
        r"seed 0: ([\d.]+) % of .* without attention .*\(([\d.]+) %\)", done.stdout
    ).groups()
    assert float(exact) >= 99
    assert 8 < float(blind) < 12
    said, right = re.search(r"(\d+) is said, (\d+) is right", done.stdout).groups()
    assert said == right


def test_too_little_training_misses_the_bar(receipt_of):
    receipt = receipt_of(ATTENTION, "--seeds", 1, "--epochs", 1, status=1)
    assert receipt["milestone"] == 5
    assert receipt["value"] < 99


def test_the_map_of_attention_is_drawn(run, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib draws the plot")
    run(ATTENTION, "--seeds", 1, "--epochs", 1, "--plot", tmp_path / "map.svg")
    assert "looks at input position" in (tmp_path / "map.svg").read_text(encoding="utf-8")


# TinyTalks


def test_a_short_run_reports_what_it_measured(run, tmp_path):
    done = run(TINYTALKS, "--epochs", 2, "--json", tmp_path / "receipt.json")
    assert done.returncode == 1, done.stdout + done.stderr
    assert json.loads((tmp_path / "receipt.json").read_text(encoding="utf-8"))["value"] < 90
    assert "epoch   2  Hello!" in done.stdout
    bits, table = map(float, re.search(r"([\d.]+) bits a character.*needs (\d+\.\d+)", done.stdout).groups())
    assert 2 < table < 3.5
    assert 2 < bits < np.log2(62)
    assert "Ask something" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_at_a_terminal_it_answers_what_is_typed(tmp_path):
    import pty

    ours, its = pty.openpty()
    os.write(ours, "Hello!\nüben?\n\x04".encode())
    started = subprocess.Popen(
        [sys.executable, ROOT / TINYTALKS, "--epochs", "1"],
        cwd=tmp_path,
        env=environment_in(tmp_path),
        stdin=its,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with started as process:
        output = process.communicate(timeout=120)[0].decode()
    os.close(ours)
    os.close(its)
    assert process.returncode == 1, output
    answers = output.split("Ask something; Ctrl-D ends.\n")[1].split("> ")
    assert len(answers) == 4
    assert answers[1].strip()
    assert "'ü' is not among" in answers[2]


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(run, tmp_path):
    def results(done):
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout[done.stdout.index("seed 0:") : done.stdout.index("M05 Transformer era: receipt")]

    whole = results(run(TINYTALKS, "--epochs", 4))
    checkpoint = tmp_path / "data" / "checkpoints" / CHECKPOINT
    checkpoint.unlink()
    going = subprocess.Popen(
        [sys.executable, ROOT / TINYTALKS, "--epochs", "4"],
        cwd=tmp_path,
        env=environment_in(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with going:
        while not checkpoint.exists():
            assert going.poll() is None, "it ended before it wrote a checkpoint"
        going.send_signal(signal.SIGINT)
        going.communicate(timeout=60)
    assert going.returncode == 130
    assert results(run(TINYTALKS, "--epochs", 4, "--resume")) == whole


def test_the_pairs_are_laid_out_for_the_model(tinytalks):
    talks = tinytalks.Talks("val")
    decode = tinytalks.tokenizer.decode
    for i, (question, answer) in enumerate(zip(talks.questions, talks.answers, strict=True)):
        counted = talks.counted[i]
        assert decode(talks.inputs[i][counted]) == f"{question}\n{answer}"
        assert decode(talks.targets[i][talks.in_answer[i]]) == f"{answer}<end>"
        assert decode(talks.targets[i][counted]) == f"{question}\n{answer}<end>"[1:]


def test_an_epoch_brings_every_pair_once_and_misspells_only_questions(tinytalks):
    tt.manual_seed(0)
    talks = tinytalks.Talks("train")
    pad, answers, changed = tinytalks.tokenizer.pad_id, [], 0
    for inputs, targets in talks.batches():
        for row, target in zip(inputs.tolist(), targets.tolist(), strict=True):
            text = tinytalks.tokenizer.decode([id for id in row if id != pad])
            answer = text.split("\n")[1].removesuffix("<end>")
            answers.append(answer)
            counted = [id for id in target if id != tinytalks.UNCOUNTED]
            assert tinytalks.tokenizer.decode(counted).endswith(f"\n{answer}<end>")
            changed += sum(a != b for a, b in zip(row[1:], counted[:-1], strict=False))
    assert sorted(answers) == sorted(talks.answers)
    letters = sum(map(len, talks.questions))
    assert 0.5 * tinytalks.TYPING_ERRORS < changed / letters < 1.5 * tinytalks.TYPING_ERRORS


def test_exact_in_one_pass_is_exact_when_written(tinytalks):
    """A model that knows half of a few pairs: `measure` and `reply` agree on which."""
    tt.manual_seed(0)
    talks = tinytalks.Talks("val")
    for name in ("inputs", "targets", "counted", "in_answer"):
        setattr(talks, name, getattr(talks, name)[:8])
    model = GPT(GPTConfig(len(tinytalks.tokenizer), 2 * tinytalks.LONGEST + 1, 1, 2, 32, positions="rotary"))
    optimizer = tt.optim.Adam(model.parameters(), lr=0.01)
    targets = np.where(talks.counted, talks.targets, tinytalks.UNCOUNTED)
    exact = 0.0
    while exact < 40:
        _, loss = model(tt.tensor(talks.inputs), tt.tensor(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        exact, bits = tinytalks.measure(model, talks, "cpu")
    pairs = list(zip(talks.questions[:8], talks.answers[:8], strict=True))
    assert exact == 100 * np.mean([tinytalks.reply(model, q, "cpu") == a for q, a in pairs])
    assert 0 < bits < 6


def test_the_table_of_pairs_beats_guessing_and_knows_its_own_set_best(tinytalks):
    training, validation, test = map(tinytalks.Talks, ("train", "val", "test"))
    held_out = tinytalks.bigram_bits(training, validation, test)
    own = tinytalks.bigram_bits(training, training, training)
    assert own < held_out < np.log2(len(tinytalks.tokenizer))
