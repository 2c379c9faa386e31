"""Exercises of module 13, Transformers."""

import math
from typing import Any

import numpy as np

from tinytorch.core import transformers
from tinytorch.core.autograd import is_grad_enabled
from tinytorch.core.layers import Module, Parameter, fill
from tinytorch.core.optimizers import SGD
from tinytorch.core.tensor import Generator, add, manual_seed, mul, tensor

from ..checking import Exercises, call, gradients, raises, see, swap, wrong
from .attention import Kept

exercises = Exercises("transformers")


def grid(*shape, seed=13):
    """Numbers of both signs, float32."""
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def single(x):
    return np.asarray(x, np.float32)


def norm_by_formula(x, weight, bias, dims, eps, centered):
    """(result, mean and factor of each row) in float64."""
    rows = x.astype(np.float64).reshape(-1, math.prod(x.shape[-dims:]))
    mean = rows.mean(1, keepdims=True) if centered else np.zeros((len(rows), 1))
    factor = 1 / np.sqrt(((rows - mean) ** 2).mean(1, keepdims=True) + eps)
    out = ((rows - mean) * factor).reshape(x.shape)
    out = out if weight is None else out * weight
    return out if bias is None else out + bias, mean, factor


normalized_rows = exercises.add(
    "normalized_rows",
    prompt=(
        "Return (x - mean) / sqrt(variance + eps) * weight + bias, or x / sqrt(mean of squares + eps) "
        "* weight + bias if not `centered`, in the input's shape and dtype; the input stays as it is. Mean "
        "and variance (the mean of the squared distances) are taken over the last `dims` dimensions, all "
        "of which make one row. weight and bias have the shape of these dimensions; each may be None. "
        "Leave in rows.mean each row's mean (0 if not centered) and in rows.factor its 1 / sqrt(variance "
        "+ eps), both of shape (number of rows, 1)."
    ),
    hints=(
        "Make the input two-dimensional first: one row for each position, all last dimensions side by "
        "side. Then both statistics are means along axis 1. No tile and no thread is needed.",
        "`x = input.reshape(-1, size)`, size = math.prod(input.shape[-dims:]); `x.mean(1, "
        "keepdims=True)` broadcasts back.",
        "Shape back at the end, then multiply by weight and add bias where they are there.",
    ),
    mistakes=(
        wrong(
            """
            def normalized_rows(input, weight, bias, dims, eps, centered, rows):
                x = input.reshape(-1, math.prod(input.shape[-dims:]))
                rows.mean = x.mean(1, keepdims=True) if centered else np.zeros_like(x[:, :1])
                variance = ((x - rows.mean) ** 2).sum(1, keepdims=True) / (x.shape[1] - 1)
                rows.factor = 1 / np.sqrt(variance + eps)
                out = ((x - rows.mean) * rows.factor).reshape(input.shape)
                out = out if weight is None else out * weight
                return out if bias is None else out + bias
            """,
            "The variance is divided by n - 1; a norm divides by n.",
        ),
        wrong(
            """
            def normalized_rows(input, weight, bias, dims, eps, centered, rows):
                x = input.reshape(-1, math.prod(input.shape[-dims:]))
                rows.mean = x.mean(1, keepdims=True) if centered else np.zeros_like(x[:, :1])
                rows.factor = 1 / (np.sqrt(((x - rows.mean) ** 2).mean(1, keepdims=True)) + eps)
                out = ((x - rows.mean) * rows.factor).reshape(input.shape)
                out = out if weight is None else out * weight
                return out if bias is None else out + bias
            """,
            "eps stands inside of the root: sqrt(variance + eps), not sqrt(variance) + eps.",
        ),
        wrong(
            """
            def normalized_rows(input, weight, bias, dims, eps, centered, rows):
                x = input.reshape(-1, math.prod(input.shape[-dims:]))
                rows.mean = x.mean(1, keepdims=True)
                rows.factor = 1 / np.sqrt(((x - rows.mean) ** 2).mean(1, keepdims=True) + eps)
                out = ((x - rows.mean) * rows.factor).reshape(input.shape)
                out = out if weight is None else out * weight
                return out if bias is None else out + bias
            """,
            "The mean is subtracted even if not `centered`: rms_norm only divides.",
        ),
        wrong(
            """
            def normalized_rows(input, weight, bias, dims, eps, centered, rows):
                x = input.reshape(-1, input.shape[-1])
                rows.mean = x.mean(1, keepdims=True) if centered else np.zeros_like(x[:, :1])
                rows.factor = 1 / np.sqrt(((x - rows.mean) ** 2).mean(1, keepdims=True) + eps)
                out = ((x - rows.mean) * rows.factor).reshape(input.shape)
                out = out if weight is None else out * weight
                return out if bias is None else out + bias
            """,
            "Only the last dimension is normalized, whatever `dims` says.",
        ),
        wrong(
            """
            def normalized_rows(input, weight, bias, dims, eps, centered, rows):
                x = input.reshape(-1, math.prod(input.shape[-dims:]))
                rows.mean = x.mean(1, keepdims=True) if centered else np.zeros_like(x[:, :1])
                rows.factor = 1 / np.sqrt(((x - rows.mean) ** 2).mean(1, keepdims=True) + eps)
                return ((x - rows.mean) * rows.factor).reshape(input.shape)
            """,
            "The learned weight and bias are not used.",
        ),
        wrong(
            """
            def normalized_rows(input, weight, bias, dims, eps, centered, rows):
                x = input.reshape(-1, math.prod(input.shape[-dims:]))
                rows.mean = x.mean(1, keepdims=True) if centered else np.zeros_like(x[:, :1])
                variance = (x * x).mean(1, keepdims=True) - rows.mean**2
                rows.factor = 1 / np.sqrt(variance + eps)
                out = ((x - rows.mean) * rows.factor).reshape(input.shape)
                out = out if weight is None else out * weight
                return out if bias is None else out + bias
            """,
            "The mean of the squares minus the square of the mean: far from 0 two large numbers are "
            "subtracted, and rounding is all that is left.",
        ),
        wrong(
            """
            def normalized_rows(input, weight, bias, dims, eps, centered, rows):
                x = input.reshape(-1, math.prod(input.shape[-dims:]))
                rows.mean = x.mean(1, keepdims=True) if centered else np.zeros_like(x[:, :1])
                x -= rows.mean
                rows.factor = 1 / np.sqrt((x**2).mean(1, keepdims=True) + eps)
                out = (x * rows.factor).reshape(input.shape)
                out = out if weight is None else out * weight
                return out if bias is None else out + bias
            """,
            "The mean is subtracted from the input itself: a reshape shares its memory.",
        ),
    ),
)


