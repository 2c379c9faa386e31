"""Exercises of module 14, Profiling."""

import sys
import time
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytorch.core import profiling
from tinytorch.core.activations import sigmoid, softmax
from tinytorch.core.attention import Tiles, attend_in_tiles, packed_attention
from tinytorch.core.embeddings import embedding
from tinytorch.core.layers import Linear, Module, Parameter, Sequential, linear
from tinytorch.core.spatial import BatchNorm2d, convolution, transposed_convolution
from tinytorch.core.tensor import add, cat, matmul, mul, reshape, tensor
from tinytorch.core.tensor import sum as sum_of
from tinytorch.core.transformers import layer_norm, normalized_rows

from ..checking import Exercises, raises, see, swap

exercises = Exercises("profiling")


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


class Shared(Module):
    """Two layers without a bias that share one weight (4, 4)."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Linear(4, 4, bias=False), Linear(4, 4, bias=False)
        self.second.weight = self.first.weight


@contextmanager
def clock_at(now):
    """perf_counter, the module's and that of `time`, reads now[0]."""
    places: tuple[Any, ...] = profiling, time
    kept = [place.perf_counter for place in places]
    for place in places:
        place.perf_counter = lambda: now[0]
    try:
        yield
    finally:
        for place, clock in zip(places, kept, strict=True):
            place.perf_counter = clock


count_parameters = exercises.add(
    "count_parameters",
    prompt=(
        "Return how many numbers a model's parameters have in all, an int. One that is shared counts "
        "once; buffers do not count, parameters that are frozen (requires_grad is False) do."
    ),
    hints=(
        "model.parameters() gives each parameter once, also one that is shared.",
        "`p.array.size` is how many numbers p has.",
    ),
    mistakes=(
        swap(
            "p.array.size",
            "1",
            "This counts the parameters' arrays; what is wanted is how many numbers are in them.",
        ),
        swap(
            "model.parameters())",
            "(*model.parameters(), *model.buffers()))",
            "Buffers are counted as well; they are not learned.",
        ),
        swap(
            "model.parameters())",
            "model.parameters() if p.requires_grad)",
            "A frozen parameter is missing: it is still one.",
        ),
        swap(
            "model.parameters())",
            "[p for m in model.modules() for p in m.parameters(recurse=False)])",
            "A shared parameter is counted for each layer that has it; it counts once.",
        ),
        swap(
            "p.array.size",
            "p.array.nbytes // 4",
            "Not every number has four bytes: an array knows its size.",
        ),
    ),
)


@count_parameters.check("a linear layer by hand: 5 times 3, and 3 for the bias")
def _():
    see("count_parameters(Linear(5, 3))", profiling.count_parameters(Linear(5, 3))).gives(18)
    model = Sequential(Linear(5, 3), Linear(3, 2))
    see("count_parameters(Sequential(Linear(5, 3), Linear(3, 2)))", profiling.count_parameters(model)).gives(
        26
    )


@count_parameters.check("a float64 is one number, too")
def _():
    layer = Linear(5, 3, dtype=np.dtype("float64"))
    see("count_parameters(Linear(5, 3)) in float64", profiling.count_parameters(layer)).gives(18)


@count_parameters.check("a shared weight counts once")
def _():
    see("count_parameters of two layers that share (4, 4)", profiling.count_parameters(Shared())).gives(16)


@count_parameters.check("buffers do not count, frozen parameters do")
def _():
    see("count_parameters(BatchNorm2d(4))", profiling.count_parameters(BatchNorm2d(4))).gives(8)
    layer = Linear(5, 3)
    layer.weight.requires_grad = False
    see("count_parameters(Linear(5, 3)) with a frozen weight", profiling.count_parameters(layer)).gives(18)


