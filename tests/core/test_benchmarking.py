"""Benchmarking: verdicts on made-up seconds, intervals that keep their promise, queues against formulas."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytorch as tt
import tinytorch.nn as nn
from tinytorch.core import benchmarking
from tinytorch.core.benchmarking import (
    Benchmark,
    Comparison,
    Report,
    SystemUnderTest,
    accelerated_contestants,
    bootstrap,
    environment,
    largest_rate,
    least_rounds,
    median,
    percentile,
    poisson_arrivals,
    queries_needed,
    queue_latencies,
    ratio_of_medians,
    top1,
)

pytestmark = pytest.mark.filterwarnings("error")


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, seconds):
        """A contestant that takes `seconds`, a number or what seconds() gives."""

        def function():
            self.now += seconds() if callable(seconds) else seconds

        return function


class CoarseClock(Clock):
    """It shows whole milliseconds."""

    def __call__(self):
        return round(self.now, 3)


def report_of(**seconds):
    return Report({name: np.asarray(values, float) for name, values in seconds.items()}, 0, 0, 1, {})


def noisy(seed, rounds, scale=1.0):
    return scale * np.random.default_rng(seed).lognormal(0, 0.2, rounds)


# Intervals.


def test_the_interval_of_equal_numbers_is_that_number():
    assert bootstrap(median, [3.0] * 9) == (3, 3, 3)
    assert bootstrap(median, [3.0]) == (3, 3, 3)


def test_the_interval_of_the_median_holds_it_as_often_as_it_says():
    held = [low <= 1 <= high for _, low, high in (bootstrap(median, noisy(s, 30)) for s in range(400))]
    assert 0.91 <= np.mean(held) <= 0.99  # 95 %, and two standard errors of 400 trials are 2 %


@pytest.mark.parametrize("true", [1.0, 1.3])
def test_the_interval_of_the_ratio_holds_it_as_often_as_it_says(true):
    found = [bootstrap(ratio_of_medians, noisy(s, 30, true), noisy(s + 999, 30)) for s in range(400)]
    assert 0.91 <= np.mean([low <= true <= high for _, low, high in found]) <= 0.99


def test_more_confidence_is_a_wider_interval_and_more_rounds_a_narrower_one():
    def width(rounds, confidence):
        _, low, high = bootstrap(median, noisy(1, rounds), confidence=confidence)
        return high - low

    assert width(40, 0.5) < width(40, 0.95) < width(40, 0.999)
    assert width(4000, 0.95) == pytest.approx(width(40, 0.95) / 10, rel=0.5)  # as 1 / sqrt(rounds)


def test_one_seed_gives_one_interval():
    values = noisy(3, 20)
    assert bootstrap(median, values, seed=4) == bootstrap(median, values, seed=4)
    assert bootstrap(median, values, seed=4) != bootstrap(median, values, seed=5)


def test_bootstrap_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats", reason="SciPy is the oracle of this test")
    values = noisy(7, 50)
    other = stats.bootstrap(
        (values,), np.median, n_resamples=20000, method="percentile", rng=np.random.default_rng(1)
    )
    _, low, high = bootstrap(median, values, resamples=20000)
    assert (low, high) == pytest.approx(tuple(other.confidence_interval), rel=0.02)


@pytest.mark.parametrize("samples", [(), ([],), ([1, 2], [1]), ([[1, 2]],)])
def test_bootstrap_needs_samples_of_one_length(samples):
    with pytest.raises(ValueError, match="bootstrap: samples of one length from 1 are needed"):
        bootstrap(median, *samples)


def test_a_confidence_lies_between_0_and_1():
    with pytest.raises(ValueError, match="confidence lies between 0 and 1, 95 came"):
        bootstrap(median, [1.0], confidence=95)


# Verdicts.


def test_a_clear_difference_is_called():
    found = report_of(slow=noisy(1, 30, 2), fast=noisy(2, 30)).compare("slow", "fast")
    assert found.differs
    assert found.ratio == pytest.approx(2, rel=0.15)
    assert found.verdict.startswith(f"slow takes {found.ratio:.3f} times as long as fast (95 % interval")


def test_noise_is_not_called_a_difference():
    """The A/A test: the same distribution twice, 400 times; about one in twenty is allowed."""
    calls = [report_of(a=noisy(s, 30), b=noisy(s + 999, 30)).compare("a", "b").differs for s in range(400)]
    assert np.mean(calls) <= 0.07


def test_an_interval_that_holds_1_shows_nothing():
    assert Comparison("a", "b", 1.1, 0.99, 1.2, 0.95, 30).verdict.startswith(
        "no difference shown between a and b"
    )
    assert not Comparison("a", "b", 1.1, 1.0, 1.2, 0.95, 30).differs
    assert Comparison("a", "b", 1.1, 1.01, 1.2, 0.95, 30).differs
    assert Comparison("a", "b", 0.9, 0.8, 0.99, 0.95, 30).differs


def test_too_few_rounds_show_nothing_however_clear_they_look():
    assert least_rounds(0.95) == 6  # 2 / 2^5 is 0.0625, 2 / 2^6 is 0.03125
    assert least_rounds(0.5) == 2
    five, six = (report_of(a=[2.0] * n, b=[1.0] * n).compare("a", "b") for n in (5, 6))
    assert (five.low, five.high) == (2, 2)
    assert not five.differs
    assert five.verdict == "no difference shown between a and b (5 rounds, 6 are the fewest)"
    assert six.differs


def test_what_slows_whole_rounds_down_cancels_out():
    slower = np.linspace(1, 5, 30)
    seconds = {"a": 1.05 * slower * noisy(1, 30) ** 0.02, "b": slower * noisy(2, 30) ** 0.02}
    assert report_of(**seconds).compare("a", "b").differs
    shuffled = seconds | {"b": np.random.default_rng(0).permutation(seconds["b"])}
    assert not report_of(**shuffled).compare("a", "b").differs


def test_swapping_two_turns_the_ratio_around():
    report = report_of(a=noisy(1, 31, 1.2), b=noisy(2, 31))
    one, other = report.compare("a", "b"), report.compare("b", "a")
    assert one.ratio == pytest.approx(1 / other.ratio)
    assert one.differs == other.differs


# Runs.


def test_a_run_knows_what_each_contestant_takes():
    clock = Clock()
    report = Benchmark({"a": clock.takes(2.0), "b": clock.takes(3.0)}, clock=clock).run(10)
    assert report.rounds == 10
    assert report.median("a") == (2, 2, 2)
    assert report.compare("b", "a")[2:5] == (1.5, 1.5, 1.5)


def test_warm_up_does_not_count():
    clock, costs = Clock(), iter([100.0, 100.0, 1.0, 1.0, 1.0])
    report = Benchmark({"a": clock.takes(lambda: next(costs))}, warm_up=2, clock=clock).run(3)
    assert report.seconds["a"].tolist() == [1, 1, 1]


def test_calls_that_are_timed_together_share_the_time():
    clock, calls = Clock(), []
    cost = clock.takes(lambda: calls.append(1) or 0.5)
    report = Benchmark({"a": cost}, warm_up=0, number=4, clock=clock).run(3)
    assert len(calls) == 12
    assert report.seconds["a"].tolist() == [0.5] * 3


def test_as_many_calls_as_the_clock_needs():
    clock = Clock()
    report = Benchmark({"slow": clock.takes(1.0), "fast": clock.takes(1e-3)}, number=None, clock=clock).run(3)
    assert report.number == 8
    assert report.seconds["fast"] == pytest.approx(1e-3)
    with pytest.raises(ValueError, match="1,048,576 calls took less than"):
        Benchmark({"a": lambda: None}, number=None, clock=lambda: 0.0).run(3)


def test_a_clock_of_whole_milliseconds_is_enough():
    clock = CoarseClock()
    contestants = {"a": clock.takes(1.3e-4), "b": clock.takes(2.6e-4)}
    report = Benchmark(contestants, number=None, clock=clock).run(30)
    assert report.compare("b", "a").ratio == pytest.approx(2, rel=0.1)


def test_each_round_calls_all_in_an_order_from_the_seed():
    def order(seed):
        clock, calls = Clock(), []
        contestants = {n: clock.takes(lambda n=n: calls.append(n) or 1.0) for n in "abc"}
        Benchmark(contestants, warm_up=0, seed=seed, clock=clock).run(20)
        return ["".join(calls[i : i + 3]) for i in range(0, 60, 3)]

    rounds = order(1)
    assert {"".join(sorted(r)) for r in rounds} == {"abc"}
    assert len(set(rounds)) > 3
    assert rounds == order(1) != order(2)


def test_a_machine_that_slows_down_favours_nobody():
    clock = Clock()

    def same():
        return 1 + clock.now / 100

    report = Benchmark({"a": clock.takes(same), "b": clock.takes(same)}, clock=clock).run(40)
    assert report.seconds["a"][-1] > 1.5 * report.seconds["a"][0]
    assert not report.compare("a", "b").differs


def test_fewer_rounds_are_the_first_of_them():
    report = report_of(a=[1, 2, 3, 4])
    assert report.first(2).seconds["a"].tolist() == [1, 2]
    with pytest.raises(ValueError, match="there are 4 rounds, the first 5 were asked for"):
        report.first(5)


def test_a_table_has_a_line_for_each_contestant():
    lines = report_of(a=[2e-3] * 9, b=[1e-3] * 9, c=[2e-3] * 9).table("a").splitlines()
    assert len(lines) == 4
    assert "0.500 (0.500 to 0.500)" in lines[2]
    assert lines[3].endswith("no difference shown")


def test_a_record_goes_through_json():
    clock = Clock()
    record = Benchmark({"a": clock.takes(1.0)}, seed=3, clock=clock).run(2).record()
    again = json.loads(json.dumps(record))
    assert again == record
    assert again["seconds"] == {"a": [1, 1]}
    assert again["seed"] == 3
    assert {*environment(), "load_after"} == set(again["environment"])


def test_an_environment_says_where():
    found = environment()
    assert found["numpy"] == np.__version__
    assert found["threads"] >= 1
    assert found["processors"] is None or found["processors"] >= 1


def test_a_benchmark_says_what_it_needs():
    with pytest.raises(ValueError, match="at least one contestant is needed"):
        Benchmark({})
    with pytest.raises(ValueError, match="number=0 and warm_up=2 came"):
        Benchmark({"a": print}, number=0)
    with pytest.raises(ValueError, match="rounds is a number from 1, 0 came"):
        Benchmark({"a": print}).run(0)
    with pytest.raises(ValueError, match="'a' took no time that the clock can tell; let number be more"):
        Benchmark({"a": lambda: None}, clock=Clock()).run(3)
    with pytest.raises(KeyError, match="the contestants are a, b; 'c' came"):
        report_of(a=[1], b=[1]).compare("a", "c")


def test_a_model_meets_its_accelerated_self_only_if_both_answer_the_same():
    tt.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1)), tt.randn(1, 64, 8, 8)
    contestants = accelerated_contestants(model, x)
    assert list(contestants) == ["original", "accelerated"]
    plain, fast = (call().numpy() for call in contestants.values())
    np.testing.assert_allclose(fast, plain, atol=1e-4)
    assert not np.array_equal(fast, plain)  # it is computed in another way
    with pytest.raises(ValueError, match=r"outputs up to .* moved by .*, more than 0 of it"):
        accelerated_contestants(model, x, tolerance=0)


# Percentiles.


def test_a_percentile_is_one_of_the_values():
    hundred = np.random.default_rng(0).permutation(np.arange(1, 101))
    assert [percentile(hundred, p) for p in (0, 0.07, 0.5, 0.9, 0.99, 1)] == [1, 7, 50, 90, 99, 100]
    assert percentile([5.0], 0.99) == 5
    assert percentile([1, 2], 0.5) == 1


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.sampled_from([0.1, 0.5, 0.9, 0.99]))
def test_a_percentile_agrees_with_numpy(values, share):
    assert percentile(values, share) == np.percentile(values, 100 * share, method="inverted_cdf")


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1], 50)])
def test_a_percentile_needs_values_and_a_share(values, share):
    with pytest.raises(ValueError, match="a share from 0 to 1 are needed"):
        percentile(values, share)


def test_the_queries_that_a_percentile_needs_are_those_of_the_paper():
    table = [23886, 50425, 262742]  # rounded there, rounded up here
    assert [queries_needed(p) for p in (0.9, 0.95, 0.99)] == pytest.approx(table, abs=1)
    with pytest.raises(ValueError, match="share and confidence lie between 0 and 1"):
        queries_needed(1)


# Queues.


def test_a_queue_by_hand():
    # 0: served 0 to 3; 1: waits to 3, done at 5; 10: no wait.
    assert queue_latencies([0, 1, 10], [3, 2, 1]).tolist() == [3, 4, 1]
    assert queue_latencies([], []).shape == (0,)
    assert queue_latencies([4], [2]).tolist() == [2]


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=40))
def test_a_queue_agrees_with_serving_one_after_the_other(pairs):
    arrivals = np.cumsum([gap for gap, _ in pairs])
    done, expected = 0.0, []
    for arrival, (_, service) in zip(arrivals, pairs, strict=True):
        done = max(arrival, done) + service
        expected.append(done - arrival)
    np.testing.assert_allclose(queue_latencies(arrivals, [s for _, s in pairs]), expected, atol=1e-9)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_waiting_with_equal_service_times_follows_pollaczek_and_khinchine(load):
    """M/D/1: a mean wait of load / (2 (1 - load)) service times; a million queries come within 4 %."""
    latencies = queue_latencies(poisson_arrivals(load, 1_000_000, seed=1), np.ones(1_000_000))
    assert np.mean(latencies - 1) == pytest.approx(load / (2 * (1 - load)), rel=0.04)


def test_the_largest_rate_with_exponential_service_is_that_of_theory():
    """M/M/1: a latency exceeds t with exp(-(mu - rate) t), so p99 is at t for rate = mu - ln(100) / t."""
    service = np.random.default_rng(2).exponential(size=300_000)
    rate, latencies = largest_rate(service, 15.0, seed=3)
    assert rate == pytest.approx(1 - math.log(100) / 15, rel=0.03)
    assert percentile(latencies, 0.99) <= 15


def test_poisson_arrivals_have_their_rate_and_forget():
    gaps = np.diff(poisson_arrivals(50, 100_000, seed=2))
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.02)
    assert np.mean(gaps > 1 / 50) == pytest.approx(math.exp(-1), rel=0.02)
    np.testing.assert_allclose(poisson_arrivals(10, 9, 4), poisson_arrivals(20, 9, 4) * 2)
    assert poisson_arrivals(1, 0).shape == (0,)
    with pytest.raises(ValueError, match="above 0, 0 came"):
        poisson_arrivals(0, 5)


@given(st.lists(st.floats(0.1, 5), min_size=1, max_size=30), st.floats(0.05, 3), st.floats(1, 4))
def test_nobody_waits_less_at_a_higher_rate(service, rate, faster):
    slow = queue_latencies(poisson_arrivals(rate, len(service)), service)
    fast = queue_latencies(poisson_arrivals(rate * faster, len(service)), service)
    assert np.all(fast >= slow - 1e-9)


def test_no_rate_meets_a_bound_below_the_service_time():
    rate, latencies = largest_rate(np.full(50, 2.0), 1.9)
    assert rate == 0
    assert latencies.tolist() == [2.0] * 50


def test_a_loose_bound_does_not_overload_the_server():
    assert 0.99 < largest_rate(np.full(100, 0.5), 1e9)[0] / 2 < 1


def test_a_queue_needs_a_service_time_for_each_arrival():
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(1,\) came"):
        queue_latencies([1, 2], [1])


# Scenarios.


def system(clock, seconds, n=20, right=20, quality=0.9, **settings):
    """A system that takes seconds(samples) for a query, and answers `right` of n samples rightly."""

    def model(batch):
        clock.now += seconds(len(batch))
        return np.eye(2)[(batch >= right).astype(int)]

    return SystemUnderTest(model, np.arange(n), np.zeros(n, int), quality, clock=clock, **settings)


def test_in_a_browser_a_query_is_asked_as_often_as_its_clock_needs(monkeypatch):
    clock = CoarseClock()
    monkeypatch.setattr(benchmarking, "perf_counter", clock)
    monkeypatch.setattr(benchmarking.sys, "platform", "emscripten")
    asked = system(clock, lambda n: 1.1e-4)
    assert asked.single_stream().value == pytest.approx(0.11, rel=0.1)
    assert asked.offline(batch_size=5).value == pytest.approx(5 / 1.1e-4, rel=0.1)


def test_single_stream_is_the_latency_of_nine_in_ten():
    clock = Clock()
    costs = iter([50, 50, *range(1, 101)])  # two of them to warm up
    found = system(clock, lambda n: next(costs) / 1000).single_stream(100)
    assert found.value == pytest.approx(90)
    assert found.unit == "ms"
    assert len(found.latencies) == 100
    assert found.valid
    assert found.accuracy == 1


@pytest.mark.parametrize("scenario", ["single_stream", "offline", "multi_stream", "server"])
def test_a_result_below_its_quality_is_invalid(scenario):
    arguments = {"multi_stream": [1.0], "server": [1.0]}.get(scenario, [])
    found = [getattr(system(Clock(), lambda n: 0.01, right=r), scenario)(*arguments) for r in (17, 18)]
    assert [f.accuracy for f in found] == [0.85, 0.9]
    assert [f.valid for f in found] == [False, True]
    assert str(found[0]).endswith("accuracy 0.8500, at least 0.9000: INVALID")
    assert str(found[1]).endswith(": valid")


def test_every_sample_is_asked_for_equally_often():
    seen = []

    def model(batch):
        seen.extend(batch.tolist())
        return np.eye(2)[np.zeros(len(batch), int)]

    SystemUnderTest(model, np.arange(7), np.zeros(7, int), 0, warm_up=0, clock=Clock()).single_stream(15)
    assert sorted(seen) == sorted([*range(7)] * 3)


def test_offline_is_samples_a_second():
    found = system(Clock(), lambda n: 0.5 + 0.1 * n).offline(batch_size=5, samples=100)
    assert found.value == pytest.approx(5 / (0.5 + 0.5))
    assert len(found.latencies) == 20
    with pytest.raises(ValueError, match="20 samples took no time that the clock can tell"):
        system(Clock(), lambda n: 0.0).offline()
    alone = system(Clock(), lambda n: 0.25, n=1).offline()
    assert alone.value == pytest.approx(4)


@pytest.mark.parametrize(
    ("interval", "streams"), [(0.05, 0), (0.1, 0), (0.25, 1), (0.75, 6), (1.35, 12), (9, 20)]
)
def test_multi_stream_is_the_most_that_fit_the_interval(interval, streams):
    found = system(Clock(), lambda n: 0.1 + 0.1 * n).multi_stream(interval, queries=5)
    assert found.value == streams
    assert found.accuracy == 1


def test_the_server_with_equal_service_times_is_that_of_its_queue():
    found = system(Clock(), lambda n: 0.01).server(0.05, queries=20_000)
    expected, _ = largest_rate(np.full(20_000, 0.01), 0.05)
    assert found.value == pytest.approx(expected, rel=1e-3)
    assert 0 < found.value < 100
    assert percentile(found.latencies, 0.99) <= 0.05
    assert found.simulated
    assert "simulated queue" in str(found)


def test_a_model_is_asked_in_eval_mode_and_says_its_bytes():
    tt.manual_seed(0)
    model, x = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)), tt.randn(10, 4)
    with pytest.raises(ValueError, match=r"the model is in training mode; call model.eval\(\) first"):
        SystemUnderTest(model, x, [0] * 10, 0.5)
    model.eval()
    labels = model(x).argmax(-1)
    found = SystemUnderTest(model, x, labels, 1.0).offline(batch_size=3)
    assert found.valid
    assert found.nbytes == 4 * (4 * 3 + 3)
    assert system(Clock(), lambda n: 1.0).offline().nbytes is None


def test_a_system_needs_a_target_for_each_input():
    with pytest.raises(ValueError, match="3 inputs and 2 targets came"):
        SystemUnderTest(len, np.arange(3), [1, 2], 0)
    with pytest.raises(ValueError, match="0 inputs and 0 targets came"):
        SystemUnderTest(len, np.arange(0), [], 0)


def test_top1_is_the_share_of_right_rows():
    assert top1(np.array([[1, 2], [3, 0], [0, 1]]), np.array([1, 1, 1])) == pytest.approx(2 / 3)