def check_norm(x, weight=None, bias=None, dims=1, eps=1e-5, centered=True):
    rows: Any = transformers.Statistics()
    given, x_given = [None if p is None else tensor(p) for p in (weight, bias)], tensor(x)
    what = "layer_norm" if centered else "rms_norm"
    words = f"{what} of {x.tolist() if x.size <= 4 else x.shape}, dims={dims}, eps={eps}"
    out, mean, factor = norm_by_formula(x, weight, bias, dims, eps, centered)
    words += ", no weight" if weight is None and bias is not None else ""
    found = transformers.normalized_rows(x_given, *given, dims, eps, centered, rows)
    see(words, found).gives(tensor(single(out)), atol=1e-5)
    see(f"{words}: rows.mean", rows.mean).gives(mean.tolist())
    see(f"{words}: rows.factor", rows.factor).gives(factor.tolist())
    see(f"{words}: the input afterwards", x_given).gives(tensor(x))


@normalized_rows.check("a row of four gets mean 0 and variance 1")
def _():
    check_norm(single([[1.0, 2.0, 3.0, 6.0]]))


@normalized_rows.check("eps stands inside of the root")
def _():
    check_norm(single([[1.0, 3.0], [5.0, 5.0]]), eps=0.5)


@normalized_rows.check("weight and bias, and any number of dimensions in front")
def _():
    check_norm(grid(2, 3, 4), grid(4, seed=1), grid(4, seed=2))


@normalized_rows.check("a bias without a weight")
def _():
    check_norm(grid(3, 4), None, grid(4, seed=2))


@normalized_rows.check("a mean far from 0")
def _():
    check_norm(single([[10001.0, 10002.0, 10003.0, 10006.0]]))


@normalized_rows.check("without centering: rms_norm")
def _():
    check_norm(grid(3, 4) + 1, grid(4, seed=1), centered=False)


@normalized_rows.check("the last two dimensions together")
def _():
    check_norm(grid(3, 2, 2), grid(2, 2, seed=1), grid(2, 2, seed=2), dims=2)


norm_gradients = exercises.add(
    "norm_gradients",
    prompt=(
        "Return (d_input, d_weight, d_bias) for the gradient g of normalized_rows' result. d_input has "
        "the input's shape, the others that of its last `dims` dimensions; all have to be there even "
        "if weight is None, which counts as ones. rows.mean (N, 1) and rows.factor (N, 1) are what the "
        "forward pass left. If not `centered`, m is 0 and c is 0."
    ),
    hints=(
        "Everything is two-dimensional after a reshape of input and g to (N, size): `f` and `m` are "
        "columns (N, 1), and so are b and c.",
        "d = g * weight, then b and c as in the formula, with means along axis 1, keepdims=True.",
        "d_weight is `(g * f * (x - m)).sum(0)`, d_bias is `g.sum(0)`, both shaped to input.shape[-dims:].",
    ),
    mistakes=(
        wrong(
            """
            def norm_gradients(g, input, weight, dims, centered, rows):
                shape = input.shape[-dims:]
                x, g = (a.reshape(-1, math.prod(shape)) for a in (input, g))
                d = g if weight is None else g * weight.reshape(-1)
                hat, d_input = (x - rows.mean) * rows.factor, (d * rows.factor).reshape(input.shape)
                return d_input, (g * hat).sum(0).reshape(shape), g.sum(0).reshape(shape)
            """,
            "Mean and variance depend on every x of the row, too: b x + c is missing in d_input.",
        ),
        wrong(
            """
            def norm_gradients(g, input, weight, dims, centered, rows):
                shape = input.shape[-dims:]
                x, g = (a.reshape(-1, math.prod(shape)) for a in (input, g))
                f, hat = rows.factor, (x - rows.mean) * rows.factor
                d_input = f * (g - hat * (g * hat).mean(1, keepdims=True))
                if centered:
                    d_input -= f * g.mean(1, keepdims=True)
                return d_input.reshape(input.shape), (g * hat).sum(0).reshape(shape), g.sum(0).reshape(shape)
            """,
            "The weight is missing on the way to the input: d = g * weight.",
        ),
        wrong(
            """
            def norm_gradients(g, input, weight, dims, centered, rows):
                shape = input.shape[-dims:]
                x, g = (a.reshape(-1, math.prod(shape)) for a in (input, g))
                d = g if weight is None else g * weight.reshape(-1)
                f, hat = rows.factor, (x - rows.mean) * rows.factor
                d_input = f * (d - hat * (d * hat).mean(1, keepdims=True) - d.mean(1, keepdims=True))
                return d_input.reshape(input.shape), (g * hat).sum(0).reshape(shape), g.sum(0).reshape(shape)
            """,
            "Without centering no mean was subtracted, so c is 0.",
        ),
        wrong(
            """
            def norm_gradients(g, input, weight, dims, centered, rows):
                shape = input.shape[-dims:]
                x, g = (a.reshape(-1, math.prod(shape)) for a in (input, g))
                d = g if weight is None else g * weight.reshape(-1)
                f, hat = rows.factor, (x - rows.mean) * rows.factor
                d_input = f * (d - hat * (d * hat).mean(1, keepdims=True))
                if centered:
                    d_input -= f * d.mean(1, keepdims=True)
                return d_input.reshape(input.shape), (g * x).sum(0).reshape(shape), g.sum(0).reshape(shape)
            """,
            "The weight was multiplied with the normalized x, f (x - m): so its gradient is the sum of "
            "g times that.",
        ),
        wrong(
            """
            def norm_gradients(g, input, weight, dims, centered, rows):
                shape = input.shape[-dims:]
                x, g = (a.reshape(-1, math.prod(shape)) for a in (input, g))
                d = g if weight is None else g * weight.reshape(-1)
                f, hat = rows.factor, (x - rows.mean) * rows.factor
                d_input = f * (d - hat * (d * hat).mean(1, keepdims=True))
                if centered:
                    d_input -= f * d.mean(1, keepdims=True)
                return d_input.reshape(input.shape), (d * hat).sum(0).reshape(shape), d.sum(0).reshape(shape)
            """,
            "d_weight and d_bias are sums of g itself; only d_input takes g * weight.",
        ),
    ),
)


