"""14 Profiling: where the operations, the bytes, the seconds and the memory of a model go.

Everything that a Tensor computes is an Op (01), every layer a Module (03), every step backwards a Node (05).
So a profiler needs no change in any of them: while a `Profiler` is open, it stands in for three methods. It
reads the clock before and after each call, and counts from the shapes what was to be computed and moved.

    intensity  = operations / bytes moved
    attainable = min(peak, intensity * bandwidth)        the roofline: Williams et al. 2009,
                                                         https://doi.org/10.1145/1498765.1498785

An operation is an addition or a multiplication, of numbers of any kind; a product of a vector with an (m, n)
matrix takes 2 m n. As in PyTorch's FlopCounterMode, the bias of a product does not count.
"""

import json
import sys
import threading
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from itertools import pairwise
from math import prod
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ..utils.threads import parallel, product
from .activations import gelu, log_softmax, sigmoid, silu, softmax, softplus
from .attention import attend_in_tiles, masked_softmax, packed_attention
from .autograd import Node, newest_first, no_grad, node_of
from .embeddings import embedding
from .layers import Module, linear
from .losses import class_cross_entropy, distribution_cross_entropy
from .spatial import TILE, convolution, largest, normalized, total, transposed_convolution
from .tensor import Op, Tensor, amax, argmax, flattened, matmul, mean, var
from .tensor import sum as sum_of
from .transformers import normalized_rows

# Counting parameters, and measuring a time.


def count_parameters(model):
    """How many numbers of a model are parameters; one that is shared counts once."""
    return sum(p.array.size for p in model.parameters())


def model_nbytes(model):
    """Bytes of the parameters and buffers of a model, each piece of memory once."""
    pieces = {(address(x.array), x.array.nbytes) for x in (*model.parameters(), *model.buffers())}
    return sum(nbytes for _, nbytes in pieces)


