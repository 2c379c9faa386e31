"""Exercises of module 17, Memoization."""

from contextlib import suppress

import numpy as np

from tinytorch.core import memoization
from tinytorch.core.autograd import no_grad
from tinytorch.core.layers import Parameter
from tinytorch.core.memoization import Decoder, KVCache, Memo
from tinytorch.core.tensor import mul, tensor
from tinytorch.core.transformers import GPT, GPTConfig

from ..checking import Exercises, raises, see, swap, wrong

exercises = Exercises("memoization")


fingerprint = exercises.add(
    "fingerprint",
    prompt=(
        "Return a hashable key: equal for equal contents, different for any others. An array's key knows "
        "shape, dtype and bytes (in whatever order they lie in memory, also none at all); a tensor's is "
        "another than its array's. Lists and tuples have one if their members have one, and so have "
        "numbers, strings, bytes, None and dtypes: 1, 1.0 and True differ, 0.0 and -0.0, too, and nan "
        "equals nan. Anything else is a TypeError, an array of objects as well: its bytes are addresses."
    ),
    hints=(
        "Make a tuple that begins with what kind of thing it is, then what tells two of a kind apart.",
        "`hashlib.blake2b(contents, digest_size=16).digest()` makes 16 bytes of an array's bytes, which "
        "`value.tobytes()` gives row by row. A list's key is made of the keys of its members.",
        "`repr(value)` of a float tells 0.0 from -0.0 and writes every nan alike.",
    ),
    mistakes=(
        wrong(
            """
            def fingerprint(value):
                if isinstance(value, (Tensor, np.ndarray)):
                    return id(value)
                if isinstance(value, (list, tuple)):
                    return type(value).__name__, *map(fingerprint, value)
                if isinstance(value, (bool, int, float, complex, str, bytes, type(None), np.dtype)):
                    return type(value).__name__, repr(value)
                raise TypeError("no key")
            """,
            "This key says which object it is; what is in it may change, and a copy has another: make it "
            "of the contents.",
        ),
        swap(
            '"array", value.shape, value.dtype.str,',
            '"array", value.dtype.str,',
            "Two arrays with the same bytes and different shapes have the same key: the shape belongs to it.",
        ),
        swap(
            '"array", value.shape, value.dtype.str,',
            '"array", value.shape,',
            "Two arrays with the same bytes and different dtypes have the same key: the dtype belongs to it.",
        ),
        swap(
            "np.ascontiguousarray(value).reshape(-1)",
            'value.ravel(order="K")',
            "The key depends on the order in memory; equal arrays need equal keys, so go row by row.",
        ),
        swap(
            'value.dtype.kind in "fiubc"',
            "True",
            "The bytes of an array of objects are addresses, not contents: that has to be a TypeError.",
            ('contents = memoryview(flat).cast("B") if value.size else b""', "contents = flat.tobytes()"),
        ),
        swap(
            "return type(value).__name__, value\n",
            "return value\n",
            "Python's 1 == True, so their keys are equal: the type belongs to the key.",
            ("return type(value).__name__, repr(value)", "return repr(value)"),
        ),
    ),
)


def same_key(words, a, b):
    first, second = memoization.fingerprint(a), memoization.fingerprint(b)
    return see(f"the keys of {words} are equal", bool(first == second and len({first, second}) == 1))


@fingerprint.check("a copy has the same key, an array or a tensor")
def _():
    a = np.arange(6.0).reshape(2, 3)
    same_key("an array (2, 3) and its copy", a, a.copy()).gives(True)
    same_key("tensor([1.0, 2.0]) and tensor([1.0, 2.0])", tensor([1.0, 2.0]), tensor([1.0, 2.0])).gives(True)
    same_key("(a, [1, 2]) and a copy", (a, [1, 2]), (a.copy(), [1, 2])).gives(True)


@fingerprint.check("the order in memory does not matter")
def _():
    a = np.arange(6.0).reshape(2, 3)
    same_key("an array by rows and by columns", a, np.asfortranarray(a)).gives(True)


@fingerprint.check("another shape has another key, also without elements")
def _():
    a = np.arange(6.0)
    same_key("arrays (2, 3) and (3, 2)", a.reshape(2, 3), a.reshape(3, 2)).gives(False)
    same_key("arrays (0, 3) and (3, 0)", np.zeros((0, 3)), np.zeros((3, 0))).gives(False)
    same_key("an array (0, 3) and its copy", np.zeros((0, 3)), np.zeros((0, 3))).gives(True)


@fingerprint.check("another dtype or number, or a tensor, has another key")
def _():
    same_key("zeros in int32 and float32", np.zeros(2, np.int32), np.zeros(2, np.float32)).gives(False)
    same_key("arrays of 1, 2 and 1, 3", np.array([1, 2]), np.array([1, 3])).gives(False)
    many = np.zeros(2000)
    many[1000] = 1e-9
    same_key("2000 zeros and the same with one other number", np.zeros(2000), many).gives(False)
    same_key("a tensor and its array", tensor([1.0]), tensor([1.0]).array).gives(False)