def check_norm_gradients(x, g, weight, dims, centered):
    rows: Any = transformers.Statistics()
    shape = x.shape[-dims:]
    _, rows.mean, rows.factor = norm_by_formula(x, None, None, dims, 1e-5, centered)
    hat = ((x.reshape(len(rows.mean), -1) - rows.mean) * rows.factor).reshape(x.shape)
    d, axes = g if weight is None else g * weight, tuple(range(-dims, 0))
    want = d - hat * (d * hat).mean(axes, keepdims=True)
    want = want - d.mean(axes, keepdims=True) if centered else want
    want = want * rows.factor.reshape(x.shape[:-dims] + (1,) * dims)
    found = transformers.norm_gradients(g, x, weight, dims, centered, rows)
    words = f"{'layer_norm' if centered else 'rms_norm'}, input {x.shape}, dims={dims}"
    see(f"{words}: d_input", found[0]).gives(want)
    see(f"{words}: d_weight", found[1]).gives((g * hat).reshape(-1, *shape).sum(0))
    see(f"{words}: d_bias", found[2]).gives(g.reshape(-1, *shape).sum(0))


@norm_gradients.check("layer_norm of one row of four")
def _():
    x, g = np.array([[1.0, 2.0, 3.0, 6.0]]), np.array([[1.0, 0.0, 0.0, 0.0]])
    check_norm_gradients(x, g, None, 1, True)


@norm_gradients.check("layer_norm with a weight")
def _():
    x, g, weight = (
        grid(*shape, seed=i).astype(np.float64) for i, shape in enumerate([(2, 3, 4), (2, 3, 4), (4,)])
    )
    check_norm_gradients(x, g, weight, 1, True)


@norm_gradients.check("rms_norm with a weight")
def _():
    x, g, weight = (grid(*shape, seed=i).astype(np.float64) for i, shape in enumerate([(3, 4), (3, 4), (4,)]))
    check_norm_gradients(x, g, weight, 1, False)


@norm_gradients.check("the last two dimensions together")
def _():
    x, g, weight = (
        grid(*shape, seed=i).astype(np.float64) for i, shape in enumerate([(3, 2, 2), (3, 2, 2), (2, 2)])
    )
    check_norm_gradients(x, g, weight, 2, True)


@norm_gradients.check("backward through layer_norm agrees with differences")
def _():
    def norm(x, weight, bias):
        return transformers.layer_norm(x, 3, weight, bias)

    gradients("layer_norm", norm, grid(2, 3), grid(3, seed=1), grid(3, seed=2))


mlp = exercises.add(
    "MLP.forward",
    prompt=(
        'Return what c_fc, gelu in its approximation by "tanh", c_proj and the dropout, one after the '
        "other, make of input (..., C)."
    ),
    hints=(
        "Four calls, one inside of the other; the layers are attributes of self.",
        '`gelu(x, "tanh")` is the approximation that GPT-2 uses.',
    ),
    mistakes=(
        swap(', "tanh"', "", "This is the exact gelu; GPT-2 has its approximation by tanh."),
        swap(
            'gelu(self.c_fc(input), "tanh")',
            "self.c_fc(input)",
            "gelu is missing: two linear layers without anything in between are one linear layer.",
        ),
        swap(
            'self.dropout(self.c_proj(gelu(self.c_fc(input), "tanh")))',
            'self.c_proj(gelu(self.c_fc(input), "tanh"))',
            "The dropout at the end is missing.",
        ),
        swap(
            'self.c_proj(gelu(self.c_fc(input), "tanh"))',
            'gelu(self.c_proj(self.c_fc(input)), "tanh")',
            "gelu stands between the two layers, not after them.",
        ),
    ),
)


def mlp_by_formula(x, layer):
    y = x.astype(np.float64) @ layer.c_fc.weight.array.T + layer.c_fc.bias.array
    y = 0.5 * y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
    return single(y @ layer.c_proj.weight.array.T + layer.c_proj.bias.array)


@mlp.check("one feature, one hidden number, all weights 1")
def _():
    layer = transformers.MLP(1, bias=False, hidden_dim=1)
    for p in layer.parameters():
        fill(p, np.ones((1, 1), np.float32))
    y = np.array([[-2.0], [1.0], [2.0]])
    want = 0.5 * y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
    see("mlp([[-2], [1], [2]])", layer(tensor(single(y)))).gives(tensor(single(want)))


@mlp.check("four times as many features in between")
def _():
    layer, x = transformers.MLP(3), grid(2, 4, 3)
    see("mlp(x), x (2, 4, 3)", layer(tensor(x))).gives(tensor(mlp_by_formula(x, layer)))


@mlp.check("dropout in training, and none in evaluation")
def _():
    layer, x = transformers.MLP(3, dropout=0.5), grid(8, 3)
    out = layer(tensor(x))
    see("mlp(x) in training, dropout=0.5", out).satisfies(bool((out.array == 0).any()), "some numbers 0")
    see("mlp(x) in evaluation", layer.eval()(tensor(x))).gives(tensor(mlp_by_formula(x, layer)))


block = exercises.add(
    "Block.forward",
    prompt=(
        "Return input + attn(ln_1(input), cache), and to that sum add mlp(ln_2(sum)): (B, T, C) to (B, "
        "T, C). The input itself is left as it was."
    ),
    hints=(
        "Two steps of the same form: x plus what a part makes of the norm of x.",
        "The second step starts from the result of the first. `add(a, b)` is the Op; `self.attn` takes "
        "the cache as its second argument.",
    ),
    mistakes=(
        wrong(
            """
            def forward(self, input, cache=None):
                input = self.ln_1(add(input, self.attn(input, cache)))
                return self.ln_2(add(input, self.mlp(input)))
            """,
            "The norm stands after the sum; in this block it stands before each part, and the sum runs "
            "undisturbed.",
        ),
        wrong(
            """
            def forward(self, input, cache=None):
                return self.mlp(self.ln_2(self.attn(self.ln_1(input), cache)))
            """,
            "Each part's result is added to its input; here it takes the input's place.",
        ),
        wrong(
            """
            def forward(self, input, cache=None):
                mixed = add(input, self.attn(self.ln_1(input), cache))
                return add(mixed, self.mlp(self.ln_2(input)))
            """,
            "The mlp has to see what attention has found: its norm takes the sum, not the block's input.",
        ),
        wrong(
            """
            def forward(self, input, cache=None):
                input = add(input, self.attn(self.ln_1(input)))
                return add(input, self.mlp(self.ln_2(input)))
            """,
            "The cache is not passed on to the attention.",
        ),
    ),
)


