"""20 Competition: one system that is accurate, small and fast at once, and the report that proves it.

Task         data, a metric, a least accuracy, a scenario, and the reference network that all are measured by
Submission   what somebody claims of a system: a JSON document with environment, seeds and hashes
verify       runs the system again, applies the rules, and gives a Verdict
Leaderboard  a folder of what was accepted, ranked; what noise explains is a tie

The two divisions are those of MLPerf, Reddi et al. 2019, https://arxiv.org/abs/1911.02549. In the closed one
everybody enters the reference's own network, made smaller and faster after its training; the open one
takes any network. Running a system runs its code: verify only what you would run anyway.
"""

import hashlib
import json
import math
import re
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..utils.safetensors import checked_depth, write_atomically
from .acceleration import WinogradConv2d
from .autograd import no_grad
from .benchmarking import (
    Benchmark,
    Interval,
    SystemUnderTest,
    bootstrap,
    environment,
    least_rounds,
    median,
    top1,
)
from .compression import compressed, load_compressed, pack_sparse
from .quantization import Int4Weight, Int8Weight, QuantizedLayer, replacements
from .spatial import Conv2d
from .tensor import Tensor

FORMAT_VERSION = 1
LONGEST_JSON = 1 << 16  # bytes; a submission takes about 1500
CLOSED, OPEN = "closed", "open"
BATCH = {"SingleStream": 1, "Offline": 64}  # samples in a query

# What is asked.


def digest(*parts):
    """The SHA-256, in hexadecimal, of bytes, or of arrays with their dtypes and shapes."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, bytes):
            total.update(part)
        else:
            array = np.ascontiguousarray(as_array(part))
            total.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return total.hexdigest()


def as_array(x):
    """A Tensor, on whatever device, or an array, as a NumPy array."""
    if not isinstance(x, Tensor):
        return np.asarray(x)
    return x.array if isinstance(x.array, np.ndarray) else x.array.get()


@dataclass
class Task:
    """What all systems are asked to do.

    inputs, targets   the test set: Tensors or arrays (n, ...)
    make_reference    a function without arguments that gives the trained reference, the same at every call
    floor             least accuracy, as a share of the reference's
    scenario          SingleStream: one sample a query, the 90th percentile of its latency counts. Offline: a
                      batch of 64, the median counts
    bound_ms          the latency that may not be exceeded; None: any
    budget            bytes that the file of weights may take; None: any
    rounds, number    how often reference and system are timed in turn, and how many queries each time (None:
                      as many as the clock needs, see Benchmark)
    tolerance         how far accuracy may move on another machine, whose BLAS sums in another order
    factor            by how much a measured time may miss the claimed interval
    """

    name: str
    inputs: Any
    targets: Any
    make_reference: Any
    score: Any = top1
    floor: float = 0.99
    scenario: str = "SingleStream"
    bound_ms: float | None = None
    budget: int | None = None
    rounds: int = 30
    number: int | None = None
    seed: int = 0
    tolerance: float = 0.002
    factor: float = 1.5

    def __post_init__(self):
        if self.scenario not in BATCH:
            raise ValueError(f"Task: scenario is one of {', '.join(BATCH)}; {self.scenario!r} came")
        if self.rounds < least_rounds():
            raise ValueError(f"Task: rounds is at least {least_rounds()}, {self.rounds} came")

    @cached_property
    def reference(self):
        """The trained reference network, in evaluation mode."""
        return self.make_reference().eval()

    @cached_property
    def sha256(self):
        """Of the test set: who measured on another one took part in another task."""
        return digest(self.inputs, self.targets)


@dataclass
class System:
    """What is entered: how the network is built, and the file that holds its numbers.

    build            a function without arguments: a network into which the weights are loaded
    weights          the path of a file that `save_compressed` (16) wrote
    entry            the path of the file of code that builds it, if that is to be held to its hash
    training_inputs  what it was trained on, if it was trained: the open division asks for it
    prepare          a function of the loaded network that gives what is run: other kernels, same answers
    """

    build: Any
    weights: Any
    entry: Any = None
    training_inputs: Any = None
    prepare: Any = None

    def load(self):
        """The network with the numbers of the file, in evaluation mode."""
        model = self.build()
        model.load_state_dict(load_compressed(self.weights))
        return model.eval()

    def ready(self, model):
        """What is run, of a loaded network."""
        return model if self.prepare is None else self.prepare(model)


# What is measured.


class Figures(NamedTuple):
    """Accuracy; bytes of the file; milliseconds of a query; how many times as fast as the reference."""

    accuracy: float
    nbytes: int
    latency_ms: Interval
    speedup: Interval


def accuracy_of(task, model):
    """The task's score of a network on the whole test set, by the rule of module 19."""
    asked = SystemUnderTest(model, task.inputs, task.targets, 0.0, task.score, warm_up=0)
    return asked.ask(0, min(64, len(task.inputs)))[1]


