"""Exercises of module 19, Benchmarking."""

import numpy as np

from tinytorch.core import benchmarking

from ..checking import Exercises, call, raises, see, swap, wrong

exercises = Exercises("benchmarking")


def listed(interval):
    return [float(number) for number in interval]


def mean(values):
    return np.mean(values, axis=-1)


def share_of_sums(first, second):
    return first.sum(axis=-1) / second.sum(axis=-1)


def bootstrap_of_median(*samples, **settings):
    return benchmarking.bootstrap(benchmarking.median, *map(np.array, samples), **settings)


class Clock:
    """A clock that moves only when a contestant works, and counts how often it was read."""

    def __init__(self):
        self.now, self.readings = 0.0, 0

    def __call__(self):
        self.readings += 1
        return self.now

    def contestant(self, name, costs, calls):
        """A function that takes the seconds of `costs`, one after the other, the last for ever."""
        done: list[str] = []

        def function():
            self.now += costs[min(len(done), len(costs) - 1)]
            done.append(name)
            calls.append(name)

        return function


def benchmark_of(costs, **settings):
    """(Benchmark, its calls in order): name=[seconds of each call] are its contestants."""
    clock = Clock()
    calls: list[str] = []
    contestants = {name: clock.contestant(name, seconds, calls) for name, seconds in costs.items()}
    return benchmarking.Benchmark(contestants, clock=clock, **settings), calls


def report_of(**seconds):
    return benchmarking.Report({name: np.array(s, np.float64) for name, s in seconds.items()}, 0, 0, 1, {})


bootstrap = exercises.add(
    "bootstrap",
    prompt=(
        "Return Interval(estimate, low, high): the statistic of the samples themselves, and between which "
        "bounds the middle `confidence` of its values lies when rounds are drawn with replacement, "
        "n of n, `resamples` times. A round that is drawn is drawn for all samples together; the draws come "
        "from a generator made of `seed`. Errors as the docstring says them; the one about confidence says "
        "that word."
    ),
    hints=(
        "Draw numbers of rounds rather than seconds: one array of indices (resamples, n) serves all samples.",
        "`np.random.default_rng(seed).integers(n, size=(resamples, n))` draws with replacement, and "
        "`array[drawn]` has the shape that statistic takes.",
        "`np.quantile(values, [...])` gives both bounds. Of 5 % that are cut off, half is at each end. For "
        "the estimate, `array[None]` is a sample as (1, n).",
    ),
    mistakes=(
        swap(
            "np.random.default_rng(seed).integers(n, size=(resamples, n))",
            "np.argsort(np.random.default_rng(seed).random((resamples, n)), axis=-1)",
            "Every draw has each round exactly once, so the statistic is always the same: draw with "
            "replacement, so that some rounds come twice and some not at all.",
        ),
        swap(
            "[(1 - confidence) / 2, (1 + confidence) / 2]",
            "[1 - confidence, confidence]",
            "Of 95 %, this cuts off 5 % at each end, which leaves 90 %: half of what is left out belongs at "
            "each end.",
        ),
        swap(
            "*(array[drawn] for array in arrays)",
            "*(a[np.random.default_rng(i).integers(n, size=(resamples, n))] for i, a in enumerate(arrays))",
            "Each sample has draws of its own. What was measured in the same round belongs together: draw a "
            "round for all samples at once.",
        ),
        swap(
            "float(statistic(*(array[None] for array in arrays))[0])",
            "float(np.mean(values))",
            "The estimate is the mean over the draws; it should be the statistic of the samples themselves.",
        ),
        swap(
            "low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])",
            "middle = float(statistic(*(array[None] for array in arrays))[0])\n"
            "    error = NormalDist().inv_cdf((1 + confidence) / 2) * np.std(values)\n"
            "    low, high = middle - error, middle + error",
            "The interval lies evenly about the estimate, as if values were normally distributed: take the "
            "bounds from the values themselves.",
        ),
        swap(
            "default_rng(seed)",
            "default_rng(0)",
            "The draws are the same whatever the seed: make the generator of `seed`.",
        ),
        swap(
            "size=(resamples, n)",
            "size=(1000, n)",
            "There are always 1000 draws here; `resamples` says how many.",
        ),
        swap(
            "if not 0 < confidence < 1:",
            "if False:",
            "A confidence of 1 or more has no interval: it has to be a ValueError that says so.",
        ),
    ),
)


@bootstrap.check("four equal numbers leave nothing open")
def _():
    found = bootstrap_of_median([3.0, 3.0, 3.0, 3.0])
    see("bootstrap(median, [3, 3, 3, 3]) as a list", listed(found)).gives([3.0, 3.0, 3.0])


@bootstrap.check("the estimate is that of the samples themselves, the bounds are values of draws")
def _():
    found = bootstrap_of_median([1.0, 2.0, 3.0, 40.0, 500.0])
    see("the estimate of bootstrap(median, [1, 2, 3, 40, 500])", float(found.estimate)).gives(3.0)
    see("low and high", listed(found[1:])).gives([1.0, 500.0], note="6 % of all draws have a median of 500")


@bootstrap.check("95 % and 50 % intervals of the mean of 1 to 100 are as wide as theory says")
def _():
    sample = np.arange(1.0, 101.0)
    error = np.sqrt((100**2 - 1) / 12 / 100)  # standard error of the mean, 2.89
    for confidence, errors in ((0.95, 1.95996), (0.5, 0.67449)):
        found = benchmarking.bootstrap(mean, sample, confidence=confidence, resamples=4000)
        expected = [50.5, float(50.5 - errors * error), float(50.5 + errors * error)]
        see(f"bootstrap(mean, [1, 2, …, 100], confidence={confidence}) as a list", listed(found)).gives(
            expected, rtol=0, atol=0.6, note="within 0.6, as draws are random"
        )