model_nbytes = exercises.add(
    "model_nbytes",
    prompt=(
        "Return the bytes of all parameters and buffers of a model, an int. Every number has the size "
        "of its dtype. A piece of memory counts once, also if two parameters are arrays on the same "
        "memory."
    ),
    hints=(
        "An array knows its `nbytes`. `model.parameters()` and `model.buffers()` together are all there is.",
        "Two arrays on the same memory begin at the same `address(array)`: a set or dictionary by "
        "address has each once.",
    ),
    mistakes=(
        swap(
            "(*model.parameters(), *model.buffers())",
            "model.parameters()",
            "The buffers are missing: they take memory as well.",
        ),
        swap(
            "return sum(nbytes for _, nbytes in pieces)",
            "return sum(4 * x.array.size for x in (*model.parameters(), *model.buffers()))",
            "Not every number has four bytes: ask the array for its nbytes.",
        ),
        swap(
            "return sum(nbytes for _, nbytes in pieces)",
            "return sum(x.array.nbytes for x in (*model.parameters(), *model.buffers()))",
            "Memory that two parameters share is counted twice: count each address once.",
        ),
        swap(
            "(address(x.array), x.array.nbytes)",
            "(0, x.array.nbytes)",
            "Two pieces of the same size are counted as one: what makes them the same is where they begin.",
        ),
        swap(
            "(address(x.array), x.array.nbytes)",
            "(id(x.array), x.array.nbytes)",
            "Two arrays can be two objects on the same memory: compare where it begins, not the objects.",
        ),
    ),
)


@model_nbytes.check("float32 has 4 bytes, float64 has 8")
def _():
    see("model_nbytes(Linear(5, 3))", profiling.model_nbytes(Linear(5, 3))).gives(72)
    see(
        "model_nbytes(Linear(5, 3)) in float64",
        profiling.model_nbytes(Linear(5, 3, dtype=np.dtype("float64"))),
    ).gives(144)


@model_nbytes.check("two layers of the same size count twice")
def _():
    model = Sequential(Linear(2, 2), Linear(2, 2))
    see("model_nbytes(Sequential(Linear(2, 2), Linear(2, 2)))", profiling.model_nbytes(model)).gives(48)


@model_nbytes.check("buffers count: four rows of 4 numbers, and an int64")
def _():
    see("model_nbytes(BatchNorm2d(4))", profiling.model_nbytes(BatchNorm2d(4))).gives(72)


@model_nbytes.check("memory that two parameters share counts once")
def _():
    model = Sequential(Linear(4, 4, bias=False), Linear(4, 4, bias=False))
    model[1].weight.array = model[0].weight.array
    see("model_nbytes of two weights (4, 4) with the same array", profiling.model_nbytes(model)).gives(64)
    model[1].weight.array = model[0].weight.array.view()
    see("model_nbytes of two weights (4, 4) on the same memory", profiling.model_nbytes(model)).gives(64)


measure = exercises.add(
    "measure",
    prompt=(
        "Call function() `warm_up` times without counting, then `repeat` times, and return "
        "Timing(median, fastest, slowest) of these in seconds, read from perf_counter. A repeat below "
        "1 is a ValueError that says repeat. What the docstring says of a browser is a refinement: it "
        "is not asked for here."
    ),
    hints=(
        "Read the clock before and after each call; the difference is that call's time. Keep all of "
        "them in a list.",
        "`timed(function, 1)` is one measured call; `median`, `min` and `max` do the rest.",
    ),
    mistakes=(
        swap(
            "Timing(median(seconds)",
            "Timing(sum(seconds) / len(seconds)",
            "This is the mean: a single slow call moves it. The median is the one in the middle.",
        ),
        swap(
            "for _ in range(warm_up):\n        function()",
            "repeat += warm_up",
            "The calls to warm up are counted; the first call often takes longer, so leave them out.",
        ),
        swap(
            "repeat < 1",
            "repeat < 0",
            "A repeat of 0 measures nothing: that has to be a ValueError that says so.",
        ),
        swap(
            "min(seconds), max(seconds)",
            "max(seconds), min(seconds)",
            "The fastest comes before the slowest in a Timing.",
        ),
    ),
)


def measured(seconds, **settings):
    """measure of a function whose calls take so long, the last for ever: (Timing, number of calls)."""
    now = [0.0]
    calls: list[int] = []

    def work():
        now[0] += seconds[min(len(calls), len(seconds) - 1)]
        calls.append(1)

    with clock_at(now):
        return profiling.measure(work, **settings), len(calls)