def queries(task, model):
    """A contestant: each call asks `model` the next query; the order is the same for every model."""
    order = np.random.default_rng(task.seed).permutation(len(task.inputs))
    size = min(BATCH[task.scenario], len(order))
    batches = cycle([task.inputs[order[i : i + size]] for i in range(0, len(order) - size + 1, size)])

    def call():
        with no_grad():
            return model(next(batches))

    return call


def measure_system(task, system, model, clock=perf_counter):
    """The Figures of a system whose loaded network is `model`: reference and system are timed in turn.

    In the same rounds the reference meets a copy of itself. What difference that shows is none, so the
    interval of the speed-up becomes wider by as much.
    """
    model = system.ready(model)
    models = {"reference": task.reference, "copy": deepcopy(task.reference), "system": model}
    contestants = {name: queries(task, m) for name, m in models.items()}
    report = Benchmark(contestants, number=task.number, seed=task.seed, clock=clock).run(task.rounds)
    ms = 1e3 * report.named("system")
    latency = bootstrap(tail if task.scenario == "SingleStream" else median, ms, seed=task.seed)
    speedup, same = report.compare("reference", "system"), report.compare("reference", "copy")
    blur = max(1.0, same.high, 1 / same.low)
    return Figures(
        accuracy_of(task, model),
        len(Path(system.weights).read_bytes()),
        latency,
        Interval(speedup.ratio, speedup.low / blur, speedup.high * blur),
    )


def tail(values):
    """The 90th percentile along the last axis: a value that was measured, as `percentile` (19) gives."""
    return np.quantile(values, 0.9, axis=-1, method="inverted_cdf")


# The document.


class SubmissionError(ValueError):
    """A submission that can't be read; the message names the place."""


def record(**properties):
    """The JSON Schema of an object that has exactly these properties."""
    return {
        "type": "object", "properties": properties, "required": [*properties], "additionalProperties": False,
    }  # fmt: skip


HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
INTERVAL = {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 3, "maxItems": 3}
SUBMISSION_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Submission",
    **record(
        format_version={"enum": [FORMAT_VERSION]},
        name={"type": "string", "minLength": 1, "maxLength": 80},
        division={"enum": [CLOSED, OPEN]},
        task={"type": "string", "minLength": 1, "maxLength": 80},
        task_sha256=HASH,
        scenario={"enum": [*BATCH]},
        rounds={"type": "integer", "minimum": least_rounds(), "maximum": 1_000_000},
        seeds={
            "type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 100,
        },
        weights_sha256=HASH,
        code_sha256={**HASH, "type": ["string", "null"]},
        environment={"type": "object", "required": ["python", "numpy", "blas", "machine", "processors"],
            "additionalProperties": {"type": ["string", "number", "null"]}},
        claimed=record(
            accuracy={"type": "number", "minimum": 0, "maximum": 1},
            nbytes={"type": "integer", "minimum": 1},
            latency_ms=INTERVAL,
            speedup=INTERVAL,
        ),
    ),
}  # fmt: skip

TYPES: dict = {
    "object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "null": type(None),
}  # fmt: skip