def address(array):
    """Where the numbers of an array begin."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


class Timing(NamedTuple):
    """Seconds that one call took, over several calls."""

    median: float
    fastest: float
    slowest: float


def measure(function, repeat=9, warm_up=1):
    """Call function() `repeat` times, after `warm_up` calls that do not count. Returns a Timing in seconds.

    In a browser, whose clock is coarse, a time is the mean of as many calls as take at least 5 ms together;
    without a warm-up it is that of one call, and may be 0. Raises ValueError for a repeat below 1.
    """
    if repeat < 1:
        raise ValueError(f"measure: repeat is a number from 1, {repeat} came")
    for _ in range(warm_up):
        function()
    calls = calls_for(function) if sys.platform == "emscripten" and warm_up else 1
    seconds = [timed(function, calls) / calls for _ in range(repeat)]
    return Timing(median(seconds), min(seconds), max(seconds))


def timed(function, calls, clock=None):
    """Seconds of so many calls, by perf_counter or another clock."""
    clock = clock or perf_counter
    begin = clock()
    for _ in range(calls):
        function()
    return clock() - begin


def calls_for(function, seconds=5e-3, clock=None):
    """How many calls of function() take so many seconds: 1, doubled until they do, twice, as a single time
    that is long may be a disturbed one.

    A browser's clock goes in steps of up to a millisecond; what is timed has to be long beside a step.
    Raises ValueError where 2**20 calls are not enough.
    """
    calls = 1
    while not all(timed(function, calls, clock) >= seconds for _ in range(2)):
        if calls == 2**20:
            raise ValueError(f"calls_for: {calls:,} calls took less than {seconds} s: does the clock move?")
        calls *= 2
    return calls


# Operations and bytes of one call of an Op, from its arrays.


def attended(out, qkv, heads, tiles):
    """packed_attention (12), qkv (B, T, 3 C): as `attention_flops` of its heads."""
    batch, length, width = qkv.shape
    size = width // (3 * heads)
    return attention_flops((batch, heads, length, size), length, size, tiles)


# How many operations an Op takes, given its result and its arguments. Other modules may add theirs.
flop_rules: dict[Op, Callable] = {
    matmul: lambda out, a, b: 2 * out.size * a.shape[-1],
    linear: lambda out, input, weight, bias: 2 * out.size * weight.shape[1],
    convolution: lambda out, input, weight, *others: 2 * out.size * prod(weight.shape[1:]),
    transposed_convolution: lambda out, input, weight, *others: 2 * input.size * prod(weight.shape[1:]),
    attend_in_tiles: lambda out, q, k, v, tiles, _: attention_flops(q.shape, k.shape[-2], v.shape[-1], tiles),
    packed_attention: attended,
    largest: lambda out, input, window: out.size * prod(window.kernel),
    total: lambda out, input, window, divisor: out.size * prod(window.kernel),
    # For each number: mean, distance, square, its mean, factor, weight, bias; rms_norm has three fewer.
    normalized_rows: lambda out, input, w, b, dims, eps, centered, _: input.size * (7 if centered else 4),
}
# Operations for each number of the input, as the formula has them; an exp or a tanh is one.
per_number = {
    sum_of: 1, mean: 1, amax: 1, argmax: 1, var: 4, sigmoid: 4, silu: 5, gelu: 8, softplus: 3,
    softmax: 5, log_softmax: 5, masked_softmax: 5, class_cross_entropy: 5, distribution_cross_entropy: 7,
    normalized: 2,
}  # fmt: skip
# What only moves numbers, in the core and in tinytorch.ops.
moves = frozenset({
    "reshape", "permute", "expand", "cat", "getitem", "setitem", "embedding", "where", "clone", "cast",
    "move", "reverse", "roll", "tril", "triu", "diagonal", "diag", "constant_pad", "gather", "scatter",
    "index_select", "index_fill", "masked_fill", "class_nll",
})  # fmt: skip


def flops(op, arrays, out):
    """Operations of one call: `arrays` are its arguments, as the Op's function takes them, `out` its result.

    Products and pooling windows count exactly; attention counts the products of the tiles it works on, which
    with a causal mask are fewer than all. What only moves numbers counts 0. An Op without a rule counts one
    operation for each number of its result.
    """
    if op in flop_rules:
        return flop_rules[op](out, *arrays)
    if op in per_number:
        return per_number[op] * np.size(arrays[0])
    return 0 if op.__name__ in moves else out.size


def attention_flops(shape, keys, values, tiles):
    """The two products of softmax(Q K^T) V, Q (..., T, d) of this shape: 2 d + 2 e for each score."""
    *lead, length, size = shape
    blocks = tiles.blocks(length, keys)
    scores = sum((q.stop - q.start) * (k.stop - k.start) for q, columns in blocks for k in columns)
    return prod(lead) * scores * 2 * (size + values)


def gradient_flops(op, position, arrays, forward):
    """Operations of the derivative with respect to one parameter, given those of the call itself.

    Each factor of a product costs another product. Attention makes its scores again and then needs four
    products for all three gradients, 2.5 times the forward pass, done at the first of them. For everything
    else the forward pass's count stands in.
    """
    if position == 2 and op in (linear, convolution, transposed_convolution):
        return 0  # a bias
    if op in (attend_in_tiles, packed_attention):
        return 5 * forward // 2 if position == 0 else 0
    return forward


def moved_bytes(op, arrays, out):
    """Bytes that a call has to read and write, each argument once: nothing for a view, and of an
    embedding's table only the rows that are looked up. What the caches save or the Op's own passes add does
    not count.
    """
    read = [a for a in flattened(arrays) if hasattr(a, "nbytes")]
    if any(a is out or (a.nbytes and out.base is not None and shares(a, out)) for a in read):
        return 0
    if op is embedding:
        return arrays[0].nbytes + 2 * out.nbytes
    return sum(a.nbytes for a in read) + out.nbytes


def shares(a, out):
    """Is `out` a view of the memory of `a`?"""
    return out.base is a or (a.base is not None and out.base is a.base)


# The profiler.


class Event(NamedTuple):
    """One call: of an Op ("forward"), of an Op's derivatives ("backward"), of a Module or a region."""

    kind: str
    name: str
    module: str  # path of the module that called it
    start: float  # in seconds that the profiler has been open
    seconds: float
    flops: int
    nbytes: int
    shapes: str
    depth: int  # how many modules and regions are around it
    thread: int
    memory: int = 0  # with memory=True: bytes in use at the end, beyond those when the profiler was opened,
    peak: int = 0  # and the most in use since the event before