@fingerprint.check("numbers, strings, lists and tuples")
def _():
    for words, a, b in (
        ("1 and True", 1, True),
        ("1 and 1.0", 1, 1.0),
        ("0.0 and -0.0", 0.0, -0.0),
        ("'a' and b'a'", "a", b"a"),
        ("(1, 2) and [1, 2]", (1, 2), [1, 2]),
        ("((1,), 2) and (1, 2)", ((1,), 2), (1, 2)),
        ("((1,), 2) and ((1, 2),)", ((1,), 2), ((1, 2),)),
        ("the dtypes float16 and float32", np.dtype("float16"), np.dtype("float32")),
    ):
        same_key(words, a, b).gives(False)
    same_key("nan and nan", float("nan"), -float("nan")).gives(True)
    same_key("None and None", None, None).gives(True)


@fingerprint.check("a set, a function or an array of objects has no key, nor has a tuple with a set in it")
def _():
    def keyed(value):
        memoization.fingerprint(value)
        return "a key"

    keyed.__qualname__ = "fingerprint"
    for value in ({1, 2}, (1, {1, 2}), len, np.array([None, "a"], object)):
        raises(TypeError, keyed, value)


memo = exercises.add(
    "Memo.__call__",
    prompt=(
        "Answer from self.results (an OrderedDict) if the fingerprints of args and kwargs are known, in "
        "whatever order the keywords come; else compute, and store and return `kept(result)`. Count "
        "self.hits and self.misses, and keep self.nbytes, what size_of says of all results. While "
        "self.is_too_large(), drop the least recently used, if need be the new one as well. If autograd "
        "is recording, which `Op.engine.is_recording(values)` says unless Op.engine is None, call the "
        "function: nothing is looked up, kept or counted."
    ),
    hints=(
        "First make the key. A hit returns; everything below is for a miss.",
        "`results.move_to_end(key)` at each hit leaves the least recently used at the front; "
        "`results.popitem(last=False)` takes the front off and returns (key, result).",
        "key = fingerprint(args), fingerprint(tuple(sorted(kwargs.items()))). Loop: `while "
        "self.is_too_large() and self.results:`.",
    ),
    mistakes=(
        swap(
            "self.results.move_to_end(key)",
            "pass",
            "The oldest result goes first, however recently it was asked for: move a result to the end "
            "when it is found.",
        ),
        swap(
            "while self.is_too_large()",
            "while False",
            "Nothing is ever dropped: while is_too_large(), the least recently used has to go.",
        ),
        swap(
            "while self.is_too_large()",
            "if self.is_too_large()",
            "One result is dropped where several have to go: ask again after each.",
        ),
        swap(
            "popitem(last=False)",
            "popitem()",
            "popitem() takes the newest; the least recently used is the first.",
        ),
        swap(
            "        if key in self.results:",
            "        if self.results.get(key) is not None:",
            "A result may be None, and then it is held as well: ask whether the key is there.",
        ),
        swap(
            "key = fingerprint(args), fingerprint(tuple(sorted(kwargs.items())))",
            "key = fingerprint(args)",
            "Keyword arguments belong to the key, or another question gets this answer.",
        ),
        swap(
            "tuple(sorted(kwargs.items()))",
            "tuple(kwargs.items())",
            "The same keywords in another order are the same question: sort them for the key.",
        ),
        swap(
            "self.nbytes -= size_of(self.results.popitem(last=False)[1])",
            "self.results.popitem(last=False)",
            "What is dropped takes no memory any more: subtract its size from nbytes.",
        ),
        swap(
            "kept(self.function(*args, **kwargs))",
            "self.function(*args, **kwargs)",
            "The result that is held can be changed by whoever got it: hold `kept(result)`.",
        ),
        swap(
            "return self.function(*args, **kwargs)  # each result needs a history of its own",
            "pass",
            "What autograd records needs a history of its own: then call the function and keep nothing.",
        ),
        swap(
            "[*args, *kwargs.values()]",
            "args",
            "A keyword argument may require a gradient, too: ask is_recording about those as well.",
        ),
    ),
)


def recorded(function, **settings):
    """(memo of the function, list of the arguments that it computed)."""
    asked: list[object] = []

    def computes(x, **kwargs):
        asked.append(x)
        return function(x, **kwargs)

    return Memo(computes, **settings), asked


@memo.check("the second time an answer is looked up")
def _():
    square, asked = recorded(lambda x: x * x)
    see("square of 3, 4, 3", [square(3), square(4), square(3)]).gives([9, 16, 9])
    see("what was computed", asked).gives([3, 4])
    see("(hits, misses, results held)", (square.hits, square.misses, len(square))).gives((1, 2, 2))


@memo.check("results of None and 0 are looked up, too")
def _():
    nothing, asked = recorded(lambda x: None if x else 0)
    see("results for 1, 0, 1, 0", [nothing(x) for x in (1, 0, 1, 0)]).gives([None, 0, None, 0])
    see("what was computed", asked).gives([1, 0])


@memo.check("when it is full, the least recently used goes")
def _():
    square, asked = recorded(lambda x: x * x, maxsize=2)
    for x in (3, 4, 3, 5, 3, 4):
        square(x)
    see("what was computed of 3, 4, 3, 5, 3, 4 with maxsize=2", asked).gives([3, 4, 5, 4])
    see("(hits, misses, results held)", (square.hits, square.misses, len(square))).gives((2, 4, 2))


