"""Exercises of module 20, Competition."""

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinytorch.core import competition
from tinytorch.core.acceleration import WinogradConv2d
from tinytorch.core.benchmarking import Interval, environment
from tinytorch.core.competition import Case, Entry, Figures, Rule, SubmissionError, System, Task
from tinytorch.core.layers import Dropout, Flatten, Linear, Module, Parameter, Sequential
from tinytorch.core.quantization import quantize
from tinytorch.core.spatial import Conv2d
from tinytorch.core.tensor import tensor

from ..checking import Exercises, call, raises, see, swap, wrong

exercises = Exercises("competition")

HASH_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # from FIPS 180-4


def reference():
    """A network for tasks whose reference does not matter."""
    return Sequential(Linear(2, 2))


def task_of(inputs, targets=(), make_reference=reference, **settings):
    """A task of the fewest rounds."""
    return Task("numbers", inputs, targets, make_reference, **{"rounds": 6, "number": 1} | settings)


def case_of(submission=None, task=None, system=None, model=None, measured=None):
    """A case with what a rule looks at.

    The `def` of a rule, where it is run again with other code, registers it a second time: only the first
    of each name, in which the code was exchanged, stays.
    """
    first = {each.name: each for each in reversed(competition.RULES)}
    competition.RULES[:] = [each for each in competition.RULES if each is first[each.name]]
    return Case(submission, task, system, model, measured)


def says(words, violation, part):
    """A rule's answer has to be a text with `part` in it."""
    see(words, violation).satisfies(
        isinstance(violation, str) and part in violation, f"a violation in words, with {part!r} in them"
    )


digest = exercises.add(
    "digest",
    prompt=(
        "Return one SHA-256 of all parts together, as 64 hexadecimal characters. A part that is bytes "
        "goes in as it is, one after the other. Of any other part, an array or a Tensor, dtype and shape "
        "go in as well as the numbers, so that four zeros and two times two zeros differ. How an array "
        "lies in memory makes no difference."
    ),
    hints=(
        "hashlib.sha256() makes an empty hash, and its `update(...)` takes more bytes.",
        "`as_array(part)` makes a NumPy array of a Tensor; `tobytes()` gives its numbers row by row.",
        'For an array, update with f"{array.dtype.str}{array.shape}".encode() and then the numbers; '
        "return total.hexdigest().",
    ),
    mistakes=(
        swap(
            'f"{array.dtype.str}{array.shape}".encode() + ',
            "",
            "Only the numbers' bytes go in: arrays of another dtype or shape can have the same bytes.",
        ),
        swap("{array.shape}", "", "The shape does not go in: 4 zeros and 2 times 2 zeros are the same."),
        swap(
            "{array.dtype.str}",
            "",
            "The dtype does not go in: the same bytes as float32 and as int32 are other numbers.",
        ),
        swap(
            "total.hexdigest()",
            "total.digest()",
            "These are the 32 raw bytes; a document needs them as text, in hexadecimal.",
        ),
        swap("in parts:", "in parts[:1]:", "Only the first part goes in; all of them belong to the hash."),
        swap(
            "array.tobytes()",
            "str(array).encode()",
            "The text of a large array leaves numbers out and rounds the others; their bytes have to go in.",
        ),
    ),
)


@digest.check("the hash of three letters that the standard gives")
def _():
    call(competition.digest, b"abc").gives(HASH_OF_ABC)


@digest.check("bytes in two parts, and nothing at all")
def _():
    call(competition.digest, b"a", b"bc").gives(HASH_OF_ABC)
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    call(competition.digest).gives(empty)


@digest.check("arrays of the same bytes, but of another dtype or shape, differ")
def _():
    zeros = competition.digest(np.zeros(4, np.float32))
    others = np.zeros((2, 2), np.float32), np.zeros(4, np.int32), b"\0" * 16
    same = [competition.digest(other) == zeros for other in others]
    see("4 zeros in float32 have the hash of (2, 2) zeros, of 4 int32 zeros, of 16 zero bytes", same).gives(
        [False, False, False]
    )


@digest.check("a Tensor and an array in another order of memory have the same hash")
def _():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    want = competition.digest(x)
    same = [competition.digest(other) == want for other in (tensor(x), np.asfortranarray(x), x + 1)]
    see("an array has the hash of its Tensor, of itself column by column, of itself plus 1", same).gives(
        [True, True, False]
    )


@digest.check("each number counts, in all its digits")
def _():
    ones, others = np.ones(2000), np.ones(2000)
    others[1000] += 1e-12
    same = competition.digest(others) == competition.digest(ones)
    see("2000 ones have the hash of the same with 1 + 1e-12 in the middle", same).gives(False)


queries = exercises.add(
    "queries",
    prompt=(
        "Return a function without arguments. Each call gives `model` the next batch of task.inputs, "
        "inside no_grad(), and returns the answer. A batch has BATCH[task.scenario] samples, or all, if "
        "there are fewer. The samples stand in one random order, made from task.seed and the same for "
        "every model; what is too little for a last batch is left out, and then the first batch comes again."
    ),
    hints=(
        "np.random.default_rng(task.seed).permutation(n) is the order. Cut it into pieces of one size.",
        "`cycle` gives the members of a list over and over; `next(...)` takes one of them.",
        "range(0, n - size + 1, size) are the beginnings of the whole batches.",
    ),
    mistakes=(
        swap(
            "np.random.default_rng(task.seed).permutation(len(task.inputs))",
            "np.arange(len(task.inputs))",
            "The samples come in the order of the test set; it has to be a random one.",
        ),
        swap(
            "default_rng(task.seed)",
            "default_rng()",
            "Every model meets another order: seed the generator with task.seed.",
        ),
        swap(
            "default_rng(task.seed)",
            "default_rng(0)",
            "Every task has the same order: seed the generator with task.seed.",
        ),
        swap(
            "BATCH[task.scenario]",
            "1",
            "Each query has one sample; in the scenario Offline it is a batch.",
        ),
        swap(
            "with no_grad():", "if True:", "A graph is recorded at each query: call the model in no_grad()."
        ),
        swap(
            "len(order) - size + 1",
            "len(order)",
            "The last batch is shorter than the others, and takes less time: leave it out.",
        ),
        swap(
            "len(order) - size + 1, size)",
            "len(order) - size + 1)",
            "The batches overlap: the next one begins where this one ends.",
        ),
        swap("cycle(", "iter(", "After the last batch nothing comes; begin again with the first."),
    ),
)


def asked(task, count):
    """The samples of that many queries, as lists of numbers."""
    seen = []
    contestant = competition.queries(task, lambda x: seen.append(np.asarray(x).ravel().tolist()))
    for _ in range(count):
        contestant()
    return seen


@queries.check("of three samples each comes once, and then all again")
def _():
    seen = asked(task_of(np.array([[10.0], [20.0], [30.0]], np.float32)), 6)
    see("samples in the first three of six queries, sorted", sorted(seen[:3])).gives([[10.0], [20.0], [30.0]])
    see("the last three are the first three again", seen[3:] == seen[:3]).gives(True)