class Row(NamedTuple):
    """A line of a table: all events of one name, added up."""

    name: str
    calls: int
    seconds: float
    share: float  # of the seconds of all rows
    flops: int
    nbytes: int

    @property
    def gflops_per_second(self):
        return self.flops / self.seconds / 1e9 if self.seconds else 0.0

    @property
    def intensity(self):
        """Operations for each byte moved."""
        return self.flops / self.nbytes if self.nbytes else 0.0


class Profiler:
    """Times every Op, its derivatives and every Module while the `with` block lasts.

        with Profiler(model) as profiler:
            model(x).sum().backward()
        print(profiler.table())

    `model` gives the modules their paths, as in its state_dict; the others are called by their class.
    memory=True also follows the memory that NumPy and Python allocate, by tracemalloc, which slows Python.

    Op.__call__, Module.__call__ and Node.gradients are replaced by functions that call the originals, which
    are put back at the end, also after an error. Profilers nest. On a GPU, the seconds are those of the
    launch alone.

    Attributes: `events`, a list of Event; `seconds`, the time from opening to closing.
    """

    def __init__(self, model=None, memory=False):
        self.memory = memory
        self.events: list[Event] = []
        self.seconds = 0.0
        self.names = {} if model is None else {m: path for path, m in model.named_modules() if path}
        self._here, self._calls, self._originals = threading.local(), {}, []

    def __enter__(self):
        if self._originals:
            raise RuntimeError("Profiler: this one is open already; open another one inside")
        hooks = (
            (Op, "__call__", self.time_op),
            (Module, "__call__", self.time_module),
            (Node, "gradients", self.time_gradients),
        )
        for cls, name, hook in hooks:
            original = getattr(cls, name)
            self._originals.append((cls, name, original))
            setattr(cls, name, hook(original))
        self._traces = self.memory and not tracemalloc.is_tracing()
        if self._traces:
            tracemalloc.start()
        self._bytes = tracemalloc.get_traced_memory()[0]
        self._opened = perf_counter() - self.seconds  # opened again, it goes on
        return self

    def __exit__(self, *error):
        self.seconds = perf_counter() - self._opened
        while self._originals:
            setattr(*self._originals.pop())
        self._calls.clear()
        if self._traces:
            tracemalloc.stop()

    def _stack(self):
        return self._here.__dict__.setdefault("stack", [])

    def _add(self, kind, name, module, begin, end, flops=0, nbytes=0, shapes=""):
        used = [0, 0]
        if self.memory:
            used = [size - self._bytes for size in tracemalloc.get_traced_memory()]
            tracemalloc.reset_peak()
        times = begin - self._opened, end - begin
        thread = threading.get_ident()
        self.events.append(
            Event(kind, name, module, *times, flops, nbytes, shapes, len(self._stack()), thread, *used)
        )

    def time_op(self, original):
        """What stands in for Op.__call__."""

        def call(op, *args, **kwargs):
            if kwargs or len(args) != len(op.params):
                args = op.bind(args, kwargs)
            begin = perf_counter()
            result = original(op, *args)
            end = perf_counter()
            arrays, module = op_arrays(args), self._stack()[-1] if self._stack() else ""
            forward = flops(op, arrays, result.array)
            self._add(
                "forward", op.__name__, module, begin, end, forward, moved_bytes(op, arrays, result.array),
                op.describe(arrays)[len(op.__name__) :],
            )  # fmt: skip
            if result.node is not None and not result.node.leaf:
                followed = [
                    place for place, arg in enumerate(args) for x in flattened([arg])
                    if isinstance(x, Tensor) and x.requires_grad
                ]  # fmt: skip
                counts = [gradient_flops(op, place, arrays, forward) for place in followed]
                self._calls[result.node.order] = module, counts
            return result

        return call

    def time_gradients(self, original):
        """What stands in for Node.gradients: each derivative is timed by itself."""

        def gradients(node, g):
            module, counts = self._calls.get(node.order, ("", []))
            saved, pairs = [edge.values for edge in node.edges or ()], original(node, g)
            for place in range(len(saved) + 1):
                begin = perf_counter()
                pair = next(pairs, None)
                end = perf_counter()
                if pair is None:
                    return
                d = pair[1]
                nbytes = sum(a.nbytes for a in flattened([g, d, *saved[place]]) if hasattr(a, "nbytes"))
                count = counts[place] if place < len(counts) else 0
                self._add(
                    "backward", node.op, module, begin, end, count, 0 if d is g else nbytes, str(d.shape)
                )
                yield pair

        return gradients

    def time_module(self, original):
        """What stands in for Module.__call__."""

        def call(module, *args, **kwargs):
            with self.region(self.names.get(module, type(module).__name__), "module"):
                return original(module, *args, **kwargs)

        return call

    @contextmanager
    def region(self, name, kind="region"):
        """Name a part of the work, such as the optimizer's step: its Ops and time go to this name."""
        stack = self._stack()
        around = stack[-1] if stack else ""
        stack.append(name)
        begin = perf_counter()
        try:
            yield
        finally:
            end = perf_counter()
            stack.pop()
            self._add(kind, name, around, begin, end)

    def rows(self, by="op"):
        """A Row for each Op, forward and backward apart (by="op"), each module that called Ops ("module"), or
        each pair of the two ("call"); the slowest first. Time outside of Ops is in none: see `outside`.
        """
        if by not in ("op", "module", "call"):
            raise ValueError(f"Profiler.rows: by is 'op', 'module' or 'call', {by!r} came")
        found = defaultdict(list)
        for e in self.op_events():
            op = e.name if e.kind == "forward" else f"{e.name} backward"
            found[{"op": op, "module": e.module, "call": f"{e.module}: {op}"}[by]].append(e)
        whole = sum(e.seconds for e in self.op_events())
        rows = []
        for name, events in found.items():
            seconds = sum(e.seconds for e in events)
            count, nbytes = sum(e.flops for e in events), sum(e.nbytes for e in events)
            rows.append(Row(name, len(events), seconds, seconds / whole if whole else 0.0, count, nbytes))
        return sorted(rows, key=lambda row: row.seconds, reverse=True)

    def op_events(self):
        """The events of Ops and their derivatives, without those of modules and regions."""
        return [e for e in self.events if e.kind in ("forward", "backward")]

    @property
    def flops(self):
        """Operations of all Ops, forward and backward."""
        return sum(e.flops for e in self.op_events())

    @property
    def outside(self):
        """Seconds outside of every Op: Python between them, the optimizer, the profiler itself."""
        return self.seconds - sum(e.seconds for e in self.op_events())

    def table(self, by="op", limit=None):
        """`rows` as text, at most `limit` of them."""
        rows = self.rows(by)
        width = max([len(by), *(len(row.name) for row in rows[:limit])])
        lines = [f"{by:{width}} calls       ms  share    MFLOP GFLOP/s      MB FLOP/B"]
        lines += [
            f"{r.name or '-':{width}} {r.calls:5} {r.seconds * 1e3:8.3f} {r.share:6.1%} {r.flops / 1e6:8.2f} "
            f"{r.gflops_per_second:7.2f} {r.nbytes / 1e6:7.2f} {r.intensity:6.2f}"
            for r in rows[:limit]
        ]
        return "\n".join(lines)

    def chrome_trace(self, path=None):
        """The events as a dictionary in the trace event format, written to `path` as JSON if one is given.
        Open the file in https://ui.perfetto.dev: modules and Ops stack up like flames over the time.

        https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
        """
        threads = {thread: i for i, thread in enumerate(dict.fromkeys(e.thread for e in self.events))}
        trace: list[dict[str, Any]] = [
            {"name": "process_name", "ph": "M", "pid": 0, "tid": 0, "args": {"name": "tinytorch"}}
        ]
        for e in sorted(self.events, key=lambda e: (e.start, e.depth)):
            place = {"pid": 0, "tid": threads[e.thread]}
            args = {"module": e.module, "flops": e.flops, "bytes": e.nbytes, "shapes": e.shapes}
            name = f"{e.name} backward" if e.kind == "backward" else e.name
            trace.append(
                {"name": name, "cat": e.kind, "ph": "X", "ts": e.start * 1e6, "dur": e.seconds * 1e6} | place
                | {"args": args}
            )  # fmt: skip
            if self.memory:
                used = {"name": "memory", "ph": "C", "ts": (e.start + e.seconds) * 1e6}
                trace.append(used | place | {"args": {"bytes": e.memory}})
        made = {"traceEvents": trace, "displayTimeUnit": "ms"}
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(made, file)
        return made