@memo.check("keywords are arguments, in any order")
def _():
    total, asked = recorded(lambda x, a=0, b=0: x + 10 * a + 100 * b)
    found = [total(1, a=1, b=2), total(1, b=2, a=1), total(1, a=2, b=1)]
    see("x + 10 a + 100 b for (1, a=1, b=2), (1, b=2, a=1), (1, a=2, b=1)", found).gives([211, 211, 121])
    see("how often it was computed", len(asked)).gives(2)


@memo.check("bytes are counted, and bounded")
def _():
    ones, _ = recorded(lambda n: np.ones(n, np.float32), max_nbytes=100)
    for n in (5, 10, 15):  # 20, 40 and 60 bytes
        ones(n)
    see("(nbytes, results held) of 20, 40 and 60 bytes, at most 100", (ones.nbytes, len(ones))).gives(
        (100, 2)
    )
    see("a result of 120 bytes has shape", ones(30).shape).gives((30,))
    see("(nbytes, results held) after it", (ones.nbytes, len(ones))).gives((0, 0))


@memo.check("nobody can change what is held")
def _():
    ones, _ = recorded(lambda n: np.ones(n, np.float32))
    for _ in range(2):
        with suppress(ValueError):
            ones(2)[0] = 5.0
    see("ones(2), after somebody tried to write into it", ones(2)).gives([1.0, 1.0])
    found = [ones(3).flags.writeable for _ in range(2)]
    see("may one write into the first and second answer", found).gives([False, False])


@memo.check("what autograd records is computed anew")
def _():
    twice, asked = recorded(lambda x: mul(x, 2.0))
    x = tensor([1.0, 2.0])
    x.requires_grad = True
    twice(x)
    see("twice(x), which requires a gradient", twice(x).requires_grad).gives(True)
    found = len(asked), twice.hits, twice.misses, len(twice)
    see("(computed, hits, misses, results held) after two calls", found).gives((2, 0, 0, 0))
    times, asked = recorded(lambda x, by: mul(x, by))
    times(2.0, by=x)
    see("times(2.0, by=x)", times(2.0, by=x).requires_grad).gives(True)
    see("how often it was computed", len(asked)).gives(2)


columns = exercises.add(
    "KVCache.columns",
    prompt=(
        "Position p lies in column p mod self.capacity. Return a list of slices, start and stop of each "
        "from 0 to capacity, that give the columns of positions position, …, position + count - 1 in "
        "this order: one slice, two where they go around the end of the ring, none for a count of 0. "
        "count is at most capacity."
    ),
    hints=(
        "In which column does the first one lie? If there is room for all behind it, that is one slice.",
        "`position % self.capacity`, and count columns on. What passes the capacity goes on at column 0.",
        "`[slice(first, self.capacity), slice(0, last - self.capacity)]` where last = first + count.",
    ),
    mistakes=(
        swap(
            "first = position % self.capacity",
            "first = min(position, self.capacity)",
            "A position past the capacity lies in column p mod capacity: take the remainder.",
        ),
        swap(
            "return [slice(first, self.capacity), slice(0, last - self.capacity)]",
            "return [slice(first, self.capacity)]",
            "What passes the end of the ring is missing: it goes on at column 0.",
        ),
        swap(
            "slice(0, last - self.capacity)",
            "slice(0, last - self.capacity + 1)",
            "The second slice is one too long: a slice's stop is the first column that is not in it.",
        ),
        swap(
            "[slice(first, self.capacity), slice(0, last - self.capacity)]",
            "[slice(0, last - self.capacity), slice(first, self.capacity)]",
            "The slices come in the order of the positions: first up to the end of the ring, then from 0.",
        ),
        swap(
            "[slice(first, self.capacity), slice(0, last - self.capacity)]",
            "[slice(first, None), slice(None, last - self.capacity)]",
            "Each slice needs a start and a stop in numbers: others count with them.",
        ),
    ),
)


def seen_columns(position, count, size=5):
    parts = KVCache(1, 1, 1, None, window=size).columns(position, count)
    found = [list(range(part.start, part.stop)) for part in parts]
    return see(f"columns({position}, {count}) of {size}", [part for part in found if part])


@columns.check("at the beginning, positions are columns")
def _():
    seen_columns(0, 3).gives([[0, 1, 2]])
    seen_columns(2, 3).gives([[2, 3, 4]])


@columns.check("positions past the capacity begin at column 0 again")
def _():
    seen_columns(5, 2).gives([[0, 1]])
    seen_columns(12, 1).gives([[2]])
    seen_columns(13, 2).gives([[3, 4]])


@columns.check("around the end there are two slices")
def _():
    seen_columns(3, 4).gives([[3, 4], [0, 1]])
    seen_columns(14, 5).gives([[4], [0, 1, 2, 3]])


@columns.check("no positions, and a ring of one column")
def _():
    seen_columns(3, 0).gives([])
    seen_columns(7, 1, 1).gives([[0]])