@queries.check("the order is random, and the same for two models")
def _():
    task = task_of(np.arange(40))
    first, second = asked(task, 40), asked(task, 40)
    see("both models get the same 40 queries", first == second).gives(True)
    see("samples 0 to 39 come in the order of the test set", first == sorted(first)).gives(False)
    other = asked(task_of(np.arange(40), seed=1), 40)
    see("the order is the same with another seed", other == first).gives(False)


@queries.check("Offline asks for 64 samples, and leaves out a shorter batch")
def _():
    seen = asked(task_of(np.arange(130), scenario="Offline"), 4)
    see("sizes of four queries about 130 samples", [len(query) for query in seen]).gives([64, 64, 64, 64])
    see("different samples in the first two", len({*seen[0], *seen[1]})).gives(128)
    see("the last two are the first two again", seen[2:] == seen[:2]).gives(True)
    sizes = [len(query) for query in asked(task_of(np.arange(5), scenario="Offline"), 2)]
    see("sizes of two queries about 5 samples", sizes).gives([5, 5])


@queries.check("the answer comes back, without a graph")
def _():
    model = Linear(2, 2, bias=False)
    model.weight.array[...] = [[1, 0], [0, 2]]
    answer = competition.queries(task_of(tensor(np.array([[3.0, 4.0]], np.float32))), model)()
    see("what a query answers", answer.detach()).gives([[3.0, 8.0]])
    see("the answer's requires_grad", answer.requires_grad).gives(False)


measure_system = exercises.add(
    "measure_system",
    prompt=(
        "Return the Figures of what `system.ready(model)` gives. Its `queries`, those of task.reference and "
        "those of a deepcopy of it are contestants of one Benchmark(contestants, number=task.number, "
        "seed=task.seed, clock=clock).run(task.rounds). latency_ms is the bootstrap (seed=task.seed) of its "
        "milliseconds: of their `tail` in the scenario SingleStream, else of their `median`. speedup is how "
        "many times as fast as the reference it is, from the report's `compare`; its low is divided, and its "
        "high multiplied, by the largest of 1, high and 1 / low of reference against copy. The other two are "
        "accuracy_of and the bytes of the file system.weights."
    ),
    hints=(
        "report.compare(first, second) has ratio, low and high: of the first's seconds to the second's.",
        'report.named("system") are the seconds of all rounds; bootstrap takes a statistic and these.',
        "blur = max(1.0, same.high, 1 / same.low), and then Interval(ratio, low / blur, high * blur).",
    ),
    mistakes=(
        swap(
            "speedup.low / blur, speedup.high * blur",
            "speedup.low, speedup.high",
            "What the A/A test finds is not granted: time a deepcopy of the reference as well, and widen the "
            "interval by their difference on both sides.",
        ),
        swap(
            "max(1.0, same.high, 1 / same.low)",
            "max(1.0, same.high)",
            "A copy that is slower than the reference shows noise as well: 1 / low counts, too.",
        ),
        swap(
            "1e3 * report", "report", "The latency is in seconds; milliseconds are a thousand times as many."
        ),
        swap(
            'compare("reference", "system")',
            'compare("system", "reference")',
            "This is the ratio of the system's time to the reference's; how fast it is, is the inverse.",
        ),
        swap(
            'tail if task.scenario == "SingleStream" else median',
            "median",
            "For single samples the 90th percentile of the latency counts, not the median.",
        ),
        swap(
            "model = system.ready(model)",
            "model = model",
            "The loaded network is measured; what runs is what system.ready makes of it.",
        ),
        swap(".run(task.rounds)", ".run()", "The number of rounds is the task's: run(task.rounds)."),
        swap(
            "number=task.number, seed=task.seed, clock=clock",
            "clock=clock",
            "Number and seed of the Benchmark are the task's.",
        ),
    ),
)


class Slow(Module):
    """Answers with its inputs. A query takes two seconds of the clock time[0]; one of a copy, `copied`."""

    def __init__(self, time, copied=2.0, cost=2.0):
        super().__init__()
        self.time, self.copied, self.cost = time, copied, cost

    def __deepcopy__(self, memo):
        return Slow(self.time, self.copied, self.copied).eval()

    def forward(self, x):
        self.time[0] += self.cost
        return x


def figures_of(copied=2.0, costs=(1.0,), **settings):
    """measure_system of a system that takes these seconds in turn, and errs in 1 of 8 samples."""
    time, counted = [0.0], [0]
    inputs = np.arange(16, dtype=np.float32).reshape(8, 2)

    def run(x):
        time[0] += costs[counted[0] % len(costs)]
        counted[0] += 1
        return x * (1 - 2 * (x[:, :1] == 14))

    task = task_of(inputs, np.ones(8, np.int64), lambda: Slow(time, copied), **settings)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights"
        weights.write_bytes(b"numbers")
        system = System(None, weights, prepare=lambda model: run)
        return competition.measure_system(task, system, Slow(time).eval(), lambda: time[0])


def numbers(interval):
    return np.array([*interval], np.float64)


@measure_system.check("two seconds of the reference against one of the system")
def _():
    figures = figures_of()
    see("speedup", numbers(figures.speedup)).gives(np.array([2.0, 2.0, 2.0]))
    see("latency_ms", numbers(figures.latency_ms)).gives(np.array([1000.0, 1000.0, 1000.0]))


@measure_system.check("accuracy is that of what runs, bytes are those of the file")
def _():
    figures = figures_of()
    see("accuracy, 7 of 8 right", float(figures.accuracy)).gives(0.875)
    see("nbytes of a file of 7 bytes", figures.nbytes).gives(7)


@measure_system.check("what a copy of the reference differs by widens the interval")
def _():
    see("speedup where the copy takes 1.6 s, the reference 2", numbers(figures_of(1.6).speedup)).gives(
        np.array([2.0, 1.6, 2.5])
    )
    see("speedup where the copy takes 2.5 s, the reference 2", numbers(figures_of(2.5).speedup)).gives(
        np.array([2.0, 1.6, 2.5])
    )


@measure_system.check("the Benchmark runs as the task says")
def _():
    code: Any = competition
    ran = []

    class Watched(competition.Benchmark):
        def run(self, rounds=30):
            ran.append([self.number, self.seed, rounds])
            return super().run(rounds)

    kept, code.Benchmark = code.Benchmark, Watched
    try:
        figures_of(number=2, seed=3, rounds=7)
    finally:
        code.Benchmark = kept
    see("number, seed and rounds of each Benchmark", ran).gives([[2, 3, 7]])