@measure.check("calls of 1, 2 and 6 seconds: median 2, fastest 1, slowest 6")
def _():
    timing, calls = measured([6.0, 1.0, 2.0], repeat=3, warm_up=0)
    see("how often the function was called, repeat=3, warm_up=0", calls).gives(3)
    see("the timing as a list", [float(s) for s in timing]).gives([2.0, 1.0, 6.0])
    see("timing.median, by name", float(timing.median)).gives(2.0)
    timing, _ = measured([8.0, 1.0, 2.0, 4.0], repeat=4, warm_up=0)
    see("the median of 1, 2, 4 and 8 seconds", float(timing.median)).gives(3.0)


@measure.check("calls to warm up do not count")
def _():
    timing, calls = measured([100.0, 75.0, 50.0, 25.0, 1.0], repeat=5, warm_up=4)
    see("4 slow calls to warm up, then calls of 1 s", [float(s) for s in timing]).gives([1.0, 1.0, 1.0])
    seen = see("how often the function was called, repeat=5, warm_up=4", calls)
    seen.satisfies(calls == 9 or (calls > 9 and sys.platform == "emscripten"), "9")


@measure.check("a repeat below 1 is an error")
def _():
    raises(ValueError, profiling.measure, int, repeat=0, says="repeat")


flops = exercises.add(
    "flops",
    prompt=(
        "Return the operations of one call of `op`, with `arrays` as its arguments and `out` as its "
        "result: by flop_rules[op](out, *arrays) if there is a rule; else per_number[op] for each "
        "number of the first argument; else 0 if the op's name is among `moves`; else one for each "
        "number of the result."
    ),
    hints=(
        "Four cases, one after the other; the tables stand above in the file.",
        "`op.__name__` is its name; `np.size(arrays[0])` is how many numbers the first argument has.",
    ),
    mistakes=(
        swap(
            "np.size(arrays[0])",
            "out.size",
            "A sum reads every number of its input: count those of the first argument, not those of "
            "the result.",
        ),
        swap(
            "0 if op.__name__ in moves else out.size",
            "out.size",
            "An Op that only moves numbers computes nothing: it counts 0.",
        ),
        swap(
            "if op in flop_rules:",
            "if False:",
            "The rules are not used: a product takes more than one operation for each number of its result.",
        ),
        swap(
            "0 if op.__name__ in moves else out.size",
            "0",
            "An Op without a rule counts one for each number of its result, not 0.",
        ),
        swap(
            "else out.size",
            "else np.size(arrays[0])",
            "An Op without a rule counts the numbers of its result: broadcast, they are more than those of "
            "its first argument.",
        ),
    ),
)


@flops.check("a product (2, 3) with (3, 4) takes 48")
def _():
    a, b = zeros(2, 3), zeros(3, 4)
    see("flops(matmul, [(2, 3), (3, 4)])", int(profiling.flops(matmul, [a, b], a @ b))).gives(48)
    count = profiling.flops(linear, [a, zeros(5, 3), zeros(5)], zeros(2, 5))
    see("flops(linear, [(2, 3), (5, 3), (5,)])", int(count)).gives(60)


@flops.check("a sum counts the numbers that it reads, a softmax five for each")
def _():
    x = zeros(4, 5)
    see("flops(sum) of (4, 5) to (4,)", int(profiling.flops(sum_of, [x, 1, False], zeros(4)))).gives(20)
    see("flops(softmax) of (4, 5)", int(profiling.flops(softmax, [x, 1], x))).gives(100)


@flops.check("what only moves numbers counts 0")
def _():
    x = zeros(2, 3)
    see("flops(reshape)", int(profiling.flops(reshape, [x, (6,)], x.reshape(6)))).gives(0)
    see("flops(cat)", int(profiling.flops(cat, [[x, x], 0], zeros(4, 3)))).gives(0)


@flops.check("an Op without a rule counts its result's numbers")
def _():
    count = profiling.flops(add, [zeros(3), zeros(2, 3)], zeros(2, 3))
    see("flops(add) of (3,) and (2, 3)", int(count)).gives(6)


