"""19 Benchmarking: which of two is faster, how sure that is, and whether the answers are still right.

Benchmark        contestants, called in rounds; each round in a random order, so that a machine that becomes
                 slower meets all of them. Medians, and intervals by resampling the rounds: the percentile
                 bootstrap, Efron 1979, https://doi.org/10.1214/aos/1176344552
SystemUnderTest  a model in the four scenarios of MLPerf Inference, each with its own question and number, and
                 with the accuracy of the very answers that were timed. Reddi et al. 2019,
                 https://arxiv.org/abs/1911.02549

Seconds come from a clock that is an argument: whoever tests a benchmark gives it a clock of its own.
"""

import os
import platform
import sys
from functools import cached_property
from math import ceil
from statistics import NormalDist
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..utils.threads import get_num_threads
from .acceleration import accelerate
from .autograd import no_grad
from .layers import Module
from .profiling import calls_for, model_nbytes
from .tensor import Tensor

# How sure a number is.


class Interval(NamedTuple):
    """An estimate, and between which bounds it lies with the confidence that was asked for."""

    estimate: float
    low: float
    high: float


def bootstrap(statistic, *samples, confidence=0.95, resamples=1000, seed=0):
    """The percentile bootstrap Interval of statistic(*samples).

    `samples` are arrays (n,) that belong together: number i of each was measured in the same round, and
    rounds are drawn, with replacement. statistic takes them as (resamples, n) and works along the last axis.
    Rounds are taken to be independent; where neighbours resemble each other, the interval is too narrow.
    Raises ValueError for samples that are empty or of different lengths, and a confidence outside of 0 to 1.
    """
    arrays = [np.asarray(sample) for sample in samples]
    n = len(arrays[0]) if arrays else 0
    if n == 0 or any(array.shape != (n,) for array in arrays):
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"bootstrap: samples of one length from 1 are needed, shapes ({shapes}) came")
    if not 0 < confidence < 1:
        raise ValueError(f"bootstrap: confidence lies between 0 and 1, {confidence} came")
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n))
    values = statistic(*(array[drawn] for array in arrays))  # (resamples,)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(statistic(*(array[None] for array in arrays))[0]), float(low), float(high))


def median(values):
    """The middle value along the last axis."""
    return np.median(values, axis=-1)


def ratio_of_medians(first, second):
    """How many times the median of `second` that of `first` is, along the last axis."""
    return median(first) / median(second)


def least_rounds(confidence=0.95):
    """The fewest rounds from which anything can be told with this confidence.

    That all of n rounds lie on the same side of the true median has a chance of 2 / 2^n. Where that is more
    than 1 - confidence, not even the interval from the smallest to the largest is wide enough.
    """
    rounds = 1
    while 2 / 2**rounds > 1 - confidence:
        rounds += 1
    return rounds


class Comparison(NamedTuple):
    """How many times as long `first` takes as `second`: the ratio of their medians, with its interval."""

    first: str
    second: str
    ratio: float
    low: float
    high: float
    confidence: float
    rounds: int

    @property
    def differs(self):
        """Is there a difference that the noise does not explain?"""
        enough = self.rounds >= least_rounds(self.confidence)
        return enough and not self.low <= 1 <= self.high

    @property
    def verdict(self):
        """What may be said of the two, in words."""
        interval = (
            f"{100 * self.confidence:g} % interval {self.low:.3f} to {self.high:.3f}, {self.rounds} rounds"
        )
        if self.differs:
            return f"{self.first} takes {self.ratio:.3f} times as long as {self.second} ({interval})"
        if self.rounds < least_rounds(self.confidence):
            interval = f"{self.rounds} rounds, {least_rounds(self.confidence)} are the fewest"
        return f"no difference shown between {self.first} and {self.second} ({interval})"


# Contestants.


def environment():
    """What a time depends on beside the code: a dictionary that JSON can hold.

    `processors` are those that this process may use, `threads` how many an Op uses, `load` the processes that
    wanted to run, on average over the last minute (None where the system does not say, as in a browser).
    """
    built: Any = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {})
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', 'none')} {blas.get('version', '')}".strip(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processors": usable,
        "threads": get_num_threads(),
        "load": load(),
    }


