"""17 Memoization: what was computed once need not be computed again.

memoize    a function's results, kept under the contents of its arguments. Michie 1968,
           https://doi.org/10.1038/218019a0
KVCache    a block's keys and values, kept under their positions. In a causal model nothing that comes later
           changes them, so to write one more token only its own key and value are new. Pope et al. 2022,
           https://arxiv.org/abs/2211.05102

Without a cache, token n of a text costs n positions; with it one, and a look at n keys. The price is memory:
2 numbers (a key's and a value's) for each feature, block, position and member of the batch.
"""

import hashlib
from collections import OrderedDict
from functools import update_wrapper
from typing import Any

import numpy as np

from .activations import normal_cdf
from .attention import turns
from .autograd import is_grad_enabled, no_grad
from .embeddings import apply_rotary
from .layers import Linear
from .profiling import measure
from .tensor import Op, Tensor, float32, int64, wrap, zeros
from .transformers import LayerNorm, generate

# Results under the contents of the arguments.


def fingerprint(value):
    """A hashable key for an argument: equal for equal contents, different for any others.

    Tensors and arrays give their shape, dtype and a hash of their bytes, 128 bits of BLAKE2b
    (https://www.rfc-editor.org/rfc/rfc7693): that two different arrays share one has a chance of 1 in 2^128.
    Raises TypeError for what has no contents that could be compared.
    """
    if isinstance(value, Tensor):
        return "tensor", *fingerprint(value.array)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiubc":
        flat: Any = np.ascontiguousarray(value).reshape(-1)
        contents = memoryview(flat).cast("B") if value.size else b""
        return "array", value.shape, value.dtype.str, hashlib.blake2b(contents, digest_size=16).digest()
    if isinstance(value, (list, tuple)):
        return type(value).__name__, *map(fingerprint, value)
    if isinstance(value, (float, complex)):
        return type(value).__name__, repr(value)  # 0.0 == -0.0, and nan != nan
    if isinstance(value, (bool, int, str, bytes, type(None), np.dtype)):
        return type(value).__name__, value
    raise TypeError(f"memoize: arrays, numbers, strings and tuples of them have a key, {value!r} has none")


class Memo:
    """A function that remembers its latest results: see `memoize`.

    Attributes: `hits`, `misses`; `nbytes`, what the results take; `len()`, how many there are.
    """

    def __init__(self, function, maxsize=128, max_nbytes=None):
        for name, value in (("maxsize", maxsize), ("max_nbytes", max_nbytes)):
            if value is not None and value < 1:
                raise ValueError(f"memoize: {name} is a number from 1, or None for no bound; {value} came")
        update_wrapper(self, function)
        self.function, self.maxsize, self.max_nbytes = function, maxsize, max_nbytes
        self.clear()

    def clear(self):
        """Forget all results, and count from 0."""
        self.results, self.hits, self.misses, self.nbytes = OrderedDict(), 0, 0, 0

    def __len__(self):
        return len(self.results)

    def __call__(self, *args, **kwargs):
        if Op.engine is not None and Op.engine.is_recording([*args, *kwargs.values()]):
            return self.function(*args, **kwargs)  # each result needs a history of its own
        key = fingerprint(args), fingerprint(tuple(sorted(kwargs.items())))
        if key in self.results:
            self.hits += 1
            self.results.move_to_end(key)  # the least recently used comes first
            return self.results[key]
        self.misses += 1
        result = self.results[key] = kept(self.function(*args, **kwargs))
        self.nbytes += size_of(result)
        while self.is_too_large() and self.results:
            self.nbytes -= size_of(self.results.popitem(last=False)[1])
        return result

    def is_too_large(self):
        too_many = self.maxsize is not None and len(self.results) > self.maxsize
        return too_many or (self.max_nbytes is not None and self.nbytes > self.max_nbytes)


def memoize(function=None, *, maxsize=128, max_nbytes=None):
    """Decorator: the function, or Op, computes each result once and finds it again under equal arguments.

    Only for pure functions: the result follows from the arguments alone (no random numbers, no parameters
    that change) and nothing else happens. At most `maxsize` results of at most `max_nbytes` together stay;
    the least recently used goes first. Results are read-only, since all callers share them. What autograd
    records is computed anew. It pays where computing takes much longer than hashing the arguments.
    """
    if function is None:
        return lambda function: Memo(function, maxsize, max_nbytes)
    return Memo(function, maxsize, max_nbytes)