attention_flops = exercises.add(
    "attention_flops",
    prompt=(
        "Return the operations of attention for queries of `shape` (..., T, d), so many keys, and "
        "values with `values` features. Each score of each block in tiles.blocks(T, keys) takes 2 d to "
        "make and 2 `values` to use, in every batch and head. tiles.blocks gives pairs (slice of "
        "queries, [slices of keys])."
    ),
    hints=(
        "How many scores are in a block? Its queries times its keys: a slice has stop - start of them.",
        "Sum over all pairs and all their slices of keys, times prod of the leading dimensions, times "
        "2 (d + values).",
    ),
    mistakes=(
        swap(
            "prod(lead) * scores",
            "prod(lead) * length * keys",
            "With a causal mask some blocks are never computed: count those of tiles.blocks only.",
        ),
        swap(
            "prod(lead) * scores",
            "scores",
            "Every member of the batch and every head does this: multiply by the leading dimensions.",
        ),
        swap(
            "2 * (size + values)",
            "2 * size",
            "There are two products: one makes the scores, one mixes the values.",
        ),
        swap(
            "2 * (size + values)",
            "(size + values)",
            "Each term of a product is a multiplication and an addition: 2 operations.",
        ),
    ),
)


def small_tiles(is_causal):
    tiles = Tiles(is_causal, 1.0)
    tiles.queries = tiles.keys = 2
    return tiles


@attention_flops.check("one head, one query, one key: 2 d and 2 values")
def _():
    count = profiling.attention_flops((1, 1, 1, 3), 1, 4, Tiles(False, 1.0))
    see("attention_flops((1, 1, 1, 3), keys=1, values=4)", int(count)).gives(14)


@attention_flops.check("batch, heads, more keys than queries")
def _():
    count = profiling.attention_flops((2, 3, 5, 4), 7, 6, Tiles(False, 1.0))
    see("attention_flops((2, 3, 5, 4), keys=7, values=6)", int(count)).gives(2 * 3 * 5 * 7 * 20)


@attention_flops.check("with a causal mask only the blocks that are computed")
def _():
    count = profiling.attention_flops((1, 1, 4, 1), 4, 1, small_tiles(True))
    see("blocks of 2 by 2, 3 of the 4 computed", int(count)).gives(48)
    count = profiling.attention_flops((1, 1, 4, 1), 4, 1, small_tiles(False))
    see("blocks of 2 by 2, all computed", int(count)).gives(64)


gradient_flops = exercises.add(
    "gradient_flops",
    prompt=(
        "Return the operations of the derivative with respect to the parameter at `position` (from 0), "
        "given those of the call itself, `forward`. The bias of linear, convolution and "
        "transposed_convolution, position 2, counts 0. attend_in_tiles and packed_attention count 2.5 "
        "times forward, an int, at position 0, and 0 at the others. Everything else counts forward."
    ),
    hints=(
        "Three cases. Which Ops have a bias as their third parameter? Not all have.",
        "5 * forward // 2 is two and a half times an int, as an int.",
    ),
    mistakes=(
        swap(
            "position == 2 and op in (linear, convolution, transposed_convolution)",
            "position == 2",
            "The third parameter is a bias only in linear and the convolutions; for other Ops it "
            "counts as well.",
        ),
        swap(
            "5 * forward // 2 if position == 0 else 0",
            "5 * forward // 2",
            "Attention makes all three gradients at the first of them: the others count 0.",
        ),
        swap(
            "return 0  # a bias",
            "return forward",
            "The gradient of a bias is a sum, which does not count: 0.",
        ),
        swap(
            "5 * forward // 2",
            "2 * forward",
            "Attention makes its scores again and then needs four products: five instead of the two of "
            "the forward pass, 2.5 times.",
        ),
    ),
)


@gradient_flops.check("each factor of a product costs another product, a bias nothing")
def _():
    for op in (linear, convolution, transposed_convolution):
        counts = [profiling.gradient_flops(op, place, [], 60) for place in range(3)]
        see(f"of {op.__name__}'s input, weight and bias, forward=60", counts).gives([60, 60, 0])
    see("of matmul's two", [profiling.gradient_flops(matmul, place, [], 60) for place in (0, 1)]).gives(
        [60, 60]
    )


@gradient_flops.check("attention needs five products for the two of the forward pass")
def _():
    for op in (attend_in_tiles, packed_attention):
        counts = [profiling.gradient_flops(op, place, [], 40) for place in range(3)]
        see(f"{op.__name__}, positions 0 to 2, forward=40", counts).gives([100, 0, 0])