write = exercises.add(
    "KVCache.write",
    prompt=(
        "Write the keys and values of T new positions, arrays (B, h, T, d), into self.keys "
        "(B, h, d, capacity) and self.values (B, h, capacity, d), and advance self.length by T. Position p "
        "lies in column p mod capacity, the first new one is position self.length. If T is more than the "
        "capacity, only the latest stay."
    ),
    hints=(
        "A loop over T positions is right: which column does each have, and which part of the arrays?",
        "With slices: advance the length, then `self.columns(self.length - count, count)` says where the "
        "last count = min(T, capacity) lie.",
        "`self.keys[..., part] = new_k[:, :, taken:stop].swapaxes(2, 3)`, where `taken` counts those that "
        "have gone.",
    ),
    mistakes=(
        swap(
            "new_k[:, :, taken:stop].swapaxes(2, 3)",
            "new_k[:, :, taken:stop]",
            "Keys lie as (B, h, d, capacity): swap positions and features.",
        ),
        swap(
            "            self.length += 1\n",
            "",
            "After a single position the length has not advanced: the next one overwrites it.",
        ),
        swap(
            "taken = new_k.shape[2] - count",
            "taken = 0",
            "Of more positions than there is room for, the earliest are written; the latest have to stay.",
        ),
        swap(
            "column = self.length % self.capacity",
            "column = min(self.length, self.capacity - 1)",
            "In a full ring the newest is overwritten; the oldest goes, in column length mod capacity.",
        ),
    ),
)


def numbered(first, count, size=1):
    """Arrays (1, 1, count, size): keys are p, p + 0.5, … at position p, values 10 times as much."""
    keys = np.arange(first, first + count, dtype=np.float32)[:, None] + np.arange(size, dtype=np.float32) / 2
    return keys[None, None], 10 * keys[None, None]


@write.check("keys lie by features, values by positions")
def _():
    cache = KVCache(1, 1, 2, max_length=4)
    cache.write(*numbered(1, 2, 2))
    see("keys (1, 1, d, 4) after [[1, 1.5], [2, 2.5]]", cache.keys).gives(
        [[[[1.0, 2, 0, 0], [1.5, 2.5, 0, 0]]]]
    )
    see("values (1, 1, 4, d), 10 times as much", cache.values).gives(
        [[[[10.0, 15], [20, 25], [0, 0], [0, 0]]]]
    )
    see("its length", cache.length).gives(2)


@write.check("one by one, each in the next column")
def _():
    cache = KVCache(1, 1, 1, max_length=4)
    for p in (1, 2, 3):
        cache.write(*numbered(p, 1))
    see("keys after 1, 2 and 3", cache.keys[0, 0, 0]).gives([1.0, 2.0, 3.0, 0.0])
    see("values after 10, 20 and 30", cache.values[0, 0, :, 0]).gives([10.0, 20.0, 30.0, 0.0])
    see("its length", cache.length).gives(3)


@write.check("in a ring the newest takes the oldest's place")
def _():
    cache = KVCache(1, 1, 1, None, window=3)
    for p in range(5):
        cache.write(*numbered(p, 1))
    see("keys of a window of 3 after positions 0 to 4, one by one", cache.keys[0, 0, 0]).gives(
        [3.0, 4.0, 2.0]
    )


@write.check("several around the end, and more than there is room for")
def _():
    cache = KVCache(1, 1, 1, None, window=4)
    cache.write(*numbered(0, 3))
    cache.write(*numbered(3, 3))
    see("keys of a window of 4 after 3 and 3 positions", cache.keys[0, 0, 0]).gives([4.0, 5.0, 2.0, 3.0])
    cache.write(*numbered(6, 7))
    see("keys after 7 more", cache.keys[0, 0, 0]).gives([12.0, 9.0, 10.0, 11.0])
    see("values after them", cache.values[0, 0, :, 0]).gives([120.0, 90.0, 100.0, 110.0])
    see("its length", cache.length).gives(13)


update = exercises.add(
    "KVCache.update",
    hints=(
        "First `self.check(key, value)`, which raises all these errors. Without a window, write and "
        "return what is there: the first self.length columns.",
        "Keys lie as (B, h, d, capacity): `.swapaxes(2, 3)` shows them as (B, h, S, d). For one position in "
        "a window, everything held is what it sees.",
        "Several positions in a window: copy the last min(length, window - 1, capacity) before them, from "
        "`self.columns(…)`, concatenate the new ones on axis 2, and only then write.",
    ),
    prompt=(
        "Check with self.check, write with self.write, and return (keys, values), tensors (B, h, S, d) in "
        "the dtype that came, of all positions that the new ones may see. Without a window these are all so "
        "far: views, no copies, unless the dtype is another. With a window a single position sees all that "
        "the ring holds, itself included, in any order; several get those before them that the first one "
        "sees (window - 1 at most), then their own."
    ),
    mistakes=(
        swap(
            "self.check(key, value)",
            "",
            "What does not fit is taken: call self.check before anything changes.",
        ),
        swap(
            "seen = min(self.length, self.capacity)",
            "seen = self.capacity",
            "Columns that nobody has written to are returned: only the first `length` are filled.",
        ),
        swap(
            "before = min(self.length, self.window - 1, self.capacity)",
            "before = min(self.length, self.window, self.capacity)",
            "The window counts the position itself: before it, the first new one sees window - 1 others.",
        ),
        swap(
            "same = k.dtype == new_k.dtype",
            "same = True",
            "The cache's dtype comes out; what is returned has the dtype that came.",
        ),
        swap(
            "same = k.dtype == new_k.dtype",
            "same = False",
            "All keys and values are copied for each token; a view of the columns takes no time.",
        ),
        swap(
            "parts = self.columns(self.length - before, before)",
            "parts = []",
            "Several positions see only one another: those before them, in the window, are missing.",
        ),
        swap(
            "parts = self.columns(self.length - before, before)",
            "parts = [slice(0, before)]",
            "In a ring the positions before do not begin at column 0: self.columns says where they lie.",
        ),
        swap(
            "parts = self.columns(self.length - before, before)",
            "parts = self.columns(self.length - before, before)\n        self.write(new_k, new_v)",
            "The new positions are written too early, over some that are still to be copied.",
            ("self.write(new_k, new_v)\n        return wrap(k.astype", "return wrap(k.astype"),
        ),
        swap(
            "if self.window is None or count == 1:",
            "if True:",
            "In a window the new positions have overwritten some that the first of them still sees: copy "
            "those first.",
        ),
    ),
)