@measure_system.check("SingleStream reports the slow queries, Offline the middle one")
def _():
    costs = [float(c) for c in range(1, 11)]
    for scenario, want in (("SingleStream", 9000.0), ("Offline", 5500.0)):
        figures = figures_of(costs=costs, rounds=10, scenario=scenario)
        see(f"latency of 1, 2, …, 10 s, {scenario}", np.array(figures.latency_ms.estimate)).gives(
            np.array(want)
        )


check_value = exercises.add(
    "check",
    prompt=(
        "Raise a SubmissionError unless `value` obeys the schema, a dictionary with any of these words: type "
        "(a name or a list of names, see `is_of`), enum (equal in type and value), minimum and maximum, "
        "minLength and maxLength, pattern (searched for; its $ is the very end), minItems and maxItems, "
        "items, properties, required, and additionalProperties (False, or a schema for keys that properties "
        "lacks). Limits of numbers hold for numbers only, those of texts for texts, and so on. "
        "The message begins with the path at fault, as in submission.seeds[1] or submission.claimed.accuracy."
    ),
    hints=(
        "Words for numbers hold for numbers only, those for texts for texts: first ask what value is.",
        'check calls itself for each item with f"{path}[{i}]", and for each key with f"{path}.{key}".',
        "In a regular expression \\Z is the very end; $ would allow a line break behind it.",
        'check(item, properties.get(key, schema.get("additionalProperties", {})), …) serves all keys.',
    ),
    mistakes=(
        swap(
            'any(type(value) is type(e) and value == e for e in schema["enum"])',
            'any(value == e for e in schema["enum"])',
            "In Python True == 1 and 1.0 == 1; an enum asks for the same type, too.",
        ),
        swap(
            'f"{path}[{i}]"',
            "path",
            "The error does not say which item is at fault: put its number into the path.",
        ),
        swap(
            'f"{path}[{i}]"',
            'f"submission[{i}]"',
            "The path begins anew at each list: put the item's number behind the path so far.",
        ),
        swap("re.search(", "re.match(", "A pattern may stand anywhere in the text: search for it."),
        swap(
            'schema["pattern"].replace("$", r"\\Z")',
            'schema["pattern"]',
            "A $ lets a line break pass behind the text; \\Z is the very end.",
        ),
        swap("<= value <=", "< value <", "The limits themselves are allowed."),
        swap(
            "if unknown and others is False:",
            "if False:",
            "A key that the schema does not know passes, though additionalProperties is False.",
        ),
        swap(
            "properties.get(key, others)",
            "properties.get(key, {})",
            "Keys beside the properties have to obey additionalProperties, if that is a schema.",
        ),
        swap("if missing:", "if False:", "A key that is required may be missing here."),
    ),
)


def refuses(value, schema, words):
    raises(SubmissionError, competition.check, value, schema, says=words)


def allows(value, schema):
    call(competition.check, value, schema).gives(None)


@check_value.check("the type: one, or one of several")
def _():
    allows(3, {"type": "integer"})
    allows(None, {"type": ["string", "null"]})
    allows(3, {})
    refuses("3", {"type": "integer"}, "submission")
    refuses(True, {"type": ["string", "integer"]}, "submission")


@check_value.check("the limits of numbers, which belong to what is allowed")
def _():
    allows(0, {"minimum": 0, "maximum": 1})
    allows(1.0, {"minimum": 0, "maximum": 1})
    allows("many", {"minimum": 0})
    refuses(-1, {"minimum": 0}, "submission")
    refuses(1.5, {"maximum": 1}, "submission")


@check_value.check("texts: length and pattern")
def _():
    allows("abc", {"minLength": 3, "maxLength": 3, "pattern": "^[a-c]*$"})
    allows("xaby", {"pattern": "ab"})
    allows([], {"minLength": 1, "pattern": "a"})
    refuses("", {"minLength": 1}, "submission")
    refuses("abcd", {"maxLength": 3}, "submission")
    refuses("abd", {"pattern": "^[a-c]*$"}, "submission")
    refuses("abc\n", {"pattern": "^[a-c]*$"}, "submission")


@check_value.check("one of an enum, in type and value")
def _():
    allows("open", {"enum": ["closed", "open"]})
    refuses("ajar", {"enum": ["closed", "open"]}, "submission")
    refuses(True, {"enum": [1]}, "submission")


@check_value.check("lists: how many items, and each of them")
def _():
    allows([1, 2], {"items": {"type": "integer"}, "minItems": 2, "maxItems": 2})
    allows("ab", {"items": {"type": "integer"}, "maxItems": 1})
    refuses([], {"minItems": 1}, "submission")
    refuses([1, 2, 3], {"maxItems": 2}, "submission")
    refuses([1, "2"], {"items": {"type": "integer"}}, "submission[1]")


@check_value.check("objects: what is required, what is known, and the path down to the fault")
def _():
    schema = {"properties": {"a": {"properties": {"b": {"maximum": 1}}}}, "required": ["a"]}
    allows({"a": {"b": 1}, "c": 3}, schema)
    refuses({}, schema, "submission.a")
    refuses({"a": {"b": 2}}, schema, "submission.a.b")
    refuses({"a": [1, "2"]}, {"properties": {"a": {"items": {"type": "integer"}}}}, "submission.a[1]")
    refuses({"a": {}, "c": 3}, schema | {"additionalProperties": False}, "submission.c")
    refuses({"a": {}, "c": 3}, schema | {"additionalProperties": {"type": "string"}}, "submission.c")


from_json = exercises.add(
    "Submission.from_json",
    prompt=(
        "Return the Submission that a text, or bytes, of JSON hold; `claimed` becomes Figures, with an "
        "Interval for each of its lists. Raise a SubmissionError for everything else: more than LONGEST_JSON "
        "characters, before anything is read; what is no JSON, no UTF-8, or nested too deep for "
        "`checked_depth(text)` (say JSON); a key that stands twice in an object, as `without_repetition` "
        "finds it; and what SUBMISSION_SCHEMA forbids (`check`)."
    ),
    hints=(
        "json.loads(text, object_pairs_hook=...) hands each object to a function of yours as pairs. "
        "checked_depth takes a str and gives it back.",
        "Both raise a ValueError, as decode() does, and so is SubmissionError one: let that pass as it is.",
        "Interval(*numbers) and Figures(**claimed); a class method makes its object with cls(...).",
    ),
    mistakes=(
        swap(
            "if len(text) > LONGEST_JSON:",
            "if False:",
            "A text of any length is read; refuse one longer than LONGEST_JSON before that.",
        ),
        swap(
            ", object_pairs_hook=without_repetition",
            "",
            "Of a key that stands twice the last one wins in silence; without_repetition refuses it.",
        ),
        swap(
            "check(value, SUBMISSION_SCHEMA)",
            "pass",
            "The document is used before it was checked: the error has to name the path at fault.",
        ),
        swap(
            "except ValueError as error:",
            "except RecursionError as error:",
            "What is no JSON raises json's own error; it has to be a SubmissionError.",
        ),
        swap(
            "        try:\n            text = text if isinstance(text, str) else text.decode()\n",
            "        text = text if isinstance(text, str) else text.decode()\n        try:\n",
            "Bytes that are no UTF-8 raise decode's own error; it has to be a SubmissionError.",
        ),
        swap(
            "checked_depth(text)",
            "text",
            "What is nested deeply can overflow the stack while it is read: ask checked_depth before.",
        ),
        swap(
            "Interval(*v) if isinstance(v, list) else v",
            "v",
            "latency_ms and speedup stay lists; they are Intervals.",
        ),
    ),
)