def load():
    """Processes that wanted to run, on average over the last minute; None where the system does not say."""
    if sys.platform == "emscripten":
        return None  # its number is made up
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


class Benchmark:
    """Functions that are to do the same thing, timed against each other.

    contestants  {name: function without arguments}; one on a GPU has to wait for it before it returns
    warm_up      calls of each that do not count
    number       calls that are timed together, for a function that is fast beside the clock; None: as many as
                 take the fastest contestant 5 ms
    seed         of the random orders
    clock        gives seconds
    """

    def __init__(self, contestants, warm_up=2, number=1, seed=0, clock=perf_counter):
        if not contestants:
            raise ValueError("Benchmark: at least one contestant is needed, none came")
        if (number is not None and number < 1) or warm_up < 0:
            raise ValueError(
                f"Benchmark: number is from 1 and warm_up from 0, number={number} and warm_up={warm_up} came"
            )
        self.contestants, self.warm_up, self.number = dict(contestants), warm_up, number
        self.seed, self.clock = seed, clock

    def run(self, rounds=30):
        """Call every contestant once (`number` times) in each round. Returns a Report.

        Raises ValueError for rounds below 1, and where the clock did not move.
        """
        if rounds < 1:
            raise ValueError(f"Benchmark: rounds is a number from 1, {rounds} came")
        found = environment()
        for function in self.contestants.values():
            for _ in range(self.warm_up):
                function()
        if self.number is None:
            self.number = max(calls_for(f, clock=self.clock) for f in self.contestants.values())
        rng, names = np.random.default_rng(self.seed), list(self.contestants)
        seconds = {name: np.empty(rounds) for name in names}
        for i in range(rounds):
            for name in rng.permutation(len(names)):
                seconds[names[name]][i] = self.time(self.contestants[names[name]])
        for name, values in seconds.items():
            if values.min() <= 0:
                raise ValueError(
                    f"Benchmark: {name!r} took no time that the clock can tell; let number be more than "
                    f"{self.number}"
                )
        found["load_after"] = load()
        return Report(seconds, self.seed, self.warm_up, self.number, found)

    def time(self, function):
        """Seconds of one call."""
        begin = self.clock()
        for _ in range(self.number):
            function()
        return (self.clock() - begin) / self.number


def accelerated_contestants(model, *inputs, tolerance=1e-3):
    """Contestants: a model, and what `accelerate` (18) makes of it, both on the same inputs.

    Raises ValueError where an output moves by more than `tolerance` times the largest: a fast wrong answer is
    no contestant.
    """
    models = {"original": model, "accelerated": accelerate(model)}
    with no_grad():
        right, other = (m(*inputs).array for m in models.values())
    moved, largest = float(abs(other - right).max()), float(abs(right).max())
    if moved > tolerance * largest:
        raise ValueError(
            f"accelerated_contestants: outputs up to {largest:.3g} moved by {moved:.3g}, more than "
            f"{tolerance:g} of it"
        )

    def calling(m):
        def call():
            with no_grad():
                return m(*inputs)

        return call

    return {name: calling(m) for name, m in models.items()}


