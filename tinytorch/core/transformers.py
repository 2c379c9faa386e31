"""13 Transformers: attention and a small network, in blocks, one on another: GPT, and how it writes.

    block       x <- x + attention(norm(x)),  x <- x + mlp(norm(x))
    layer_norm  (x - mean) / sqrt(variance + eps) * weight + bias         over the features of one position
    rms_norm    x / sqrt(mean of squares + eps) * weight

The norm stands before each part (pre-norm, as in GPT-2), so the sum of all parts runs undisturbed from the
tokens to the logits. Module names and shapes are GPT-2's: Radford et al. 2019,
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
"""

import math
from dataclasses import dataclass

import numpy as np

from ..utils.threads import parallel, scratch
from .activations import gelu, tile_size
from .attention import CausalSelfAttention, Together
from .autograd import derivative, no_grad
from .embeddings import Embedding, LearnedPositions, SinusoidalPositions
from .layers import Dropout, Linear, Module, ModuleDict, ModuleList, Parameter, fill
from .losses import cross_entropy
from .tensor import Generator, add, as_size, cat, default_generator, float32, ones, op, reshape, wrap, zeros
from .training import LRScheduler

# The norms.


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(var + eps) over the last dimensions, normalized_shape, times weight, plus bias.

    Ba et al. 2016, https://arxiv.org/abs/1607.06450
    """
    shape = as_size((normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape)
    check_normalized("layer_norm", input, shape, weight, bias)
    return normalized_rows(input, weight, bias, len(shape), eps, True, Statistics())


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """x / sqrt(mean(x^2) + eps) over the last dimensions, normalized_shape, times weight.

    eps None is the dtype's smallest step, as in PyTorch. Zhang & Sennrich 2019,
    https://arxiv.org/abs/1910.07467
    """
    shape = as_size((normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape)
    check_normalized("rms_norm", input, shape, weight, None)
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    return normalized_rows(input, weight, None, len(shape), eps, False, Statistics())


def check_normalized(name, input, shape, weight, bias):
    for what, tensor in (("the input's last dimensions", input), ("weight", weight), ("bias", bias)):
        found = shape if tensor is None else tensor.shape
        if (found[-len(shape) :] if tensor is input else found) != shape or not shape:
            raise ValueError(f"{name}: normalized_shape is {shape}, {what} {found}")


class Statistics(Together):
    """What a norm's forward pass leaves for its derivatives: each row's mean, and 1 / sqrt(var + eps)."""

    __slots__ = ("factor", "mean")


@op
def normalized_rows(input, weight, bias, dims, eps, centered, rows):
    """layer_norm, or rms_norm if not `centered`, over the last `dims` dimensions; `rows` takes Statistics."""
    size = math.prod(input.shape[-dims:])
    x = input.reshape(input.size // max(size, 1), size)
    result, average = np.empty_like(input, order="C"), np.full_like(x, 1 / max(size, 1), shape=(size, 1))
    out = result.reshape(x.shape)
    rows.mean, rows.factor = np.zeros_like(x, shape=(len(x), 1)), np.empty_like(x, shape=(len(x), 1))

    def work(start, stop):
        scale, shift = (repeated(p, x, start, stop) for p in (weight, bias))
        for tile in row_tiles(x, start, stop):
            y, part = out[tile], x[tile]
            if centered:
                rows.mean[tile] = mean = part @ average
                part = np.subtract(part, mean, out=y)
            variance = np.square(part, out=spare(y)) @ average
            if centered and (mean * mean > 1e4 * variance).any():  # far from 0 the mean itself is rounded
                rest = part @ average
                part -= rest
                rows.mean[tile] += rest
                variance = np.square(part, out=spare(y)) @ average
            rows.factor[tile] = factor = 1 / np.sqrt(variance + eps)
            np.multiply(part, factor, out=y)
            if scale is not None:
                y *= scale[: len(y)]
            if shift is not None:
                y += shift[: len(y)]

    if len(x) == 1:
        work(0, 1)  # one token: asking for threads would take longer than the norm
    else:
        parallel(work, len(x), grain=tile_rows(x))
    return result


def tile_rows(x):
    """How many rows make a tile that stays in the cache; on a GPU, all."""
    return max(1, (tile_size if isinstance(x, np.ndarray) else x.size) // max(x.shape[1], 1))


def row_tiles(x, start, stop):
    """Slices of the rows start to stop, a tile each."""
    step = tile_rows(x)
    return (slice(i, min(i + step, stop)) for i in range(start, stop, step))


def spare(part):
    """Memory for an intermediate result as large as a tile."""
    return scratch("norm", part.shape, part.dtype) if isinstance(part, np.ndarray) else np.empty_like(part)


def repeated(parameter, x, start, stop):
    """A weight or bias for each row of a tile: two equal shapes go twice as fast as broadcasting."""
    if parameter is None:
        return None
    rows = min(tile_rows(x), stop - start)
    return np.tile(parameter.reshape(1, -1), (rows if rows > 128 else 1, 1))


def norm_gradients(g, input, weight, dims, centered, rows):
    """The gradients of input, weight and bias. With d = g * weight, f the row's factor and m its mean,

    d_input = f d + b x + c,    b = -f^3 mean(d (x - m)),    c = -f mean(d) - b m
    d_weight = sum over the rows of g f (x - m),             d_bias = sum over the rows of g
    """
    size = math.prod(input.shape[-dims:])
    x = input.reshape(input.size // max(size, 1), size)
    d_input = np.empty_like(input, order="C")
    g, out = g.reshape(x.shape), d_input.reshape(x.shape)
    average = np.full_like(x, 1 / max(size, 1), shape=(size, 1))
    average = average if weight is None else average * weight.reshape(-1, 1)
    f, f_m = rows.factor, rows.factor * rows.mean
    f_m_and_1 = np.concatenate([f_m, np.ones_like(f)], 1)

    def work(start, stop):
        scale, sums = repeated(weight, x, start, stop), np.zeros_like(x, shape=(3, size))
        for tile in row_tiles(x, start, stop):
            d, x_tile, g_tile, f_tile = out[tile], x[tile], g[tile], f[tile]
            product = np.multiply(g_tile, x_tile, out=spare(d))
            f_mean = f_tile * (g_tile @ average)
            b = f_tile * (f_m[tile] * f_mean - f_tile * f_tile * (product @ average))
            sums[0] += (f_tile.T @ product)[0]
            sums[1:] += f_m_and_1[tile].T @ g_tile
            np.multiply(x_tile, b, out=product)
            if centered:
                product -= f_mean + b * rows.mean[tile]
            np.multiply(g_tile, 1 if scale is None else scale[: len(d)], out=d)
            d *= f_tile
            d += product
        return sums

    parts = parallel(work, len(x), grain=tile_rows(x))
    sums = sum(parts, np.zeros_like(x, shape=(3, size)))
    shape = input.shape[-dims:]
    return d_input, (sums[0] - sums[1]).reshape(shape), sums[2].reshape(shape)


def norm_gradient(place):
    """The derivative with respect to input (place 0), weight (1) or bias (2)."""

    def gradient(g, input, weight, dims, centered, rows):
        return rows.share(place, g, lambda: norm_gradients(g, input, weight, dims, centered, rows))

    return gradient


derivative(normalized_rows, *map(norm_gradient, range(3)))


class LayerNorm(Module):
    """`layer_norm` with a learned weight, at first 1, and bias, at first 0."""

    def __init__(
        self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, device=None, dtype=None
    ):
        super().__init__()
        self.normalized_shape = as_size(
            (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        )
        self.eps, self.elementwise_affine = eps, elementwise_affine
        settings = {"dtype": dtype or float32, "device": device}
        self.weight = Parameter(ones(self.normalized_shape, **settings)) if elementwise_affine else None
        has_bias = elementwise_affine and bias
        self.bias = Parameter(zeros(self.normalized_shape, **settings)) if has_bias else None

    def forward(self, input):
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """`rms_norm` with a learned weight, at first 1."""

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True, device=None, dtype=None):
        super().__init__()
        self.normalized_shape = as_size(
            (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        )
        self.eps, self.elementwise_affine = eps, elementwise_affine
        made = ones(self.normalized_shape, dtype=dtype or float32, device=device)
        self.weight = Parameter(made) if elementwise_affine else None

    def forward(self, input):
        return rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


# GPT.


@dataclass
class GPTConfig:
    """The sizes of a GPT and its choices.

    positions: "learned" or "sinusoidal" vectors that are added to the tokens', or "rotary" angles. norm:
    "layer" or "rms". tie_weights: the table of tokens is also the matrix that gives the logits (Press & Wolf
    2016, https://arxiv.org/abs/1608.05859).
    """

    vocab_size: int
    block_size: int = 128
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    dropout: float = 0.0
    bias: bool = True
    positions: str = "learned"
    norm: str = "layer"
    tie_weights: bool = True

    def __post_init__(self):
        for name in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"GPTConfig: {name} is a whole number from 1, {getattr(self, name)!r} came")
        for name, choices in (("positions", ("learned", "rotary", "sinusoidal")), ("norm", ("layer", "rms"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"GPTConfig: {name} is one of {choices}, {getattr(self, name)!r} came")

    def make_norm(self):
        return LayerNorm(self.n_embd, bias=self.bias) if self.norm == "layer" else RMSNorm(self.n_embd)


class MLP(Module):
    """What each position thinks for itself: (..., C) to (..., 4 C), gelu, and back to (..., C)."""

    def __init__(self, embed_dim, dropout=0.0, bias=True, hidden_dim=None):
        super().__init__()
        self.c_fc = Linear(embed_dim, hidden_dim or 4 * embed_dim, bias)
        self.c_proj = Linear(hidden_dim or 4 * embed_dim, embed_dim, bias)
        self.dropout = Dropout(dropout)

    def forward(self, input):
        return self.dropout(self.c_proj(gelu(self.c_fc(input), "tanh")))


class Block(Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): (B, T, C) to (B, T, C)."""

    def __init__(self, config):
        super().__init__()
        self.ln_1 = config.make_norm()
        self.attn = CausalSelfAttention(
            config.n_embd, config.n_head, config.dropout, config.bias, rotary=config.positions == "rotary"
        )
        self.ln_2 = config.make_norm()
        self.mlp = MLP(config.n_embd, config.dropout, config.bias)

    def forward(self, input, cache=None):
        input = add(input, self.attn(self.ln_1(input), cache))
        return add(input, self.mlp(self.ln_2(input)))


class GPT(Module):
    """A language model: ids (B, T) to logits (B, T, vocab_size) for the token that follows each.

    The weights begin as in GPT-2: normal with deviation 0.02, those that end in the sum over the blocks with
    0.02 / sqrt(2 n_layer), biases 0. State-dict keys are those of nanoGPT: transformer.wte.weight, …
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        parts: dict[str, Module] = {"wte": Embedding(config.vocab_size, config.n_embd)}
        if config.positions != "rotary":
            kind = LearnedPositions if config.positions == "learned" else SinusoidalPositions
            parts["wpe"] = kind(config.block_size, config.n_embd)
        parts["drop"] = Dropout(config.dropout)
        parts["h"] = ModuleList([Block(config) for _ in range(config.n_layer)])
        parts["ln_f"] = config.make_norm()
        self.transformer = ModuleDict(parts)
        self.lm_head = Linear(config.n_embd, config.vocab_size, bias=False)
        if config.tie_weights:
            self.lm_head.weight = self.transformer.wte.weight
        self.reset_parameters()

    def reset_parameters(self, generator=None):
        """Draw all weights anew."""
        numbers = (generator or default_generator).numpy
        for name, p in self.named_parameters():
            if p.ndim > 1:
                deviation = 0.02 / math.sqrt(2 * self.config.n_layer) if "c_proj" in name else 0.02
                fill(p, deviation * numbers.standard_normal(p.shape, np.float32))
            elif name.endswith("bias"):
                fill(p, 0)

    def forward(self, idx, targets=None, cache=None):
        """(logits, loss): the loss is the mean cross-entropy against targets (B, T), None without them.

        A target of -100 does not count. cache: one for each block, see CausalSelfAttention; idx then holds
        the tokens after those that the caches hold.
        """
        length = idx.shape[-1]
        past = self.past(cache, length)
        x = self.transformer.wte(idx)  # (B, T, C)
        if "wpe" in self.transformer:
            x = add(x, self.transformer.wpe(length, past))
        x = self.transformer.drop(x)
        for i, block in enumerate(self.transformer.h):
            x = block(x, None if cache is None else cache[i])
        logits = self.lm_head(self.transformer.ln_f(x))  # (B, T, V)
        if targets is None:
            return logits, None
        rows = reshape(logits, (-1, self.config.vocab_size))
        return logits, cross_entropy(rows, reshape(targets, (-1,)))

    def past(self, cache, length):
        """How many positions the caches hold; checks that there is room for `length` more."""
        if cache is not None and len(cache) != self.config.n_layer:
            raise ValueError(f"GPT: {self.config.n_layer} blocks need a cache each, {len(cache)} came")
        past = 0 if cache is None else len(cache[0])
        slides = cache is not None and getattr(cache[0], "window", None) is not None
        if past + length > self.config.block_size and not (slides and self.config.positions == "rotary"):
            raise ValueError(
                f"GPT: {past + length} tokens came, block_size is {self.config.block_size}; crop the sequence"
            )
        return past

    def generate(self, idx, max_new_tokens, **settings):
        """`generate` with this model."""
        return generate(self, idx, max_new_tokens, **settings)

    def num_parameters(self, embeddings=True):
        """How many numbers are learned; without `embeddings`, those of the blocks and norms alone."""
        total = sum(math.prod(p.shape) for p in learned(self))
        if embeddings:
            return total
        tables = {self.transformer.wte.weight, self.lm_head.weight}
        tables |= {self.transformer.wpe.weight} if self.config.positions == "learned" else set()
        return total - sum(math.prod(p.shape) for p in tables)

    def flops_per_token(self, length=None):
        """Operations of a forward pass for one token of a sequence of this length (block_size): a product
        with an (m, n) matrix takes 2 m n, and attention 4 C for each of the `length` positions, masked or
        not. Training takes three times as many. Kaplan et al. 2020, section 2.1,
        https://arxiv.org/abs/2001.08361
        """
        c = self.config
        matrices = sum(math.prod(p.shape) for p in learned(self.transformer.h) if len(p.shape) == 2)
        head = c.vocab_size * c.n_embd
        return 2 * (matrices + head) + 4 * c.n_layer * c.n_embd * (c.block_size if length is None else length)

    def optimizer_groups(self, weight_decay=0.1):
        """Parameter groups for an optimizer: matrices and tables decay, biases and norms do not."""
        decay = [p for p in self.parameters() if p.ndim > 1]
        keep = [p for p in self.parameters() if p.ndim <= 1]
        return [{"params": decay, "weight_decay": weight_decay}, {"params": keep, "weight_decay": 0.0}]


def learned(module):
    """The parameters in a module, each once. A layer that stores integers (15) has a module with a shape in
    the place of its weight, which counts for it, and its bias is a buffer.
    """
    found = dict.fromkeys(module.parameters())
    for layer in module.modules():
        if isinstance(getattr(layer, "weight", None), Module):
            found |= dict.fromkeys(x for x in (layer.weight, layer.bias) if x is not None)
    return list(found)


# Writing: one token after another.


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """One id for each row of logits, an array (B, V): see `generate`."""
    if temperature == 0:
        return logits.argmax(-1)
    scaled = (logits - logits.max(-1, keepdims=True)).astype(np.float64) / temperature
    order = np.argsort(-scaled, axis=-1)  # the most probable first
    p = np.exp(np.take_along_axis(scaled, order, -1))
    p /= p.sum(-1, keepdims=True)
    if top_k is not None:
        p[:, top_k:] = 0
    if top_p is not None:
        p[np.cumsum(p, -1) - p >= top_p * p.sum(-1, keepdims=True)] = 0  # the first always stays
    reached = np.cumsum(p, -1)
    drawn = np.asarray((generator or default_generator).numpy.random((len(p), 1)), like=p) * reached[:, -1:]
    place = np.minimum((reached <= drawn).sum(-1, keepdims=True), (p > 0).sum(-1, keepdims=True) - 1)
    return np.take_along_axis(order, place, -1)[:, 0]


def generate(
    model, idx, max_new_tokens, temperature=1.0, top_k=None, top_p=None, stop_tokens=(), generator=None,
    cache=None,
):  # fmt: skip
    """ids (B, T) with up to max_new_tokens more, each drawn from the model's distribution after those before
    it.

    temperature: 0 always takes the most probable token, 1 draws from the model's own distribution. top_k:
    only from the k most probable; top_p: only from the most probable that together reach p. stop_tokens: a
    sequence ends after one of them, and is filled up with it until all have ended. generator: a Generator or
    a seed. The model sees the last block_size tokens; with a cache, each token once, and no more than
    block_size in all, unless a window slides over rotary positions.
    """
    check_generate(idx, max_new_tokens, temperature, top_k, top_p)
    if isinstance(generator, int):
        generator = Generator(generator)
    was_training, block_size = model.training, model.config.block_size
    model.eval()
    try:
        with no_grad():
            fed, ended, stops = idx, np.zeros(len(idx), bool), list(stop_tokens)
            for _ in range(max_new_tokens):
                logits, _ = model(fed[:, -block_size:] if cache is None else fed, cache=cache)
                new = sample(logits[:, -1].array, temperature, top_k, top_p, generator)  # (B,)
                last = idx.array[:, -1]
                new = np.where(np.asarray(ended, like=last), last, new).astype(last.dtype)
                idx = cat([idx, wrap(new[:, None])], 1)
                fed = idx if cache is None else wrap(new[:, None])
                if stops:
                    ended |= np.isin(new if isinstance(new, np.ndarray) else new.get(), stops)
                    if ended.all():
                        break
    finally:
        model.train(was_training)
    return idx


def check_generate(idx, max_new_tokens, temperature, top_k, top_p):
    if idx.ndim != 2 or not idx.shape[1]:
        raise ValueError(f"generate: ids (B, T) with at least one token each are needed, {idx.shape} came")
    if max_new_tokens < 0:
        raise ValueError(f"generate: max_new_tokens is a number from 0, {max_new_tokens} came")
    if not 0 <= temperature < math.inf:
        raise ValueError(f"generate: temperature is a number from 0, {temperature} came")
    if top_k is not None and top_k < 1:
        raise ValueError(f"generate: top_k keeps at least 1 token, {top_k} came")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"generate: top_p is a probability above 0, {top_p} came")


class WarmupCosineLR(LRScheduler):
    """From near 0 in a straight line up to the base rate in `warmup` steps, then half a cosine down to
    `min_lr` at step `total`, where it stays: the schedule of GPT-3, Brown et al. 2020,
    https://arxiv.org/abs/2005.14165
    """

    def __init__(self, optimizer, warmup, total, min_lr=0.0, last_epoch=-1):
        if not 0 <= warmup < total:
            raise ValueError(f"WarmupCosineLR: 0 <= warmup < total is needed; {warmup}, {total} came")
        self.warmup, self.total, self.min_lr = warmup, total, min_lr
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        step = self.last_epoch
        if step < self.warmup:
            return [lr * (step + 1) / (self.warmup + 1) for lr in self.base_lrs]
        done = min((step - self.warmup) / (self.total - self.warmup), 1)
        height = (1 + math.cos(math.pi * done)) / 2
        return [self.min_lr + (lr - self.min_lr) * height for lr in self.base_lrs]