class Plain(Module):
    """x * factor + plus; remembers the cache that it was given."""

    def __init__(self, factor, plus):
        super().__init__()
        self.factor, self.plus, self.given = factor, plus, None

    def forward(self, input, cache=None):
        self.given = cache
        return add(mul(input, self.factor), self.plus)


def config(**settings):
    sizes = {"vocab_size": 5, "block_size": 3, "n_layer": 1, "n_head": 1, "n_embd": 2}
    return transformers.GPTConfig(**sizes | settings)


def plain_block():
    made: Any = transformers.Block(config())
    made.ln_1, made.attn, made.ln_2, made.mlp = Plain(1, 1), Plain(10, 0), Plain(1, 2), Plain(100, 0)
    return made


@block.check("with simple parts: norms that add 1 and 2, attention times 10, mlp times 100")
def _():
    x = tensor(single([[[1.0, -1.0]]]))
    see("block([[[1, -1]]])", plain_block()(x)).gives([[[2321.0, 99.0]]])
    see("the input afterwards", x).gives([[[1.0, -1.0]]])


@block.check("the real parts")
def _():
    made, x = transformers.Block(config(n_head=2, n_embd=4)), tensor(grid(2, 3, 4))
    between = x.array + made.attn(made.ln_1(x)).array
    want = between + made.mlp(made.ln_2(tensor(between))).array
    see("block(x), x (2, 3, 4)", made(x)).gives(tensor(want))


@block.check("the attention gets the cache")
def _():
    made, cache = plain_block(), ["a cache"]
    made(tensor(single([[[1.0, 2.0]]])), cache)
    see("the cache that attn was given", made.attn.given).gives(cache)


reset = exercises.add(
    "GPT.reset_parameters",
    prompt=(
        "Draw the weights anew: matrices and tables (more than one dimension) from a normal "
        "distribution of mean 0 and deviation 0.02, those whose name has c_proj in it with 0.02 / "
        "sqrt(2 n_layer); every bias becomes 0, the norms' weights stay. Draw from `generator`, or "
        "from default_generator without one."
    ),
    hints=(
        "Go through self.named_parameters(), and decide by p.ndim and by the name.",
        "`(generator or default_generator).numpy` is NumPy's generator; `fill(p, array)` writes into a "
        "parameter.",
        "`deviation * numbers.standard_normal(p.shape, np.float32)`",
    ),
    mistakes=(
        swap(
            "math.sqrt(2 * self.config.n_layer)",
            "1",
            "The weights that end in the sum over the blocks, c_proj, begin smaller: 0.02 / sqrt(2 n_layer).",
        ),
        swap(
            "math.sqrt(2 * self.config.n_layer)",
            "math.sqrt(self.config.n_layer)",
            "Each block adds to the sum twice: divide by sqrt(2 n_layer).",
        ),
        swap("fill(p, 0)", "pass", "The biases have to become 0."),
        swap(
            'elif name.endswith("bias"):',
            "else:",
            "The norms' weights became 0: they stay 1, or nothing comes through.",
        ),
        swap(
            "(generator or default_generator)",
            "default_generator",
            "`generator` is not used: the same seed has to give the same weights.",
        ),
        swap(
            "(generator or default_generator)",
            "(generator or Generator())",
            "Without a generator the numbers come from default_generator, which manual_seed seeds.",
        ),
    ),
)


def drawn_gpt():
    """Every number of it is 7, then drawn anew with seed 1."""
    model = transformers.GPT(config(vocab_size=60, n_layer=2, n_embd=32))
    for p in model.parameters():
        fill(p, 7)
    model.reset_parameters(Generator(1))
    return model


@reset.check("matrices and tables have a deviation of 0.02")
def _():
    for name, p in drawn_gpt().named_parameters():
        if p.ndim > 1 and p.array.size >= 256 and "c_proj" not in name:
            seen = see(f"the deviation of {name}", round(float(p.array.std()), 3))
            seen.satisfies(0.017 < seen.value < 0.023, "about 0.02")


@reset.check("those that end in the sum begin smaller: 0.01 in two blocks")
def _():
    for name, p in drawn_gpt().named_parameters():
        if "c_proj.weight" in name:
            seen = see(f"the deviation of {name}, n_layer=2", round(float(p.array.std()), 3))
            seen.satisfies(0.0085 < seen.value < 0.0115, "about 0.01")


@reset.check("the numbers are normal, so one in twenty is beyond 0.04")
def _():
    share = float((np.abs(drawn_gpt().transformer.wte.weight.array) > 0.04).mean())
    seen = see("the share of wte.weight beyond 0.04", share)
    seen.satisfies(0.02 < share < 0.08, "about 0.05")


@reset.check("biases become 0, the norms' weights stay")
def _():
    for name, p in drawn_gpt().named_parameters():
        if p.ndim == 1:
            expected = [0.0] * p.array.size if name.endswith("bias") else [7.0] * p.array.size
            see(f"{name}, which was 7 before", p).gives(expected)


@reset.check("the same generator seed gives the same weights")
def _():
    first, second = (drawn_gpt().transformer.wte.weight.array[0, :4] for _ in range(2))
    see("wte.weight[0, :4], drawn a second time with seed 1", second).gives(first)


@reset.check("without a generator manual_seed decides")
def _():
    model, found = transformers.GPT(config()), []
    for _ in range(2):
        manual_seed(1)
        model.reset_parameters()
        found.append(model.transformer.wte.weight.array[0].copy())
    same = np.array_equal(*found)
    see("whether manual_seed(1) twice gives the same wte.weight[0]", same).gives(True)