def op_arrays(args):
    """Arguments of an Op with the array in the place of each Tensor."""
    return [
        type(x)(op_arrays(x)) if type(x) in (list, tuple) else x.array if isinstance(x, Tensor) else x
        for x in args
    ]


def count_flops(function):
    """Operations of all Ops, forward and backward, that function() calls."""
    with Profiler() as profiler:
        function()
    return profiler.flops


class LayerCount(NamedTuple):
    """What one module that calls Ops has and does, without the modules inside it."""

    path: str
    kind: str
    parameters: int
    flops: int
    nbytes: int


def count_layers(model, *inputs):
    """A LayerCount for each module that has parameters or calls Ops in model(*inputs), in their order."""
    with no_grad(), Profiler(model) as profiler:
        model(*inputs)
    rows = {row.name: row for row in profiler.rows("module")}
    counts = []
    for path, module in model.named_modules():
        row = rows.get(path or type(model).__name__)
        own = sum(p.array.size for p in module.parameters(recurse=False))
        if row is not None or own:
            done = (row.flops, row.nbytes) if row is not None else (0, 0)
            counts.append(LayerCount(path, type(module).__name__, own, *done))
    return counts


# Memory.


def peak_memory(function):
    """Bytes that function() has in use at its peak, beyond what was in use before: what NumPy and Python
    allocate, as tracemalloc reports it. A GPU's memory is not seen, and function() may open no Profiler that
    follows the memory. Tracing makes Python slower.
    """
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()