def document(**changes):
    """The text of a submission, with changes."""
    zeros = "0" * 64
    record = {
        "format_version": 1, "name": "small", "division": "closed", "task": "numbers", "task_sha256": zeros,
        "scenario": "Offline", "rounds": 30, "seeds": [0], "weights_sha256": zeros, "code_sha256": None,
        "environment": {"python": "3", "numpy": "2", "blas": "none", "machine": "m", "processors": 1},
        "claimed": {
            "accuracy": 0.5, "nbytes": 100, "latency_ms": [2.0, 1.0, 3.0], "speedup": [1.5, 1.25, 2.0],
        },
    }  # fmt: skip
    return json.dumps(record | changes)


def read(text):
    return competition.Submission.from_json(text)


def refuses_text(words, text, part):
    def from_json():
        return read(text)

    from_json.__qualname__ = f"from_json of {words}: call"
    raises(SubmissionError, from_json, says=part)


@from_json.check("a document gives its submission")
def _():
    submission = read(document())
    see("name and rounds", [submission.name, submission.rounds]).gives(["small", 30])
    wanted = Figures(0.5, 100, Interval(2.0, 1.0, 3.0), Interval(1.5, 1.25, 2.0))
    see("claimed", submission.claimed).gives(wanted)
    see("type of claimed.speedup", type(submission.claimed.speedup).__name__).gives("Interval")


@from_json.check("bytes are read, too")
def _():
    see("the name in UTF-8 bytes", read(document(name="klein").encode()).name).gives("klein")


@from_json.check("what is no JSON is a SubmissionError")
def _():
    refuses_text("an empty text", "", "JSON")
    refuses_text("half an object", '{"name": ', "JSON")
    refuses_text("bytes that are no UTF-8", b"\xff", "JSON")


@from_json.check("a text that is too long is refused")
def _():
    text = document()
    longest = text + " " * (competition.LONGEST_JSON - len(text))
    see("the name in a text of LONGEST_JSON characters", read(longest).name).gives("small")
    refuses_text("one character more", longest + " ", str(competition.LONGEST_JSON))


@from_json.check("a key that stands twice is refused")
def _():
    refuses_text("a document with two names", '{"name": "large", ' + document()[1:], "name")


@from_json.check("what is nested too deep is not read")
def _():
    refuses_text("lists in lists, 250 deep", "[" * 250 + "]" * 250, "JSON")


@from_json.check("what the schema forbids is refused, with its path")
def _():
    refuses_text("a document with 0 rounds", document(rounds=0), "submission.rounds")
    refuses_text("a document without claims", document(claimed={}), "submission.claimed.accuracy")
    refuses_text("a list", "[]", "submission")


fingerprint = exercises.add(
    "fingerprint",
    prompt=(
        "Return a digest (64 hexadecimal characters) of a model's architecture. Of each module in "
        "layers_of(model) its path, its class and its settings count, and of each array in weights_of(model) "
        "its path and shape; the numbers in them do not. The settings are what extra_repr() says. A "
        "quantized layer counts as the layer it stands for: KINDS has its class, and its attribute "
        "`settings` what that layer's extra_repr() said. A WinogradConv2d counts as a Conv2d."
    ),
    hints=(
        "Write one line of text for each layer and for each array, and take the digest of all lines.",
        "KINDS.get(type(module), type(module)) is the class to name; isinstance(module, QuantizedLayer) "
        "says whether there are `settings`.",
        'digest("\\n".join(lines).encode())',
    ),
    mistakes=(
        swap(
            "{path} {array.shape}",
            "{path} {array.tolist()}",
            "The numbers go in; an architecture is the same whatever the weights are.",
        ),
        swap(
            "KINDS.get(type(module), type(module))",
            "type(module)",
            "A quantized layer counts as another one; it stands for a plain layer.",
        ),
        swap(
            "Conv2d if kind is WinogradConv2d else kind",
            "kind",
            "A WinogradConv2d computes the same as a Conv2d, and counts as one.",
        ),
        swap(
            " {settings}",
            "",
            "The settings do not go in: two layers of a class, one with padding, look the same.",
        ),
        swap("{array.shape}", "", "The shapes of the weights do not go in."),
        swap(
            "{path} {kind",
            "{kind",
            "The paths do not go in: the same layers, nested otherwise, are another network.",
        ),
        swap(
            "module.settings if isinstance(module, QuantizedLayer) else module.extra_repr()",
            "module.extra_repr()",
            "What a quantized layer says of itself can be more than the plain layer says; its `settings` are "
            "that layer's.",
        ),
    ),
)


class Scale(Module):
    """A module with a parameter of which extra_repr() says nothing."""

    def __init__(self, size):
        super().__init__()
        self.scale = Parameter(tensor(np.ones(size, np.float32)))


def convolution(kind=Conv2d, padding=1):
    return Sequential(kind(2, 3, 3, padding=padding))


def same_fingerprint(words, one, other, expected):
    same = competition.fingerprint(one) == competition.fingerprint(other)
    see(f"the fingerprint is the same for {words}", same).gives(expected)


@fingerprint.check("64 characters, whatever the weights are")
def _():
    model, other = Sequential(Linear(3, 2)), Sequential(Linear(3, 2))
    see("length of fingerprint(Sequential(Linear(3, 2)))", len(competition.fingerprint(model))).gives(64)
    other[0].weight.array += 1
    same_fingerprint("two Linear(3, 2) with other numbers", model, other, True)


@fingerprint.check("quantized layers count as those they stand for")
def _():
    model = Sequential(Linear(4, 2))
    same_fingerprint("a Linear and its 8 bits", model, quantize(model), True)
    same_fingerprint("a Linear and its 4 bits", model, quantize(model, bits=4), True)
    calibrated = quantize(model, batches=[tensor(np.ones((1, 4), np.float32))])
    same_fingerprint("a Linear and its 8 bits with inputs in 8 bits", model, calibrated, True)
    same_fingerprint("a Linear(4, 2) and 8 bits of a Linear(4, 3)", model, quantize(Sequential(Linear(4, 3))),
                     False)  # fmt: skip


@fingerprint.check("an accelerated layer counts as the one it stands for")
def _():
    same_fingerprint("a Conv2d and a WinogradConv2d", convolution(), convolution(WinogradConv2d), True)