gpt = exercises.add(
    "GPT.forward",
    prompt=(
        "ids (B, T) become vectors by wte, get the vectors of their positions if there is a wpe, which "
        "is called with (length, past), go through drop, every block of h, ln_f, and lm_head, which "
        "gives logits (B, T, V). Return (logits, None), or with targets (B, T) their mean "
        "cross-entropy in the place of None. cache[i] belongs to block i; `self.past(cache, length)` "
        "says how many positions the caches hold and checks that there is room."
    ),
    hints=(
        "Follow the parts in the order in which __init__ makes them: self.transformer.wte, wpe, drop, "
        "h, ln_f, then self.lm_head.",
        '`"wpe" in self.transformer` tells whether there are position vectors; '
        "`self.transformer.wpe(length, past)` gives (T, C).",
        "cross_entropy takes rows: reshape logits to (B T, V) and targets to (B T,).",
    ),
    mistakes=(
        swap(
            "x = add(x, self.transformer.wpe(length, past))",
            "pass",
            "The vectors of the positions are missing: the same token at two places looks the same.",
        ),
        swap("self.transformer.ln_f(x)", "x", "The last norm, ln_f, is missing before lm_head."),
        swap(
            "self.transformer.wpe(length, past)",
            "self.transformer.wpe(length, 0)",
            "With a cache the new tokens stand at positions from `past` on, not from 0.",
        ),
        swap(
            "cross_entropy(rows, reshape(targets, (-1,)))",
            "cross_entropy(rows, reshape(idx, (-1,)))",
            "The loss compares with the ids that came in; it has to compare with the targets.",
        ),
        swap(
            "x = block(x, None if cache is None else cache[i])",
            "x = block(x)",
            "The blocks do not get their caches.",
        ),
        swap(
            "x = self.transformer.drop(x)",
            "pass",
            "drop is left out: the sum of the vectors goes through it before the first block.",
        ),
        swap(
            "past = self.past(cache, length)",
            "past = 0 if cache is None else len(cache[0])",
            "self.past is not asked, so that nothing refuses a sequence that is too long.",
        ),
    ),
)


def filled_gpt(**settings):
    """A GPT whose weights are large enough to see."""
    model = transformers.GPT(config(**{"n_embd": 4, "n_head": 2} | settings)).eval()
    for i, p in enumerate(model.parameters()):
        fill(p, 0.5 * grid(*p.shape, seed=i))
    return model


def logits_of(model, ids):
    x = model.transformer.wte.weight.array[ids]
    if "wpe" in model.transformer:
        x = x + model.transformer.wpe(ids.shape[1], 0).array
    x = model.transformer.drop(tensor(single(x)))
    for each in model.transformer.h:
        x = each(x)
    return single(model.transformer.ln_f(x).array @ model.lm_head.weight.array.T)


@gpt.check("logits of two sequences, for each kind of position")
def _():
    ids = np.array([[1, 1, 4], [0, 3, 2]])
    for positions in ("learned", "rotary", "sinusoidal"):
        model = filled_gpt(n_layer=2, positions=positions)
        logits, loss = model(tensor(ids))
        see(f"the logits, positions={positions!r}", logits).gives(tensor(logits_of(model, ids)), atol=1e-5)
        see("the loss without targets", loss).gives(None)


@gpt.check("with targets the mean cross-entropy, where -100 does not count")
def _():
    ids, targets = np.array([[1, 4], [0, 3]]), np.array([[4, 2], [3, -100]])
    model = filled_gpt()
    logits = logits_of(model, ids).astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    want = -np.mean([logs[0, 0, 4], logs[0, 1, 2], logs[1, 0, 3]])
    found, loss = model(tensor(ids), tensor(targets))
    see("the loss", loss).gives(tensor(np.float32(want)))
    see("the logits with targets", found).gives(tensor(single(logits)), atol=1e-5)


@gpt.check("token by token with caches as all at once")
def _():
    ids, model, caches = np.array([[1, 1, 4]]), filled_gpt(n_layer=2), [Kept(), Kept()]
    parts = [model(tensor(part), cache=caches)[0].array for part in (ids[:, :2], ids[:, 2:])]
    see("the logits of 2 tokens, then of 1", np.concatenate(parts, 1)).gives(logits_of(model, ids), atol=1e-5)
    see("how many positions the caches hold", [len(cache) for cache in caches]).gives([3, 3])


@gpt.check("drop stands before the blocks")
def _():
    model, ids = filled_gpt(), np.array([[1, 1, 4]])
    model.transformer["drop"] = Plain(2, 1)
    found = model(tensor(ids))[0]
    see("the logits, with a drop that makes 2 x + 1", found).gives(tensor(logits_of(model, ids)), atol=1e-5)


@gpt.check("more than block_size ids are refused")
def _():
    raises(ValueError, filled_gpt(positions="rotary").forward, tensor([[1, 1, 4, 2]]), says="block_size")


num_parameters = exercises.add(
    "GPT.num_parameters",
    prompt=(
        "Return how many numbers are learned, an int; a tied weight counts once. With embeddings=False "
        "leave out the tables: wte, lm_head, and wpe if its vectors are learned."
    ),
    hints=(
        "`learned(self)`, below in the file, gives each parameter once, also one that is tied.",
        "A set of the tables holds a tied one once, so that it is not subtracted twice. wpe.weight is "
        'a parameter only for positions == "learned".',
    ),
    mistakes=(
        swap(
            "{self.transformer.wte.weight, self.lm_head.weight}",
            "{self.transformer.wte.weight}",
            "An lm_head that is not tied is a table of its own, and has to be left out as well.",
        ),
        swap(
            '{self.transformer.wpe.weight} if self.config.positions == "learned" else set()',
            "set()",
            "The learned vectors of the positions are embeddings, too: leave them out.",
        ),
        wrong(
            """
            def num_parameters(self, embeddings=True):
                total = sum(p.array.size for p in self.parameters())
                if embeddings:
                    return total
                tables = [self.transformer.wte.weight, self.lm_head.weight]
                if self.config.positions == "learned":
                    tables.append(self.transformer.wpe.weight)
                return total - sum(p.array.size for p in tables)
            """,
            "A tied table counts once in the sum, so it can be subtracted only once.",
        ),
        swap(
            "if embeddings:",
            "if True:",
            "embeddings=False changes nothing here: the tables have to be left out.",
        ),
    ),
)


@num_parameters.check("a tiny GPT by hand: 10 + 6 in tables, 74 in the block, 4 in the last norm")
def _():
    model = transformers.GPT(config())
    see("num_parameters()", model.num_parameters()).gives(94)
    see("num_parameters(embeddings=False)", model.num_parameters(embeddings=False)).gives(78)


@num_parameters.check("an lm_head that is not tied has 10 of its own")
def _():
    model = transformers.GPT(config(tie_weights=False))
    see("num_parameters(), not tied", model.num_parameters()).gives(104)
    see("num_parameters(False), not tied", model.num_parameters(False)).gives(78)