class TrainingMemory(NamedTuple):
    """Bytes of the parts of a training step, and the most that are in use at one moment.

    The peak is not the sum: gradients come while activations go, and each derivative needs room of its own.
    """

    parameters: int  # and buffers
    gradients: int
    optimizer: int
    activations: int  # what the forward pass saves for the backward pass
    peak: int


def saved_arrays(loss):
    """Every array that the graph behind a loss keeps for the backward pass, once: views of one array are that
    array. Leaves, such as parameters, are not part of it.
    """
    nodes, found = newest_first([node_of(loss)]), {}
    leaves = {id(owner_of(n.tensor().array)) for n in nodes if n.leaf and n.tensor() is not None}
    for node in nodes:
        for edge in node.edges or ():
            for array in arrays_in(edge.values):
                owner = owner_of(array)
                if id(owner) not in leaves:
                    found[id(owner)] = owner
    return list(found.values())


def owner_of(array):
    """The array whose memory this one looks at."""
    while isinstance(array.base, type(array)):
        array = array.base
    return array


def arrays_in(value):
    """The arrays in a saved value: itself, members of lists, attributes of objects as Statistics (13)."""
    if hasattr(value, "nbytes"):
        yield value
    elif isinstance(value, (list, tuple)):
        for member in value:
            yield from arrays_in(member)
    elif type(value).__module__.startswith(__package__):
        slots = (name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ()))
        for name in (*slots, *getattr(value, "__dict__", ())):
            yield from arrays_in(getattr(value, name, None))