@fingerprint.check("another class, setting, shape or order is another architecture")
def _():
    same_fingerprint("Dropout and Flatten", Sequential(Dropout()), Sequential(Flatten()), False)
    same_fingerprint("padding 1 and padding 0", convolution(), convolution(padding=0), False)
    same_fingerprint("parameters (2,) and (3,)", Scale(2), Scale(3), False)
    layers = Linear(2, 2), Flatten()
    same_fingerprint("a Linear before and after a Flatten", Sequential(*layers), Sequential(*layers[::-1]),
                     False)  # fmt: skip
    nested = Sequential(Sequential(Flatten()), Dropout()), Sequential(Sequential(Flatten(), Dropout()))
    same_fingerprint("a Dropout behind and in an inner Sequential", *nested, False)


no_test_data_seen = exercises.add(
    "no_test_data_seen",
    prompt=(
        "Return None if no sample of case.task.inputs is among case.system.training_inputs (both (n, ...), "
        "arrays or Tensors of one dtype), else a text that says how many of the test samples are. If "
        "training_inputs is None, return a text that says that training_inputs is missing."
    ),
    hints=(
        "Comparing all pairs takes long. Of what can a set be made, in which you find a sample at once?",
        "`as_array` makes an array of either kind, and `digest(sample)` a text of a sample.",
        "sum(digest(sample) in seen for sample in as_array(case.task.inputs))",
    ),
    mistakes=(
        swap(
            'return "training_inputs is missing: the open division asks what the network was trained on"',
            "return None",
            "Who shows nothing passes; training_inputs that are missing are a violation.",
        ),
        wrong(
            """
            def no_test_data_seen(case):
                if case.system.training_inputs is None:
                    return "training_inputs is missing"
                known = {digest(sample) for sample in as_array(case.task.inputs)}
                both = sum(digest(sample) in known for sample in as_array(case.system.training_inputs))
                return f"{both} test samples are among the training samples" if both else None
            """,
            "This counts training samples: one that was trained on twice counts twice. Count test samples.",
        ),
        wrong(
            """
            def no_test_data_seen(case):
                if case.system.training_inputs is None:
                    return "training_inputs is missing"
                sets = [as_array(x) for x in (case.task.inputs, case.system.training_inputs)]
                both = len(set.intersection(*({digest(sample) for sample in x} for x in sets)))
                return f"{both} test samples are among the training samples" if both else None
            """,
            "Two test samples that are alike count once here; each test sample counts.",
        ),
        wrong(
            """
            def no_test_data_seen(case):
                if case.system.training_inputs is None:
                    return "training_inputs is missing"
                pairs = zip(as_array(case.task.inputs), as_array(case.system.training_inputs))
                both = sum(digest(a) == digest(b) for a, b in pairs)
                return f"{both} test samples are among the training samples" if both else None
            """,
            "Samples are compared only in the same place; a test sample can stand anywhere in the other set.",
        ),
        wrong(
            """
            def no_test_data_seen(case):
                if case.system.training_inputs is None:
                    return "training_inputs is missing"
                inputs = as_array(case.task.inputs)
                both = sum(sample in as_array(case.system.training_inputs) for sample in inputs)
                return f"{both} test samples are among the training samples" if both else None
            """,
            "`in` asks of a NumPy array whether any single number is equal; whole samples have to be.",
        ),
    ),
)


def seen_of(training, test=((1.0, 2.0), (3.0, 4.0), (5.0, 6.0)), kind=np.asarray):
    """The rule's answer about lists of samples."""
    inputs, training = (
        None if x is None else kind(np.array(x, np.float32).reshape(-1, 2)) for x in (test, training)
    )
    return competition.no_test_data_seen(
        case_of(task=task_of(inputs), system=System(None, None, training_inputs=training))
    )


@no_test_data_seen.check("two of three test samples were trained on")
def _():
    training = [[5, 6], [7, 8], [1, 2], [0, 0]]
    says("test [1, 2], [3, 4], [5, 6], trained on [5, 6], [7, 8], [1, 2], [0, 0]", seen_of(training), "2")
    says("the same as Tensors", seen_of(training, kind=tensor), "2")


@no_test_data_seen.check("other samples are no violation, though single numbers are the same")
def _():
    see("test [1, 2], [3, 4], [5, 6], trained on [2, 1], [1, 4]", seen_of([[2, 1], [1, 4]])).gives(None)
    see("trained on nothing", seen_of([])).gives(None)


@no_test_data_seen.check("a sample that was trained on three times is one test sample")
def _():
    says("test [1, 2], [3, 4], [5, 6], trained on [3, 4], [3, 4], [3, 4]", seen_of([[3, 4]] * 3), "1")
    says("test [3, 4], [3, 4], [5, 6], trained on [3, 4]", seen_of([[3, 4]], ((3, 4), (3, 4), (5, 6))), "2")


@no_test_data_seen.check("training samples that are not shown are a violation")
def _():
    says("training_inputs=None", seen_of(None), "training_inputs")


same_weights = exercises.add(
    "same_weights",
    prompt=(
        "Compare weights_of(case.model) with weights_of(case.task.reference). Each weight may be zero, or "
        "differ from the reference's by at most a tenth of the largest absolute weight of that array (plus "
        "1e-6). Return None if all do, else a text that names the path of an array at fault. NaN is a fault. "
        "If a path of the reference is missing or has another shape, return None: another rule says so."
    ),
    hints=(
        "A weight that is zero moved by nothing: multiply the differences by (own != 0).",
        "Every comparison with NaN is false. So ask whether all are within the bound, not "
        "whether any is out.",
        "not (moved <= np.abs(array).max(initial=0) / 10 + 1e-6).all()",
    ),
    mistakes=(
        swap(
            " * (own[path] != 0)",
            "",
            "A pruned weight is taken for one that moved; zeros are allowed.",
        ),
        swap(
            "np.abs(array).max(initial=0) / 10",
            "np.abs(array) / 10",
            "The bound is a tenth of each weight itself; rounding moves small weights as far as large ones, "
            "so it is a tenth of the largest.",
        ),
        swap(
            "np.abs(array).max(initial=0)",
            "np.abs(own[path]).max(initial=0)",
            "The bound comes from the model's own weights; it is a tenth of the reference's largest.",
        ),
        swap(
            "np.abs(array).max(initial=0)",
            "array.max(initial=0)",
            "The largest weight can be a negative one: take the absolute values.",
        ),
        swap(".all():", ".any():", "One weight within the bound is enough here; all have to be."),
        swap(
            "np.abs(own[path] - array)",
            "(own[path] - array)",
            "A weight that became smaller passes: take the absolute difference.",
        ),
        swap(
            "if not (moved <= np.abs(array).max(initial=0) / 10 + 1e-6).all():",
            "if (moved > np.abs(array).max(initial=0) / 10 + 1e-6).any():",
            "NaN passes, as every comparison with it is false: ask whether all are within the bound.",
        ),
    ),
)

WEIGHTS = [1.0, -0.5, 0.1, 0.7]