@gradient_flops.check("a third parameter of another Op counts")
def _():
    count = profiling.gradient_flops(normalized_rows, 2, [], 70)
    see("normalized_rows, position 2, forward=70", count).gives(70)


moved_bytes = exercises.add(
    "moved_bytes",
    prompt=(
        "Return the bytes that a call reads and writes: those of every array among its arguments, "
        "members of lists included, and of the result. A result that is one of the arguments, or a "
        "view of one, moves 0. embedding reads its ids, and of the table as many bytes as it writes."
    ),
    hints=(
        "`flattened(arrays)` gives the members of lists as well; what is no array has no `nbytes`.",
        "`shares(a, out)` says whether out is a view of the memory of a; out.base is None for an array "
        "of its own.",
        "For embedding, arrays[0] are the ids: their bytes plus twice those of the result.",
    ),
    mistakes=(
        swap("flattened(arrays)", "arrays", "Arrays in a list, as cat takes them, are not counted."),
        swap(
            "+ out.nbytes",
            "",
            "The result has to be written, too: add its bytes.",
        ),
        swap(
            "if op is embedding:",
            "if False:",
            "An embedding reads only the rows that are looked up, not the whole table.",
        ),
        swap(
            "if any(a is out or (a.nbytes and out.base is not None and shares(a, out)) for a in read):",
            "if False:",
            "A view looks at the memory that is there: nothing is moved.",
        ),
    ),
)


@moved_bytes.check("a sum of two arrays reads both and writes one")
def _():
    see(
        "moved_bytes(add, [(2, 3), (3,)])",
        int(profiling.moved_bytes(add, [zeros(2, 3), zeros(3)], zeros(2, 3))),
    ).gives(60)
    count = profiling.moved_bytes(add, [zeros(4, dtype=np.float64), 1.0], zeros(4, dtype=np.float64))
    see("moved_bytes(add, [(4,) float64, 1.0])", int(count)).gives(64)


@moved_bytes.check("a view moves nothing, and neither does an argument that is given back")
def _():
    x = zeros(2, 3)
    see("moved_bytes(reshape), a view", int(profiling.moved_bytes(reshape, [x, (6,)], x.reshape(6)))).gives(0)
    part = x[:, 1:]
    see(
        "moved_bytes(reshape), a view of a view", int(profiling.moved_bytes(reshape, [part, ()], part.T))
    ).gives(0)
    see("moved_bytes(reshape), the same array", int(profiling.moved_bytes(reshape, [x, (2, 3)], x))).gives(0)


@moved_bytes.check("arrays in a list count")
def _():
    count = profiling.moved_bytes(cat, [[zeros(2), zeros(3)], 0], zeros(5))
    see("moved_bytes(cat, [[(2,), (3,)], 0])", int(count)).gives(40)


@moved_bytes.check("an embedding reads only the rows that it looks up")
def _():
    ids, out = zeros(3, dtype=np.int64), zeros(3, 2)
    count = profiling.moved_bytes(embedding, [ids, zeros(1000, 2)], out)
    see("moved_bytes(embedding, [3 ids, table (1000, 2)])", int(count)).gives(24 + 24 + 24)


intensity = exercises.add(
    "Row.intensity",
    prompt="Return the operations for each byte moved: flops / nbytes, and 0.0 where no byte was moved.",
    hints=(
        "A Row has the attributes flops and nbytes.",
        "A conditional expression avoids the division by 0.",
    ),
    mistakes=(
        swap(
            "if self.nbytes else 0.0",
            "",
            "A view moves no bytes, and a division by 0 is an error: return 0.0 then.",
        ),
        swap(
            "self.flops / self.nbytes",
            "self.nbytes / self.flops",
            "These are the bytes for each operation: turn the quotient round.",
        ),
        swap("self.flops / self.nbytes", "self.flops // self.nbytes", "This rounds down to a whole number."),
    ),
)


def row_of(flops, nbytes):
    return profiling.Row("matmul", 1, 0.5, 1.0, flops, nbytes)