def kept(result):
    """A read-only copy of a result: an array, a tensor, or a value that nobody can change."""
    if isinstance(result, Tensor):
        return wrap(kept(result.array))
    if isinstance(result, np.ndarray):
        result = result.copy()
        result.flags.writeable = False
        return result
    if isinstance(result, tuple):
        return tuple(map(kept, result))
    if result is None or isinstance(result, (bool, int, float, complex, str, bytes, np.generic)):
        return result
    raise TypeError(f"memoize: a {type(result).__name__} can be changed by whoever gets it; return a tuple")


def size_of(result):
    """Bytes of the arrays in a result."""
    if isinstance(result, tuple):
        return sum(map(size_of, result))
    array = result.array if isinstance(result, Tensor) else result
    return array.nbytes if isinstance(array, (np.ndarray, np.generic)) else 0


# Keys and values under their positions.


class KVCache:
    """The keys and values of one block: what CausalSelfAttention and `generate` take as `cache`.

    The memory is taken once, for max_length positions: keys (B, h, d, capacity), so that the scores are a
    product q @ keys with no copy, and values (B, h, capacity, d). With a window W only the last W positions
    stay, in a ring: position p lies in column p mod W, and each new one overwrites the one that it pushes
    out. max_length None: no end, which takes a window. dtype: in what the numbers are kept, float32 or
    float16; what `update` returns has the dtype that came.

    `len(cache)` is how many positions it has seen, also of those that a window has let go.
    """

    def __init__(
        self, batch_size, num_heads, head_dim, max_length, window=None, dtype=float32, device=None
    ):  # fmt: skip
        sizes = {"batch_size": batch_size, "num_heads": num_heads, "head_dim": head_dim}
        sizes |= {"max_length": max_length} if max_length is not None else {}
        sizes |= {"window": window} if window is not None else {}
        for name, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"KVCache: {name} is a whole number from 1, {size!r} came")
        if max_length is None and window is None:
            raise ValueError("KVCache: without max_length there is no end to it; give it a window")
        self.max_length, self.window, self.length = max_length, window, 0
        self.capacity = min(size for size in (max_length, window) if size is not None)
        settings = {"dtype": np.dtype(dtype), "device": device}
        self.keys = zeros(batch_size, num_heads, head_dim, self.capacity, **settings).array
        self.values = zeros(batch_size, num_heads, self.capacity, head_dim, **settings).array

    def __len__(self):
        return self.length

    def __bool__(self):
        return True  # an empty cache is one

    def update(self, key, value):
        """Append the keys and values of T positions, (B, h, T, d) each; return, as tensors of that form, all
        that the new positions may see: (B, h, S, d).

        One position gets the whole window in the order of the ring: attention is a sum over positions, and
        no order changes it. Several get, in order, those before them that the first one sees, and their own.
        Raises ValueError for another shape or where max_length ends, and RuntimeError where autograd records:
        no gradient flows into the past. Nothing has changed then.
        """
        self.check(key, value)
        new_k, new_v, count = key.array, value.array, key.shape[2]
        if self.window is None or count == 1:
            self.write(new_k, new_v)
            seen = min(self.length, self.capacity)
            k, v = self.keys[..., :seen].swapaxes(2, 3), self.values[:, :, :seen]
            same = k.dtype == new_k.dtype
            return (wrap(k), wrap(v)) if same else (wrap(k.astype(new_k.dtype)), wrap(v.astype(new_v.dtype)))
        before = min(self.length, self.window - 1, self.capacity)
        parts = self.columns(self.length - before, before)
        k = np.concatenate([*(self.keys[..., part].swapaxes(2, 3) for part in parts), new_k], 2)
        v = np.concatenate([*(self.values[:, :, part] for part in parts), new_v], 2)
        self.write(new_k, new_v)
        return wrap(k.astype(new_k.dtype, copy=False)), wrap(v.astype(new_v.dtype, copy=False))

    def write(self, new_k, new_v):
        """Put what fits of (B, h, T, d), the latest, into the columns of its positions."""
        if new_k.shape[2] == 1:
            column = self.length % self.capacity
            self.keys[..., column], self.values[:, :, column] = new_k[:, :, 0], new_v[:, :, 0]
            self.length += 1
            return
        self.length += new_k.shape[2]
        count = min(new_k.shape[2], self.capacity)
        taken = new_k.shape[2] - count
        for part in self.columns(self.length - count, count):
            stop = taken + part.stop - part.start
            self.keys[..., part] = new_k[:, :, taken:stop].swapaxes(2, 3)
            self.values[:, :, part] = new_v[:, :, taken:stop]
            taken = stop

    def columns(self, position, count):
        """Where `count` positions from this one on lie: one slice, or two around the end of the ring."""
        first = position % self.capacity
        last = first + count
        if last <= self.capacity:
            return [slice(first, last)] if count else []
        return [slice(first, self.capacity), slice(0, last - self.capacity)]

    def check(self, key, value):
        B, h, d, _ = self.keys.shape
        for name, came in (("keys", key.shape), ("values", value.shape)):
            if len(came) != 4 or (came[0], came[1], came[3]) != (B, h, d) or came[2] != key.shape[2]:
                raise ValueError(
                    f"KVCache: it was made for {name} ({B}, {h}, T, {d}), batch_size {B}; {came} came"
                )
        if self.max_length is not None and self.length + key.shape[2] > self.max_length:
            raise ValueError(
                f"KVCache: {self.length} positions are there and {key.shape[2]} came, max_length is "
                f"{self.max_length}; reset() it, or make a longer one"
            )
        if Op.engine is not None and Op.engine.is_recording(key, value):
            raise RuntimeError("KVCache: no gradient flows into the past; call the model inside no_grad()")

    def crop(self, length):
        """Forget all but the first `length` positions, as if the others had not come.

        Raises ValueError where a window has let some of those go that would be seen again.
        """
        if not 0 <= length <= self.length:
            raise ValueError(
                f"KVCache: {self.length} positions are there, so none can be cropped to {length}"
            )
        if length and length != self.length > self.capacity:
            raise ValueError(
                f"KVCache: the window holds positions {self.length - self.capacity} to {self.length - 1}; "
                f"what positions before {length} see is gone; reset() and begin anew"
            )
        self.length = length

    def reset(self):
        """Forget everything; the memory stays for the next text."""
        self.length = 0

    @property
    def nbytes(self):
        """Bytes of the memory that was taken, filled or not."""
        return self.keys.nbytes + self.values.nbytes

    def __repr__(self):
        B, h, d, _ = self.keys.shape
        window = "" if self.window is None else f", window={self.window}"
        return (
            f"KVCache(batch_size={B}, num_heads={h}, head_dim={d}, max_length={self.max_length}{window}, "
            f"dtype={self.keys.dtype}): {self.length} positions, {self.nbytes:,} bytes"
        )