class Report(NamedTuple):
    """What a Benchmark measured: for each contestant the seconds (rounds,) of its calls, in their order."""

    seconds: dict
    seed: int
    warm_up: int
    number: int
    environment: dict

    @property
    def rounds(self):
        return len(next(iter(self.seconds.values())))

    def named(self, name):
        """Seconds (rounds,) of a contestant."""
        if name not in self.seconds:
            raise KeyError(f"Report: the contestants are {', '.join(self.seconds)}; {name!r} came")
        return self.seconds[name]

    def median(self, name, confidence=0.95):
        """The Interval of the median of a contestant, in seconds."""
        return bootstrap(median, self.named(name), confidence=confidence, seed=self.seed)

    def compare(self, first, second, confidence=0.95):
        """The Comparison of two contestants. A round is drawn for both together, so what slowed the whole
        round down cancels out. One is wrong with a chance of 1 - confidence; of many, some will be.
        """
        pair = self.named(first), self.named(second)
        ratio, low, high = bootstrap(ratio_of_medians, *pair, confidence=confidence, seed=self.seed)
        return Comparison(first, second, ratio, low, high, confidence, self.rounds)

    def first(self, rounds):
        """The Report that fewer rounds would have given."""
        if not 1 <= rounds <= self.rounds:
            raise ValueError(f"Report: there are {self.rounds} rounds, the first {rounds} were asked for")
        return self._replace(seconds={name: values[:rounds] for name, values in self.seconds.items()})

    def table(self, baseline=None):
        """As text: medians with their intervals, and the ratios to a baseline (the first contestant)."""
        baseline = next(iter(self.seconds)) if baseline is None else baseline
        self.named(baseline)
        width = max(len("contestant"), *map(len, self.seconds))
        lines = [f"{'contestant':{width}}  median ms  95 % interval        times {baseline}"]
        for name in self.seconds:
            ms = [1e3 * value for value in self.median(name)]
            line = f"{name:{width}} {ms[0]:10.4f}  {ms[1]:8.4f} to {ms[2]:8.4f}"
            if name != baseline:
                c = self.compare(name, baseline)
                line += f"  {c.ratio:.3f} ({c.low:.3f} to {c.high:.3f})"
                line += "" if c.differs else ": no difference shown"
            lines.append(line)
        return "\n".join(lines)

    def record(self):
        """Everything, as a dictionary that JSON can hold."""
        return self._asdict() | {"seconds": {name: values.tolist() for name, values in self.seconds.items()}}


# Percentiles.


def percentile(values, share):
    """The smallest of the values that at least this share of them does not exceed: percentile(v, 0.9) is the
    latency that 9 of 10 queries kept. It is one of the values, never a number between two.

    Raises ValueError for no values, or a share outside of 0 to 1.
    """
    values = np.sort(np.asarray(values))
    if not len(values) or not 0 <= share <= 1:
        raise ValueError(
            f"percentile: values, and a share from 0 to 1 are needed, {len(values)} values and {share} came"
        )
    # Rounded, as 0.07 * 100 is a little more than 7.
    return float(values[max(ceil(round(share * len(values), 9)) - 1, 0)])


def queries_needed(share, confidence=0.99):
    """How many queries it takes to know a percentile: with this confidence the share of queries that keep to
    the latency is within a twentieth of 1 - share (Reddi et al. 2019, on statistical confidence).
    """
    if not 0 < share < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"queries_needed: share and confidence lie between 0 and 1, {share} and {confidence} came"
        )
    margin = (1 - share) / 20
    return ceil(NormalDist().inv_cdf((1 - confidence) / 2) ** 2 * share * (1 - share) / margin**2)


# A queue, in simulated time.


def poisson_arrivals(rate, queries, seed=0):
    """Times (queries,) in seconds at which queries arrive, `rate` a second on average, each independent of
    the others: the gaps are exponential. One seed gives the same pattern at every rate, only denser.
    """
    if not rate > 0:
        raise ValueError(f"poisson_arrivals: rate is a number of queries a second above 0, {rate} came")
    return np.cumsum(np.random.default_rng(seed).exponential(size=queries)) / rate


def queue_latencies(arrivals, service):
    """Seconds (n,) from the arrival of each query to its answer; one at a time is served, first come, first
    served. arrivals (n,) are times in growing order, service (n,) how long each query takes.

    A query begins when it is there and the one before it is done:

        done[k] = max(arrivals[k], done[k - 1]) + service[k]

    Unrolled, with W the running sum of service: done[k] = W[k] + max over j <= k of (arrivals[j] - W[j - 1]).
    """
    arrivals, service = np.asarray(arrivals, np.float64), np.asarray(service, np.float64)
    if arrivals.shape != service.shape or arrivals.ndim != 1:
        raise ValueError(
            f"queue_latencies: a service time for each arrival is needed, shapes {arrivals.shape} and "
            f"{service.shape} came"
        )
    work = np.cumsum(service)
    return work + np.maximum.accumulate(arrivals - (work - service)) - arrivals