def is_of(kind, value):
    """Is a value of a JSON Schema type? True is no number, and JSON has no NaN and no infinity."""
    if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return False
    return isinstance(value, TYPES[kind])


def check(value, schema, path="submission"):
    """Raise SubmissionError, with the path at fault, unless `value` obeys a JSON Schema of the words that
    SUBMISSION_SCHEMA uses: type, enum, pattern, limits, items, properties, required, additionalProperties.
    """

    def fail(wanted):
        shown = repr(value)
        raise SubmissionError(f"{path}: {wanted}; {shown if len(shown) <= 60 else shown[:60] + '…'} came")

    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_of(kind, value) for kind in kinds):
        fail(f"{' or '.join(kinds)} is needed")
    if "enum" in schema and not any(type(value) is type(e) and value == e for e in schema["enum"]):
        fail(f"one of {', '.join(map(str, schema['enum']))} is needed")
    if isinstance(value, (int, float)):
        if not schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf):
            fail(f"a number from {schema.get('minimum', '-inf')} to {schema.get('maximum', 'inf')} is needed")
    elif isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
            fail(f"{schema.get('minLength', 0)} to {schema.get('maxLength', 'any')} characters are needed")
        if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
            fail(f"text like {schema['pattern']} is needed")
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
            fail(f"{schema.get('minItems', 0)} to {schema.get('maxItems', 'any')} items are needed")
        for i, item in enumerate(value):
            check(item, schema.get("items", {}), f"{path}[{i}]")
    elif isinstance(value, dict):
        properties = schema.get("properties", {})
        missing = [key for key in schema.get("required", []) if key not in value]
        unknown = [key for key in value if key not in properties]
        if missing:
            raise SubmissionError(f"{path}.{missing[0]}: is missing")
        others = schema.get("additionalProperties", {})
        if unknown and others is False:
            raise SubmissionError(
                f"{path}.{unknown[0][:60]}: is not known; known are {', '.join(properties)}"
            )
        for key, item in value.items():
            check(item, properties.get(key, others), f"{path}.{key[:60]}")


@dataclass(frozen=True)
class Submission:
    """What is claimed of a system; see SUBMISSION_SCHEMA. Raises SubmissionError for what that forbids."""

    name: str
    division: str
    task: str
    task_sha256: str
    scenario: str
    rounds: int
    seeds: list
    weights_sha256: str
    code_sha256: str | None
    environment: dict
    claimed: Figures
    format_version: int = FORMAT_VERSION

    def __post_init__(self):
        check(self.record(), SUBMISSION_SCHEMA)
        for name in ("latency_ms", "speedup"):
            estimate, low, high = getattr(self.claimed, name)
            if not 0 < low <= estimate <= high:
                raise SubmissionError(
                    f"submission.claimed.{name}: estimate, low and high with 0 < low <= estimate <= high are "
                    f"needed; {estimate}, {low} and {high} came"
                )

    def record(self):
        """Everything, as a dictionary that JSON can hold."""
        claimed = self.claimed._asdict()
        return asdict(self) | {
            "claimed": {k: [*v] if isinstance(v, tuple) else v for k, v in claimed.items()}
        }

    def to_json(self):
        return json.dumps(self.record(), indent=1, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text):
        """The submission that a text or UTF-8 bytes hold. Raises SubmissionError for anything else."""
        if len(text) > LONGEST_JSON:
            raise SubmissionError(f"submission: at most {LONGEST_JSON} bytes are read, {len(text)} came")
        try:
            text = text if isinstance(text, str) else text.decode()
            value = json.loads(checked_depth(text), object_pairs_hook=without_repetition)
        except SubmissionError:
            raise
        except ValueError as error:
            raise SubmissionError(f"submission: this is no JSON: {error}") from None
        check(value, SUBMISSION_SCHEMA)
        claimed: Any = {k: Interval(*v) if isinstance(v, list) else v for k, v in value["claimed"].items()}
        return cls(**value | {"claimed": Figures(**claimed)})


