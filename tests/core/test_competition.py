"""Competition: what is claimed is run again; forged, changed and forbidden entries are refused in words."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytorch as tt
import tinytorch.nn as nn
from tinytorch.core import competition
from tinytorch.core.benchmarking import Interval, least_rounds
from tinytorch.core.competition import (
    LONGEST_JSON,
    RULES,
    SUBMISSION_SCHEMA,
    Entry,
    Figures,
    Leaderboard,
    Submission,
    SubmissionError,
    System,
    Task,
    check,
    digest,
    enter,
    fingerprint,
    ranked,
    score,
    verify,
)
from tinytorch.core.compression import magnitude_prune, save_compressed
from tinytorch.core.quantization import quantize

pytestmark = pytest.mark.filterwarnings("error")

rng = np.random.default_rng(0)
INPUTS = rng.standard_normal((100, 32)).astype(np.float32)


def network(seed=0, hidden=64):
    tt.manual_seed(seed)
    return nn.Sequential(nn.Linear(32, hidden), nn.ReLU(), nn.Linear(hidden, 2))


TARGETS = network()(tt.tensor(INPUTS)).argmax(1).numpy()


def task_of(**settings):
    return Task("signs", tt.tensor(INPUTS), TARGETS, network, **{"number": 3, "factor": 5.0} | settings)


@pytest.fixture
def task():
    return task_of()


def system_of(folder, model, build, name="weights", **settings):
    path = folder / f"{name}.z"
    save_compressed(model, path)
    return System(build, path, **settings)


def small(task, sparsity=0.0):
    model = network()
    magnitude_prune(model, sparsity)
    return quantize(model)


@pytest.fixture
def system(tmp_path, task):
    return system_of(tmp_path, small(task), lambda: quantize(network()))


@pytest.fixture
def submission(task, system):
    return enter("small", task, system)


def claiming(submission, **figures):
    return replace(submission, claimed=submission.claimed._replace(**figures))


# ---- The verifier ----------------------------------------------------------------------------------------


def test_an_honest_submission_is_reproduced(task, system, submission):
    verdict = verify(Submission.from_json(submission.to_json()), task, system)
    assert verdict.accepted, verdict
    assert verdict.measured.accuracy == submission.claimed.accuracy
    assert verdict.measured.nbytes == system.weights.stat().st_size
    assert str(verdict).startswith("accepted")


def test_a_forged_accuracy_is_rejected(task, tmp_path):
    poor = small(task, 0.5)
    system = system_of(tmp_path, poor, lambda: quantize(network()))
    task = task_of(floor=0.0)
    submission = enter("forger", task, system)
    assert submission.claimed.accuracy < 1
    verdict = verify(claiming(submission, accuracy=1.0), task, system)
    assert not verdict.accepted
    assert "accuracy_reproduced" in verdict.reasons[0]
    assert "1.0000 is claimed" in verdict.reasons[0]


def test_a_forged_size_is_rejected_before_anything_runs(task, system, submission):
    verdict = verify(claiming(submission, nbytes=10), task, system)
    assert verdict.measured is None
    assert "size_is_exact" in verdict.reasons[0]


def test_a_forged_speed_is_rejected(task, system, submission):
    verdict = verify(claiming(submission, speedup=Interval(900.0, 800.0, 1000.0)), task, system)
    assert "speed_reproduced" in verdict.reasons[0]
    verdict = verify(claiming(submission, latency_ms=Interval(1e-9, 1e-9, 1e-9)), task, system)
    assert "speed_reproduced" in verdict.reasons[0]


def test_on_other_hardware_milliseconds_are_not_compared_and_the_ratio_is(task, system, submission):
    elsewhere = replace(submission, environment=submission.environment | {"machine": "abacus"})
    assert verify(claiming(elsewhere, latency_ms=Interval(1e-9, 1e-9, 1e-9)), task, system).accepted
    assert not verify(claiming(elsewhere, speedup=Interval(900.0, 800.0, 1000.0)), task, system).accepted


def test_on_other_hardware_accuracy_may_move_within_the_tolerance(system, submission):
    elsewhere = replace(submission, environment=submission.environment | {"blas": "another"})
    moved = claiming(elsewhere, accuracy=submission.claimed.accuracy - 0.01)
    assert verify(moved, task_of(tolerance=0.02), system).accepted
    assert not verify(moved, task_of(tolerance=0.005), system).accepted


def test_weights_changed_after_hashing_are_not_loaded(task, system, submission):
    system.build = None  # would raise if it were called
    system.weights.write_bytes(system.weights.read_bytes() + b"\0")
    verdict = verify(submission, task, system)
    assert any("hashes_fit: the weights changed" in reason for reason in verdict.reasons)
    assert verdict.measured is None


def test_the_code_is_held_to_its_hash(task, system, tmp_path):
    system.entry = tmp_path / "entry.py"
    system.entry.write_text("original")
    submission = enter("with code", task, system)
    assert verify(submission, task, system).accepted
    system.entry.write_text("changed")
    assert "the code changed" in verify(submission, task, system).reasons[0]
    system.entry = None
    assert "the code changed" in verify(submission, task, system).reasons[0]


def test_weights_that_do_not_fit_the_network_are_a_reason(task, system, submission):
    system.build = lambda: network(hidden=8)
    assert "load_state_dict" in verify(submission, task, system).reasons[0]


def test_another_test_set_is_another_task(system, submission):
    other = Task("signs", tt.tensor(INPUTS[::-1].copy()), TARGETS, network)
    assert "same_task: the test set is" in verify(submission, other, system).reasons[0]


def test_fewer_rounds_than_asked_for_are_refused(task, system, submission):
    few = replace(submission, rounds=least_rounds())
    assert "rounds were timed, 30 are asked for" in verify(few, task, system).reasons[0]


def test_the_bound_and_the_budget_hold(system):
    for settings, name in (({"bound_ms": 1e-9}, "fast_enough"), ({"budget": 10}, "size_is_exact")):
        task = task_of(**settings)
        assert name in verify(enter("x", task, system), task, system).reasons[0]


def test_offline_is_measured_in_batches(system):
    task = task_of(scenario="Offline")
    assert verify(enter("x", task, system), task, system).accepted


def test_an_inaccurate_system_is_refused_however_fast(tmp_path):
    task = task_of()
    poor = network()
    magnitude_prune(poor, 1.0)
    system = system_of(tmp_path, poor, network)
    assert "accurate_enough" in verify(enter("zeros", task, system), task, system).reasons[0]


class Costly(nn.Module):
    """A network that takes two seconds of a clock of its own, and a copy of it that takes `copied`."""

    now = 0.0

    def __init__(self, copied=2.0):
        super().__init__()
        self.inner, self.cost, self.copied = network(), 2.0, copied

    def __deepcopy__(self, memo):
        other = Costly(self.copied)
        other.cost = self.copied
        return other.eval()

    def forward(self, x):
        Costly.now += self.cost
        return self.inner(x)


def quick(model):
    def run(x):
        Costly.now += 1.0
        return model.inner(x)

    return run


def test_speed_is_the_ratio_to_the_reference_by_the_given_clock(tmp_path):
    task = Task("costly", tt.tensor(INPUTS), TARGETS, Costly)
    system = system_of(tmp_path, Costly(), Costly, prepare=quick)
    figures = enter("quick", task, system, clock=lambda: Costly.now).claimed
    assert figures.speedup == Interval(2.0, 2.0, 2.0)
    assert figures.latency_ms == Interval(1000.0, 1000.0, 1000.0)


def test_what_a_copy_of_the_reference_differs_by_widens_the_interval(tmp_path):
    task = Task("costly", tt.tensor(INPUTS), TARGETS, lambda: Costly(copied=2.5))
    system = system_of(tmp_path, Costly(), Costly, prepare=quick)
    figures = enter("quick", task, system, clock=lambda: Costly.now).claimed
    assert figures.speedup == pytest.approx((2.0, 1.6, 2.5))


# ---- The divisions ---------------------------------------------------------------------------------------


def test_another_architecture_enters_the_open_division_only(task, tmp_path):
    wide = system_of(tmp_path, network(hidden=80), lambda: network(hidden=80), training_inputs=INPUTS + 1)
    task = task_of(floor=0.0)
    closed = verify(enter("wide", task, wide), task, wide)
    assert closed.reasons == ["same_architecture: the architecture is not the reference's, "
                              "as the closed division asks for"]  # fmt: skip
    assert verify(enter("wide", task, wide, "open"), task, wide).accepted


def test_weights_that_were_trained_again_are_not_closed(tmp_path):
    task = task_of(floor=0.0)
    system = system_of(tmp_path, network(seed=1), network)
    assert "same_weights: 0.weight is not" in verify(enter("new", task, system), task, system).reasons[0]


def test_other_kernels_may_run_but_not_give_other_answers(task, system):
    system.prepare = lambda model: lambda x: model(x)
    assert verify(enter("x", task, system), task, system).accepted
    system.prepare = lambda model: lambda x: model(x) + 1
    assert "kernels_keep_outputs" in verify(enter("x", task, system), task, system).reasons[0]


@pytest.mark.parametrize("settings", [{"bits": 8}, {"bits": 8, "symmetric": False}, {"bits": 4}])
def test_quantized_and_pruned_networks_are_still_the_reference(tmp_path, settings):
    task = task_of(floor=0.0)
    model = network()
    magnitude_prune(model, 0.5)
    system = system_of(tmp_path, quantize(model, **settings), lambda: quantize(network(), **settings))
    assert verify(enter("x", task, system), task, system).accepted


def test_the_fingerprint_sees_layers_settings_and_shapes():
    def conv(**settings):
        return nn.Sequential(nn.Conv2d(64, 64, 3, **settings), nn.ReLU())

    from tinytorch.core.acceleration import accelerate

    same = fingerprint(conv(padding=1))
    assert fingerprint(accelerate(conv(padding=1))) == same
    assert fingerprint(quantize(conv(padding=1))) == same
    others = conv(), conv(padding=1, bias=False), nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.Tanh())
    assert len({same, *map(fingerprint, others)}) == 4


def test_a_sample_of_the_test_set_among_the_training_samples_is_found(task, system):
    submission = enter("x", task, system, "open")
    assert "training_inputs is missing" in verify(submission, task, system).reasons[0]
    system.training_inputs = np.concatenate([INPUTS[:2], INPUTS[2:] + 1])
    assert "2 test samples are among" in verify(submission, task, system).reasons[0]


def test_every_rule_says_what_it_asks():
    assert len(RULES) >= 9
    assert all(rule.function.__doc__ and rule.divisions for rule in RULES)


# ---- The document ----------------------------------------------------------------------------------------


def changed(submission, path, value):
    data = submission.record()
    *parents, last = path
    place = data
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(data)


@pytest.mark.parametrize(("path", "value", "message"), [
    (["name"], ..., r"submission\.name: is missing"),
    (["name"], "", r"submission\.name: 1 to 80 characters"),
    (["name"], 3, r"submission\.name: string is needed; 3 came"),
    (["extra"], 3, r"submission\.extra: is not known"),
    (["seeds"], [], r"submission\.seeds: 1 to 100 items"),
    (["seeds", 0], 1.5, r"submission\.seeds\[0\]: integer is needed; 1\.5 came"),
    (["seeds", 0], True, r"submission\.seeds\[0\]: integer is needed; True came"),
    (["weights_sha256"], "abc", r"submission\.weights_sha256: text like"),
    (["weights_sha256"], "a" * 64 + "\n", r"submission\.weights_sha256: text like"),
    (["format_version"], 2, r"submission\.format_version: one of 1 is needed; 2 came"),
    (["division"], "ajar", r"submission\.division: one of closed, open"),
    (["environment", "machine"], ..., r"submission\.environment\.machine: is missing"),
    (["environment", "load"], float("inf"), r"submission\.environment\.load: string or number or null"),
    (["claimed", "accuracy"], float("nan"), r"submission\.claimed\.accuracy: number is needed; nan came"),
    (["claimed", "accuracy"], 1.5, r"submission\.claimed\.accuracy: a number from 0 to 1"),
    (["claimed", "speedup"], [1, 2, 3], r"submission\.claimed\.speedup: estimate, low and high"),
    (["claimed", "speedup"], [1, 2], r"submission\.claimed\.speedup: 3 to 3 items"),
])  # fmt: skip
def test_a_document_at_fault_is_refused_with_the_path(submission, path, value, message):
    with pytest.raises(SubmissionError, match=message):
        Submission.from_json(changed(submission, path, value))


@pytest.mark.parametrize(("text", "message"), [
    ("", "no JSON"), ("{", "no JSON"), (b"\xff\xfe\xfa", "no JSON"), ("[" * 50_000, "no JSON"),
    ("[]", "submission: object is needed"), ("1e999", "object is needed"), ("9" * 5000, "no JSON"),
    (" " * (LONGEST_JSON + 1), "at most 65536 bytes"),
    ('{"a": 1, "a": 2}', "'a' stands there twice"),
])  # fmt: skip
def test_what_is_no_submission_is_refused(text, message):
    with pytest.raises(SubmissionError, match=message):
        Submission.from_json(text)


numbers = st.floats(1e-6, 1e6)
intervals = st.lists(numbers, min_size=3, max_size=3).map(sorted).map(lambda v: Interval(v[1], v[0], v[2]))
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
submissions = st.builds(
    Submission, name=texts, division=st.sampled_from(["closed", "open"]), task=texts, task_sha256=hashes,
    scenario=st.sampled_from(["SingleStream", "Offline"]), rounds=st.integers(least_rounds(), 1000),
    seeds=st.lists(st.integers(0, 2**63), min_size=1, max_size=5), weights_sha256=hashes,
    code_sha256=st.none() | hashes,
    environment=st.fixed_dictionaries({
        "python": texts, "numpy": texts, "blas": texts, "machine": texts, "processors": st.integers(1, 64),
    }),
    claimed=st.builds(
        Figures, st.floats(0, 1), st.integers(1, 10**12), latency_ms=intervals, speedup=intervals,
    ),
)  # fmt: skip


@given(submissions)
def test_json_gives_back_what_was_written(submission):
    assert Submission.from_json(submission.to_json()) == submission
    assert Submission.from_json(submission.to_json().encode()) == submission


def test_the_schema_is_one_that_a_validator_knows(submission):
    jsonschema = pytest.importorskip("jsonschema", reason="the oracle for JSON Schema")
    jsonschema.Draft202012Validator.check_schema(SUBMISSION_SCHEMA)
    jsonschema.validate(json.loads(submission.to_json()), SUBMISSION_SCHEMA)


def test_check_uses_every_word_of_the_schema():
    check({"a": [1]}, {"type": "object", "properties": {"a": {"type": "array", "items": {"maximum": 1}}}})
    with pytest.raises(SubmissionError, match=r"submission\.a\[0\]: a number from -inf to 1"):
        check({"a": [2]}, {"properties": {"a": {"items": {"maximum": 1}}}})


# ---- The leaderboard -------------------------------------------------------------------------------------


def entry_of(name, low, estimate, high, submission):
    return Entry(0, replace(submission, name=name), submission.claimed, Interval(estimate, low, high), "")


def test_overlapping_intervals_are_a_tie_and_the_next_rank_counts_both(submission):
    made = [("c", 1.0, 1.1, 1.2), ("a", 2.0, 2.5, 3.0), ("b", 1.5, 2.1, 2.6)]
    found = ranked(entry_of(*values, submission) for values in made)
    assert [(e.rank, e.submission.name) for e in found] == [(1, "a"), (1, "b"), (3, "c")]
    assert found[1].note == "tied with a: the intervals overlap"


def test_a_speed_up_that_noise_explains_counts_as_none():
    figures = Figures(1.0, 250, Interval(1.0, 1.0, 1.0), Interval(1.2, 0.9, 1.5))
    assert score(figures, 1000).estimate == 2.0
    faster = figures._replace(speedup=Interval(4.0, 3.0, 5.0))
    assert score(faster, 1000).estimate == 4.0


def test_the_leaderboard_keeps_what_was_verified_and_ranks_what_was_measured(
    task, system, submission, tmp_path
):
    board = Leaderboard(tmp_path / "board", task)
    assert board.add(submission, system).accepted
    kept = Leaderboard(tmp_path / "board", task).entries()
    assert [e.submission for e in kept] == [submission]
    assert "small" in board.table()
    assert board.entries("open") == []


def test_the_leaderboard_refuses_forged_and_repeated_entries(task, system, submission, tmp_path):
    board = Leaderboard(tmp_path / "board", task)
    assert not board.add(claiming(submission, nbytes=1), system).accepted
    assert board.stored() == []
    board.add(submission, system)
    assert "is taken" in board.add(submission, system).reasons[0]
    assert "the same system" in board.add(replace(submission, name="other"), system).reasons[0]
    assert len(board.stored()) == 1


def test_a_file_that_was_edited_is_named(task, system, submission, tmp_path):
    board = Leaderboard(tmp_path / "board", task)
    board.add(submission, system)
    (path,) = board.folder.iterdir()
    path.write_text(path.read_text().replace('"small"', '"great"'))
    with pytest.raises(SubmissionError, match="was changed after it was accepted"):
        board.entries()


def test_a_name_with_markup_is_text_on_the_page_and_in_the_terminal(task, system, submission, tmp_path):
    name = '<script>alert("1")</script>\x1b[2J&'
    board = Leaderboard(tmp_path / "board", task)
    assert board.add(replace(submission, name=name), system).accepted
    page, seen, text = board.to_html(), [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.append(tag)

        def handle_data(self, data):
            text.append(data)

    Reader().feed(page)
    assert "script" not in seen
    assert name.replace("\x1b", r"\x1b") in text
    assert {"html", "caption", "th", "h1"} <= set(seen)
    assert "\x1b" not in page + board.table()
    assert "color-scheme: light dark" in page


def test_a_page_without_entries_says_so(task, tmp_path):
    assert Leaderboard(tmp_path, task).to_html().count("nobody yet") == 2


def test_a_task_needs_a_known_scenario_and_enough_rounds():
    with pytest.raises(ValueError, match="scenario is one of SingleStream, Offline"):
        task_of(scenario="Server")
    with pytest.raises(ValueError, match="rounds is at least 6"):
        task_of(rounds=5)


def test_digest_tells_dtypes_and_shapes_apart():
    zeros = [np.zeros(4, np.float32), np.zeros((2, 2), np.float32), np.zeros(2, np.float64), b"\0" * 16]
    assert len({digest(z) for z in zeros}) == 4
    assert competition.digest(tt.zeros(4)) == digest(zeros[0])