def largest_rate(service, bound, share=0.99, seed=0):
    """(rate, latencies): most queries a second of which this share is answered within `bound` seconds, and
    the latencies at that rate. service (n,) are seconds for each of n queries. The rate is 0, and the
    latencies are the service times, where even queries that never wait take too long.

    The same queries at a higher rate wait longer, each of them, so bisection finds the rate. It stays below
    1 / mean(service): beyond it the queue grows for as long as queries come.
    """
    service = np.asarray(service, np.float64)
    low, high, found = 0.0, 1 / service.mean() if len(service) else 0.0, service
    if percentile(service, share) > bound:
        return low, found
    arrivals = poisson_arrivals(1.0, len(service), seed)
    for _ in range(20):  # to a millionth of the highest rate
        rate = (low + high) / 2
        latencies = queue_latencies(arrivals / rate, service)
        if percentile(latencies, share) <= bound:
            low, found = rate, latencies
        else:
            high = rate
    return low, found


# The scenarios.


class Result(NamedTuple):
    """What a scenario found. It counts only if the answers were good enough."""

    scenario: str
    metric: str
    value: float
    unit: str
    accuracy: float
    quality: float  # the least accuracy
    latencies: Any  # seconds (queries,)
    nbytes: int | None  # of the model's parameters and buffers
    simulated: bool = False  # measured service times, waiting computed

    @property
    def valid(self):
        """Did the same run reach its accuracy?"""
        return self.accuracy >= self.quality

    def __str__(self):
        verdict = "valid" if self.valid else "INVALID"
        shown = f"{self.value:.4g} {self.unit}" + (" (simulated queue)" if self.simulated else "")
        return (
            f"{self.scenario}: {self.metric} {shown}; accuracy {self.accuracy:.4f}, at least "
            f"{self.quality:.4f}: {verdict}"
        )


def top1(outputs, targets):
    """The share of rows of outputs (n, classes) whose largest number stands at targets (n,)."""
    return float(np.mean(np.argmax(outputs, axis=-1) == targets))