def without_repetition(pairs):
    """The dict of a JSON object, in which a key may stand once: of two, readers would pick different ones."""
    for i, (key, _) in enumerate(pairs):
        if any(key == other for other, _ in pairs[:i]):
            raise SubmissionError(f"submission: the key {key[:60]!r} stands there twice")
    return dict(pairs)


def enter(name, task, system, division=CLOSED, seeds=(0,), clock=perf_counter):
    """Measure a system and write down what is claimed of it: a Submission."""
    figures = measure_system(task, system, system.load(), clock)
    code = None if system.entry is None else digest(Path(system.entry).read_bytes())
    return Submission(
        name, division, task.name, task.sha256, task.scenario, task.rounds, [*seeds],
        digest(Path(system.weights).read_bytes()), code, environment(), figures,
    )  # fmt: skip


# What the closed division compares.

KINDS = {quantized: plain for plain, quantized in replacements.items()}


def layers_of(model):
    """(path, module) of all that is not the storage of an integer weight."""
    hidden = {id(p) for m in model.modules() if isinstance(m, (Int8Weight, Int4Weight)) for p in m.modules()}
    return [(path, module) for path, module in model.named_modules() if id(module) not in hidden]


def weights_of(model):
    """{path: array} of the parameters and buffers with which a network computes, integers as floats again."""
    found: dict[str, Any] = {}
    for path, module in layers_of(model):
        held = {**module._parameters, **module._buffers}
        if isinstance(module, QuantizedLayer):
            held = {"weight": module.weight.dequantize(), "bias": module.bias}
        found |= {f"{path}.{name}".lstrip("."): as_array(x) for name, x in held.items() if x is not None}
    return found


def fingerprint(model):
    """The SHA-256 of a network's architecture: its layers, their settings, and the shapes of their weights.
    Quantized and accelerated layers count as the layers they stand for.
    """
    lines = []
    for path, module in layers_of(model):
        kind = KINDS.get(type(module), type(module))
        kind = Conv2d if kind is WinogradConv2d else kind
        settings = module.settings if isinstance(module, QuantizedLayer) else module.extra_repr()
        lines.append(f"{path} {kind.__module__}.{kind.__qualname__} {settings}")
    lines += [f"{path} {array.shape}" for path, array in weights_of(model).items()]
    return digest("\n".join(lines).encode())


# The rules.


class Case(NamedTuple):
    """What a rule looks at. `model` is None before the weights are loaded, `measured` before the run."""

    submission: Submission
    task: Task
    system: System
    model: Any = None
    measured: Any = None


class Rule(NamedTuple):
    """A function of a Case that returns a violation in words, or None, and when and where it holds."""

    function: Any
    stage: str
    divisions: tuple

    @property
    def name(self):
        return self.function.__name__


RULES: list[Rule] = []


def rule(stage, *divisions):
    """Make a function a Rule: at stage "files", "model" or "run", in these divisions (none: in both)."""

    def register(function):
        RULES.append(Rule(function, stage, divisions or (CLOSED, OPEN)))
        return function

    return register


@rule("files")
def same_task(case):
    """The submission is about this task: its name, test set, scenario and rounds."""
    s, t = case.submission, case.task
    wanted, came = (t.name, t.sha256, t.scenario), (s.task, s.task_sha256, s.scenario)
    for what, want, have in zip(("task", "test set", "scenario"), wanted, came, strict=True):
        if want != have:
            return f"the {what} is {have}, this task's is {want}"
    return None if s.rounds >= t.rounds else f"{s.rounds} rounds were timed, {t.rounds} are asked for"


@rule("files")
def hashes_fit(case):
    """The weights, and the code if it was given, are the files that the submission speaks of."""
    files = {"weights": (case.system.weights, case.submission.weights_sha256)}
    if case.submission.code_sha256 is not None or case.system.entry is not None:
        files["code"] = (case.system.entry, case.submission.code_sha256)
    for what, (path, claimed) in files.items():
        if path is None or digest(Path(path).read_bytes()) != claimed:
            return f"the {what} changed: their SHA-256 is not the submission's"
    return None


