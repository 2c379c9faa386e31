"""Milestone 06, speed: what is timed gives the same answers; the scripts' functions on small networks."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import nn
from tinytorch.core.acceleration import fuse
from tinytorch.core.competition import Submission, System, Task
from tinytorch.core.compression import save_compressed
from tinytorch.core.quantization import quantize
from tinytorch.core.transformers import GPT, GPTConfig

FOLDER = Path(__file__).resolve().parents[2] / "milestones" / "06_2024_mlperf"


@pytest.fixture(scope="module")
def scripts():
    """The scripts `accelerate` and `submit` as modules."""
    before, known = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    try:
        import accelerate
        import submit

        yield accelerate, submit
    finally:
        sys.path[:] = before
        for name in {"accelerate", "submit", "models", "bundle", "common"} - known:
            sys.modules.pop(name, None)


@pytest.fixture
def cnn():
    tt.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(6, 10),
    )  # fmt: skip
    with tt.no_grad():
        model(tt.randn(20, 3, 8, 8))
    return model.eval()


@pytest.fixture
def gpt():
    tt.manual_seed(0)
    return GPT(GPTConfig(64, 16, n_layer=2, n_head=2, n_embd=16, positions="rotary")).eval()


def test_all_ways_to_see_give_the_same(scripts, cnn):
    accelerate, _ = scripts
    pictures = tt.randn(3, 3, 8, 8)
    right = cnn(pictures).detach().numpy()
    for kind in (accelerate.LoopsConv2d, accelerate.WindowsConv2d):
        slow = accelerate.convolving(cnn, kind)
        assert sum(type(layer) is kind for layer in slow) == 2
        np.testing.assert_allclose(slow(pictures).detach().numpy(), right, rtol=1e-4, atol=1e-5)
    assert type(cnn[0]) is nn.Conv2d
    accelerate.check_answers(right, fuse(cnn)(pictures).numpy())


@pytest.mark.parametrize(
    "wrong", [[[1.0, 2.0], [4.0, 3.0]], [[1.0, 2.0], [3.0, 4.1]], [[1.0, 2.0], [3.0, np.nan]]]
)
def test_other_answers_are_no_speed_up(scripts, wrong):
    accelerate, _ = scripts
    with pytest.raises(SystemExit):
        accelerate.check_answers(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array(wrong))


@pytest.mark.parametrize("kind", ["LoopsConv2d", "WindowsConv2d"])
def test_seeing_is_timed(scripts, cnn, kind, capsys):
    accelerate, _ = scripts
    found = accelerate.seeing(cnn, getattr(accelerate, kind), tt.randn(2, 3, 8, 8), rounds=6, warm_up=0)
    assert found.low <= found.ratio <= found.high
    assert found.rounds == 6
    assert "CNN, pictures at once: 2" in capsys.readouterr().out


def test_writing_is_timed_beyond_the_trained_context(scripts, gpt, capsys):
    accelerate, _ = scripts
    longer = accelerate.with_context(gpt, 40)
    found = accelerate.writing(longer, tt.tensor([[1, 2, 3]]), 30, rounds=6)
    assert found.low <= found.ratio <= found.high
    assert "GPT, 30 characters: generate" in capsys.readouterr().out
    ids = tt.tensor([[1, 2, 3, 4, 5]])
    np.testing.assert_array_equal(longer(ids)[0].detach().numpy(), gpt(ids)[0].detach().numpy())


def test_another_text_is_no_speed_up(scripts, gpt, monkeypatch):
    accelerate, _ = scripts
    monkeypatch.setattr(accelerate, "generate", lambda model, ids, *rest, **settings: ids)
    with pytest.raises(SystemExit):
        accelerate.writing(gpt, tt.tensor([[1, 2, 3]]), 4, rounds=6)


def test_caches_change_no_answer(scripts):
    """With the characters of TinyTalks and a network of a few weights, for some of its questions."""
    accelerate, submit = scripts
    talks = submit.script(submit.MODELS["tinytalks"].path)
    tt.manual_seed(1)
    model = GPT(GPTConfig(len(talks.tokenizer), 100, 2, 2, 16, positions="rotary")).eval()
    assert accelerate.same_answers(model, talks.questions[:5], talks.tokenizer, 20) == 5


# The competition.


def test_a_gpt_is_asked_questions(scripts):
    _, submit = scripts
    talks = submit.script(submit.MODELS["tinytalks"].path)
    tt.manual_seed(2)
    model = GPT(GPTConfig(len(talks.tokenizer), 2 * talks.LONGEST + 1, 1, 2, 16, positions="rotary")).eval()
    questions, targets = submit.questions_and_answers()
    assert len(questions) == len(targets) == len(talks.questions)
    first = talks.tokenizer.decode(targets[0][targets[0] != talks.tokenizer.pad_id])
    assert first == f"{talks.answers[0]}<end>"
    asked = submit.asked(model)
    few = questions[np.arange(3)]
    out = asked(few).numpy()
    assert out.shape == (3, talks.LONGEST)
    plain = GPT(model.config)
    plain.load_state_dict(model.state_dict())
    for question, row in zip(talks.questions, out, strict=False):
        ids = tt.tensor([talks.tokenizer.encode(f"{question}\n")])
        written = plain.generate(ids, talks.LONGEST, temperature=0, stop_tokens=[talks.END])
        expected = written.numpy()[0, ids.shape[1] :]
        np.testing.assert_array_equal(row[: len(expected)], expected)
        assert (row[len(expected) :] == talks.tokenizer.pad_id).all()
    assert submit.exact(targets, targets) == 1
    assert submit.exact(np.zeros_like(targets), targets) == 0


def test_a_bundle_is_submitted_once_and_verified_again(scripts, cnn, tmp_path, capsys):
    _, submit = scripts
    weights = tmp_path / "model.safetensors"
    save_compressed(quantize(cnn), weights)
    inputs = tt.randn(40, 3, 8, 8)
    targets = cnn(inputs).detach().numpy().argmax(1)
    task = Task("small", inputs, targets, lambda: cnn, floor=0.5, rounds=6, factor=1e9)
    system = System(lambda: quantize(cnn), weights, prepare=lambda model: model)
    for _ in range(2):
        submission, verdict = submit.compete(task, system, "bundle small", tmp_path / "board")
        assert verdict.accepted, verdict
    assert len(list((tmp_path / "board" / "accepted").iterdir())) == 1
    kept = Submission.from_json((tmp_path / "board" / "submission.json").read_text(encoding="utf-8"))
    assert kept == submission
    assert "bundle small" in (tmp_path / "board" / "leaderboard.html").read_text(encoding="utf-8")
    assert "accepted" in capsys.readouterr().out

    results = submit.scenarios(task, {"float32": cnn, "bundle, integers": system.load()}, bound=1.0)
    assert [r.scenario for r in results["float32"]] == ["SingleStream", "Offline", "Server"]
    figures = json.loads(json.dumps(submit.figures_of(results, submission, verdict)))
    assert figures["submission"]["accepted"] is True
    assert figures["scenarios"]["runs"]["bundle, integers"]["Offline"]["valid"] is True
    card = submit.card_of(results)
    assert card.startswith("## Speed\n")
    assert "| float32 | Server |" in card


# The programs.


@pytest.mark.parametrize("script", ["accelerate", "submit"])
def test_help_says_what_it_does(run, script):
    done = run(f"milestones/06_2024_mlperf/{script}.py", "--help")
    assert done.returncode == 0, done.stderr
    assert "M06 Systems age (MLPerf), 2024" in " ".join(done.stdout.split())


@pytest.mark.parametrize("script", ["accelerate", "submit"])
def test_networks_that_are_not_there_are_named(run, script):
    done = run(f"milestones/06_2024_mlperf/{script}.py", "--models", "tinytalks")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "python milestones/" in done.stderr


def test_a_network_without_a_baseline_is_an_error(run):
    done = run("milestones/06_2024_mlperf/accelerate.py", "--models", "mnist")
    assert done.returncode == 2
    assert "baselines for tinytalks and cifar10" in done.stderr