@intensity.check("30 operations on 12 bytes are 2.5 for each")
def _():
    see("Row(flops=30, nbytes=12).intensity", row_of(30, 12).intensity).gives(2.5)


@intensity.check("no bytes, no intensity")
def _():
    see("Row(flops=0, nbytes=0).intensity", row_of(0, 0).intensity).gives(0.0)
    see("Row(flops=30, nbytes=0).intensity", row_of(30, 0).intensity).gives(0.0)


region = exercises.add(
    "Profiler.region",
    prompt=(
        "While the block runs, `name` is on top of self._stack(). When it ends, also by an error, "
        "which goes on, take the name off and then self._add(kind, name, around, begin, end): `around` "
        'is the name that was on top before, "" if there was none; begin and end come from '
        "perf_counter."
    ),
    hints=(
        "The function is a context manager: what stands before `yield` runs at the beginning of the "
        "block, what stands after it at the end.",
        "try: yield, finally: …, so that the end comes after an error, too. Look at the top of the "
        "stack before you put the name on it.",
    ),
    mistakes=(
        swap(
            "try:",
            "if True:",
            "After an error in the block nothing is taken off and nothing recorded: use try … finally.",
            ("finally:", "if True:"),
        ),
        swap(
            "stack.pop()", "pass", "The name stays on the stack: what comes after the block would go to it."
        ),
        swap(
            'around = stack[-1] if stack else ""',
            'around = ""',
            "The event does not say which region or module is around it.",
        ),
        swap(
            'around = stack[-1] if stack else ""',
            'around = ".".join(stack)',
            "`around` is the name on top of the stack alone, not all that are in it.",
        ),
        swap(
            "stack.append(name)\n",
            "stack.append(kind)\n",
            "The block's Ops have to go to its name, so that is what belongs on the stack.",
        ),
    ),
)


@region.check("a region of 2 seconds within one of 3, within one of 4")
def _():
    now = [0.0]
    with clock_at(now), profiling.Profiler() as profiler, profiler.region("step"):
        now[0] += 1
        with profiler.region("outer"):
            now[0] += 1
            with profiler.region("inner", "module"):
                now[0] += 2
    found = [(e.kind, e.name, e.module, float(e.start), float(e.seconds), e.depth) for e in profiler.events]
    inner, outer = ("module", "inner", "outer", 2.0, 2.0, 2), ("region", "outer", "step", 1.0, 3.0, 1)
    seen = see("events as (kind, name, module, start, seconds, depth)", found)
    seen.gives([inner, outer, ("region", "step", "", 0.0, 4.0, 0)])


@region.check("Ops in the block go to the name, those after it do not")
def _():
    x = tensor(zeros(2))
    with profiling.Profiler() as profiler:
        with profiler.region("step"):
            add(x, x)
        mul(x, x)
    found = [(e.name, e.module) for e in profiler.events if e.kind == "forward"]
    see("Ops and the region they went to", found).gives([("add", "step"), ("mul", "")])


@region.check("an error ends the region and goes on")
def _():
    with profiling.Profiler() as profiler:
        try:
            with profiler.region("step"):
                raise KeyError("on the way")
        except KeyError:
            came = True
        else:
            came = False
    see("the error came out", came).gives(True)
    see("the events", [e.name for e in profiler.events]).gives(["step"])


rows = exercises.add(
    "Profiler.rows",
    prompt=(
        "Group self.op_events() and return a list of Row, the slowest first: name, number of calls, "
        "sum of seconds, its share of the seconds of all (0.0 if these are 0), sums of flops and "
        'nbytes. The name is the Op\'s, with " backward" after it for events of that kind '
        '(by="op"), the event\'s module ("module"), or "MODULE: OP" ("call"). Another `by` is a '
        "ValueError that says by."
    ),
    hints=(
        "Two passes: first put the events into lists by their name, then make one Row of each list.",
        "`defaultdict(list)` holds the groups; the sum of seconds over all op_events is what the "
        "shares are of.",
        "`sorted(rows, key=lambda row: row.seconds, reverse=True)`",
    ),
    mistakes=(
        swap(", reverse=True", "", "The fastest comes first; a profile begins with the slowest."),
        swap(
            'e.name if e.kind == "forward" else f"{e.name} backward"',
            "e.name",
            "Forward and backward of an Op are in one row: those backward get a name of their own.",
        ),
        swap(
            "for e in self.op_events():",
            "for e in self.events:",
            "Modules and regions are counted, too; what they take is the time of their Ops once more.",
        ),
        swap(
            "seconds / whole if whole else 0.0",
            "len(events) / len(self.op_events())",
            "This is the share of the calls; the share is that of the seconds.",
        ),
        swap("len(events), seconds", "1, seconds", "The number of calls is how many events a row adds up."),
    ),
)