def seen_update(cache, first, count, words):
    """What update gives for positions first, …, as [keys, values], with S columns each."""
    k, v = cache.update(*map(tensor, numbered(first, count)))
    return see(words, [k.array[0, 0, :, 0].tolist(), v.array[0, 0, :, 0].tolist()])


@update.check("3 positions, then 1: all four come back")
def _():
    cache = KVCache(1, 2, 4, max_length=8)
    draws = np.random.default_rng(0)
    k, v = (draws.normal(0, 1, (1, 2, 4, 4)).astype(np.float32) for _ in range(2))
    cache.update(tensor(k[:, :, :3].copy()), tensor(v[:, :, :3].copy()))
    all_k, all_v = cache.update(tensor(k[:, :, 3:].copy()), tensor(v[:, :, 3:].copy()))
    see("the keys, (1, 2, 4, 4)", all_k).gives(tensor(k))
    see("the values", all_v).gives(tensor(v))
    see("len(cache)", len(cache)).gives(4)


@update.check("one position in a window sees the last ones")
def _():
    cache = KVCache(1, 1, 1, None, window=3)
    for p in range(5):
        k, v = cache.update(*map(tensor, numbered(p, 1)))
    found = sorted(zip(k.array[0, 0, :, 0].tolist(), v.array[0, 0, :, 0].tolist(), strict=True))
    see("(key, value) that position 4 sees in a window of 3", found).gives(
        [(2.0, 20.0), (3.0, 30.0), (4.0, 40.0)]
    )


@update.check("several in a window: those that the first one sees, and their own")
def _():
    cache = KVCache(1, 1, 1, None, window=3)
    expected = [0.0, 1.0, 2.0, 3.0]
    seen_update(cache, 0, 4, "keys and values for positions 0 to 3 in a window of 3").gives(
        [expected, [10 * x for x in expected]]
    )
    expected = [2.0, 3.0, 4.0, 5.0]
    seen_update(cache, 4, 2, "keys and values for positions 4 and 5 after them").gives(
        [expected, [10 * x for x in expected]]
    )
    see("len(cache)", len(cache)).gives(6)


@update.check("the dtype that came comes out, in whatever it is kept")
def _():
    for window in (None, 4):
        cache = KVCache(1, 1, 1, 4, window=window, dtype=np.dtype("float16"))
        cache.update(*map(tensor, numbered(0, 2)))
        k, v = cache.update(*map(tensor, numbered(2, 1)))
        found = str(k.array.dtype), str(v.array.dtype)
        see(f"dtypes of keys and values, window={window}", found).gives(("float32", "float32"))
        cache = KVCache(1, 1, 1, 4, window=window)
        k, v = cache.update(*(tensor(x.astype(np.float16)) for x in numbered(0, 2)))
        found = str(k.array.dtype), str(v.array.dtype)
        see(f"kept in float32, float16 came, window={window}", found).gives(("float16", "float16"))


@update.check("without a window nothing is copied where the dtype is the cache's")
def _():
    cache = KVCache(1, 1, 1, max_length=4)
    k, v = cache.update(*map(tensor, numbered(0, 2)))
    found = bool(np.shares_memory(k.array, cache.keys)), bool(np.shares_memory(v.array, cache.values))
    see("are keys and values views of the cache's", found).gives((True, True))


@update.check("what does not fit is an error, and changes nothing")
def _():
    cache = KVCache(1, 1, 1, max_length=3)
    cache.update(*map(tensor, numbered(0, 2)))
    raises(ValueError, cache.update, *map(tensor, numbered(2, 2)), says="max_length")
    raises(ValueError, cache.update, *map(tensor, numbered(2, 1, 2)))
    key, value = map(tensor, numbered(2, 1))
    key.requires_grad = True
    raises(RuntimeError, cache.update, key, value, says="gradient")
    see("len(cache) after these errors", len(cache)).gives(2)