def one_by_one(*weights):
    """A Linear for each list, with these numbers as its only row."""
    layers = [Linear(len(row), 1, bias=False) for row in weights]
    for layer, row in zip(layers, weights, strict=True):
        layer.weight.array[...] = [row]
    return Sequential(*layers)


def moved_weights(model, *weights):
    """The rule's answer about a model where the reference has these weights."""
    task = task_of(np.zeros((1, 4)), make_reference=lambda: one_by_one(*weights))
    return competition.same_weights(case_of(task=task, model=model))


@same_weights.check("rounded weights pass, small ones as well")
def _():
    see(f"{WEIGHTS} and the same", moved_weights(one_by_one(WEIGHTS), WEIGHTS)).gives(None)
    rounded = [0.95, -0.45, 0.15, 0.7]
    see(f"{WEIGHTS} became {rounded}", moved_weights(one_by_one(rounded), WEIGHTS)).gives(None)
    small = quantize(one_by_one(WEIGHTS), bits=4)
    see(f"{WEIGHTS} in 4 bits", moved_weights(small, WEIGHTS)).gives(None)
    see("[-1, 0.2] became [-0.92, 0.2]", moved_weights(one_by_one([-0.92, 0.2]), [-1.0, 0.2])).gives(None)
    see("[0, 0] became [5e-7, 0]", moved_weights(one_by_one([5e-7, 0.0]), [0.0, 0.0])).gives(None)


@same_weights.check("pruned weights pass")
def _():
    pruned = [0.0, -0.5, 0.0, 0.7]
    see(f"{WEIGHTS} became {pruned}", moved_weights(one_by_one(pruned), WEIGHTS)).gives(None)


@same_weights.check("a weight that moved too far is a violation, in either direction")
def _():
    for moved in [1.0, -0.5, 0.1, 0.9], [1.0, -0.8, 0.1, 0.7], [1.105, -0.5, 0.1, 0.7]:
        says(f"{WEIGHTS} became {moved}", moved_weights(one_by_one(moved), WEIGHTS), "0.weight")


@same_weights.check("each array has a bound of its own, and is named")
def _():
    small = [0.01, 0.02]
    found = moved_weights(one_by_one(WEIGHTS, [0.01, 0.03]), WEIGHTS, small)
    says(f"{small} in the second layer became [0.01, 0.03]", found, "1.weight")


@same_weights.check("NaN is a violation")
def _():
    moved = [1.0, float("nan"), 0.1, 0.7]
    says(f"{WEIGHTS} became {moved}", moved_weights(one_by_one(moved), WEIGHTS), "0.weight")


@same_weights.check("another architecture is left to the other rule")
def _():
    see("a layer of 2 instead of 4 weights", moved_weights(one_by_one([5.0, 5.0]), WEIGHTS)).gives(None)
    see("a layer less", moved_weights(one_by_one(WEIGHTS), WEIGHTS, [1.0])).gives(None)


speed_reproduced = exercises.add(
    "speed_reproduced",
    prompt=(
        "Compare case.submission.claimed with case.measured; return a text if the claim is too good, else "
        "None. A speedup is too good if its low is more than case.task.factor times the measured high. "
        "On the same_machine, latency_ms is too good if factor times its high is below the measured low; on "
        "another one it is not compared. The text has the measured and the claimed estimate in it."
    ),
    hints=(
        "A large speedup is good, and a small latency: the two comparisons go in opposite directions.",
        "Intervals have estimate, low and high. Granted is the worst of the claim and the best of the run.",
        "if claimed.speedup.low > factor * found.speedup.high: return …",
    ),
    mistakes=(
        swap(
            "factor * found.speedup.high",
            "found.speedup.high",
            "Time is never the same twice: the task's factor is granted before a claim fails.",
        ),
        swap(
            "claimed.speedup.low > factor * found.speedup.high",
            "claimed.speedup.estimate > factor * found.speedup.estimate",
            "The estimates are compared; the intervals are granted: the claim's low and the measured high.",
        ),
        swap(
            "if claimed.speedup.low > factor * found.speedup.high:",
            "if claimed.speedup.low > factor * found.speedup.high "
            "or claimed.speedup.high * factor < found.speedup.low:",
            "A claim that is worse than what was measured is refused; a claim may be modest.",
        ),
        swap(
            "same_machine(case.submission) and ",
            "",
            "Milliseconds of another machine are compared; only the ratio means something there.",
        ),
        swap(
            "same_machine(case.submission) and ",
            "False and ",
            "Milliseconds that were claimed on this very machine are not compared.",
        ),
        swap(
            "claimed.latency_ms.high * factor <",
            "claimed.latency_ms.high <",
            "The task's factor is granted to the milliseconds as well.",
        ),
        swap(
            "claimed.latency_ms.high * factor < found.latency_ms.low",
            "claimed.latency_ms.estimate * factor < found.latency_ms.estimate",
            "The estimates of the milliseconds are compared; take the claim's high and the measured low.",
        ),
    ),
)

USUAL = Interval(2.0, 1.8, 2.25)


def speed_of(claimed=USUAL, found=USUAL, claimed_ms=USUAL, found_ms=USUAL, machine=None):
    """The rule's answer about a claim, where the factor is 1.5."""
    here = environment()
    submission: Any = SimpleNamespace(
        claimed=Figures(0.5, 100, claimed_ms, claimed),
        environment=here if machine is None else here | {"machine": machine},
    )
    task = task_of(np.zeros(1), factor=1.5)
    return competition.speed_reproduced(
        case_of(submission, task, measured=Figures(0.5, 100, found_ms, found))
    )


@speed_reproduced.check("what was measured again as it was claimed is no violation")
def _():
    see("speed_reproduced, claimed and measured alike", speed_of()).gives(None)


@speed_reproduced.check("fifty times as fast is too good to be true, on any machine")
def _():
    fast = Interval(50.0, 49.0, 51.0)
    for part in ("50", "2"):
        says("speedup claimed 50 (49 to 51), measured 2 (1.8 to 2.25)", speed_of(claimed=fast), part)
    says("the same, from another machine", speed_of(claimed=fast, machine="abacus"), "50")


@speed_reproduced.check("the factor and both intervals are granted")
def _():
    claimed = Interval(3.0, 2.75, 3.25)
    see("speedup claimed 3 (2.75 to 3.25), measured 2 (1.8 to 2.25), factor 1.5", speed_of(claimed)).gives(
        None
    )
    claimed = Interval(4.0, 3.25, 5.0)
    see("speedup claimed 4 (3.25 to 5), measured 2 (1.8 to 2.25), factor 1.5", speed_of(claimed)).gives(None)
    for claimed in Interval(1.45, 1.4, 1.5), Interval(1.0, 0.8, 1.5):
        words = f"claimed {claimed.estimate} ms (to 1.5), measured 2 (1.8 to 2.25), factor 1.5"
        see(words, speed_of(claimed_ms=claimed)).gives(None)