@bootstrap.check("a round is drawn for all samples together")
def _():
    seconds = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    found = benchmarking.bootstrap(share_of_sums, 3 * seconds, seconds)
    see("interval of sum(first) / sum(second), first = 3 * second", listed(found)).gives([3.0, 3.0, 3.0])


@bootstrap.check("one seed gives one interval, others give others")
def _():
    sample, seeds = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]), (4, 4, 5, 6, 7)
    first, second, *others = (
        listed(benchmarking.bootstrap(mean, sample, seed=s, resamples=50)) for s in seeds
    )
    see("a second interval with seed=4", second).gives(first)
    see("intervals with seeds 5, 6 and 7", others).satisfies(
        any(other != first for other in others), "not all as with seed=4"
    )


@bootstrap.check("there are as many draws as `resamples`")
def _():
    rows: list[int] = []

    def counted(values):
        rows.append(np.size(values) // 3)
        return mean(values)

    benchmarking.bootstrap(counted, np.array([1.0, 2.0, 3.0]), resamples=50)
    see("how many samples the statistic saw, resamples=50", sum(rows)).satisfies(
        sum(rows) in (50, 51), "50 draws, and the sample itself"
    )


@bootstrap.check("empty samples, two lengths and a confidence of 95 are errors")
def _():
    raises(ValueError, bootstrap_of_median, [])
    raises(ValueError, bootstrap_of_median, [1.0, 2.0], [1.0])
    raises(ValueError, bootstrap_of_median, [1.0, 2.0], confidence=95, says="confidence")
    raises(ValueError, bootstrap_of_median, [1.0, 2.0], confidence=-0.5, says="confidence")


ratio_of_medians = exercises.add(
    "ratio_of_medians",
    prompt=(
        "Return the median of `first` divided by the median of `second`, both along the last axis: for "
        "arrays (n,) one number, for (resamples, n) one for each row."
    ),
    hints=(
        "First two medians, then one quotient.",
        "`median(values)` of the file works along the last axis.",
    ),
    mistakes=(
        swap(
            "median(first) / median(second)",
            "median(second) / median(first)",
            "The ratio is turned round: it says how many times as long `first` takes, so first is on top.",
        ),
        swap(
            "median(first) / median(second)",
            "median(np.asarray(first) / np.asarray(second))",
            "This is the median of the ratios. Take the two medians first and then their ratio.",
        ),
        swap(
            "median(first) / median(second)",
            "np.mean(first, axis=-1) / np.mean(second, axis=-1)",
            "These are means, which one slow call moves; medians hardly move.",
        ),
        swap(
            "median(first) / median(second)",
            "np.median(first) / np.median(second)",
            "The rows are thrown together: each row has a median of its own, along the last axis.",
        ),
    ),
)


@ratio_of_medians.check("a median of 6 is 3 times a median of 2, whatever the slowest call took")
def _():
    call(benchmarking.ratio_of_medians, np.array([6.0, 90.0, 5.0]), np.array([1.0, 2.0, 3.0])).gives(3.0)


@ratio_of_medians.check("each row has a ratio of its own")
def _():
    first = np.array([[1.0, 2.0, 3.0, 4.0], [8.0, 9.0, 8.0, 7.0]])
    second = np.array([[5.0, 5.0, 5.0, 5.0], [1.0, 2.0, 2.0, 3.0]])
    call(benchmarking.ratio_of_medians, first, second).gives([0.5, 4.0])


least_rounds = exercises.add(
    "least_rounds",
    prompt=(
        "Return the smallest number of rounds n, an int from 1, for which the chance 2 / 2^n is not more "
        "than 1 - confidence."
    ),
    hints=(
        "Try 1, 2, 3 and so on until the chance is small enough.",
        "`while 2 / 2**rounds > ...: rounds += 1`",
    ),
    mistakes=(
        swap(
            "2 / 2**rounds > 1",
            "1 / 2**rounds > 1",
            "All rounds may lie above the median or all below it: these are two cases, so the chance is "
            "2 / 2^n.",
        ),
        swap(
            "2 / 2**rounds > 1 - confidence",
            "2 / 2**rounds > confidence",
            "The chance is compared with the confidence; it may be as much as 1 - confidence.",
        ),
        swap(
            "2 / 2**rounds > 1",
            "2 / 2**rounds >= 1",
            "A chance that is exactly 1 - confidence is small enough; this asks for one round more.",
        ),
        swap(
            "return rounds",
            "return 6",
            "6 is right for 95 % only; another confidence needs another number of rounds.",
        ),
    ),
)


@least_rounds.check("95 % needs 6 rounds: 2 / 32 is too much, 2 / 64 is not")
def _():
    see("least_rounds(0.95)", int(benchmarking.least_rounds(0.95))).gives(6)


@least_rounds.check("more confidence needs more rounds")
def _():
    found = [int(benchmarking.least_rounds(confidence)) for confidence in (0.9, 0.99, 0.999)]
    see("least_rounds of 0.9, 0.99 and 0.999", found).gives([5, 8, 11])


@least_rounds.check("a chance of exactly 1 - confidence is enough")
def _():
    found = [int(benchmarking.least_rounds(confidence)) for confidence in (0.5, 0.75)]
    see("least_rounds of 0.5 and 0.75", found).gives([2, 3])


differs = exercises.add(
    "Comparison.differs",
    prompt=(
        "Return whether a difference is shown: 1 lies outside of the interval from self.low to self.high (a "
        "bound that is 1 counts as inside), and there are at least the rounds that self.confidence needs."
    ),
    hints=(
        "Two conditions, and both have to hold. A ratio can be clearly above 1, and clearly below it.",
        "`least_rounds(self.confidence)` is the fewest rounds; `low <= 1 <= high` is a chain that Python "
        "understands.",
    ),
    mistakes=(
        swap(
            "not self.low <= 1 <= self.high",
            "self.low > 1",
            "Only a slower `first` is called a difference; an interval all below 1 shows one, too.",
        ),
        swap(
            "not self.low <= 1 <= self.high",
            "not self.low < 1 < self.high",
            "A bound of exactly 1 counts as inside: nothing is shown then.",
        ),
        swap(
            "return enough and not",
            "return not",
            "The number of rounds does not matter here; too few show nothing, however clear they look.",
        ),
        swap(
            "self.rounds >= least_rounds(self.confidence)",
            "self.rounds >= least_rounds()",
            "The fewest rounds depend on the confidence: pass self.confidence to least_rounds.",
        ),
        swap(
            "self.rounds >= least_rounds",
            "self.rounds > least_rounds",
            "As many rounds as least_rounds says are enough.",
        ),
    ),
)


def seen_differs(low, high, confidence, rounds):
    comparison = benchmarking.Comparison("a", "b", (low + high) / 2, low, high, confidence, rounds)
    words = f"differs, interval {low} to {high}, confidence {confidence}, {rounds} rounds"
    return see(words, bool(comparison.differs))


@differs.check("an interval above 1 or below 1 shows a difference")
def _():
    seen_differs(1.1, 1.3, 0.95, 30).gives(True)
    seen_differs(0.7, 0.9, 0.95, 30).gives(True)


@differs.check("an interval that holds 1 shows none, and its bounds belong to it")
def _():
    seen_differs(0.9, 1.2, 0.95, 30).gives(False)
    seen_differs(1.0, 1.2, 0.95, 30).gives(False)
    seen_differs(0.9, 1.0, 0.95, 30).gives(False)


@differs.check("too few rounds show nothing")
def _():
    seen_differs(2.0, 2.0, 0.95, 5).gives(False)
    seen_differs(2.0, 2.0, 0.95, 6).gives(True)


@differs.check("how many are too few depends on the confidence")
def _():
    seen_differs(2.0, 2.0, 0.99, 7).gives(False)
    seen_differs(2.0, 2.0, 0.5, 2).gives(True)


time = exercises.add(
    "Benchmark.time",
    prompt=(
        "Call function() self.number times in a row and return the seconds of one call. Read self.clock "
        "twice: before the first call and after the last."
    ),
    hints=(
        "The difference of two readings of the clock is the time of all the calls.",
        "`begin = self.clock()`, a loop, `self.clock() - begin`; then divide by the number of calls.",
    ),
    mistakes=(
        swap(
            "(self.clock() - begin) / self.number",
            "self.clock() - begin",
            "This is the time of all the calls together; divide by self.number.",
        ),
        swap(
            "for _ in range(self.number):\n            function()",
            "function()",
            "The function is called once; call it self.number times between the readings.",
        ),
        swap(
            "self.clock()",
            "perf_counter()",
            "The seconds do not come from self.clock, which whoever makes the Benchmark may have chosen.",
        ),
        wrong(
            """
            def time(self, function):
                whole = 0.0
                for _ in range(self.number):
                    begin = self.clock()
                    function()
                    whole += self.clock() - begin
                return whole / self.number
            """,
            "The clock is read around each call. A fast call is over before the clock moves: read it before "
            "the first and after the last.",
        ),
    ),
)


def timed(costs, number):
    """(seconds of one call, calls, readings of the clock)."""
    clock = Clock()
    calls: list[str] = []
    benchmark = benchmarking.Benchmark({"a": int}, number=number, clock=clock)
    seconds = benchmark.time(clock.contestant("a", costs, calls))
    return round(float(seconds), 3), len(calls), clock.readings


@time.check("a call of 2 seconds takes 2 seconds")
def _():
    see("time of a call of 2 s, number=1", timed([2.0], 1)[0]).gives(2.0)


@time.check("four calls are made and share the time")
def _():
    seconds, calls, _ = timed([1.0, 2.0, 3.0, 6.0], 4)
    see("how often the function was called, number=4", calls).gives(4)
    see("time of one of the calls of 1, 2, 3 and 6 s, number=4", seconds).gives(3.0)


@time.check("the clock is read twice, however many calls there are")
def _():
    see("readings of the clock, number=5", timed([1.0], 5)[2]).gives(2)


run = exercises.add(
    "Benchmark.run",
    prompt=(
        "Call each contestant self.warm_up times; these calls do not count. If self.number is None, it "
        "becomes the largest calls_for(function, clock=self.clock) of them. Then go through the rounds: each "
        "takes self.time of every contestant once, in an order drawn anew for each round from a generator "
        "made of self.seed. Return Report(seconds, self.seed, self.warm_up, self.number, environment()), "
        "where seconds is {name: float64 array (rounds,)} in the order of self.contestants. Errors as the "
        "docstring says them: one says rounds, the other the clock."
    ),
    hints=(
        "The outer loop is over the rounds, the inner one over the contestants, not the other way round.",
        "Make the arrays first, `np.empty(rounds)` for each name, and one generator "
        "`np.random.default_rng(self.seed)` before the loop.",
        "`for k in rng.permutation(len(names))` gives the numbers of the contestants in a random order. "
        "After the loop, a time of 0 or less is what the clock could not tell.",
    ),
    mistakes=(
        swap(
            "for i in range(rounds):\n            for name in rng.permutation(len(names)):",
            "for name in rng.permutation(len(names)):\n            for i in range(rounds):",
            "All calls of one contestant come before those of the next. A machine that becomes slower then "
            "favours the first: let all of them run in each round.",
        ),
        swap(
            "rng.permutation(len(names))",
            "range(len(names))",
            "The order is the same in each round, and could favour whoever comes second: draw it anew.",
        ),
        swap(
            "range(self.warm_up)",
            "range(0)",
            "The first calls count here: self.warm_up calls of each contestant come before and do not count.",
        ),
        swap(
            "np.random.default_rng(self.seed)",
            "np.random.default_rng(0)",
            "The orders are the same whatever the seed: make the generator of self.seed.",
        ),
        swap(
            "rng.permutation(len(names))",
            "np.random.default_rng(self.seed).permutation(len(names))",
            "The order is drawn, but all rounds have the same: draw anew in each, from one generator that is "
            "made before the loop.",
        ),
        swap(
            "values.min() <= 0",
            "False",
            "Where the clock did not move, nothing was measured: that has to be a ValueError.",
        ),
        swap(
            "values.min() <= 0",
            "sum(v.sum() for v in seconds.values()) <= 0",
            "One contestant took no time that the clock can tell: ask this of each of them.",
        ),
        swap(
            "                function()\n",
            "                self.time(function)\n",
            "self.time makes self.number calls; to warm up, call the function itself.",
        ),
        swap(
            "] = self.time(self.contestants[names[name]])",
            "] = self.time(self.contestants[names[name]]) / self.number",
            "self.time gives the seconds of one call already: do not divide again.",
        ),
        swap(
            "if self.number is None:",
            "if False:",
            "A number of None says that calls_for is to find it, before the first round.",
        ),
    ),
)


@run.check("contestants of 2 and 3 seconds, four rounds")
def _():
    report = benchmark_of({"a": [2.0], "b": [3.0]}, warm_up=0)[0].run(4)
    see("names in report.seconds", list(report.seconds)).gives(["a", "b"])
    see("report.seconds['a']", report.seconds["a"]).gives(np.full(4, 2.0))
    see("report.seconds['b']", report.seconds["b"]).gives(np.full(4, 3.0))


@run.check("seconds stand in the order of the rounds, and calls to warm up do not count")
def _():
    benchmark, calls = benchmark_of({"a": [100.0, 50.0, 1.0, 3.0, 2.0]}, warm_up=2)
    report = benchmark.run(3)
    see("seconds of calls of 1, 3 and 2 s, after 100 s and 50 s to warm up", report.seconds["a"]).gives(
        np.array([1.0, 3.0, 2.0])
    )
    see("how often the contestant was called", len(calls)).gives(5)


def orders(seed):
    """The order of each of 12 rounds, such as "bca"."""
    benchmark, calls = benchmark_of({name: [1.0] for name in "abc"}, warm_up=0, seed=seed)
    benchmark.run(12)
    return ["".join(calls[i : i + 3]) for i in range(0, len(calls), 3)]


@run.check("each round calls every contestant once")
def _():
    found = ["".join(sorted(order)) for order in orders(3)]
    see("contestants of 12 rounds, each round sorted", found).gives(["abc"] * 12)
    for seed in range(4):
        report = benchmark_of({name: [1.0] for name in "abc"}, seed=seed)[0].run(1)
        see(f"names in report.seconds, seed={seed}", list(report.seconds)).gives(["a", "b", "c"])


@run.check("the order changes from round to round, and follows the seed")
def _():
    first, again, other = orders(3), orders(3), orders(5)
    see("orders of 12 rounds", first).satisfies(len(set(first)) > 1, "more than one order")
    see("orders with the same seed once more", again).satisfies(again == first, "the same orders")
    see("orders with another seed", other).satisfies(other != first, "other orders")


@run.check("the report says how it was measured")
def _():
    benchmark, calls = benchmark_of({"a": [1.0]}, warm_up=1, number=3, seed=7)
    report = benchmark.run(2)
    found = [report.seed, report.warm_up, report.number, report.rounds]
    see("seed, warm_up, number and rounds of the report", found).gives([7, 1, 3, 2])
    see("how often the contestant was called, warm_up=1 and 2 rounds of 3", len(calls)).gives(7)
    see("its seconds, of calls of 1 s", report.seconds["a"]).gives(np.full(2, 1.0))


@run.check("a number of None becomes as many calls as take 5 ms")
def _():
    report = benchmark_of({"a": [0.001], "b": [0.004]}, warm_up=0, number=None)[0].run(2)
    see("number of the report, for calls of 1 and 4 ms", int(report.number)).gives(8)
    see("seconds of b", report.seconds["b"]).gives(np.full(2, 0.004))


def run_on_a_clock_that_stands_still(**others):
    return list(benchmark_of({"a": [0.0], **others})[0].run(3).seconds["a"])


@run.check("no rounds and a clock that stands still are errors")
def _():
    raises(ValueError, benchmark_of({"a": [1.0]})[0].run, 0, says="rounds")
    raises(ValueError, run_on_a_clock_that_stands_still, says="clock")
    raises(ValueError, run_on_a_clock_that_stands_still, b=[1.0], says="clock")


compare = exercises.add(
    "Report.compare",
    prompt=(
        "Return Comparison(first, second, ratio, low, high, confidence, rounds) of two contestants by name: "
        "how many times as long `first` takes, as the ratio of the medians of their seconds, with its "
        "bootstrap interval of this confidence. Rounds are drawn for both together. A name that is no "
        "contestant is a KeyError."
    ),
    hints=(
        "`self.named(name)` gives a contestant's seconds, or the KeyError.",
        "`bootstrap(statistic, a, b, ...)` draws rounds for a and b together, and `ratio_of_medians` is a "
        "statistic of two samples.",
        "An Interval is a tuple: `ratio, low, high = bootstrap(...)`. Pass the confidence on, and self.seed.",
    ),
    mistakes=(
        swap(
            "pair = self.named(first), self.named(second)",
            "pair = self.named(second), self.named(first)",
            "The ratio is turned round: it says how many times as long `first` takes as `second`.",
        ),
        swap(
            "ratio, low, high = bootstrap(ratio_of_medians, *pair, confidence=confidence, seed=self.seed)",
            "a, b = self.median(first, confidence), self.median(second, confidence)\n"
            "        ratio, low, high = a.estimate / b.estimate, a.low / b.high, a.high / b.low",
            "The two intervals are made apart and then divided. Draw each round for both together, so that "
            "what slowed the whole round down cancels out.",
        ),
        swap(
            "bootstrap(ratio_of_medians, *pair",
            "bootstrap(median, pair[0] / pair[1]",
            "This is the median of the ratios; the ratio of the two medians is asked for.",
        ),
        swap(
            "*pair, confidence=confidence,",
            "*pair,",
            "The interval is always that of 95 %: pass the confidence on to bootstrap.",
        ),
        swap(
            ", seed=self.seed",
            "",
            "The draws are the same whatever the report's seed: pass self.seed on to bootstrap.",
        ),
    ),
)


@compare.check("6 seconds are 3 times 2 seconds")
def _():
    found = report_of(slow=[6.0] * 7, fast=[2.0] * 7).compare("slow", "fast")
    see("first and second", [found.first, found.second]).gives(["slow", "fast"])
    see("ratio, low and high", listed(found[2:5])).gives([3.0, 3.0, 3.0])
    see("confidence and rounds", [float(found.confidence), int(found.rounds)]).gives([0.95, 7])


@compare.check("it is the ratio of the medians")
def _():
    found = report_of(a=[1.0, 2.0, 9.0], b=[2.0, 1.0, 3.0]).compare("a", "b")
    see("ratio for a = [1, 2, 9], b = [2, 1, 3]", float(found.ratio)).gives(1.0)


@compare.check("what slows a whole round down cancels out")
def _():
    weather = np.array([1.0, 4.0, 2.0, 8.0, 16.0, 1.0, 2.0])
    found = report_of(a=1.5 * weather, b=weather).compare("a", "b")
    see("ratio, low and high for a = 1.5 * b, b = [1, 4, 2, 8, …]", listed(found[2:5])).gives([1.5, 1.5, 1.5])


@compare.check("less confidence makes the interval narrower")
def _():
    a, b = np.random.default_rng(3).uniform(1, 2, (2, 41))
    report = report_of(a=a, b=b)
    wide, narrow = report.compare("a", "b"), report.compare("a", "b", confidence=0.5)
    see("the confidence of compare('a', 'b', confidence=0.5)", float(narrow.confidence)).gives(0.5)
    width, least = float(narrow.high - narrow.low), float(wide.high - wide.low)
    see(f"width at 50 %, where 95 % is {least:.3g} wide", width).satisfies(
        0 < width < 0.6 * least, "clearly narrower, but not 0"
    )


@compare.check("the draws follow the seed of the report")
def _():
    a, b = np.random.default_rng(3).uniform(1, 2, (2, 41))
    found = {listed(report_of(a=a, b=b)._replace(seed=seed).compare("a", "b")[3:5])[0] for seed in range(4)}
    see("lower bounds with seeds 0 to 3", sorted(found)).satisfies(len(found) > 1, "not all the same")


@compare.check("a name that is no contestant is an error")
def _():
    raises(KeyError, report_of(a=[1.0], b=[1.0]).compare, "a", "c")


percentile = exercises.add(
    "percentile",
    prompt=(
        "Return, as a float, the smallest of the values that at least `share` of them does not exceed: "
        "always one of the values, which come in any order. A share of 0 gives the smallest, 1 the largest. "
        "7 of 100 values are a share of 0.07, although 0.07 * 100 is a little more than 7 in floating point. "
        "Errors as the docstring says them; they say share."
    ),
    hints=(
        "Sort. How many of the values have to be at most the answer? That many, counted from the smallest.",
        "`ceil(share * n)` values, so the index is one less, and never below 0.",
        "`round(share * len(values), 9)` before ceil takes away what floating point added.",
    ),
    mistakes=(
        swap(
            "np.sort(np.asarray(values))",
            "np.asarray(values)",
            "The values are taken in the order in which they came: sort them first.",
        ),
        swap(
            "values = np.sort(np.asarray(values))",
            "values = np.asarray(values)\n    values.sort()",
            "The array that came is sorted as well: sort a copy of it.",
        ),
        swap(
            "values[max(ceil(round(share * len(values), 9)) - 1, 0)]",
            "np.quantile(values, share)",
            "This is a number between two values; a percentile is here one of the values that were measured.",
        ),
        swap(
            "max(ceil(round(share * len(values), 9)) - 1, 0)",
            "min(int(round(share * len(values), 9)), len(values) - 1)",
            "This is one place too far: indices begin with 0, so value number 9 stands at index 8.",
        ),
        swap(
            "round(share * len(values), 9)",
            "share * len(values)",
            "0.07 * 100 is a little more than 7, and ceil makes 8 of it: round before.",
        ),
        swap(
            "max(ceil(round(share * len(values), 9)) - 1, 0)",
            "ceil(round(share * len(values), 9)) - 1",
            "A share of 0 gives index -1, which is the largest value; it should be the smallest.",
        ),
    ),
)


@percentile.check("nine of ten are at most 9")
def _():
    call(benchmarking.percentile, [3, 1, 10, 2, 9, 4, 8, 5, 7, 6], 0.9).gives(9.0)


@percentile.check("it is one of the values, never one between two")
def _():
    call(benchmarking.percentile, [1.0, 2.0], 0.5).gives(1.0)
    call(benchmarking.percentile, [1.0, 2.0], 0.51).gives(2.0)
    call(benchmarking.percentile, [5.0], 0.99).gives(5.0)


@percentile.check("7 of 100 values, also in floating point")
def _():
    values = np.arange(1.0, 101.0)
    see("percentile(1 to 100, 0.07)", benchmarking.percentile(values, 0.07)).gives(7.0)
    see("percentile(1 to 100, 0.99)", benchmarking.percentile(values, 0.99)).gives(99.0)


@percentile.check("a share of 0 is the smallest value, 1 the largest")
def _():
    call(benchmarking.percentile, [2.0, 3.0, 1.0], 0).gives(1.0)
    call(benchmarking.percentile, [2.0, 3.0, 1.0], 1).gives(3.0)


@percentile.check("the values that came stay as they are")
def _():
    values = np.array([3.0, 1.0, 2.0])
    benchmarking.percentile(values, 0.5)
    see("values after percentile(values, 0.5)", values).gives([3.0, 1.0, 2.0])


@percentile.check("no values and a share of 99 are errors")
def _():
    raises(ValueError, benchmarking.percentile, [1.0, 2.0], -0.5, says="share")
    raises(ValueError, benchmarking.percentile, [], 0.5)
    raises(ValueError, benchmarking.percentile, [1.0, 2.0], 99, says="share")


queue_latencies = exercises.add(
    "queue_latencies",
    prompt=(
        "Return for each query the seconds from its arrival until it is done, float64 (n,). One is served at "
        "a time, first come, first served: a query begins when it is there and the one before it is done. No "
        "queries give an empty array; two lengths are a ValueError."
    ),
    hints=(
        "Walk through the queries and remember when the server is free again.",
        "`done = max(arrival, done) + service`; the latency is done - arrival. A loop is right; the "
        "docstring's unrolled formula is the same without one.",
        "Without a loop: `np.cumsum(service)` is W, and `np.maximum.accumulate` the max over j <= k.",
    ),
    mistakes=(
        swap(
            "work + np.maximum.accumulate(arrivals - (work - service)) - arrivals",
            "work + np.maximum.accumulate(arrivals - (work - service))",
            "These are the times at which queries are done; a latency begins at the arrival: subtract it.",
        ),
        swap(
            "- (work - service)) - arrivals",
            "- (work - service)) - arrivals - service",
            "This is the waiting alone; a latency is waiting and service.",
        ),
        swap(
            "work + np.maximum.accumulate(arrivals - (work - service)) - arrivals",
            "service.copy()",
            "Nobody waits here; a query that comes while another is served begins when that one is done.",
        ),
        swap(
            "work + np.maximum.accumulate(arrivals - (work - service)) - arrivals",
            "work + arrivals[:1].sum() - arrivals",
            "The server never stands idle here; a query that comes to an idle server begins at its arrival, "
            "not before.",
        ),
        swap(
            "work + np.maximum.accumulate(arrivals - (work - service)) - arrivals",
            "service + np.concatenate([np.zeros(1), np.maximum(arrivals + service - np.append(arrivals[1:], "
            "np.inf), 0)[:-1]])[:len(service)]",
            "Each query waits for the one before as if that one had not waited itself; waits add up.",
        ),
    ),
)


def queued(arrivals, service):
    return call(benchmarking.queue_latencies, np.array(arrivals), np.array(service))


@queue_latencies.check("a queue by hand: the second waits 2 seconds, the last does not")
def _():
    queued([0, 1, 10], [3, 2, 1]).gives(np.array([3.0, 4.0, 1.0]))


@queue_latencies.check("waits add up while the queue is busy")
def _():
    queued([0.0, 1.0, 2.0, 3.0], [2.0, 2.0, 2.0, 2.0]).gives(np.array([2.0, 3.0, 4.0, 5.0]))
    queued([5.0, 5.0, 5.0], [1.0, 2.0, 3.0]).gives(np.array([1.0, 3.0, 6.0]))


def served(arrivals, service):
    """Latencies, one query after the other."""
    done, found = 0.0, []
    for arrival, seconds in zip(arrivals.tolist(), service.tolist(), strict=True):
        done = max(arrival, done) + seconds
        found.append(done - arrival)
    return np.array(found)


@queue_latencies.check("forty queries at random moments")
def _():
    rng = np.random.default_rng(5)
    arrivals, service = np.cumsum(rng.exponential(1.0, 40)), rng.uniform(0.2, 1.4, 40)
    call(benchmarking.queue_latencies, arrivals, service).gives(served(arrivals, service))


@queue_latencies.check("one query, none, and two lengths")
def _():
    queued([4.0], [2.0]).gives(np.array([2.0]))
    queued([], []).gives(np.zeros(0))
    raises(ValueError, benchmarking.queue_latencies, np.array([1.0, 2.0]), np.array([1.0]))


largest_rate = exercises.add(
    "largest_rate",
    prompt=(
        "Return (rate, latencies): the most queries a second, found by bisection between 0 and "
        "1 / mean(service), at which percentile(latencies, share) is at most `bound`, and the latencies at "
        "that rate. Query k of rate r arrives at poisson_arrivals(1.0, n, seed)[k] / r. Halve 20 times. If "
        "even the service times themselves do not keep the bound, return 0.0 and the service times."
    ),
    hints=(
        "Keep two rates, one that keeps the bound and one that does not, and try the middle.",
        "The arrivals at rate r are those at rate 1 divided by r, so draw them once, before the loop.",
        "`queue_latencies(arrivals / rate, service)` and `percentile(latencies, share) <= bound` decide "
        "which of the two moves. Keep the latencies of the last rate that kept the bound.",
    ),
    mistakes=(
        swap(
            "percentile(latencies, share) <= bound",
            "latencies.mean() <= bound",
            "The mean of the latencies keeps the bound; it is `share` of the queries that has to.",
        ),
        swap(
            "percentile(latencies, share) <= bound",
            "percentile(latencies, 0.99) <= bound",
            "The share is always 0.99 here; use the argument.",
        ),
        swap(
            "1 / service.mean()",
            "2 / service.mean()",
            "The rate can be above 1 / mean(service): there the queue grows for as long as queries come.",
        ),
        swap(
            "low, found = rate, latencies",
            "low = rate",
            "The service times come back as the latencies; at this rate queries wait as well.",
        ),
        swap(
            "return low, found\n",
            "return low, latencies if percentile(service, share) <= bound else found\n",
            "The latencies are those of the last rate that was tried; it may not have kept the bound.",
        ),
        swap(
            "        rate = (low + high) / 2\n",
            "        rate = low = (low + high) / 2\n",
            "A rate that was tried comes back, whether it kept the bound or not.",
        ),
        swap(
            "latencies = queue_latencies(arrivals / rate, service)",
            "latencies = queue_latencies(arrivals * rate, service)",
            "At a higher rate queries come closer together: divide the arrivals by the rate.",
        ),
        swap(
            "range(20)",
            "range(4)",
            "The search ends too early: halve the distance 20 times.",
        ),
    ),
)


def service_times():
    return np.random.default_rng(6).uniform(0.5, 1.5, 60)


def rate_by_search(service, bound, share, seed):
    """The largest rate, with a queue that serves one query after the other."""
    arrivals = benchmarking.poisson_arrivals(1.0, len(service), seed)
    low, high = 0.0, float(1 / service.mean())
    for _ in range(24):
        rate = (low + high) / 2
        kept = served(arrivals / rate, service) <= bound
        low, high = (rate, high) if kept.mean() >= share else (low, rate)
    return low


def seen_rate(bound, share, seed=0):
    words = f"rate for 60 service times from 0.5 to 1.5 s, bound={bound}, share={share}"
    return see(words, float(benchmarking.largest_rate(service_times(), bound, share, seed)[0]))


@largest_rate.check("the rate at which nine of ten queries are answered within 3 seconds")
def _():
    seen_rate(3.0, 0.9).gives(rate_by_search(service_times(), 3.0, 0.9, 0), rtol=1e-4)
    seen_rate(3.0, 0.5, seed=2).gives(rate_by_search(service_times(), 3.0, 0.5, 2), rtol=1e-4)


@largest_rate.check("the latencies are those at that rate")
def _():
    service = service_times()
    rate, latencies = benchmarking.largest_rate(service, 4.0, 0.9)
    expected = served(benchmarking.poisson_arrivals(1.0, 60) / rate, service) if rate > 0 else service
    see("latencies, bound=4.0, share=0.9", latencies).gives(expected)


@largest_rate.check("the bound is kept, not nearly kept")
def _():
    service, arrivals = service_times(), benchmarking.poisson_arrivals(1.0, 60)
    for bound in (2.5, 3.0, 3.5, 4.0):
        rate, latencies = benchmarking.largest_rate(service, bound, 0.9)
        again = served(arrivals / max(rate, 1e-9), service)
        for words, found in (("latencies", latencies), ("latencies at the rate", again)):
            kept = int((found <= bound + 1e-9).sum())
            see(f"how many of 60 {words} are within bound={bound}", kept).satisfies(kept >= 54, "54 or more")


@largest_rate.check("a loose bound does not overload the server")
def _():
    found = float(benchmarking.largest_rate(np.full(20, 0.5), 1e9)[0])
    see("rate for 20 queries of 0.5 s, bound=1e9", found).gives(2.0, rtol=1e-3)


@largest_rate.check("no rate keeps a bound that is below the service time")
def _():
    rate, latencies = benchmarking.largest_rate(np.array([2.0, 2.0, 2.0]), 1.9)
    see("rate for queries of 2 s, bound=1.9", float(rate)).gives(0.0)
    see("latencies for queries of 2 s, bound=1.9", latencies).gives(np.array([2.0, 2.0, 2.0]))


def system(seconds, n=20, right=20, **settings):
    """(A SystemUnderTest, sizes of its queries): seconds(samples) a query, `right` of n answers are right."""
    clock, sizes = Clock(), []

    def model(batch):
        clock.now += seconds(len(batch))
        sizes.append(len(batch))
        return np.eye(2)[(batch >= right).astype(int)]

    made = benchmarking.SystemUnderTest(
        model, np.arange(n), np.zeros(n, int), 0.9, clock=clock, **{"warm_up": 0, **settings}
    )
    return made, sizes


single_stream = exercises.add(
    "SystemUnderTest.single_stream",
    prompt=(
        'Ask `queries` queries of one sample each, and return self.result with scenario "SingleStream", '
        'metric "90th percentile latency", its value in milliseconds, unit "ms", the accuracy of these '
        "answers, and their latencies in seconds."
    ),
    hints=(
        "`self.ask(queries, size)` asks, and gives the seconds of each query and the accuracy.",
        "`percentile(seconds, 0.9)` is in seconds; a second has 1000 milliseconds.",
    ),
    mistakes=(
        swap(
            "1e3 * percentile(seconds, 0.9)",
            "percentile(seconds, 0.9)",
            "The value is in seconds; the result says ms, so multiply by 1000.",
        ),
        swap(
            "percentile(seconds, 0.9)",
            "float(np.mean(seconds))",
            "This is the mean; what counts is the latency that 90 % of the queries keep.",
        ),
        swap(
            "percentile(seconds, 0.9)",
            "percentile(seconds, 0.99)",
            "This is the 99th percentile; SingleStream takes the 90th.",
        ),
        swap(
            "percentile(seconds, 0.9)",
            "float(np.quantile(seconds, 0.9))",
            "This lies between two latencies; `percentile` gives one that was measured.",
        ),
        swap(
            "self.ask(queries, 1)",
            "self.ask(100, 1)",
            "There are always 100 queries here; ask as many as came.",
        ),
        swap(
            "self.ask(queries, 1)",
            "self.ask(1, queries)",
            "All samples are in one query; here each query has one sample.",
        ),
        swap(
            "accuracy, seconds)",
            "accuracy, 1e3 * seconds)",
            "The latencies of a result stay in seconds; only its value is in milliseconds.",
        ),
    ),
)


def ten_calls():
    """A system whose queries take 1, 2, ..., 10 ms, and later ones 10."""
    calls: list[int] = []

    def seconds(samples):
        calls.append(samples)
        return min(len(calls), 10) / 1000

    return system(seconds, n=10, right=8)


@single_stream.check("queries of 1 to 10 ms: nine of ten take at most 9 ms")
def _():
    found = ten_calls()[0].single_stream(10)
    see("value in ms, for queries of 1, 2, …, 10 ms", float(found.value)).gives(9.0)
    words = [found.scenario, found.metric, found.unit]
    see("scenario, metric and unit", words).gives(["SingleStream", "90th percentile latency", "ms"])


@single_stream.check("each query has one sample, and there are as many as were asked for")
def _():
    made, sizes = ten_calls()
    made.single_stream(20)
    see("sizes of 20 queries", sizes).gives([1] * 20)


@single_stream.check("the latencies are in seconds")
def _():
    found = ten_calls()[0].single_stream(10)
    see("latencies of the result", np.asarray(found.latencies)).gives(np.arange(1, 11) / 1000)


@single_stream.check("the accuracy is that of the answers, and makes the result valid or not")
def _():
    found = ten_calls()[0].single_stream(10)
    see("accuracy, with 8 right answers of 10", float(found.accuracy)).gives(0.8)
    see("valid, with a quality of 0.9", bool(found.valid)).gives(False)


offline = exercises.add(
    "SystemUnderTest.offline",
    prompt=(
        "Ask as many batches as it takes for `samples` samples, of batch_size each but not more than there "
        'are inputs, and return self.result with scenario "Offline", metric "throughput", unit '
        '"samples/s": all samples of the batches that were timed, by all their seconds. self.ask rounds up '
        "to whole passes by itself, so it may time more batches than you asked for. Seconds that add up to "
        "0 are a ValueError that says clock."
    ),
    hints=(
        "`self.ask(queries, size)` gives the seconds of each batch and the accuracy; how many seconds came "
        "back is how many batches there were.",
        "`size = min(batch_size, len(self.inputs))`, and `ceil(samples / size)` batches.",
        "Throughput is len(seconds) * size samples divided by the sum of the seconds.",
    ),
    mistakes=(
        swap(
            "len(seconds) * size / float(seconds.sum())",
            "len(seconds) / float(seconds.sum())",
            "These are batches a second: multiply by the samples in a batch.",
        ),
        swap(
            "len(seconds) * size / float(seconds.sum())",
            "float(np.mean(size / seconds))",
            "This is the mean of each batch's rate, in which fast batches count too much: divide all samples "
            "by all seconds.",
        ),
        swap(
            "len(seconds) * size / float(seconds.sum())",
            "samples / float(seconds.sum())",
            "`samples` is what was asked for; divide what was really timed, len(seconds) batches.",
        ),
        swap(
            "min(batch_size, len(self.inputs))",
            "batch_size",
            "A batch is larger than there are inputs: it should have no more than len(self.inputs) samples.",
        ),
        swap(
            "self.ask(ceil(samples / size), size)",
            "self.ask(ceil(samples / size), 1)",
            "Each sample is asked for alone; here no answer is urgent, so ask in batches of `size`.",
        ),
        swap(
            "ceil(samples / size)",
            "samples // size",
            "Samples that do not fill a batch are left out: round up.",
        ),
        swap(
            "seconds.sum() <= 0",
            "False",
            "A clock that did not move measured nothing; that is a ValueError, not a division by zero.",
        ),
    ),
)


@offline.check("batches of 5 samples in 1 second are 5 samples a second")
def _():
    made, sizes = system(lambda n: 0.5 + 0.1 * n)
    found = made.offline(batch_size=5, samples=40)
    see("sizes of the batches, batch_size=5, samples=40", sizes).gives([5] * 8)
    see("value, for batches of 1 s", float(found.value)).gives(5.0)
    words = [found.scenario, found.metric, found.unit]
    see("scenario, metric and unit", words).gives(["Offline", "throughput", "samples/s"])


@offline.check("all samples by all seconds: a slow batch counts in full")
def _():
    costs = iter([1.0, 1.0, 1.0, 7.0])
    found = system(lambda n: next(costs))[0].offline(batch_size=5, samples=20)
    see("value, for 4 batches of 5 samples in 1, 1, 1 and 7 s", float(found.value)).gives(2.0)
    see("latencies", np.asarray(found.latencies)).gives(np.array([1.0, 1.0, 1.0, 7.0]))


@offline.check("without a number of samples, all inputs once")
def _():
    made, sizes = system(lambda n: 0.5)
    found = made.offline(batch_size=4)
    see("sizes of the batches, batch_size=4, 20 inputs", sizes).gives([4] * 5)
    see("value, for batches of 0.5 s", float(found.value)).gives(8.0)


@offline.check("what does not fill a batch takes one more")
def _():
    made, sizes = system(lambda n: 0.5)
    made.offline(batch_size=5, samples=41)
    see("how many batches of 5, samples=41, in whole passes over 20 inputs", len(sizes)).gives(12)
    found = system(lambda n: 0.5)[0].offline(batch_size=3)
    see("value, for 7 batches of 3 samples and 0.5 s, 20 inputs", float(found.value)).gives(6.0)


@offline.check("a batch has no more samples than there are inputs")
def _():
    made, sizes = system(lambda n: 0.25, n=3, right=2)
    found = made.offline()
    see("sizes of the batches, batch_size=64, 3 inputs", sizes).gives([3])
    see("value, for a batch of 0.25 s", float(found.value)).gives(12.0)
    see("accuracy, with 2 right answers of 3", float(found.accuracy)).gives(2 / 3)


@offline.check("a clock that stands still is an error")
def _():
    raises(ValueError, lambda: system(lambda n: 0.0)[0].offline(), says="clock")