def predict_training_memory(model, loss_of, batch_size, optimizer=None, samples=(16, 32)):
    """The TrainingMemory of a step with `batch_size` samples, measured on two small batches.

    loss_of(n) is the loss of n samples. Every Op of the two small steps says how much its memory grows with a
    sample; the largest of them all at batch_size is the peak. So no large batch is needed, which may not fit.
    `optimizer` is one of module 06; it makes no step. The gradients of the model are cleared.
    """
    few, many = samples
    if not 0 < few < many:
        raise ValueError(f"predict_training_memory: samples are two growing numbers from 1, {samples} came")
    saved_many, events_many = step_memory(model, loss_of, many)
    saved, events = step_memory(model, loss_of, few)
    if len(events) != len(events_many):
        raise ValueError(
            f"predict_training_memory: {few} samples call {len(events)} Ops and modules, {many} call "
            f"{len(events_many)}; loss_of(n) has to do the same for every n"
        )
    far = (batch_size - few) / (many - few)
    live = [a.memory + far * (b.memory - a.memory) for a, b in zip(events, events_many, strict=True)]
    # What an Op needs meanwhile grows, too, but only up to about a tile: then it works in several (09).
    few_many = zip(rooms_of(events), rooms_of(events_many), strict=True)
    rooms = [max(b, min(a + far * (b - a), TILE)) for a, b in few_many]
    most = [max(pair) + room for pair, room in zip(pairwise([0, *live]), rooms, strict=True)]
    gradients = sum(p.array.nbytes for p in model.parameters() if p.requires_grad)
    state = 0
    for group in () if optimizer is None else optimizer.param_groups:
        state += len(optimizer.state_values(group)) * sum(p.array.nbytes for p in group["params"])
    held, activations = model_nbytes(model), int(saved + far * (saved_many - saved))
    return TrainingMemory(held, gradients, state, activations, held + state + int(max([gradients, *most])))


def rooms_of(events):
    """Bytes that each event needed beyond those in use before and after it."""
    pairs = pairwise([0, *(e.memory for e in events)])
    return [e.peak - max(pair) for e, pair in zip(events, pairs, strict=True)]


def step_memory(model, loss_of, n):
    """(bytes saved for the backward pass, events) of a forward and a backward pass with n samples."""
    for _ in range(2):  # the first one fills the buffers that stay
        model.zero_grad()
        with Profiler(memory=True) as profiler:
            loss = loss_of(n)
            saved = sum(a.nbytes for a in saved_arrays(loss))
            loss.backward()
        model.zero_grad()
    return saved, profiler.events


# The roofline.


class Machine(NamedTuple):
    """What this machine can do at best: operations and bytes a second."""

    peak: float
    bandwidth: float

    @property
    def ridge(self):
        """The intensity from which on the operations are the limit, and no longer the memory."""
        return self.peak / self.bandwidth

    def attainable(self, intensity):
        """Operations a second at an intensity, in operations for each byte: the roofline."""
        return min(self.peak, intensity * self.bandwidth)


def measure_machine(sizes=(64, 256, 1024), nbytes=1 << 26, repeat=5):
    """A Machine, measured: the peak with float32 products of two (n, n) matrices, for the best of these sizes
    n; the bandwidth with a copy of `nbytes`, which reads as many and writes as many. Both in as many threads
    as Ops use, the fastest of `repeat` runs.
    """
    source, target = np.ones(nbytes // 4, np.float32), np.empty(nbytes // 4, np.float32)

    def copy():
        parallel(lambda start, stop: np.copyto(target[start:stop], source[start:stop]), len(source), 1 << 20)

    def speed(n):
        a = np.ones((n, n), np.float32)
        return 2 * n**3 / measure(lambda: product(a, a), repeat).fastest

    return Machine(max(map(speed, sizes)), 2 * source.nbytes / measure(copy, repeat).fastest)