crop = exercises.add(
    "KVCache.crop",
    prompt=(
        "Forget all but the first `length` positions: the next position to come is number `length`. A "
        "length below 0 or above self.length is a ValueError, and so is a shorter one where more "
        "positions have come than the capacity holds: what the last ones saw is overwritten. "
        "Two lengths are fine even then: 0, and self.length, which changes nothing."
    ),
    hints=(
        "Nothing needs to be erased: what lies behind self.length counts as free.",
        "Two conditions raise, and then one assignment is left.",
        "`if length and length != self.length > self.capacity: raise ValueError(…)`",
    ),
    mistakes=(
        swap(
            "self.length = length",
            "self.length -= length",
            "This takes so many positions off the end; `length` is how many stay.",
        ),
        swap(
            "if length and length != self.length > self.capacity:",
            "if False:",
            "In a window, positions are gone that would be seen again: that has to be a ValueError.",
        ),
        swap(
            "if not 0 <= length <= self.length:",
            "if False:",
            "A length that the cache has not reached, or below 0, has to be a ValueError.",
        ),
        swap(
            "if length and length != self.length > self.capacity:",
            "if length != self.length > self.capacity:",
            "To forget everything is possible in any case: a length of 0 is no error.",
        ),
    ),
)


@crop.check("of five positions two stay, and the next one follows them")
def _():
    cache = KVCache(1, 1, 1, max_length=8)
    cache.update(*map(tensor, numbered(0, 5)))
    cache.crop(2)
    see("len(cache) after crop(2)", len(cache)).gives(2)
    seen_update(cache, 7, 1, "keys and values after one more, 7 and 70").gives(
        [[0.0, 1.0, 7.0], [0.0, 10.0, 70.0]]
    )


@crop.check("a window that has let nothing go can be cropped")
def _():
    cache = KVCache(1, 1, 1, None, window=4)
    cache.write(*numbered(0, 4))
    cache.crop(3)
    see("len(cache) of 4 in a window of 4 after crop(3)", len(cache)).gives(3)


@crop.check("a window that has let some go cannot")
def _():
    cache = KVCache(1, 1, 1, None, window=4)
    cache.write(*numbered(0, 6))
    raises(ValueError, cache.crop, 5)
    see("len(cache) after the error", len(cache)).gives(6)


@crop.check("but all and none are fine")
def _():
    cache = KVCache(1, 1, 1, None, window=4)
    cache.write(*numbered(0, 6))
    cache.crop(6)
    see("len(cache) of 6 in a window of 4 after crop(6)", len(cache)).gives(6)
    cache.crop(0)
    see("len(cache) after crop(0)", len(cache)).gives(0)


@crop.check("a length out of range is an error")
def _():
    cache = KVCache(1, 1, 1, max_length=8)
    cache.write(*numbered(0, 3))
    raises(ValueError, cache.crop, 4)
    raises(ValueError, cache.crop, -1)


make_caches = exercises.add(
    "make_caches",
    prompt=(
        "Return a list with a KVCache of its own for each block of the model, with its heads, their size, "
        "the weights' dtype (unless another is given) and device. model.config has n_layer, n_head, n_embd, "
        "block_size and positions. max_length is block_size if none is given; with a window, no given "
        'max_length and positions == "rotary" it is None, without end. A window or max_length above '
        "block_size is a ValueError that says block_size."
    ),
    hints=(
        "One KVCache(batch_size, heads, features of a head, max_length, window=…, dtype=…, device=…), as "
        "often as there are blocks.",
        "`model.transformer.ln_f.weight` knows dtype and device. A head has n_embd // n_head features.",
        "A list comprehension over range(n_layer) makes a new one each time; [cache] * n_layer does not.",
    ),
    mistakes=(
        swap(
            "return [KVCache(*shape, **settings) for _ in range(c.n_layer)]",
            "return [KVCache(*shape, **settings)] * c.n_layer",
            "All blocks have the same cache; each needs its own.",
        ),
        swap(
            'c.positions == "rotary" else longest',
            "False else longest",
            "With a window, rotary positions have no end: max_length is None then.",
        ),
        swap(
            'max_length is None and c.positions == "rotary"',
            "max_length is None",
            "Learned positions end at block_size, also with a window.",
        ),
        swap(
            "c.n_embd // c.n_head",
            "c.n_embd",
            "A head has n_embd / n_head features, not all of them.",
        ),
        swap(
            "dtype or weight.dtype",
            "float32",
            "The caches are float32 whatever was asked for: take the given dtype, or the model's.",
        ),
        swap(
            "dtype or weight.dtype",
            "dtype or float32",
            "Where no dtype is given the caches take the weights' dtype, which need not be float32.",
        ),
        swap(
            'c.positions == "rotary"',
            'c.positions != "learned"',
            "Sinusoidal positions are a table, which ends at block_size; only rotary ones have no end.",
        ),
    ),
)


class Placed(Parameter):
    """One that says where it lies: `device` comes with the whole package only."""

    device = None


def small(positions="learned", **settings):
    """A GPT with numbers large enough that every part of it counts."""
    made = GPT(GPTConfig(7, block_size=6, n_layer=2, n_head=2, n_embd=8, positions=positions, **settings))
    draws = np.random.default_rng(3)
    for p in made.parameters():
        p.array[...] = draws.normal(1.0 if p.ndim == 1 else 0.0, 0.4, p.shape)
    made.transformer.ln_f.weight = Placed(made.transformer.ln_f.weight)
    return made.eval()