@num_parameters.check("positions that are not learned have no parameters")
def _():
    for positions in ("rotary", "sinusoidal"):
        model = transformers.GPT(config(positions=positions))
        see(f"num_parameters(), {positions}", model.num_parameters()).gives(88)
        see(f"num_parameters(False), {positions}", model.num_parameters(False)).gives(78)


flops_per_token = exercises.add(
    "GPT.flops_per_token",
    prompt=(
        "Return the operations of a forward pass for one token, an int: 2 m n for each (m, n) matrix "
        "of the blocks and for the head (V, C), and 4 C for each of `length` positions in each block. "
        "Without a length it is block_size. Biases, norms and tables that are looked up do not count."
    ),
    hints=(
        "The matrices are those of `learned(self.transformer.h)` with two dimensions.",
        "One sum for the matrices and the head, times 2; one product for attention: 4, n_layer, "
        "n_embd, length.",
    ),
    mistakes=(
        swap(
            "2 * (matrices + head)",
            "(matrices + head)",
            "Each weight takes a multiplication and an addition: 2 operations.",
        ),
        swap(
            "2 * (matrices + head)",
            "2 * matrices",
            "The head, which makes the logits, is a product with a (V, C) matrix as well.",
        ),
        swap(
            "4 * c.n_layer * c.n_embd", "4 * c.n_embd", "Every block attends: attention counts n_layer times."
        ),
        swap(
            "c.block_size if length is None else length",
            "c.block_size",
            "`length` is not used: attention takes 4 C for each of its positions.",
        ),
    ),
)


@flops_per_token.check("one block of width 2, five tokens: 48 and 10 weights")
def _():
    model = transformers.GPT(config())
    see("flops_per_token(1)", model.flops_per_token(1)).gives(124)
    see("flops_per_token(), block_size=3", model.flops_per_token()).gives(140)


@flops_per_token.check("two blocks")
def _():
    model = transformers.GPT(config(n_layer=2))
    see("flops_per_token(1), n_layer=2", model.flops_per_token(1)).gives(2 * (96 + 10) + 16)


@flops_per_token.check("biases do not count, nor does tying")
def _():
    model = transformers.GPT(config(bias=False, tie_weights=False, positions="rotary"))
    see("flops_per_token(2)", model.flops_per_token(2)).gives(132)


optimizer_groups = exercises.add(
    "GPT.optimizer_groups",
    prompt=(
        'Return two dictionaries for an optimizer, each with "params" (a list, in the order of '
        'self.parameters()) and "weight_decay": first the matrices and tables, with the given '
        "weight_decay, then the biases and norms, which have one dimension, with 0.0."
    ),
    hints=(
        "p.ndim tells a matrix from a bias.",
        "Two list comprehensions over self.parameters(), and the two dictionaries.",
    ),
    mistakes=(
        swap(
            '{"params": keep, "weight_decay": 0.0}',
            '{"params": keep, "weight_decay": weight_decay}',
            "Biases and norms do not decay: their weight_decay is 0.",
        ),
        swap(
            "p.ndim > 1",
            "p.ndim <= 1",
            "The groups are the wrong way round: matrices decay, biases and norms do not.",
            (
                "keep = [p for p in self.parameters() if p.ndim <= 1]",
                "keep = [p for p in self.parameters() if p.ndim > 1]",
            ),
        ),
        swap(
            '"params": decay',
            '"params": list(self.parameters())',
            "The first group has all parameters; each belongs to one group only.",
        ),
    ),
)


@optimizer_groups.check("matrices and tables decay, biases and norms do not")
def _():
    groups = transformers.GPT(config()).optimizer_groups(0.5)
    see("the weight_decay of each group", [group["weight_decay"] for group in groups]).gives([0.5, 0.0])
    matrices = [(5, 2), (3, 2), (6, 2), (2, 2), (8, 2), (2, 8)]
    see("shapes in the first group", [tuple(p.shape) for p in groups[0]["params"]]).gives(matrices)


@optimizer_groups.check("every parameter is in one group")
def _():
    model = transformers.GPT(config())
    groups = model.optimizer_groups()
    see("how many parameters each group has", [len(group["params"]) for group in groups]).gives([6, 10])
    both = {id(p) for group in groups for p in group["params"]}
    see("all are the model's", both == {id(p) for p in model.parameters()}).gives(True)


sample = exercises.add(
    "sample",
    prompt=(
        "Draw one id for each row of logits, an array (B, V) that stays as it is, and return an array "
        "(B,). temperature 0 takes the most probable; otherwise the probabilities are softmax(logits / "
        "temperature). top_k draws only from the k most probable; top_p only from the fewest most probable "
        "that together reach p. Random numbers come from `generator.numpy`, or default_generator's."
    ),
    hints=(
        "Sort each row, the most probable first: then top_k and top_p both keep a beginning of the row.",
        "To draw from p: a random number from 0 to sum(p) falls into one of the pieces of cumsum(p). A "
        "token stays under top_p if those before it have not reached p yet.",
        "order = np.argsort(-logits, -1); the place in the sorted row is `(np.cumsum(p, -1) <= "
        "drawn).sum(-1)`; order says which id that is.",
    ),
    mistakes=(
        swap(
            ".astype(np.float64) / temperature",
            ".astype(np.float64) * temperature",
            "The logits are multiplied by the temperature; dividing makes a low temperature sure of itself.",
        ),
        swap("p[:, top_k:] = 0", "p[:, top_k + 1 :] = 0", "top_k keeps one token too many."),
        swap(
            "np.cumsum(p, -1) - p >= top_p",
            "np.cumsum(p, -1) > top_p",
            "The token with which the sum reaches p has to stay: compare the sum of those before it.",
        ),
        swap(
            "(logits - logits.max(-1, keepdims=True))",
            "logits",
            "exp overflows for large logits: subtract each row's largest first.",
        ),
        swap(
            "(generator or default_generator)",
            "default_generator",
            "`generator` is not used: the same seed has to give the same ids.",
        ),
        swap(
            "(generator or default_generator)",
            "(generator or Generator())",
            "Without a generator the numbers come from default_generator, which manual_seed seeds.",
        ),
        swap(
            " * reached[:, -1:]",
            "",
            "After top_k and top_p the probabilities no longer sum to 1: draw from 0 to their sum, or divide "
            "by it.",
            ("(p > 0).sum(-1, keepdims=True) - 1", "p.shape[1] - 1"),
        ),
        swap(
            "scaled = (logits - logits.max(-1, keepdims=True)).astype(np.float64) / temperature",
            "logits /= temperature\n    scaled = (logits - logits.max(-1, keepdims=True)).astype(np.float64)",
            "The logits that came in are changed: `logits / temperature` makes new ones.",
        ),
    ),
)