def make_caches(model, batch_size=1, window=None, dtype=None, max_length=None):
    """A KVCache for each block of a GPT, for `generate(…, cache=…)` or model(ids, cache=…).

    max_length: as many positions as the model has, block_size. window: each position sees the last `window`
    ones, itself among them, at most block_size. Keys that know only differences of positions, rotary ones,
    then have no end. Learned and sinusoidal positions are a table, which ends at block_size: there a window
    saves memory and time, and the text is as long as before. dtype: the model's own.

    Streams without end: Xiao et al. 2023, https://arxiv.org/abs/2309.17453; sliding windows: Beltagy et al.
    2020, https://arxiv.org/abs/2004.05150
    """
    c, weight = model.config, model.transformer.ln_f.weight
    longest = c.block_size if max_length is None else max_length
    for name, size in (("window", window), ("max_length", max_length)):
        if size is not None and size > c.block_size:
            raise ValueError(f"make_caches: block_size is {c.block_size}, a {name} of {size} came")
    end = None if window is not None and max_length is None and c.positions == "rotary" else longest
    settings = {"window": window, "dtype": dtype or weight.dtype, "device": weight.device}
    shape = batch_size, c.n_head, c.n_embd // c.n_head, end
    return [KVCache(*shape, **settings) for _ in range(c.n_layer)]


PAGE = 128  # positions whose rotary angles a Decoder has made at once