@rule("files")
def size_is_exact(case):
    """The claimed bytes are those of the file, and within the budget."""
    nbytes, claimed = len(Path(case.system.weights).read_bytes()), case.submission.claimed.nbytes
    if nbytes != claimed:
        return f"the file has {nbytes:,} bytes, {claimed:,} are claimed"
    budget = case.task.budget
    return None if budget is None or nbytes <= budget else f"{nbytes:,} bytes, the budget is {budget:,}"


@rule("files", OPEN)
def no_test_data_seen(case):
    """No test sample is among the training samples shown. What isn't shown, no rule can see."""
    if case.system.training_inputs is None:
        return "training_inputs is missing: the open division asks what the network was trained on"
    seen = {digest(sample) for sample in as_array(case.system.training_inputs)}
    both = sum(digest(sample) in seen for sample in as_array(case.task.inputs))
    return f"{both} test samples are among the training samples" if both else None


@rule("model", CLOSED)
def same_architecture(case):
    """Closed: the layers, settings and shapes are those of the reference."""
    same = fingerprint(case.model) == fingerprint(case.task.reference)
    return None if same else "the architecture is not the reference's, as the closed division asks for"


@rule("model", CLOSED)
def same_weights(case):
    """Closed: each weight is the reference's, rounded, or zero. A step of 4 bits is a seventh of the largest
    weight, and rounding moves by half of it; a tenth is allowed.
    """
    own, reference = weights_of(case.model), weights_of(case.task.reference)
    if any(path not in own or own[path].shape != array.shape for path, array in reference.items()):
        return None  # same_architecture says so
    for path, array in reference.items():
        moved = np.abs(own[path] - array) * (own[path] != 0)
        if not (moved <= np.abs(array).max(initial=0) / 10 + 1e-6).all():
            return f"{path} is not the reference's: in the closed division nothing is trained again"
    return None


@rule("model", CLOSED)
def kernels_keep_outputs(case):
    """Closed: what `prepare` makes of the network gives its outputs, to a thousandth of the largest."""
    inputs = case.task.inputs[np.arange(min(64, len(case.task.inputs)))]
    with no_grad():
        right, other = (as_array(m(inputs)) for m in (case.model, case.system.ready(case.model)))
    if np.abs(other - right).max(initial=0) <= 1e-3 * np.abs(right).max(initial=0):
        return None
    return "prepare changes what the network answers"


@rule("run")
def accurate_enough(case):
    """At least the floor's share of the reference's accuracy."""
    needed = case.task.floor * accuracy_of(case.task, case.task.reference)
    found = case.measured.accuracy
    return None if found >= needed else f"accuracy {found:.4f}, at least {needed:.4f} is needed"


@rule("run")
def accuracy_reproduced(case):
    """The claimed accuracy to the last digit; on another machine within the task's tolerance."""
    claimed, found = case.submission.claimed.accuracy, case.measured.accuracy
    allowed = 1e-12 if same_machine(case.submission) else case.task.tolerance
    if abs(claimed - found) <= allowed:
        return None
    return f"accuracy {found:.4f} was measured, {claimed:.4f} is claimed"


@rule("run")
def speed_reproduced(case):
    """No better than claimed within the factor: the ratio to the reference, and on a machine like that of the
    submission the milliseconds, too. A claim may be modest.
    """
    claimed, found, factor = case.submission.claimed, case.measured, case.task.factor
    if claimed.speedup.low > factor * found.speedup.high:
        wanted = claimed.speedup.estimate
        return f"{found.speedup.estimate:.2f} times as fast as the reference, {wanted:.2f} is claimed"
    if same_machine(case.submission) and claimed.latency_ms.high * factor < found.latency_ms.low:
        return (
            f"{found.latency_ms.estimate:.3f} ms were measured, {claimed.latency_ms.estimate:.3f} are claimed"
        )
    return None