LOGITS = np.log([[1.0, 8.0, 4.0, 3.0]]).astype(np.float32)  # shares 1/16, 8/16, 4/16, 3/16


def shares_drawn(**settings):
    drawn = transformers.sample(np.repeat(LOGITS, 4000, 0), generator=Generator(3), **settings)
    return np.bincount(np.asarray(drawn), minlength=4) / 4000


@sample.check("temperature 0 takes the most probable of each row")
def _():
    logits = single([[0.0, 2.0, 1.0], [5.0, -1.0, 4.0]])
    call(transformers.sample, logits, temperature=0).gives(np.array([1, 0]))


@sample.check("4,000 draws have the shares 1/16, 8/16, 4/16, 3/16")
def _():
    seen = see("shares of the ids 0 to 3", shares_drawn())
    seen.gives([1 / 16, 8 / 16, 4 / 16, 3 / 16], rtol=0, atol=0.04)
    seen = see("shares at temperature 0.5", shares_drawn(temperature=0.5))
    seen.gives([1 / 90, 64 / 90, 16 / 90, 9 / 90], rtol=0, atol=0.04)


@sample.check("top_k draws from the k most probable")
def _():
    see("shares with top_k=2", shares_drawn(top_k=2)).gives([0.0, 2 / 3, 1 / 3, 0.0], rtol=0, atol=0.04)
    see("shares with top_k=1", shares_drawn(top_k=1)).gives([0.0, 1.0, 0.0, 0.0])


@sample.check("top_p draws from those that together reach p")
def _():
    see("shares with top_p=0.7", shares_drawn(top_p=0.7)).gives([0.0, 2 / 3, 1 / 3, 0.0], rtol=0, atol=0.04)
    see("shares with top_p=0.4", shares_drawn(top_p=0.4)).gives([0.0, 1.0, 0.0, 0.0])
    found = shares_drawn(top_p=0.7, temperature=0.5)
    see("shares with top_p=0.7, temperature=0.5", found).gives([0.0, 1.0, 0.0, 0.0])


@sample.check("large logits do not overflow")
def _():
    call(transformers.sample, single([[0.0, 0.0, 2000.0], [3000.0, 0.0, 0.0]])).gives(np.array([2, 0]))


@sample.check("the same generator seed draws the same ids")
def _():
    logits = np.zeros((8, 50), np.float32)
    first, second = (transformers.sample(logits, generator=Generator(4)) for _ in range(2))
    see("the ids drawn a second time with seed 4", second).gives(first)


@sample.check("without a generator manual_seed decides")
def _():
    found = []
    for _ in range(2):
        manual_seed(4)
        found.append(transformers.sample(np.zeros((8, 50), np.float32)))
    see("whether manual_seed(4) twice gives the same ids", np.array_equal(*found)).gives(True)


@sample.check("the logits stay as they are")
def _():
    logits = single([[0.0, 2.0, 1.0]])
    transformers.sample(logits, temperature=0.5, top_k=2, top_p=0.9)
    see("the logits afterwards", logits).gives(single([[0.0, 2.0, 1.0]]))


generate = exercises.add(
    "generate",
    prompt=(
        "Append up to max_new_tokens ids to idx (B, T), a Tensor, and return all of them. check_generate "
        "checks the arguments; a generator may be a seed, an int. Each time the model, which returns "
        "(logits, loss), sees at most the last block_size ids, without history (no_grad) and in "
        "evaluation; `sample` draws from the logits of the last position. A sequence to which a stop token "
        "was appended is filled up with it, and when all have ended, writing stops. At the end the model "
        "is in training again if it was. With a cache, feed every id once: first idx, then only the new "
        "ones."
    ),
    hints=(
        "A loop: logits of the ids so far, one new id for each row, append it. A seed becomes "
        "`Generator(seed)` once, before it.",
        "`sample(logits[:, -1].array, temperature, top_k, top_p, generator)` gives (B,); `cat([idx, "
        "wrap(new[:, None])], 1)` appends it, in the dtype of idx.",
        "Keep a bool for each row: has it ended? Where it has, the new id is the row's last one again. "
        "try … finally brings back model.train(was_training).",
    ),
    mistakes=(
        swap(
            "fed[:, -block_size:] if cache is None else fed",
            "fed",
            "The model sees more than block_size ids: give it only the last block_size.",
        ),
        swap(
            "logits[:, -1]",
            "logits[:, 0]",
            "The new id is drawn from the logits of the first position; those of the last one tell "
            "what comes next.",
        ),
        swap(
            "if ended.all():",
            "if ended.any():",
            "Writing stops when the first sequence has ended; it has to go on until all have.",
        ),
        swap(
            "np.where(np.asarray(ended, like=last), last, new)",
            "np.where(False, last, new)",
            "A sequence that has ended goes on: it has to be filled up with its stop token.",
        ),
        swap("model.train(was_training)", "pass", "The model stays in evaluation; put it back as it was."),
        swap(
            "fed = idx if cache is None else wrap(new[:, None])",
            "fed = idx",
            "With a cache all ids are fed again each time; the cache knows all but the new ones.",
        ),
        swap(
            "np.zeros(len(idx), bool), list(stop_tokens)",
            "np.isin(idx.array, list(stop_tokens)).any(1), list(stop_tokens)",
            "A stop token in the text that came ends nothing; only one that was appended does.",
        ),
        swap("generator = Generator(generator)", "generator = None", "The seed is not used."),
        swap(
            "generator = Generator(generator)",
            "pass",
            "The seed begins anew with each id, so that each is drawn with the same random numbers: make the "
            "Generator once, before the loop.",
            (
                "top_p, generator)  #",
                "top_p, Generator(generator) if type(generator) is int else generator)  #",
            ),
        ),
        swap(
            "check_generate(idx, max_new_tokens, temperature, top_k, top_p)",
            "pass",
            "The arguments are not checked: check_generate does it.",
        ),
        swap(
            "with no_grad():",
            "if True:",
            "The model records a history that nobody needs: no_grad is missing.",
        ),
    ),
)