class Decoder:
    """A GPT for `generate` with caches, one token at a time: the model's arithmetic on plain arrays.

    With a cache there is so little left to compute that Python's calls cost more than the arithmetic, and an
    Op is several. A call with one token each, caches, no targets and no recording goes this way; all others
    go to the model. The numbers in the parameters may change later; modules, dtype and device may not. A
    layer of another class, such as a quantized one, is called as it is.
    """

    def __init__(self, model):
        self.model, self.config, self.transformer = model, model.config, model.transformer
        self.ln_f, self.lm_head = plain_norm(model.transformer.ln_f), plain_linear(model.lm_head)
        self.blocks = [
            (
                *(plain_norm(block.ln_1), plain_linear(block.attn.c_attn), block.attn),
                *(plain_linear(block.attn.c_proj), plain_norm(block.ln_2)),
                *(plain_linear(block.mlp.c_fc), plain_linear(block.mlp.c_proj)),
            )
            for block in model.transformer.h
        ]

    @property
    def training(self):
        return self.model.training

    def train(self, mode=True):
        """The model's training mode. Returns this decoder."""
        self.model.train(mode)
        return self

    def eval(self):
        """train(False)."""
        return self.train(False)

    def __call__(self, idx, targets=None, cache=None):
        """What the model gives: (logits (B, T, V), loss or None)."""
        drops = self.model.training and self.config.dropout
        if cache is None or targets is not None or idx.shape[1] != 1 or is_grad_enabled() or drops:
            return self.model(idx, targets, cache)
        parts, past = self.transformer, self.model.past(cache, 1)
        x = parts.wte(idx).array[:, 0]  # (B, C)
        if "wpe" in parts:
            x = x + parts.wpe(1, past).array
        for layers, kept in zip(self.blocks, cache, strict=True):
            ln_1, c_attn, attn, attn_proj, ln_2, c_fc, mlp_proj = layers
            qkv = c_attn(ln_1(x))  # (B, 3 C)
            if attn.rotary is not None:
                heads = qkv.reshape(len(qkv), 1, 3, attn.num_heads, -1)
                page, place = past - past % PAGE, slice(past % PAGE, past % PAGE + 1)
                angles = turns(attn.rotary.dim, attn.rotary.base, PAGE, page)
                qkv = apply_rotary.fn(heads, *(x[place] for x in angles))
            mixed = attn.one_more(wrap(qkv.reshape(len(x), 1, -1)), kept)  # (B, 1, C)
            x = x + attn_proj(mixed.array[:, 0])
            hidden = c_fc(ln_2(x))
            hidden *= normal_cdf(hidden, "tanh")  # gelu
            x += mlp_proj(hidden)
        return wrap(self.lm_head(self.ln_f(x))[:, None]), None

    def generate(self, idx, max_new_tokens, **settings):
        """`generate` with this decoder; caches are made if none come."""
        settings.setdefault("cache", make_caches(self.model, len(idx)))
        return generate(self, idx, max_new_tokens, **settings)


def plain_linear(layer):
    """The layer as a function of an array (rows, in)."""
    if type(layer) is not Linear:
        return lambda x: layer(wrap(x)).array
    weight, bias = layer.weight, layer.bias
    if bias is None:
        return lambda x: x @ weight.array.T

    def linear(x):
        out = x @ weight.array.T
        out += bias.array
        return out

    return linear


def plain_norm(layer):
    """The norm as a function of an array (rows, C)."""
    if type(layer) is not LayerNorm or layer.weight is None:
        return lambda x: layer(wrap(x)).array
    weight, bias, eps = layer.weight, layer.bias, layer.eps
    average = np.full_like(weight.array, 1 / weight.array.size)

    def norm(x):
        out = x - (x @ average)[:, None]
        out *= (1 / np.sqrt((out * out) @ average + eps))[:, None]
        out *= weight.array
        if bias is not None:
            out += bias.array
        return out

    return norm


def cache_nbytes(config, length=None, batch_size=1, dtype=float32):
    """Bytes of all caches of a GPT for texts of this length (block_size): 2 L B T C numbers."""
    length = config.block_size if length is None else length
    return 2 * config.n_layer * batch_size * length * config.n_embd * np.dtype(dtype).itemsize


def seconds_per_token(model, lengths, batch_size=1, window=None, repeat=9):
    """{length: Timing}: what one more token takes after `length` others, for a GPT or a Decoder of one. The
    lengths are below block_size, or any under a window and with rotary positions.
    """
    device = model.transformer.ln_f.weight.device
    ids = zeros(batch_size, max(lengths), dtype=int64, device=device)
    times = {}
    with no_grad():
        for length in lengths:
            caches = make_caches(model, batch_size, window)
            model(ids[:, :length], cache=caches)

            def one_more(caches=caches, length=length):
                for cache in caches:
                    cache.length = length
                model(ids[:, :1], cache=caches)

            times[length] = measure(one_more, repeat)
    return times