@make_caches.check("a cache for each block, each its own")
def _():
    caches = memoization.make_caches(small(), batch_size=3)
    see("shapes of the keys", [c.keys.shape for c in caches]).gives([(3, 2, 4, 6)] * 2)
    see("max_length of each", [c.max_length for c in caches]).gives([6, 6])
    see("two different objects", caches[0] is not caches[1]).gives(True)


@make_caches.check("rotary positions in a window have no end, the others do")
def _():
    for positions, end in (("rotary", None), ("learned", 6), ("sinusoidal", 6)):
        cache = memoization.make_caches(small(positions), window=3)[0]
        found = cache.window, cache.max_length
        see(f"(window, max_length), window=3, {positions}", found).gives((3, end))
    found = memoization.make_caches(small("rotary"))[0].max_length
    see("max_length of rotary positions without a window", found).gives(6)


@make_caches.check("a shorter max_length, and the dtype")
def _():
    cache = memoization.make_caches(small("rotary"), window=3, max_length=5, dtype=np.dtype("float16"))[0]
    see("its max_length", cache.max_length).gives(5)
    see("dtype of its keys", str(cache.keys.dtype)).gives("float16")
    wide = small()
    for p in wide.parameters():
        p.array = p.array.astype(np.float64)
    see("dtype for a model in float64", str(memoization.make_caches(wide)[0].keys.dtype)).gives("float64")


def caches_of_block_size_6(**settings):
    return memoization.make_caches(small(), **settings)


@make_caches.check("more than block_size is an error, block_size itself is none")
def _():
    cache = caches_of_block_size_6(window=6, max_length=6)[0]
    see("(window, max_length), both 6", (cache.window, cache.max_length)).gives((6, 6))
    raises(ValueError, caches_of_block_size_6, window=7, says="block_size")
    raises(ValueError, caches_of_block_size_6, max_length=7, says="block_size")


decoder = exercises.add(
    "Decoder.__call__",
    prompt=(
        "Return (logits (B, 1, V) in the model's dtype, None) for one token a text, idx (B, 1), with "
        "caches: the model's arithmetic on arrays (B, C). self.blocks has for each block (ln_1, c_attn, "
        "attn, attn_proj, ln_2, c_fc, mlp_proj); all but attn are functions of arrays, and so are self.ln_f"
        " and self.lm_head. `attn.one_more(qkv, kept)` attends: tensors (B, 1, 3 C) to (B, 1, C), kept is "
        "the block's cache. If attn.rotary, `attn.turned(qkv, past)` before it turns the projection. past ="
        " self.model.past(cache, 1), the positions in the cache. Without caches, with targets, several "
        "tokens, recording or dropout in training: return what the model gives."
    ),
    hints=(
        "The block of chapter 13: x + attention(ln_1(x)), then x + mlp(ln_2(x)), where the mlp is c_fc, "
        "GELU, mlp_proj.",
        '`parts.wte(idx).array[:, 0]` is (B, C); `parts.wpe(1, past).array` is added if "wpe" in parts '
        '(self.transformer). GELU, the "tanh" kind, is `h * normal_cdf(h, "tanh")`.',
        "`wrap(array)` makes a tensor: attn.one_more(wrap(qkv[:, None]), kept).array[:, 0]. At the end "
        "wrap(self.lm_head(self.ln_f(x))[:, None]).",
    ),
    mistakes=(
        swap(
            "parts.wpe(1, past)",
            "parts.wpe(1, 0)",
            "Every token gets the vector of position 0; the new one stands at position `past`.",
        ),
        swap(
            'hidden *= normal_cdf(hidden, "tanh")  # gelu',
            "",
            "The GELU between c_fc and mlp_proj is missing.",
        ),
        swap(
            'normal_cdf(hidden, "tanh")',
            'normal_cdf(hidden, "none")',
            "The model's GELU is the approximation with tanh.",
        ),
        swap(
            "x = x + attn_proj(mixed.array[:, 0])",
            "x = attn_proj(mixed.array[:, 0])",
            "What attention gives is added to x; it does not replace it.",
        ),
        swap(
            "self.lm_head(self.ln_f(x))",
            "self.lm_head(x)",
            "The last norm, ln_f, comes before lm_head.",
        ),
        swap(
            "if attn.rotary is not None:",
            "if False:",
            "Rotary queries and keys are not turned.",
        ),
        swap(
            "or is_grad_enabled() or drops",
            "or drops",
            "Where autograd records, the model has to be called: the arrays here have no history.",
        ),
        swap(
            "is_grad_enabled() or drops",
            "is_grad_enabled()",
            "In training the model's dropout counts: then call the model.",
        ),
        swap(
            "or targets is not None ",
            "or False ",
            "With targets there is a loss to give: then call the model.",
        ),
        wrong(
            """
            def __call__(self, idx, targets=None, cache=None):
                return self.model(idx, targets, cache)
            """,
            "This always calls the model; one token with caches is to be computed here, on arrays.",
        ),
    ),
)


def logits_by_token(way, ids, caches):
    with no_grad():
        return np.concatenate(
            [way(tensor(ids[:, i : i + 1].copy()), cache=caches)[0].array for i in range(ids.shape[1])], 1
        )