class Counting(Module):
    """After each id comes the next one, surely, or if not `sure`, any; notes what it was asked."""

    def __init__(self, block_size=4, sure=True):
        super().__init__()
        self.config, self.sure = config(vocab_size=10, block_size=block_size), sure
        self.asked, self.modes, self.recorded, self.caches = [], [], [], []

    def forward(self, idx, targets=None, cache=None):
        self.asked.append(idx.shape[1])
        self.modes.append(self.training)
        self.recorded.append(is_grad_enabled())
        self.caches.append(cache)
        return tensor(100 * self.sure * np.eye(10, dtype=np.float32)[(idx.array + 1) % 10]), None


def ids(*rows):
    return tensor(np.array(rows))


@generate.check("a model that counts goes on counting")
def _():
    for temperature in (0, 1.0):
        found = transformers.generate(Counting(), ids([1, 2], [6, 7]), 2, temperature=temperature)
        seen = see(f"what follows [1, 2] and [6, 7], temperature={temperature}", found)
        seen.gives(ids([1, 2, 3, 4], [6, 7, 8, 9]))
    see("with max_new_tokens=0", transformers.generate(Counting(), ids([5]), 0)).gives(ids([5]))


@generate.check("the model sees at most block_size ids")
def _():
    model = Counting(3)
    transformers.generate(model, ids([1, 2]), 4)
    see("how many ids the model saw each time, block_size=3", model.asked).gives([2, 3, 3, 3])


@generate.check("after its stop token a sequence is filled up, and all stop when each has ended")
def _():
    found = transformers.generate(Counting(), ids([1], [3]), 8, stop_tokens=(4,))
    see("stop_tokens=(4,) after [1] and [3]", found).gives(ids([1, 2, 3, 4], [3, 4, 4, 4]))
    found = transformers.generate(Counting(), ids([4]), 2, stop_tokens=(4,))
    see("stop_tokens=(4,) after [4], max_new_tokens=2", found).gives(ids([4, 5, 6]))


@generate.check("a seed does what its Generator does")
def _():
    texts = [
        transformers.generate(Counting(sure=False), ids([1]), 8, generator=generator)
        for generator in (Generator(3), 3)
    ]
    see("what follows [1], drawn with 3", texts[1]).gives(texts[0], note="That is what Generator(3) gives.")


@generate.check("the arguments are checked")
def _():
    raises(ValueError, transformers.generate, Counting(), ids([1]), -1, says="max_new_tokens")


@generate.check("without history")
def _():
    model = Counting()
    transformers.generate(model, ids([1]), 2)
    see("whether gradients were recorded at each call", model.recorded).gives([False, False])


@generate.check("the model is in evaluation meanwhile, and afterwards as it was")
def _():
    for training in (True, False):
        model = Counting()
        model.train(training)
        transformers.generate(model, ids([1]), 2)
        see("model.training at each call", model.modes).gives([False, False])
        see(f"model.training afterwards, {training} before", model.training).gives(training)


@generate.check("with a cache each id is fed once")
def _():
    model, cache = Counting(8), ["a cache"]
    found = transformers.generate(model, ids([1, 2, 3]), 3, cache=cache)
    see("what follows [1, 2, 3]", found).gives(ids([1, 2, 3, 4, 5, 6]))
    see("how many ids the model saw each time", model.asked).gives([3, 1, 1])
    see("the caches it was given", model.caches).gives([cache, cache, cache])


warmup = exercises.add(
    "WarmupCosineLR.get_lr",
    prompt=(
        "Return a list with the rate of each group, from self.base_lrs and step = self.last_epoch. "
        "Before step `warmup` the rate is base * (step + 1) / (warmup + 1); from there half a cosine "
        "leads from the base rate down to min_lr at step `total`, where it stays."
    ),
    hints=(
        "How far is the descent? A number from 0 at step warmup to 1 at step total, and 1 after it.",
        "(1 + cos(pi * done)) / 2 goes from 1 to 0. The rate is min_lr plus this share of the way from "
        "min_lr to base.",
    ),
    mistakes=(
        swap(
            "(step + 1) / (self.warmup + 1)",
            "step / self.warmup",
            "The first step has a rate of 0: begin with base / (warmup + 1).",
        ),
        swap(
            "min((step - self.warmup) / (self.total - self.warmup), 1)",
            "(step - self.warmup) / (self.total - self.warmup)",
            "After step `total` the cosine rises again: the rate has to stay at min_lr.",
        ),
        swap(
            "(lr - self.min_lr) * height",
            "lr * height",
            "This begins at base + min_lr: the cosine spans the way from min_lr to base only.",
        ),
        swap(
            "(step - self.warmup) / (self.total - self.warmup)",
            "step / self.total",
            "The descent begins at step `warmup`, so count from there: (step - warmup) / (total - warmup).",
        ),
    ),
)


def rates(steps, *bases, **settings):
    groups = [{"params": [Parameter(tensor(single([1.0])))], "lr": lr} for lr in bases]
    scheduler = transformers.WarmupCosineLR(SGD(groups, lr=1.0), **settings)
    found = []
    for step in steps:
        scheduler.last_epoch = step
        found.append([float(lr) for lr in scheduler.get_lr()])
    return found


@warmup.check("up in four steps, in a straight line")
def _():
    found = rates((0, 1, 2, 3, 4), 1.0, warmup=4, total=8)
    see("rates at steps 0 to 4, warmup=4, total=8", found).gives([[0.2], [0.4], [0.6], [0.8], [1.0]])


@warmup.check("down in half a cosine, and then it stays")
def _():
    found = rates((4, 6, 8, 10, 12), 1.0, warmup=4, total=8)
    see("rates at steps 4, 6, 8, 10, 12, total=8", found).gives([[1.0], [0.5], [0.0], [0.0], [0.0]])


@warmup.check("down to min_lr, for each group")
def _():
    found = rates((0, 4, 5, 6, 8, 9), 1.0, 0.5, warmup=4, total=8, min_lr=0.1)
    height = (1 + math.cos(math.pi / 4)) / 2
    want = [[0.2, 0.1], [1.0, 0.5], [0.1 + 0.9 * height, 0.1 + 0.4 * height], [0.55, 0.3]]
    see("rates of two groups at steps 0, 4, 5, 6, 8, 9, min_lr=0.1", found).gives([*want, *[[0.1, 0.1]] * 2])


@warmup.check("no warm-up at all")
def _():
    see("rates at steps 0, 1, 2, warmup=0, total=2", rates((0, 1, 2), 2.0, warmup=0, total=2)).gives(
        [[2.0], [1.0], [0.0]]
    )