@speed_reproduced.check("a claim may be modest")
def _():
    modest = Interval(0.5, 0.4, 0.6)
    see("speedup claimed 0.5 (0.4 to 0.6), measured 2", speed_of(claimed=modest)).gives(None)
    slow = Interval(50.0, 40.0, 60.0)
    see("claimed 50 ms (40 to 60), measured 2", speed_of(claimed_ms=slow)).gives(None)


@speed_reproduced.check("milliseconds are compared, but only on the same machine")
def _():
    quick = Interval(0.25, 0.2, 0.3)
    says("claimed 0.25 ms (0.2 to 0.3), measured 2 (1.8 to 2.25)", speed_of(claimed_ms=quick), "0.25")
    see("the same, from another machine", speed_of(claimed_ms=quick, machine="abacus")).gives(None)


verify = exercises.add(
    "verify",
    prompt=(
        "Apply the rules in three stages with violations(case, stage), and return a Verdict: accepted or "
        'not, the reasons, the claimed Figures, the measured ones or None. First "files"; then load the '
        'system, and "model", with case.model; then measure_system, and "run", with case.measured. Stop at '
        "the first stage with a violation: nothing is loaded or measured after it. A ValueError or "
        'RuntimeError while loading is the reason "weights: …" with the error\'s message.'
    ),
    hints=(
        "A Case is a NamedTuple: case._replace(model=...) is a new one with the model in it.",
        "Keep one list of reasons, and go on only `if not reasons`.",
        "measure_system(task, system, case.model, clock) gives the measured Figures.",
    ),
    mistakes=(
        swap(
            'reasons = reasons or violations(case, "model")',
            'reasons = reasons + violations(case, "model")',
            "The rules about the network are asked after the files failed, without a network.",
        ),
        swap(
            "if not reasons:\n        case = case._replace(measured",
            "if case.model:\n        case = case._replace(measured",
            "A network that may not take part is measured all the same: stop at the first violation.",
        ),
        swap(
            "case = Case(submission, task, system)",
            "case = Case(submission, task, system, system.load())",
            "The weights are loaded before the rules about the files: a file that was swapped must not be.",
        ),
        swap(
            "except (ValueError, RuntimeError) as error:",
            "except ValueError as error:",
            "Weights that do not fit raise a RuntimeError, which ends the verifier and is no reason.",
        ),
        swap("Verdict(not reasons,", "Verdict(bool(reasons),", "Accepted is what has no reasons against it."),
        swap(
            "submission.claimed, case.measured)",
            "submission.claimed, submission.claimed)",
            "The verdict repeats what was claimed; its last part is what was measured, or None.",
        ),
        swap(", case.model, clock)", ", case.model)", "The clock has to be passed on to measure_system."),
        wrong(
            """
            def verify(submission, task, system, clock=perf_counter):
                case = Case(submission, task, system)
                reasons = violations(case, "files")
                try:
                    if not reasons:
                        case = case._replace(model=system.load())
                        reasons = violations(case, "model")
                    if not reasons:
                        case = case._replace(measured=measure_system(task, system, case.model, clock))
                        reasons = violations(case, "run")
                except (ValueError, RuntimeError) as error:
                    reasons = [f"weights: {error}"]
                return Verdict(not reasons, reasons, submission.claimed, case.measured)
            """,
            "An error while measuring is called one of the weights: only loading belongs into the try.",
        ),
    ),
)

CLAIMED = Figures(0.5, 100, USUAL, USUAL)
MEASURED = Figures(0.25, 100, USUAL, USUAL)


@contextmanager
def three_rules(events, fails=""):
    """One rule at each stage, of which the one at `fails` finds something, and given figures to measure."""

    def rule_at(stage):
        def rule(case):
            events.append(
                f"{stage} rule, {case.model}, {'not measured' if case.measured is None else 'measured'}"
            )
            return "too bad" if stage == fails else None

        return Rule(rule, stage, (competition.CLOSED, competition.OPEN))

    def measure(task, system, model, clock=None):
        events.append(f"measure {model} with the {clock}")
        if fails == "measuring":
            raise ValueError("the clock stands still")
        return MEASURED

    kept = competition.RULES, competition.measure_system
    competition.RULES, competition.measure_system = [rule_at(s) for s in ("run", "files", "model")], measure
    try:
        yield
    finally:
        competition.RULES, competition.measure_system = kept


def verdict_of(fails="", error=None):
    """(what happened, the Verdict), where a rule fails or loading does."""
    events: list[str] = []

    def load():
        events.append("load")
        if error is not None:
            raise error
        return "network"

    submission = SimpleNamespace(division="closed", claimed=CLAIMED)
    with three_rules(events, fails):
        system: Any = SimpleNamespace(load=load)
        verdict = competition.verify(submission, task_of(np.zeros(1)), system, "given clock")
    return events, verdict


ALL = [
    "files rule, None, not measured", "load", "model rule, network, not measured",
    "measure network with the given clock", "run rule, network, measured",
]  # fmt: skip


@verify.check("without violations everything is done, from cheap to dear")
def _():
    events, verdict = verdict_of()
    see("what happened", events).gives(ALL)
    see("accepted, reasons", [verdict.accepted, verdict.reasons]).gives([True, []])
    see("claimed and measured accuracy", [verdict.claimed.accuracy, verdict.measured.accuracy]).gives(
        [0.5, 0.25]
    )


@verify.check("it stops at the first stage with a violation")
def _():
    for stage, done in (("files", 1), ("model", 3), ("run", 5)):
        events, verdict = verdict_of(stage)
        see(f"what happened, with a violation at {stage}", events).gives(ALL[:done])
        see("accepted, reasons", [verdict.accepted, verdict.reasons]).gives([False, ["rule: too bad"]])


@verify.check("measured is None where nothing was measured")
def _():
    for stage, wanted in (("files", None), ("run", MEASURED)):
        see(f"measured, with a violation at {stage}", verdict_of(stage)[1].measured).gives(wanted)


@verify.check("weights that cannot be loaded are a reason")
def _():
    for error in ValueError("no such file"), RuntimeError("size mismatch"):
        events, verdict = verdict_of(error=error)
        see("reasons", verdict.reasons).gives([f"weights: {error}"])
        see("what happened", events).gives(ALL[:2])


@verify.check("an error while measuring is no reason")
def _():
    raises(ValueError, verdict_of, "measuring", says="clock")