@rule("run")
def fast_enough(case):
    """The latency of the scenario keeps the task's bound."""
    bound, found = case.task.bound_ms, case.measured.latency_ms.estimate
    return None if bound is None or found <= bound else f"{found:.3f} ms, the bound is {bound:g} ms"


def same_machine(submission):
    """Was it measured on hardware and libraries like these?"""
    here, keys = environment(), ("blas", "numpy", "system", "machine", "processors", "threads")
    return all(submission.environment.get(key) == here[key] for key in keys)


# The verdict.


class Verdict(NamedTuple):
    """Accepted or not, the reasons, and measured beside claimed (None where nothing was run)."""

    accepted: bool
    reasons: list
    claimed: Figures
    measured: Figures | None

    def __str__(self):
        lines = ["accepted" if self.accepted else "REJECTED", *(f"  {reason}" for reason in self.reasons)]
        if self.measured is not None:
            for name, claimed, found in zip(Figures._fields, self.claimed, self.measured, strict=True):
                lines.append(f"  {name:11} claimed {shown(claimed):28} measured {shown(found)}")
        return "\n".join(lines)


def shown(value):
    """A figure as text, an Interval with its bounds."""
    if isinstance(value, tuple):
        return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def violations(case, stage):
    """["rule: what is wrong", ...] of the rules of a stage and of the submission's division."""
    found = [
        (r.name, r.function(case)) for r in RULES
        if r.stage == stage and case.submission.division in r.divisions
    ]  # fmt: skip
    return [f"{name}: {violation}" for name, violation in found if violation is not None]


def verify(submission, task, system, clock=perf_counter):
    """Check a submission by the rules, and by running the system again. Returns a Verdict.

    It goes from cheap to dear, and stops at the first stage with a violation: what is not the file that was
    hashed is not loaded, and a network that may not take part is not timed.
    """
    case = Case(submission, task, system)
    reasons = violations(case, "files")
    if not reasons:
        try:
            case = case._replace(model=system.load())
        except (ValueError, RuntimeError) as error:
            reasons = [f"weights: {error}"]
    reasons = reasons or violations(case, "model")
    if not reasons:
        case = case._replace(measured=measure_system(task, system, case.model, clock))
        reasons = violations(case, "run")
    return Verdict(not reasons, reasons, submission.claimed, case.measured)


# The leaderboard.


def score(figures, reference_nbytes):
    """The Interval of the score: the geometric mean of how many times as small and as fast as the reference.
    A speed-up that noise explains (its interval holds 1) counts as 1.
    """
    smaller, (ratio, low, high) = reference_nbytes / figures.nbytes, figures.speedup
    ratio = 1.0 if low <= 1 <= high else ratio
    return Interval(*(math.sqrt(smaller * faster) for faster in (ratio, low, high)))


class Entry(NamedTuple):
    """A line of the leaderboard. `note` says with whom it is tied."""

    rank: int
    submission: Submission
    measured: Figures
    score: Interval
    note: str


def ranked(entries):
    """Entries by score, best first. Those whose interval overlaps that of the best of a group share its rank;
    the next one's rank counts all before it.
    """
    found: list[Entry] = []
    leader = None
    for entry in sorted(entries, key=lambda e: (-e.score.estimate, e.submission.name)):
        if leader is not None and entry.score.high >= leader.score.low:
            note = f"tied with {leader.submission.name}: the intervals overlap"
            found.append(entry._replace(rank=leader.rank, note=note))
        else:
            leader = entry._replace(rank=len(found) + 1, note="")
            found.append(leader)
    return found