def filled_profiler():
    made = profiling.Profiler()
    for kind, name, module, seconds, count, nbytes in (
        ("forward", "add", "fc", 1.0, 10, 100),
        ("forward", "matmul", "fc", 3.0, 50, 10),
        ("module", "fc", "", 5.0, 0, 0),
        ("forward", "add", "head", 1.0, 20, 200),
        ("backward", "add", "head", 5.0, 30, 300),
    ):
        made.events.append(profiling.Event(kind, name, module, 0.0, seconds, count, nbytes, "", 0, 1))
    return made


def seen_rows(by):
    found = [
        (r.name, r.calls, float(r.seconds), float(r.share), r.flops, r.nbytes)
        for r in filled_profiler().rows(by)
    ]
    return see(f"rows({by!r}) as (name, calls, seconds, share, flops, nbytes)", found)


@rows.check("by Op, forward and backward apart, the slowest first")
def _():
    seen_rows("op").gives(
        [
            ("add backward", 1, 5.0, 0.5, 30, 300),
            ("matmul", 1, 3.0, 0.3, 50, 10),
            ("add", 2, 2.0, 0.2, 30, 300),
        ]
    )


@rows.check("by module, and by both")
def _():
    seen_rows("module").gives([("head", 2, 6.0, 0.6, 50, 500), ("fc", 2, 4.0, 0.4, 60, 110)])
    names = [row.name for row in filled_profiler().rows("call")]
    see("names in rows('call')", names).gives(["head: add backward", "fc: matmul", "fc: add", "head: add"])


@rows.check("without events no rows, without seconds no share")
def _():
    see("rows() of an empty profiler", profiling.Profiler().rows()).gives([])
    made = profiling.Profiler()
    made.events.append(profiling.Event("forward", "add", "", 0.0, 0.0, 1, 1, "", 0, 1))
    see("the share of a row that took 0 seconds", float(made.rows()[0].share)).gives(0.0)


@rows.check("another way to group is an error")
def _():
    raises(ValueError, profiling.Profiler().rows, "thread", says="by")


saved_arrays = exercises.add(
    "saved_arrays",
    prompt=(
        "Return a list of the arrays that the graph behind `loss` keeps for the backward pass. Each "
        "node has edges (or None), and each edge keeps `values`. A view stands for the array that owns "
        "its memory, which is in the list once; the arrays of leaves, such as parameters, are not."
    ),
    hints=(
        "`newest_first([node_of(loss)])` gives all nodes; `arrays_in(edge.values)` gives the arrays of "
        "an edge; `owner_of(array)` is the array behind a view.",
        "Collect the owners in a dictionary by id(owner): arrays cannot be compared with ==.",
        "A leaf is a node with node.leaf; node.tensor() is its Tensor, or None if that is gone. "
        "Collect the ids of their owners first.",
    ),
    mistakes=(
        swap(
            "if id(owner) not in leaves:",
            "if True:",
            "The arrays of leaves are in the list; parameters are there anyway, with or without a graph.",
        ),
        swap(
            "owner = owner_of(array)",
            "owner = array",
            "A view of an array is counted besides the array: they are the same memory.",
        ),
        swap(
            "return list(found.values())",
            "return [a for n in nodes for e in n.edges or () for a in map(owner_of, "
            "arrays_in(e.values)) if id(a) not in leaves]",
            "An array that several nodes keep is in the list several times; its memory is there once.",
        ),
        swap(
            "for node in nodes:",
            "for node in nodes[:2]:",
            "The whole graph behind the loss keeps arrays, not its last nodes alone.",
        ),
        swap(
            "arrays_in(edge.values)",
            "[x for x in edge.values if isinstance(x, np.ndarray)]",
            "Some values are objects that hold arrays, as a norm's statistics: arrays_in looks inside.",
        ),
        swap(
            "node.edges or ()",
            "node.edges",
            "After a backward pass no node has edges any more: they are None.",
        ),
    ),
)