score = exercises.add(
    "score",
    prompt=(
        "Return the Interval of the score: the geometric mean of reference_nbytes / figures.nbytes and the "
        "speedup, for its estimate, low and high. If the speedup's interval holds 1, its estimate counts as "
        "1; the bounds stay."
    ),
    hints=(
        "The geometric mean of two numbers is the square root of their product.",
        "figures.speedup is an Interval: `ratio, low, high = figures.speedup`.",
        "Interval(*(math.sqrt(smaller * faster) for faster in (ratio, low, high)))",
    ),
    mistakes=(
        swap(
            "math.sqrt(smaller * faster)",
            "(smaller + faster) / 2",
            "This is the arithmetic mean; ratios take the geometric one, the root of the product.",
        ),
        swap("math.sqrt(smaller * faster)", "smaller * faster", "This is the product; the mean is its root."),
        swap(
            "1.0 if low <= 1 <= high else ratio",
            "ratio",
            "A speed-up whose interval holds 1 may be noise: it counts as 1.",
        ),
        swap(
            "reference_nbytes / figures.nbytes",
            "figures.nbytes / reference_nbytes",
            "A larger file gives a larger score: turn the quotient round.",
        ),
        swap(
            "for faster in (ratio, low, high)",
            "for faster in (ratio, ratio, ratio)",
            "The bounds of the speedup give the bounds of the score.",
        ),
    ),
)


def scored(words, nbytes, speedup, expected):
    """The score where the reference has 1000 bytes."""
    figures = Figures(1.0, nbytes, Interval(1.0, 1.0, 1.0), Interval(*speedup))
    found = competition.score(figures, 1000)
    see(f"score of {words}", numbers(found)).gives(np.array(expected))


@score.check("four times as small and four times as fast is 4")
def _():
    scored("250 of 1000 bytes, speedup 4 (3.24 to 4.84)", 250, (4.0, 3.24, 4.84), [4.0, 3.6, 4.4])


@score.check("twice as small counts as much as twice as fast")
def _():
    scored("500 of 1000 bytes, speedup 8 (8 to 8)", 500, (8.0, 8.0, 8.0), [4.0, 4.0, 4.0])
    scored("125 of 1000 bytes, speedup 0.5 (0.5 to 0.5)", 125, (0.5, 0.5, 0.5), [2.0, 2.0, 2.0])


@score.check("a speed-up that noise explains is none")
def _():
    scored("250 of 1000 bytes, speedup 1.2 (0.81 to 1.44)", 250, (1.2, 0.81, 1.44), [2.0, 1.8, 2.4])


ranked = exercises.add(
    "ranked",
    prompt=(
        "Return a list of the entries (any iterable) with their ranks, the highest score.estimate first, "
        "equal ones by submission.name. The first has rank 1 and leads a group. An entry whose score.high "
        "reaches the score.low of the leader of the group joins it: it gets the leader's rank, and a note "
        'that names the leader. Otherwise it leads the next group: its note is "", and its rank is one more '
        "than how many entries stand before it."
    ),
    hints=(
        "sorted(entries, key=lambda e: (-e.score.estimate, e.submission.name)), and then one loop.",
        "Keep in a variable who leads the group; compare with that one, not with the entry just before.",
        "entry._replace(rank=..., note=...) is an entry with another rank and note.",
    ),
    mistakes=(
        swap(
            "found.append(entry._replace(rank=leader.rank, note=note))",
            "found.append(entry._replace(rank=leader.rank, note=note))\n            leader = found[-1]",
            "Each entry is compared with the one before it: so a chain of ties has no end. Compare with the "
            "best of the group.",
        ),
        swap(
            "rank=len(found) + 1",
            "rank=leader.rank + 1 if leader else 1",
            "After two that share rank 1 comes rank 3: the rank counts all before it.",
        ),
        swap("-e.score.estimate", "e.score.estimate", "The lowest score comes first; the best has rank 1."),
        swap(
            "entry.score.high >= leader.score.low",
            "entry.score.estimate >= leader.score.low",
            "A tie is where the intervals overlap: it is the entry's high that counts, not its estimate.",
        ),
        swap(
            "leader is not None and entry.score.high >= leader.score.low",
            "False",
            "Nobody is tied; where intervals overlap, the order may be chance.",
        ),
        swap(
            "entry.score.high >= leader.score.low",
            "entry.score.high > leader.score.low",
            "A high that is equal to the leader's low reaches it: that is a tie.",
        ),
        swap(
            ', note="")',
            ")",
            'A note from before stays: who leads a group has the note "".',
        ),
    ),
)


def places(*scores):
    """The ranked entries of scores, which are given as (name, low, estimate, high)."""
    named: Any = [SimpleNamespace(name=name) for name, *_ in scores]
    entries = [
        Entry(9, submission, CLAIMED, Interval(estimate, low, high), "old")
        for submission, (_, low, estimate, high) in zip(named, scores, strict=True)
    ]
    return competition.ranked(iter(entries))


def ranks(words, scores, expected):
    see(f"rank and name of {words}", [[e.rank, e.submission.name] for e in places(*scores)]).gives(expected)


@ranked.check("the best comes first")
def _():
    scores = [("b", 1.9, 2.0, 2.1), ("c", 0.9, 1.0, 1.1), ("a", 3.9, 4.0, 4.1)]
    ranks("scores b 2, c 1, a 4, apart", scores, [[1, "a"], [2, "b"], [3, "c"]])
    see("notes", [e.note for e in places(*scores)]).gives(["", "", ""])


@ranked.check("two whose intervals overlap share rank 1, and the next has rank 3")
def _():
    scores = [("Cy", 1.0, 1.1, 1.2), ("Ada", 2.0, 2.5, 3.0), ("Bob", 1.5, 1.9, 2.25)]
    expected = [[1, "Ada"], [1, "Bob"], [3, "Cy"]]
    ranks("Ada 2.5 (2 to 3), Bob 1.9 (1.5 to 2.25), Cy 1.1 (1 to 1.2)", scores, expected)
    notes = [entry.note for entry in places(*scores)]
    see("notes", notes).satisfies(
        notes[0] == notes[2] == "" and "Ada" in notes[1], 'only Bob\'s, which names Ada; the others are ""'
    )


@ranked.check("intervals that touch overlap")
def _():
    scores = [("a", 2.0, 3.0, 4.0), ("b", 1.0, 1.5, 2.0)]
    ranks("a 3 (2 to 4), b 1.5 (1 to 2)", scores, [[1, "a"], [1, "b"]])


@ranked.check("who overlaps only with the second of a group leads the next one")
def _():
    scores = [("a", 3.0, 4.0, 5.0), ("b", 2.0, 3.0, 3.5), ("c", 1.0, 2.0, 2.5), ("d", 0.5, 0.75, 1.5)]
    ranks(
        "a (3 to 5), b (2 to 3.5), c (1 to 2.5), d (0.5 to 1.5)",
        scores,
        [[1, "a"], [1, "b"], [3, "c"], [3, "d"]],
    )


@ranked.check("equal scores stand in the order of their names; no entries are no ranks")
def _():
    scores = [("y", 1.0, 2.0, 3.0), ("x", 1.0, 2.0, 3.0)]
    ranks("x and y, both 2 (1 to 3)", scores, [[1, "x"], [1, "y"]])
    call(competition.ranked, []).gives([])