class Leaderboard:
    """A folder of accepted submissions to one task, a JSON file each, named by the hash of its contents.

    That name shows damage. It does not stop somebody who may write into the folder: `verify` does.
    """

    def __init__(self, folder, task):
        self.folder, self.task = Path(folder), task
        self.folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def reference_nbytes(self):
        """Bytes of the reference's weights in a file, as `save_compressed` writes them."""
        return len(compressed(pack_sparse(self.task.reference.state_dict())))

    def add(self, submission, system, clock=perf_counter):
        """Verify a submission, and keep it if it is accepted and new. Returns the Verdict."""
        for old, _ in self.stored():
            if old.division != submission.division:
                continue
            if old.name == submission.name:
                return refused(submission, f"the name {submission.name!r} is taken")
            system_of = [(s.weights_sha256, s.code_sha256) for s in (old, submission)]
            if system_of[0] == system_of[1]:
                return refused(submission, f"the same system is there as {old.name!r}")
        verdict = verify(submission, self.task, system, clock)
        if verdict.accepted:
            measured = {k: [*v] if isinstance(v, tuple) else v for k, v in verdict.measured._asdict().items()}
            data = json.dumps({"submission": submission.record(), "measured": measured}, sort_keys=True)
            path = self.folder / f"{digest(data.encode())[:32]}.json"
            write_atomically(str(path), [data.encode()])
        return verdict

    def stored(self):
        """[(Submission, measured Figures), ...]. SubmissionError names a file that was changed."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            data = path.read_bytes()
            if digest(data)[:32] != path.stem:
                raise SubmissionError(f"{path}: this file was changed after it was accepted; delete it")
            kept = json.loads(data)
            again = json.dumps(kept["submission"])
            measured = json.dumps(kept["submission"] | {"claimed": kept["measured"]})
            found.append((Submission.from_json(again), Submission.from_json(measured).claimed))
        return found

    def entries(self, division=CLOSED):
        """The Entries of a division, ranked by what was measured, not by what was claimed."""
        return ranked(
            Entry(0, s, measured, score(measured, self.reference_nbytes), "")
            for s, measured in self.stored() if s.division == division
        )  # fmt: skip

    def rows(self, division):
        """The cells of the table, as text."""
        return [
            (str(e.rank), e.submission.name, shown(e.score), f"{e.measured.accuracy:.4f}",
             f"{e.measured.nbytes:,}", shown(e.measured.speedup), e.note)
            for e in self.entries(division)
        ]  # fmt: skip

    def table(self, division=CLOSED):
        """As text for a terminal. What can't be printed in a name is escaped."""
        rows = [HEAD, *(tuple(map(printable, row)) for row in self.rows(division))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    def to_html(self):
        """One page, without scripts or anything from elsewhere, light and dark."""
        tables = []
        for division in (CLOSED, OPEN):
            head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in HEAD)
            body = "".join(
                "<tr>" + "".join(f"<td>{escape(printable(cell))}</td>" for cell in row) + "</tr>"
                for row in self.rows(division)
            )
            body = body or f'<tr><td colspan="{len(HEAD)}">nobody yet</td></tr>'
            caption = f"{division.capitalize()} division"
            tables.append(
                f'<div role="region" aria-label="{caption}" tabindex="0"><table><caption>{caption}</caption>'
                f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
            )
        return PAGE.format(title=escape(printable(self.task.name)), tables="\n".join(tables))


def refused(submission, reason):
    """The Verdict where nothing was run."""
    return Verdict(False, [reason], submission.claimed, None)


def printable(text):
    """Text without control characters, which could move the cursor of a terminal or turn its text around."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


HEAD = ("rank", "name", "score", "accuracy", "bytes", "times as fast", "note")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}: leaderboard</title><style>
:root {{ color-scheme: light dark; background: Canvas; color: CanvasText }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }}
div {{ overflow-x: auto }}
table {{ border-collapse: collapse; width: 100%; margin: 1rem 0; font-variant-numeric: tabular-nums }}
caption {{ text-align: left; font-weight: bold }}
th, td {{ text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid; white-space: nowrap }}
td:nth-child(2), td:last-child {{ white-space: normal; overflow-wrap: anywhere; min-width: 9rem }}
</style></head><body><main><h1>{title}</h1>
<p>Every figure was measured by the verifier. The score is the geometric mean of how many times as small and
as fast as the reference a system is; entries whose 95 % intervals overlap are tied.</p>
{tables}
</main></body></html>
"""