@decoder.check("token by token as the model does all at once")
def _():
    model, ids = small(), np.array([[1, 4, 0, 6]])
    found = logits_by_token(Decoder(model), ids, memoization.make_caches(model))
    with no_grad():
        want = model(tensor(ids))[0].array
    see("logits (1, 4, 7), one token at a time", found).gives(want, rtol=1e-4, atol=1e-4)


@decoder.check("two texts, rotary positions")
def _():
    model, ids = small("rotary"), np.array([[1, 4, 0], [2, 2, 5]])
    found = logits_by_token(Decoder(model), ids, memoization.make_caches(model, 2))
    with no_grad():
        want = model(tensor(ids))[0].array
    see("logits (2, 3, 7), one token at a time", found).gives(want, rtol=1e-4, atol=1e-4)


@decoder.check("a tensor of (B, 1, V) and no loss")
def _():
    model = small()
    with no_grad():
        logits, loss = Decoder(model)(tensor(np.array([[1], [2]])), cache=memoization.make_caches(model, 2))
    see("shape of the logits", logits.shape).gives((2, 1, 7))
    see("the loss", loss).gives(None)


@decoder.check("all other calls are the model's")
def _():
    model, ids = small(), tensor(np.array([[1, 4, 0]]))
    fast = Decoder(model)
    with no_grad():
        want, loss = model(ids, ids)
        logits, found = fast(ids, ids)
        see("logits with targets", logits).gives(want.array, rtol=1e-4, atol=1e-4)
        see("the loss", found).gives(loss.array)
        several = fast(ids, cache=memoization.make_caches(model))[0]
        see("logits of three tokens with caches", several).gives(want.array, rtol=1e-4, atol=1e-4)
        see("without caches", fast(ids)[0]).gives(want.array, rtol=1e-4, atol=1e-4)
        one = ids[:, :1]
        loss, found = (way(one, one, memoization.make_caches(model))[1] for way in (model, fast))
        see("the loss of one token with caches", found).gives(loss)


def watched(model):
    """(a Decoder of the model for one token with caches, list of the calls that it makes to the model)."""
    fast, called = Decoder(model), []

    class Watched:
        def __getattr__(self, name):
            return getattr(model, name)

        def __call__(self, *args, **kwargs):
            called.append(args)
            return "logits", None

        forward = __call__

    fast.model = Watched()
    caches = memoization.make_caches(model)
    return lambda: fast(tensor(np.array([[1]])), cache=caches), called


@decoder.check("where autograd records, the model is called")
def _():
    one_token, called = watched(small())
    with suppress(RuntimeError):  # the cache refuses what is recorded
        one_token()
    see("how often the model was called", len(called)).gives(1)


@decoder.check("with dropout in training as well, and else it is not")
def _():
    for mode, times in (("training", 1), ("evaluation", 0)):
        one_token, called = watched(small(dropout=0.5).train(mode == "training"))
        with no_grad():
            one_token()
        see(f"how often the model was called, in {mode}", len(called)).gives(times)


cache_nbytes = exercises.add(
    "cache_nbytes",
    prompt=(
        "Return the bytes, an int, of the caches of a GPT with this config for so many positions "
        "(config.block_size if length is None): each block keeps a key and a value of n_embd numbers for "
        "each position of each member of the batch, in `dtype`."
    ),
    hints=(
        "Count the numbers first: two, for each block, member of the batch, position and feature.",
        "`np.dtype(dtype).itemsize` is the size of one number in bytes.",
    ),
    mistakes=(
        swap("2 * config.n_layer", "config.n_layer", "There are keys and values: two for each position."),
        swap(
            "np.dtype(dtype).itemsize",
            "4",
            "Not every number has four bytes: the dtype says how many.",
        ),
        swap("* batch_size", "", "Each member of the batch has its own keys and values."),
        swap(
            "config.block_size if length is None else length",
            "config.block_size",
            "The length that was asked for does not count; block_size is only what holds without one.",
        ),
        swap(
            "* config.n_embd",
            "* config.n_embd * config.n_head",
            "The heads share the n_embd features: each has n_embd / n_head of them.",
        ),
        swap(
            "* config.n_embd",
            "* (config.n_embd // config.n_head)",
            "These are the numbers of one head; all heads together keep n_embd.",
        ),
    ),
)


def sizes():
    return GPTConfig(7, block_size=6, n_layer=3, n_head=4, n_embd=4)


@cache_nbytes.check("by hand: 3 blocks, 2 positions, 4 features are 48 numbers, 192 bytes")
def _():
    see("cache_nbytes(config, 2)", int(memoization.cache_nbytes(sizes(), 2))).gives(192)


@cache_nbytes.check("without a length, block_size")
def _():
    see("cache_nbytes(config), block_size 6", int(memoization.cache_nbytes(sizes()))).gives(576)
    see("cache_nbytes(config, 0)", int(memoization.cache_nbytes(sizes(), 0))).gives(0)


@cache_nbytes.check("a batch of 5, in float16")
def _():
    see("batch_size=5", int(memoization.cache_nbytes(sizes(), 2, 5))).gives(960)
    found = int(memoization.cache_nbytes(sizes(), 2, 5, np.dtype("float16")))
    see("batch_size=5, float16", found).gives(480)