class SystemUnderTest:
    """A model and the samples that it is asked about.

    model    a Module in eval mode, or a function: a batch of inputs (b, ...) -> outputs (b, ...)
    inputs   Tensor or array (n, ...), of which queries are made; targets (n, ...), the right answers
    quality  the least score(outputs, targets) that makes a result valid; score is a number such as top1's
    warm_up  queries that do not count
    seed     of the order of the samples and of the arrivals
    clock    gives seconds

    Every sample is asked for equally often, and what is scored are the answers that were timed. Time runs
    from a batch that lies ready to an answer as a NumPy array, so that of a GPU includes its work.
    """

    def __init__(self, model, inputs, targets, quality, score=top1, warm_up=2, seed=0, clock=perf_counter):
        if isinstance(model, Module) and model.training:
            raise ValueError("SystemUnderTest: the model is in training mode; call model.eval() first")
        self.targets = targets.numpy() if isinstance(targets, Tensor) else np.asarray(targets)
        if len(inputs) != len(self.targets) or not len(inputs):
            raise ValueError(
                f"SystemUnderTest: a target for each of n >= 1 inputs is needed, {len(inputs)} inputs and "
                f"{len(self.targets)} targets came"
            )
        self.model, self.inputs, self.quality, self.score = model, inputs, quality, score
        self.warm_up, self.seed, self.clock = warm_up, seed, clock
        self.calls = {}  # {size of a batch: how often it is asked to be timed}

    @cached_property
    def nbytes(self):
        """Bytes of the model's parameters and buffers; None for a function."""
        return model_nbytes(self.model) if isinstance(self.model, Module) else None

    def ask(self, queries, size):
        """(seconds (queries or more,), accuracy) of queries of `size` samples, one after the other."""
        n, rng = len(self.inputs), np.random.default_rng(self.seed)
        scored = ceil(max(queries * size, 1) / n) * n  # whole passes over the samples
        passes = [rng.permutation(n) for _ in range(ceil((scored + size) / n))]
        order = np.concatenate(passes)[: ceil(scored / size) * size].reshape(-1, size)
        for chosen in order[: self.warm_up]:
            self.answer(self.inputs[chosen])
        timed = [self.answer(self.inputs[chosen]) for chosen in order]
        outputs = np.concatenate([output for _, output in timed])[:scored]
        accuracy = self.score(outputs, self.targets[order.reshape(-1)[:scored]])
        return np.array([seconds for seconds, _ in timed]), accuracy

    def answer(self, batch):
        """(seconds, outputs) of one query. In a browser the seconds are the mean of as many answers as its
        clock needs (calls_for), so there the slowest of them do not show.
        """
        calls = self.calls.get(len(batch))
        if calls is None:
            coarse = sys.platform == "emscripten" and self.clock is perf_counter
            calls = self.calls[len(batch)] = calls_for(lambda: self.outputs(batch)) if coarse else 1
        begin = self.clock()
        for _ in range(calls):
            outputs = self.outputs(batch)
        return (self.clock() - begin) / calls, outputs

    def outputs(self, batch):
        """The model's answer as a NumPy array."""
        with no_grad():
            outputs = self.model(batch)
        outputs = outputs.array if isinstance(outputs, Tensor) else np.asarray(outputs)
        return outputs if isinstance(outputs, np.ndarray) else outputs.get()  # waits for the GPU

    def result(self, scenario, metric, value, unit, accuracy, latencies, simulated=False):
        return Result(
            scenario, metric, value, unit, accuracy, self.quality, latencies, self.nbytes, simulated
        )

    def single_stream(self, queries=100):
        """One sample after the other, as on a phone: the latency that 90 % of the queries keep."""
        seconds, accuracy = self.ask(queries, 1)
        value = 1e3 * percentile(seconds, 0.9)
        return self.result("SingleStream", "90th percentile latency", value, "ms", accuracy, seconds)

    def multi_stream(self, interval, queries=100):
        """A query with a sample from each of several cameras, every `interval` seconds: the most streams, up
        to the number of samples, with which 99 % of the queries are done before the next one comes.
        """
        found, streams, too_many = self.ask(queries, 1), 0, len(self.inputs) + 1
        if percentile(found[0], 0.99) <= interval:
            streams = 1
        while streams and too_many - streams > 1:  # double, then halve the distance
            tried = min(2 * streams, (streams + too_many) // 2)
            answers = self.ask(queries, tried)
            if percentile(answers[0], 0.99) <= interval:
                found, streams = answers, tried
            else:
                too_many = tried
        seconds, accuracy = found
        return self.result("MultiStream", "most streams", streams, "streams", accuracy, seconds)

    def offline(self, batch_size=64, samples=0):
        """All samples are there at the beginning, and no answer is urgent: samples a second.

        Raises ValueError where the clock did not move.
        """
        size = min(batch_size, len(self.inputs))
        seconds, accuracy = self.ask(ceil(samples / size), size)
        if seconds.sum() <= 0:
            raise ValueError(
                f"offline: {len(seconds) * size} samples took no time that the clock can tell; ask for more "
                f"than samples={samples}"
            )
        value = len(seconds) * size / float(seconds.sum())
        return self.result("Offline", "throughput", value, "samples/s", accuracy, seconds)

    def server(self, bound, queries=None, measured=100):
        """Queries of one sample arrive at random moments and wait in line: the largest rate at which 99 % of
        them are answered within `bound` seconds.

        Service times are measured, of `measured` queries or more. Arrivals and waiting are computed
        (`queue_latencies`), for `queries` queries (None: queries_needed(0.99)) with the measured times over
        and over, in a random order. So a slow moment strikes single queries here, not a whole row of them.
        """
        seconds, accuracy = self.ask(measured, 1)
        rng = np.random.default_rng([self.seed, 1])
        service = np.resize(seconds, queries_needed(0.99) if queries is None else queries)
        rate, latencies = largest_rate(rng.permutation(service), bound, seed=self.seed)
        metric = f"rate with 99 % within {1e3 * bound:g} ms"
        return self.result("Server", metric, rate, "queries/s", accuracy, latencies, simulated=True)