def seen_saved(words, loss):
    return see(
        f"sizes of the arrays that {words} keeps", sorted(a.size for a in profiling.saved_arrays(loss))
    )


def weight(*shape):
    return Parameter(tensor(np.ones(shape, np.float32)))


@saved_arrays.check("sigmoid keeps its result, a product its constant factor, and neither a parameter")
def _():
    a = weight(3)
    seen_saved("sum(sigmoid(a)), a (3,),", sum_of(sigmoid(a))).gives([3])
    seen_saved("sum(a * a)", sum_of(mul(a, a))).gives([])
    constant = tensor(np.ones((2, 3), np.float32))
    seen_saved("sum(sigmoid(a * constant)), constant (2, 3),", sum_of(sigmoid(mul(a, constant)))).gives(
        [6, 6]
    )


@saved_arrays.check("an array that is kept twice, or seen through a view, is there once")
def _():
    y = sigmoid(weight(3))
    seen_saved("y = sigmoid(a), sum(y * y)", sum_of(mul(y, y))).gives([3])
    y = sigmoid(weight(4))
    seen_saved("y = sigmoid(a), sum(y as (4, 1) * y)", sum_of(mul(reshape(y, (4, 1)), y))).gives([4])


@saved_arrays.check("the whole graph, back to its beginning")
def _():
    y = weight(5)
    for _ in range(4):
        y = sigmoid(y)
    seen_saved("a chain of four sigmoids", sum_of(y)).gives([5, 5, 5, 5])


@saved_arrays.check("a norm keeps the mean and the factor of each row")
def _():
    a = weight(2, 3)
    seen_saved("sum(layer_norm(a)), a (2, 3),", sum_of(layer_norm(a, 3))).gives([2, 2])


@saved_arrays.check("after the backward pass nothing is kept")
def _():
    loss = sum_of(sigmoid(weight(3)))
    loss.backward()
    seen_saved("a loss that was taken back", loss).gives([])


attainable = exercises.add(
    "Machine.attainable",
    prompt=(
        "Return the operations a second that this machine can reach at best, at an intensity in "
        "operations for each byte: what the memory can feed, but no more than self.peak."
    ),
    hints=(
        "With `intensity` operations for each byte, self.bandwidth bytes a second allow how many "
        "operations a second?",
        "The roofline is the lower of two lines: `min`.",
    ),
    mistakes=(
        swap("min(", "max(", "The slower of the two is the limit: the smaller number, not the larger."),
        swap(
            "intensity * self.bandwidth",
            "self.bandwidth / intensity",
            "Each byte feeds `intensity` operations: multiply the bandwidth by it.",
        ),
        swap(
            "min(self.peak, intensity * self.bandwidth)",
            "intensity * self.bandwidth",
            "No intensity makes the machine faster than its peak.",
        ),
        swap(
            "min(self.peak, intensity * self.bandwidth)",
            "self.peak",
            "At a low intensity the memory is the limit, not the peak.",
        ),
    ),
)


@attainable.check("below the ridge the memory is the limit")
def _():
    see("Machine(100, 10).attainable(0.5)", float(profiling.Machine(100.0, 10.0).attainable(0.5))).gives(5.0)
    see("Machine(100, 10).attainable(2)", float(profiling.Machine(100.0, 10.0).attainable(2.0))).gives(20.0)


@attainable.check("above the ridge the peak is the limit")
def _():
    see("Machine(100, 10).attainable(50)", float(profiling.Machine(100.0, 10.0).attainable(50.0))).gives(
        100.0
    )
    see("Machine(100, 10).attainable(10)", float(profiling.Machine(100.0, 10.0).attainable(10.0))).gives(
        100.0
    )


@attainable.check("without operations nothing is reached")
def _():
    see("Machine(100, 10).attainable(0)", float(profiling.Machine(100.0, 10.0).attainable(0.0))).gives(0.0)
