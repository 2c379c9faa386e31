"""Exercises of module 16, Compression."""

import numpy as np

from tinytorch.core import compression
from tinytorch.core.autograd import no_grad
from tinytorch.core.layers import Flatten, Linear, Module, Parameter, Sequential, fill
from tinytorch.core.spatial import BatchNorm2d, Conv2d
from tinytorch.core.tensor import Tensor, mul, tensor
from tinytorch.core.tensor import sum as sum_of

from ..checking import Exercises, call, gradients, raises, see, swap, wrong

exercises = Exercises("compression")


def float32s(*numbers):
    return np.array(numbers, np.float32)


def grid(*shape, seed=16):
    """Numbers of both signs, float32."""
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def layer_with(weight, bias=None):
    """A Linear, or a Conv2d for a weight (O, C, H, W)."""
    weight = np.array(weight, np.float32)
    has_bias = bias is not None
    layer = (
        Linear(weight.shape[1], len(weight), has_bias)
        if weight.ndim == 2
        else Conv2d(weight.shape[1], len(weight), weight.shape[2], bias=has_bias)
    )
    fill(layer.weight, weight)
    if has_bias:
        fill(layer.bias, bias)
    return layer


magnitude_mask = exercises.add(
    "magnitude_mask",
    prompt=(
        "Return a bool array in the shape of `scores`: False at the places of the `count` smallest scores, "
        "True at all others. Exactly `count` are False, also where scores are equal (which of these go, is "
        "up to you) and for a count of 0. The scores stay as they are."
    ),
    hints=(
        "Find the places of the smallest numbers in the flat array, set them to False, and give the mask "
        "the shape of the scores.",
        "`np.argsort(flat)[:count]` are the places; np.argpartition finds them faster, without sorting. It "
        "needs a count above 0.",
    ),
    mistakes=(
        wrong(
            """
            def magnitude_mask(scores, count):
                mask = np.zeros(scores.size, dtype=bool)
                mask[np.argsort(scores, axis=None)[:count]] = True
                return mask.reshape(scores.shape)
            """,
            "True and False are exchanged: the mask is True where a number stays.",
        ),
        wrong(
            """
            def magnitude_mask(scores, count):
                mask = np.ones(scores.size, dtype=bool)
                mask[np.argsort(-scores, axis=None)[:count]] = False
                return mask.reshape(scores.shape)
            """,
            "The largest scores go here; the smallest ones have to.",
        ),
        wrong(
            """
            def magnitude_mask(scores, count):
                if not count:
                    return np.ones(scores.shape, dtype=bool)
                return scores > np.sort(scores, axis=None)[count - 1]
            """,
            "A threshold takes all equal scores together, so more than `count` of them go: choose places.",
        ),
        wrong(
            """
            def magnitude_mask(scores, count):
                return scores > np.sort(scores, axis=None)[count - 1]
            """,
            "With a count of 0 nothing goes, but here the largest score, at place -1, is the threshold.",
        ),
        swap(
            "return mask.reshape(scores.shape)",
            "return mask",
            "The mask is flat; it needs the shape of the scores.",
        ),
        wrong(
            """
            def magnitude_mask(scores, count):
                mask = np.ones(scores.size, dtype=bool)
                mask[np.argsort(np.abs(scores), axis=None)[:count]] = False
                return mask.reshape(scores.shape)
            """,
            "The scores nearest to 0 go here; the smallest ones have to, and a negative one is small.",
        ),
    ),
)


@magnitude_mask.check("the three smallest of six go")
def _():
    scores = float32s(0.9, 0.1, 0.4, 0.7, 0.05, 0.3).reshape(2, 3)
    call(compression.magnitude_mask, scores, 3).gives(np.array([[True, False, True], [True, False, False]]))


@magnitude_mask.check("none go, or all")
def _():
    scores = float32s(3, 1, 2)
    call(compression.magnitude_mask, scores, 0).gives(np.array([True, True, True]))
    call(compression.magnitude_mask, scores, 3).gives(np.array([False, False, False]))
    call(compression.magnitude_mask, float32s(), 0).gives(np.array([], bool))


@magnitude_mask.check("of equal scores as many go as were asked for")
def _():
    mask = compression.magnitude_mask(float32s(2, 2, 2, 2, 1), 3)
    see("how many are False in magnitude_mask([2, 2, 2, 2, 1], 3)", int((~mask).sum())).gives(3)
    see("the mask at the score 1", bool(mask[4])).gives(False)


@magnitude_mask.check("any shape, and the scores stay as they are")
def _():
    scores = grid(2, 3, 4)
    kept = scores.copy()
    call(compression.magnitude_mask, scores, 10).gives(kept > np.sort(kept, axis=None)[9])
    see("the scores afterwards", scores).gives(kept)


apply = exercises.add(
    "Pruning.apply",
    prompt=(
        "For each {path: parameter} in self.parameters, write 0 into the parameter wherever "
        "self.masks[path] is False, also over nan and infinite numbers. What is under True stays. Write "
        "into the array that the parameter has: the optimizer holds it, too."
    ),
    hints=(
        "A loop over self.parameters.items(), and one line that chooses the weight or 0 at each place.",
        "`np.where(mask, weights, 0)` chooses; `fill(p, array)` writes an array into the memory of p.",
    ),
    mistakes=(
        swap(
            "np.where(self.masks[path], p.array, 0)",
            "np.where(self.masks[path], 0, p.array)",
            "What should stay became 0: the mask is True where a weight stays.",
        ),
        swap(
            "np.where(self.masks[path], p.array, 0)",
            "p.array * self.masks[path]",
            "nan times 0 is nan, and so is infinity times 0: choose the 0, don't multiply by it.",
        ),
        swap(
            "fill(p, np.where(self.masks[path], p.array, 0))",
            "p.array = np.where(self.masks[path], p.array, 0).astype(p.array.dtype)",
            "The parameter got a new array, and the optimizer goes on with the old one: write into that.",
        ),
        swap(
            "fill(p, np.where(self.masks[path], p.array, 0))",
            "fill(p, np.where(self.masks[path], p.array, 0))\n            break",
            "Only the first parameter is pruned; each one in self.parameters has a mask.",
        ),
    ),
)


@apply.check("zero under False, the rest stays")
def _():
    layer = layer_with([[1, 2], [3, 4]], [5, 6])
    compression.Pruning(layer, {"weight": np.array([[True, False], [False, True]])}).apply()
    see("weight [[1, 2], [3, 4]] after apply() with [[True, False], [False, True]]", layer.weight).gives(
        [[1.0, 0.0], [0.0, 4.0]]
    )
    see("bias, which has no mask", layer.bias).gives([5.0, 6.0])


@apply.check("the parameter's own array is written, each time that it is called")
def _():
    layer = layer_with([[1, 2]])
    array = layer.weight.array
    pruning = compression.Pruning(layer, {"weight": np.array([[True, False]])})
    pruning.apply()
    see("the array that the weight had before apply()", array).gives(float32s(1, 0).reshape(1, 2))
    array += 1  # as an optimizer does
    pruning.apply()
    see("the same array after a step of +1 and apply()", array).gives(float32s(2, 0).reshape(1, 2))


@apply.check("every parameter that has a mask")
def _():
    model = Sequential(layer_with([[1, 2]]), layer_with([[3], [4]]))
    masks = {"0.weight": np.array([[False, True]]), "1.weight": np.array([[True], [False]])}
    compression.Pruning(model, masks).apply()
    see("0.weight", model[0].weight).gives([[0.0, 2.0]])
    see("1.weight", model[1].weight).gives([[3.0], [0.0]])


@apply.check("nan and infinity become 0, too")
def _():
    layer = layer_with([[np.nan, np.inf, 1]])
    compression.Pruning(layer, {"weight": np.array([[False, False, True]])}).apply()
    see("weight [[nan, inf, 1]] after apply() with [[False, False, True]]", layer.weight).gives(
        [[0.0, 0.0, 1.0]]
    )


magnitude_prune = exercises.add(
    "magnitude_prune",
    prompt=(
        "Make masks of the parameters' absolute values and return a Pruning with them, after it was applied "
        "once. By default these are the parameters with two or more dimensions; `names` may name others, a "
        "bias as well. `count_of` tells how many an amount is of all their weights together (global), or of "
        "each parameter's (layer). Another scope, and a name that isn't there, is a ValueError."
    ),
    hints=(
        "Collect {path: parameter}, make {path: scores} of it, then {path: mask}, in one of two ways.",
        "`chosen('magnitude_prune', weights, names)` gives the paths and complains about unknown ones. For "
        "the layer scope, call magnitude_mask for each of them.",
        "Globally: np.concatenate all scores flat, one magnitude_mask of that, and np.split it back at the "
        "sums of the sizes; each part gets its parameter's shape.",
    ),
    mistakes=(
        swap(
            "np.abs(p.array)",
            "p.array",
            "The most negative weights go first here; it is their size, without the sign, that counts.",
        ),
        swap(
            'if scope == "layer":',
            "if True:",
            "The share is taken from every parameter; globally it is taken from all weights together.",
        ),
        swap(
            'if scope == "layer":',
            "if False:",
            'The share is taken from all weights together; scope="layer" takes it from each parameter.',
        ),
        swap(
            "if p.ndim > 1 or names is not None",
            "",
            "Biases are pruned, too; by default only parameters with two or more dimensions are.",
        ),
        swap("pruning.apply()", "pass", "The masks are made, and the weights are still there: apply them."),
        swap(
            'chosen("magnitude_prune", weights, names)',
            "weights",
            "The argument names is not used: only the named parameters are pruned.",
        ),
        swap(
            'chosen("magnitude_prune", weights, names)',
            "[path for path in weights if names is None or path in names]",
            "A name that isn't there is passed over, and nobody notices: `chosen` complains.",
        ),
    ),
)


def two_layers():
    return Sequential(layer_with([[4, -1], [2, 3]], [0.1, 0.2]), layer_with([[10, -20]]))


def seen_weights(words, model, pruning):
    see(words, type(pruning).__name__).gives("Pruning")
    return see(f"(0.weight, 0.bias, 1.weight) after {words}", [p.array.tolist() for p in model.parameters()])


def expected_weights(first, bias, second):
    shaped = float32s(*first).reshape(2, 2), float32s(*bias), float32s(*second).reshape(1, 2)
    return [x.tolist() for x in shaped]


@magnitude_prune.check("globally the half nearest to zero goes, wherever it is")
def _():
    model = two_layers()
    pruning = compression.magnitude_prune(model, 0.5)
    seen_weights("magnitude_prune([[4, -1], [2, 3]] and [[10, -20]], 0.5)", model, pruning).gives(
        expected_weights((4, 0, 0, 0), (0.1, 0.2), (10, -20))
    )


@magnitude_prune.check("by layer, the half of each goes")
def _():
    model = two_layers()
    pruning = compression.magnitude_prune(model, 0.5, scope="layer")
    seen_weights("magnitude_prune(model, 0.5, 'layer')", model, pruning).gives(
        expected_weights((4, 0, 0, 3), (0.1, 0.2), (0, -20))
    )


@magnitude_prune.check("an amount may be a number of weights, and names may name a bias")
def _():
    model = two_layers()
    pruning = compression.magnitude_prune(model, 1)
    seen_weights("magnitude_prune(model, 1)", model, pruning).gives(
        expected_weights((4, 0, 2, 3), (0.1, 0.2), (10, -20))
    )
    model = two_layers()
    pruning = compression.magnitude_prune(model, 3, names=["1.weight", "0.bias"])
    seen_weights("magnitude_prune(model, 3, names=['1.weight', '0.bias'])", model, pruning).gives(
        expected_weights((4, -1, 2, 3), (0, 0), (0, -20))
    )


@magnitude_prune.check("the Pruning that is returned has the masks and keeps the zeros")
def _():
    model = two_layers()
    pruning = compression.magnitude_prune(model, 0.5)
    see("masks['0.weight']", np.asarray(pruning.masks["0.weight"])).gives(
        np.array([[True, False], [False, False]])
    )
    see("masks['1.weight']", np.asarray(pruning.masks["1.weight"])).gives(np.array([[True, True]]))
    fill(model[0].weight, 7)
    pruning.apply()
    see("0.weight, filled with 7, after apply()", model[0].weight).gives([[7.0, 0.0], [0.0, 0.0]])


@magnitude_prune.check("another scope, an unknown name and a share above 1 are errors")
def _():
    raises(ValueError, compression.magnitude_prune, two_layers(), 0.5, "row")
    raises(ValueError, compression.magnitude_prune, two_layers(), 0.5, names=["0.weight", "2.weight"])
    raises(ValueError, compression.magnitude_prune, two_layers(), 1.5)


strongest_channels = exercises.add(
    "strongest_channels",
    prompt=(
        "Return an array with the places of the outputs that stay, in rising order. An output's strength is "
        "the sum of the absolute values of its weights: a row of a Linear (out, in), a kernel of a Conv2d "
        "(O, C, H, W). The weakest go, as many as `count_of(amount, number of outputs)` says, but one "
        "always stays."
    ),
    hints=(
        "First a number for each output, whatever shape its weights have; then the places of the largest.",
        "reshape the absolute values to (outputs, -1) and sum over dimension 1. magnitude_mask tells who "
        "stays.",
        "`np.flatnonzero(mask)` gives the places of True, in order. At most norms.size - 1 may go.",
    ),
    mistakes=(
        swap(
            "np.abs(layer.weight.array)",
            "layer.weight.array",
            "Without absolute values, weights of both signs cancel out, and a strong output looks weak.",
        ),
        swap(
            "np.abs(layer.weight.array).reshape(len(layer.weight), -1).sum(1)",
            "np.sqrt((layer.weight.array ** 2).reshape(len(layer.weight), -1).sum(1))",
            "This is the L2 norm; the L1 norm, the sum of the absolute values, decides here.",
        ),
        swap(
            "min(count_of(amount, norms.size), norms.size - 1)",
            "count_of(amount, norms.size)",
            "All outputs can go here; one has to stay.",
        ),
        swap(
            "return np.flatnonzero(magnitude_mask(norms, max(count, 0)))",
            "return np.argsort(-norms)[: norms.size - max(count, 0)]",
            "These are the right outputs, the strongest first; keep them in the order that they had.",
        ),
        swap(
            "return np.flatnonzero(magnitude_mask(",
            "return np.flatnonzero(~magnitude_mask(",
            "These are the outputs that go; return those that stay.",
        ),
        swap(
            "reshape(len(layer.weight), -1).sum(1)",
            "reshape(len(layer.weight), layer.weight.shape[1], -1).sum((0, 2))",
            "This is the strength of the inputs, over the columns; an output is a row.",
        ),
    ),
)


@strongest_channels.check("two of four rows stay")
def _():
    layer = layer_with([[2, -2], [3, 0], [0.5, 0.1], [0, 1]])
    see(
        "strongest_channels(weight [[2, -2], [3, 0], [0.5, 0.1], [0, 1]], 0.5)",
        compression.strongest_channels(layer, 0.5),
    ).gives([0, 1])


@strongest_channels.check("the sum of absolute values decides, and the order stays")
def _():
    layer = layer_with([[1, 1, 1, 1], [3, 0, 0, 0], [-4, 4, -4, 4], [0, 0, 0, 0]])
    words = "strongest_channels(weight [[1, 1, 1, 1], [3, 0, 0, 0], [-4, 4, -4, 4], [0, 0, 0, 0]], 2)"
    see(words, compression.strongest_channels(layer, 2)).gives([0, 2])


@strongest_channels.check("a kernel of a convolution counts as a whole")
def _():
    weight = grid(5, 2, 3, 3)
    norms = np.abs(weight.astype(np.float64)).sum((1, 2, 3))
    see(
        "strongest_channels(Conv2d of weight (5, 2, 3, 3), 0.4)",
        compression.strongest_channels(layer_with(weight), 0.4),
    ).gives(sorted(np.argsort(norms)[2:].tolist()))


@strongest_channels.check("one always stays, and with 0 all do")
def _():
    layer = layer_with([[1], [-3], [2]])
    see("strongest_channels(weight [[1], [-3], [2]], 1.0)", compression.strongest_channels(layer, 1.0)).gives(
        [1]
    )
    see("strongest_channels(weight [[1], [-3], [2]], 0)", compression.strongest_channels(layer, 0)).gives(
        [0, 1, 2]
    )


slim_outputs = exercises.add(
    "slim_outputs",
    prompt=(
        "Change the layer: of each parameter and buffer, the numbers for the outputs at the places `keep` "
        "(an integer array) stay, in this order; a counter without dimensions stays as it is, and so does a "
        "bias that is None. out_features, out_channels or num_features, as the kind of layer has it, becomes "
        "len(keep). A layer of another kind, or with groups, is a TypeError, for which there is "
        "`check_slim`."
    ),
    hints=(
        "In everything that these layers keep, dimension 0 is the outputs'.",
        "layer._parameters and layer._buffers are dictionaries {name: tensor or None}. "
        "`replace(layer, name, array)` puts a new tensor in the place of an old one.",
        "First `check_slim(layer, (Linear, Conv2d, BatchNorm))`; last, `setattr` with the name of the size.",
    ),
    mistakes=(
        wrong(
            """
            def slim_outputs(layer, keep):
                check_slim(layer, (Linear, Conv2d, BatchNorm))
                replace(layer, "weight", layer.weight.array[keep])
                size = {Linear: "out_features", Conv2d: "out_channels"}.get(type(layer), "num_features")
                setattr(layer, size, len(keep))
            """,
            "Only the weight became smaller; the bias, and a norm's mean and variance, have to fit it.",
        ),
        swap(
            "{**layer._parameters, **layer._buffers}",
            "{**layer._parameters}",
            "The running mean and variance of a batch norm are buffers; they have a number for each channel.",
        ),
        swap(
            "setattr(layer, size, len(keep))",
            "pass",
            "The layer still says that it has its old size: set out_features, out_channels or num_features.",
        ),
        swap("x.array[keep]", "x.array[..., keep]", "The outputs are dimension 0 of the weight, its rows."),
        swap(
            "check_slim(layer, (Linear, Conv2d, BatchNorm))",
            "pass",
            "A layer with groups, or of another kind, has to be refused: check_slim does that.",
        ),
    ),
)


def seen_arrays(words, layer):
    """Everything that a layer keeps, as lists."""
    return see(words, [(name, x.array.tolist()) for name, x in layer.state_dict().items()])


@slim_outputs.check("rows and biases of a Linear")
def _():
    layer = layer_with([[1, 2], [3, 4], [5, 6]], [7, 8, 9])
    compression.slim_outputs(layer, np.array([0, 2]))
    words = "Linear of W [[1, 2], [3, 4], [5, 6]], b [7, 8, 9] after slim_outputs(layer, [0, 2])"
    seen_arrays(words, layer).gives([("weight", [[1.0, 2.0], [5.0, 6.0]]), ("bias", [7.0, 9.0])])
    see("its out_features and in_features", (layer.out_features, layer.in_features)).gives((2, 2))
    kinds = [type(p).__name__ for p in (layer.weight, layer.bias)]
    see("kinds of its weight and bias", kinds).gives(["Parameter", "Parameter"])


@slim_outputs.check("kernels of a Conv2d, without a bias")
def _():
    weight = grid(4, 2, 3, 3)
    layer = layer_with(weight)
    compression.slim_outputs(layer, np.array([1, 3]))
    see("weight of a Conv2d(2, 4, 3) after slim_outputs(layer, [1, 3])", layer.weight).gives(weight[[1, 3]])
    see("its out_channels and in_channels", (layer.out_channels, layer.in_channels)).gives((2, 2))


@slim_outputs.check("all that a batch norm keeps, but for its counter")
def _():
    norm = BatchNorm2d(3)
    for i, x in enumerate((norm.weight, norm.bias, norm.running_mean, norm.running_var), 1):
        fill(x, [10 * i, 10 * i + 1, 10 * i + 2])
    fill(norm.num_batches_tracked, 5)
    compression.slim_outputs(norm, np.array([0, 2]))
    seen_arrays("BatchNorm2d(3) after slim_outputs(norm, [0, 2])", norm).gives(
        [
            ("weight", [10.0, 12.0]),
            ("bias", [20.0, 22.0]),
            ("running_mean", [30.0, 32.0]),
            ("running_var", [40.0, 42.0]),
            ("num_batches_tracked", 5),
        ]
    )
    see("its num_features", norm.num_features).gives(2)


@slim_outputs.check("another layer, or one with groups, is an error")
def _():
    raises(TypeError, compression.slim_outputs, Flatten(), np.array([0]))
    raises(TypeError, compression.slim_outputs, Conv2d(4, 4, 1, groups=2), np.array([0, 1]))


slim_inputs = exercises.add(
    "slim_inputs",
    prompt=(
        "Change a Linear or Conv2d so that it reads only the inputs at the places `keep`, an integer array: "
        "its weight loses the others, and in_features or in_channels becomes len(keep). The bias stays. Any "
        "other layer, and one with groups, is a TypeError."
    ),
    hints=(
        "Inputs are dimension 1 of a weight: (out, in), or (O, C, H, W).",
        "`check_slim(layer, (Linear, Conv2d))`, then `replace(layer, 'weight', …)`, then the size.",
    ),
    mistakes=(
        swap(
            "layer.weight.array[:, keep]",
            "layer.weight.array[keep]",
            "Dimension 0 are the outputs; the inputs are dimension 1.",
        ),
        swap(
            "layer.weight.array[:, keep]",
            "layer.weight.array[..., keep]",
            "The last dimension of a kernel is its width; the channels that it reads are dimension 1.",
        ),
        swap(
            'setattr(layer, "in_features" if isinstance(layer, Linear) else "in_channels", len(keep))',
            "pass",
            "The layer still says that it reads as many inputs as before: set in_features or in_channels.",
        ),
        wrong(
            """
            def slim_inputs(layer, keep):
                check_slim(layer, (Linear, Conv2d))
                replace(layer, "weight", layer.weight.array[:, keep])
                if layer.bias is not None:
                    replace(layer, "bias", layer.bias.array[keep])
                setattr(layer, "in_features" if isinstance(layer, Linear) else "in_channels", len(keep))
            """,
            "The bias was made smaller, too; it has a number for each output, and these stay.",
        ),
        swap(
            "check_slim(layer, (Linear, Conv2d))",
            "pass",
            "A layer with groups, or of another kind, has to be refused: check_slim does that.",
        ),
    ),
)


@slim_inputs.check("columns of a Linear; the bias stays")
def _():
    layer = layer_with([[1, 2, 3], [4, 5, 6]], [7, 8])
    compression.slim_inputs(layer, np.array([1, 0]))
    seen_arrays("Linear of W [[1, 2, 3], [4, 5, 6]], b [7, 8] after slim_inputs(layer, [1, 0])", layer).gives(
        [("weight", [[2.0, 1.0], [5.0, 4.0]]), ("bias", [7.0, 8.0])]
    )
    see("its in_features and out_features", (layer.in_features, layer.out_features)).gives((2, 2))
    see("kind of its weight", type(layer.weight).__name__).gives("Parameter")


@slim_inputs.check("channels that a Conv2d reads")
def _():
    weight = grid(2, 4, 3, 3)
    layer = layer_with(weight)
    compression.slim_inputs(layer, np.array([0, 2]))
    see("weight of a Conv2d(4, 2, 3) after slim_inputs(layer, [0, 2])", layer.weight).gives(weight[:, [0, 2]])
    see("its in_channels and out_channels", (layer.in_channels, layer.out_channels)).gives((2, 2))


@slim_inputs.check("a norm, or a layer with groups, is an error")
def _():
    raises(TypeError, compression.slim_inputs, BatchNorm2d(2), np.array([0]))
    raises(TypeError, compression.slim_inputs, Conv2d(4, 4, 1, groups=2), np.array([0, 1]))


rank_for = exercises.add(
    "rank_for",
    prompt=(
        "Return, as an int, how many of a matrix's singular values, the largest first, it takes until their "
        "squares add up to at least `energy` of the squares of all. It is 1 or more, and for an energy of "
        "1.0 never more than there are. An energy that is not above 0 and up to 1 is a ValueError."
    ),
    hints=(
        "The sum of the squared weights is the sum of the squared singular values.",
        "`np.linalg.svd(array, compute_uv=False)` gives the singular values, the largest first. Make float64 "
        "of the array before.",
        "np.cumsum of the squares tells how much the first 1, 2, … of them make; count those that are "
        "still too small. For 1.0, rounding may leave even the last one too small.",
    ),
    mistakes=(
        swap(
            "compute_uv=False) ** 2",
            "compute_uv=False)",
            "The singular values themselves are summed; energy is a share of their squares.",
        ),
        swap(
            "return 1 + int(",
            "return int(",
            "This counts the ranks that are too small; the next one is the smallest that suffices.",
        ),
        swap(
            "energy * squares.sum() * (1 - 1e-12)",
            "energy",
            "The sum is compared with energy itself; energy is a share of the whole sum.",
        ),
        swap(
            "np.cumsum(squares)",
            "np.cumsum(squares[::-1])",
            "The smallest singular values come first here; the largest ones have to.",
        ),
    ),
)


def seen_rank(words, weight, energy):
    return see(f"rank_for({words}, {energy})", compression.rank_for(tensor(weight), energy))


@rank_for.check("squares 9, 4 and 1: how many make 60, 90 and 95 per cent of 14?")
def _():
    weight = np.diag(float32s(3, 2, 1))
    seen_rank("diagonal 3, 2, 1", weight, 0.6).gives(1)
    seen_rank("diagonal 3, 2, 1", weight, 0.9).gives(2)
    seen_rank("diagonal 3, 2, 1", weight, 0.95).gives(3)
    seen_rank("diagonal 3, 2, 1", weight, 1.0).gives(3)


@rank_for.check("a matrix that is an outer product has rank 1")
def _():
    seen_rank("[[1, 2, 3], [2, 4, 6]]", float32s(1, 2, 3, 2, 4, 6).reshape(2, 3), 0.999).gives(1)
    seen_rank("[[5]]", float32s(5).reshape(1, 1), 1.0).gives(1)


@rank_for.check("at least that much: one of two equal values makes half, and all make all")
def _():
    seen_rank("[[1, 0], [0, 1]]", np.eye(2, dtype=np.float32), 0.5).gives(1)
    for seed in range(10):
        seen_rank(f"a weight (20, 30), number {seed}", grid(20, 30, seed=seed), 1.0).gives(20)


@rank_for.check("any matrix, wide or high")
def _():
    for shape in ((4, 7), (7, 4)):
        weight = grid(*shape)
        squares = np.linalg.eigvalsh(weight.astype(np.float64) @ weight.T)[::-1][:4]
        for rank in (1, 2, 3):
            energy = float((squares[:rank].sum() - squares[rank - 1] / 2) / squares.sum())
            words = f"a weight {shape} with squares {squares.round(2).tolist()}"
            see(
                f"rank_for({words}, {energy:.3f})",
                compression.rank_for(tensor(weight), energy),
            ).gives(rank)


@rank_for.check("an energy of 0, or above 1, is an error")
def _():
    raises(ValueError, compression.rank_for, tensor(np.eye(2, dtype=np.float32)), 0.0)
    raises(ValueError, compression.rank_for, tensor(np.eye(2, dtype=np.float32)), 1.5)


factorize = exercises.add(
    "factorize",
    prompt=(
        "Return Sequential(first, second) of two new Linears for one: first.weight (rank, in), without a "
        "bias, and second.weight (out, rank), with the layer's bias if it has one. Their product is U S V^T "
        "cut off after `rank` singular values; each of the two gets the square roots of these, so that both "
        "are equally large. The dtype and the layer stay. No Linear is a TypeError, a rank that is not from "
        "1 to the smaller side of the weight is a ValueError."
    ),
    hints=(
        "The SVD of W (out, in) is U (out, k), S (k,), V^T (k, in). Keep the first `rank` columns of U, "
        "numbers of S, rows of V^T.",
        "`np.linalg.svd(w, full_matrices=False)` gives u, s, vt. `linear_of(weight, bias)` makes a Linear "
        "of an array, with a copy of the bias.",
        "With root = np.sqrt(s[:rank]) the columns of u are multiplied by root, and the rows of vt by "
        "root[:, None].",
    ),
    mistakes=(
        swap(
            "root = np.sqrt(s[:rank])",
            "root = s[:rank]",
            "Both sides have the whole singular values, so the product has their squares: take square roots.",
        ),
        swap(
            "u[:, :rank] * root",
            "u[:, :rank] * s[:rank]",
            "The scale is all on one side; split it, so that both matrices train at the same pace.",
            ("root[:, None] * vt[:rank]", "vt[:rank]"),
        ),
        swap(
            ".astype(w.dtype), layer.bias)",
            ".astype(w.dtype))",
            "The bias is lost; the second layer takes it.",
        ),
        swap(
            "(root[:, None] * vt[:rank]).astype(w.dtype)",
            "root[:, None] * vt[:rank]",
            "The weights are float64; they keep the layer's dtype.",
            ("(u[:, :rank] * root).astype(w.dtype)", "u[:, :rank] * root"),
        ),
        swap("s[:rank]", "s[-rank:]", "These are the smallest singular values; the largest ones stay."),
        swap(
            "vt[:rank]",
            "vt.T[:rank]",
            "np.linalg.svd gives V^T already, so its rows are what is kept: don't transpose it.",
        ),
    ),
)


def product(pair):
    first, second = (layer.weight.array.astype(np.float64) for layer in pair)
    return (second @ first).astype(np.float32)


@factorize.check("the product of two thin matrices is what is left of the weight")
def _():
    pair = compression.factorize(layer_with([[4, 0, 0], [0, 1, 0]]), 1)
    shapes = [tuple(layer.weight.shape) for layer in pair]
    see("shapes of the weights of factorize(W [[4, 0, 0], [0, 1, 0]], 1)", shapes).gives([(1, 3), (2, 1)])
    see("their product", product(pair)).gives([[4.0, 0.0, 0.0], [0.0, 0.0, 0.0]], atol=1e-5)
    kinds = [layer.weight.dtype.name for layer in pair]
    see("their dtypes", kinds).gives(["float32", "float32"])


@factorize.check("both get half of the scale")
def _():
    weight = np.diag(float32s(9, 4, 1))
    first, second = (
        layer.weight.array.astype(np.float64) for layer in compression.factorize(layer_with(weight), 2)
    )
    words = "factorize(W with diagonal 9, 4, 1, 2):"
    see(f"{words} sums of squares of first's rows", (first**2).sum(1)).gives([9.0, 4.0], rtol=1e-4)
    see(f"{words} sums of squares of second's columns", (second**2).sum(0)).gives([9.0, 4.0], rtol=1e-4)


@factorize.check("the best product of its rank; with the full rank, the layer itself, bias included")
def _():
    weight, bias, x = grid(3, 5), float32s(1, 2, 3), grid(2, 5, seed=2)
    u, s, vt = np.linalg.svd(weight.astype(np.float64))
    pair = compression.factorize(layer_with(weight, bias), 2)
    see("product of factorize(W (3, 5), 2)", product(pair)).gives(
        (u[:, :2] * s[:2] @ vt[:2]).astype(np.float32), rtol=1e-4, atol=1e-4
    )
    layer = layer_with(weight, bias)
    whole = compression.factorize(layer, 3)
    with no_grad():
        out = whole(tensor(x))
    see("output of factorize(layer, 3) for a full rank of 3", out).gives(
        (x.astype(np.float64) @ weight.astype(np.float64).T + bias).astype(np.float32), rtol=1e-4, atol=1e-4
    )
    biases = [p is None for p in (whole[0].bias, whole[1].bias)]
    see("bias is None in (first, second)", biases).gives([True, False])
    see("the layer's weight afterwards", layer.weight).gives(weight)
    fill(whole[1].bias, 0)
    see("the layer's bias after that of the new one became 0", layer.bias).gives(bias)


@factorize.check("another layer, or a rank that there isn't, is an error")
def _():
    raises(TypeError, compression.factorize, Flatten(), 1)
    for rank in (0, 3):
        raises(ValueError, compression.factorize, layer_with(grid(2, 4)), rank)


distillation_loss = exercises.add(
    "distillation_loss",
    prompt=(
        "Return the loss as the docstring has it: T^2 KL(softmax(teacher / T) || softmax(input / T)), "
        "summed over classes and averaged over the N rows, times alpha, plus (1 - alpha) times "
        "cross_entropy of the input without a temperature. Without a target it is the first part alone, "
        "without alpha. No gradient may reach the teacher. T <= 0, alpha outside of 0 to 1 and logits that "
        "are not of one shape (N, C) are ValueErrors."
    ),
    hints=(
        "Compute log-probabilities of both at the temperature; the teacher's without a history.",
        "`kl_div(given, wanted, 'batchmean', log_target=True)` is KL(wanted || given) for two "
        "log-probabilities; log_softmax(x, 1) makes them, and teacher.detach() cuts off the history.",
        "With Ops: mul(soft, temperature**2), and add(mul(soft, alpha), mul(hard, 1 - alpha)).",
    ),
    mistakes=(
        swap(
            'mul(kl_div(given, wanted, "batchmean", log_target=True), temperature**2)',
            'kl_div(given, wanted, "batchmean", log_target=True)',
            "The factor T^2 is missing; without it, the gradient shrinks as the temperature rises.",
        ),
        swap(
            "kl_div(given, wanted,",
            "kl_div(wanted, given,",
            "Teacher and student are exchanged in the KL divergence: kl_div takes the student's first.",
        ),
        swap(
            '"batchmean"',
            '"mean"',
            "The mean is over all N times C numbers; sum over the classes and average over the rows.",
        ),
        swap(
            "add(mul(soft, alpha), mul(cross_entropy(input, target), 1 - alpha))",
            "add(mul(soft, 1 - alpha), mul(cross_entropy(input, target), alpha))",
            "alpha is on the wrong side: it is the share of the teacher.",
        ),
        swap(
            "cross_entropy(input, target)",
            "cross_entropy(div(input, temperature), target)",
            "The true classes are compared at temperature 1, not at T.",
        ),
        swap(
            "with no_grad():\n        wanted = log_softmax(div(teacher.detach(), temperature), 1)",
            "wanted = log_softmax(div(teacher, temperature), 1)",
            "A gradient flows to the teacher, who should stay as it is: detach its logits.",
        ),
        swap(
            "wanted = log_softmax(div(teacher.detach(), temperature), 1)",
            "wanted = log_softmax(teacher.detach(), 1)",
            "The teacher's logits are not divided by the temperature; both have to be.",
        ),
        swap(
            'kl_div(given, wanted, "batchmean", log_target=True)',
            "cross_entropy(div(input, temperature), wrap(np.exp(wanted.array)))",
            "This is the cross-entropy of the two; KL is smaller by the teacher's own entropy, and 0 where "
            "they agree.",
        ),
        swap(
            "return soft",
            "return mul(soft, alpha)",
            "Without a target the first part counts whole: no alpha.",
        ),
    ),
)


def log_probabilities(x, temperature=1.0):
    x = np.asarray(x, np.float64) / temperature
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def soft_loss(student, teacher, temperature):
    wanted, given = log_probabilities(teacher, temperature), log_probabilities(student, temperature)
    return float((np.exp(wanted) * (wanted - given)).sum(1).mean()) * temperature**2


@distillation_loss.check("a student that says even, a teacher that is sure")
def _():
    student, teacher = float32s(0, 0).reshape(1, 2), float32s(2, 0).reshape(1, 2)
    call(compression.distillation_loss, tensor(student), tensor(teacher), temperature=1.0).gives(
        np.array(soft_loss(student, teacher, 1), np.float32), atol=1e-6
    )
    call(compression.distillation_loss, tensor(student), tensor(teacher), temperature=2.0).gives(
        np.array(soft_loss(student, teacher, 2), np.float32), atol=1e-6
    )
    call(compression.distillation_loss, tensor(student), tensor(student)).gives(0.0)


@distillation_loss.check("with true classes, of which alpha leaves a part")
def _():
    student, teacher, target = grid(3, 4), grid(3, 4, seed=1), np.array([0, 3, 1])
    hard = -float(log_probabilities(student)[np.arange(3), target].mean())
    for temperature, alpha in ((4.0, 0.9), (2.0, 0.25), (3.0, 0.0)):
        expected = alpha * soft_loss(student, teacher, temperature) + (1 - alpha) * hard
        call(
            compression.distillation_loss, tensor(student), tensor(teacher), tensor(target),
            temperature=temperature, alpha=alpha,
        ).gives(np.array(expected, np.float32), rtol=1e-4, atol=1e-5)  # fmt: skip


@distillation_loss.check("the gradient for the student, and none for the teacher")
def _():
    teacher, target = tensor(grid(2, 3, seed=1).astype(np.float64)), tensor(np.array([2, 0]))
    gradients(
        "gradient of distillation_loss(x, teacher, target, 2.0, 0.5)",
        lambda x: compression.distillation_loss(x, teacher, target, 2.0, 0.5),
        grid(2, 3),
    )
    student, learned = Parameter(tensor(grid(2, 3))), Parameter(tensor(grid(2, 3, seed=1)))
    compression.distillation_loss(student, learned).backward()
    see("the teacher's gradient", learned.grad).gives(None)


@distillation_loss.check("a temperature of 0, an alpha above 1 and unequal shapes are errors")
def _():
    x, y = tensor(grid(2, 3)), tensor(grid(2, 4))
    raises(ValueError, compression.distillation_loss, x, x, temperature=0.0)
    raises(ValueError, compression.distillation_loss, x, x, alpha=1.5)
    raises(ValueError, compression.distillation_loss, x, y)
    raises(ValueError, compression.distillation_loss, tensor(grid(3)), tensor(grid(3)))


measure = exercises.add(
    "Distiller.measure",
    prompt=(
        "Return what Trainer.measure returns for a batch (inputs, targets): the loss as a Tensor, and "
        "{'loss': float, and each of self.metrics: float}. While self.model, the student, is in training, "
        "the loss is distillation_loss of its outputs, those of self.teacher and the targets, with "
        "self.temperature and self.alpha. The teacher computes without gradients and in evaluation mode, "
        "and has its old mode afterwards. Out of training, everything is as in Trainer."
    ),
    hints=(
        "`super().measure(batch)` does it as Trainer does.",
        "self.teacher.training says in which mode it is; .eval() and .train(mode) change it. "
        "`with no_grad():` around its call.",
        "{name: float(metric(outputs, targets)) for name, metric in self.metrics.items()} are the metrics. "
        "With self.device, the batch is moved there first.",
    ),
    mistakes=(
        swap(
            "self.teacher.train(was_training)",
            "pass",
            "The teacher stays in evaluation mode; give it its old mode back.",
        ),
        swap(
            "self.teacher.eval()(inputs)",
            "self.teacher(inputs)",
            "The teacher answers in training mode, with Dropout and statistics of the batch: call eval().",
        ),
        swap(
            "with no_grad():\n            says = self.teacher.eval()(inputs)",
            "says = self.teacher.eval()(inputs)",
            "The teacher's outputs have a history, which takes memory and time: compute them with no_grad.",
        ),
        swap(
            "if not self.model.training:",
            "if False:",
            "Evaluation compares with other runs, so it takes the Trainer's own loss.",
        ),
        swap(
            "says, targets, self.temperature, self.alpha",
            "says, targets",
            "The temperature and alpha of this Distiller have to go on to distillation_loss.",
        ),
        swap('{"loss": loss.item(), **metrics}', '{"loss": loss.item()}', "The metrics are not returned."),
    ),
)


class Answers(Module):
    """Gives its logits whatever comes; in training mode, they are reversed. Remembers what it gave."""

    def __init__(self, logits):
        super().__init__()
        self.logits = Parameter(tensor(logits))

    def forward(self, input):
        given = self.logits if not self.training else self.logits[:, ::-1]
        self.given = mul(given, 1.0)
        return self.given


def distiller(**settings):
    student, teacher = layer_with([[1, 0], [0, 2]]), Answers(float32s(3, 0, 0, 1).reshape(2, 2))
    return compression.Distiller(student, teacher, None, temperature=2.0, alpha=0.5, **settings)


BATCH = tensor(float32s(1, 2, 3, 4).reshape(2, 2)), tensor(np.array([0, 1]))


def expected_loss():
    student, teacher = float32s(1, 4, 3, 8).reshape(2, 2), float32s(3, 0, 0, 1).reshape(2, 2)
    hard = -float(log_probabilities(student)[[0, 1], [0, 1]].mean())
    return 0.5 * soft_loss(student, teacher, 2.0) + 0.5 * hard, hard


@measure.check("in training, the loss is that of distillation")
def _():
    loss, values = distiller().measure(BATCH)
    expected, _ = expected_loss()
    see("the loss of measure(batch) at T = 2, alpha = 0.5", loss).gives(
        np.array(expected, np.float32), rtol=1e-4
    )
    see("the values' names", sorted(values)).gives(["loss"])
    see("values['loss']", float(values["loss"])).gives(expected, rtol=1e-4)


@measure.check("in evaluation, it is the Trainer's own")
def _():
    trainer = distiller()
    trainer.model.eval()
    loss, _ = trainer.measure(BATCH)
    see("the loss of measure(batch) while the student evaluates", loss).gives(
        np.array(expected_loss()[1], np.float32), rtol=1e-4
    )


@measure.check("the student learns, the teacher has no history, and keeps its mode")
def _():
    trainer = distiller()
    loss, _ = trainer.measure(BATCH)
    loss.backward()
    see("the student got a gradient", isinstance(trainer.model.weight.grad, Tensor)).gives(True)
    see("the teacher's outputs need a gradient", trainer.teacher.given.requires_grad).gives(False)
    see("the teacher is in training mode, as before", trainer.teacher.training).gives(True)
    trainer.teacher.eval()
    trainer.measure(BATCH)
    see("the teacher is in training mode, which it was not before", trainer.teacher.training).gives(False)


@measure.check("metrics are computed from the student's outputs and the targets")
def _():
    metrics = {"sum": lambda outputs, targets: outputs.array.sum() + targets.array.sum()}
    _, values = distiller(metrics=metrics).measure(BATCH)
    see("the values' names", sorted(values)).gives(["loss", "sum"])
    see("values['sum']: outputs [[1, 4], [3, 8]], targets [0, 1]", float(values["sum"])).gives(17.0)


kmeans = exercises.add(
    "kmeans",
    prompt=(
        "Return the centres of the clusters, float64 (clusters,) in rising order, for an array of any "
        "shape. They begin evenly spaced from its least to its largest number. Then, until nothing changes "
        "or at most `steps` times: each number belongs to the nearest centre, and each centre becomes the "
        "mean of its numbers; one without numbers stays where it is. For no numbers at all, return zeros. "
        "The array stays as it is."
    ),
    hints=(
        "Two moves in turns: who belongs to whom, and where is everyone's middle? Sorted numbers make the "
        "first one easy.",
        "`np.linspace(least, largest, clusters)` begins. Halfway between two neighbouring centres lies the "
        "border of their clusters; `np.searchsorted` finds it among sorted numbers.",
        "Plain loops do as well: np.abs(values[:, None] - centres).argmin(1) tells for each number which "
        "centre is the nearest.",
    ),
    mistakes=(
        swap(
            "np.where(counts, means, centres)",
            "means",
            "A cluster without numbers has no mean, and its centre went to 0; it stays where it was.",
        ),
        wrong(
            """
            def kmeans(values, clusters, steps=100):
                values = np.asarray(values, np.float64).reshape(-1)
                if not values.size:
                    return np.zeros(clusters)
                centres = np.linspace(values.min(), values.max(), clusters)
                for _ in range(steps):
                    nearest, before = np.abs(values[:, None] - centres).argmin(1), centres
                    own = [values[nearest == i] for i in range(clusters)]
                    centres = np.array([each.sum() / np.float64(each.size) for each in own])
                    if (centres == before).all():
                        break
                return centres
            """,
            "The mean of no numbers is nan; a cluster without numbers stays where it was.",
        ),
        swap(
            "for _ in range(steps):",
            "for _ in range(1):",
            "The centres move only once; then other numbers are nearest to them, so repeat it.",
        ),
        swap(
            "for _ in range(steps):",
            "for _ in range(100):",
            "The argument steps is not used: it says how often the centres move at most.",
        ),
        swap(
            "np.linspace(values[0], values[-1], clusters)",
            "np.quantile(values, np.linspace(0, 1, clusters))",
            "The centres begin where most numbers are, so few large ones get none of their own: begin "
            "evenly spaced.",
        ),
        swap(
            "np.linspace(values[0], values[-1], clusters)",
            "np.linspace(0, values[-1], clusters)",
            "The centres begin at 0; they begin at the least number, which may be negative.",
        ),
    ),
)


@kmeans.check("two groups have two centres")
def _():
    call(compression.kmeans, float32s(11, 0, 10, 1), 2).gives(np.array([0.5, 10.5]))
    call(compression.kmeans, float32s(-4, -6, 2, 6).reshape(2, 2), 2).gives(np.array([-5.0, 4.0]))


@kmeans.check("it goes on until nothing changes, or for as many steps as it is told")
def _():
    values = float32s(0, 0, 0, 0, 4.8, 6, 10.2)
    call(compression.kmeans, values, 2).gives(np.array([0.0, 7.0]))
    call(compression.kmeans, values, 2, 1).gives(np.array([0.96, 8.1]))


@kmeans.check("a cluster without numbers stays, and a large number gets a centre")
def _():
    call(compression.kmeans, float32s(0, 1, 2, 3, 4, 100), 3).gives(np.array([2.0, 50.0, 100.0]))


@kmeans.check("negative numbers: three groups, of which none is near 0")
def _():
    call(compression.kmeans, float32s(-9, -8, -6, -5.5, -1, -2), 3).gives(np.array([-8.5, -5.75, -1.5]))


@kmeans.check("one cluster, equal numbers, no numbers, and the array stays as it is")
def _():
    values = float32s(3, 1, 2)
    call(compression.kmeans, values, 1).gives(np.array([2.0]))
    see("the array after kmeans([3, 1, 2], 1)", values).gives(float32s(3, 1, 2))
    call(compression.kmeans, float32s(5, 5), 2).gives(np.array([5.0, 5.0]))
    call(compression.kmeans, float32s(), 3).gives(np.array([0.0, 0.0, 0.0]))


shared_forward = exercises.add(
    "SharedWeight.forward",
    prompt=(
        "Return the weight as a Tensor in the shape of self.codes and the dtype of self.table (clusters,): 0 "
        "where the code is 0, and table[i - 1] where it is i. Use Ops, so that a gradient reaches the "
        "table: for each of its values the sum over all weights that share it."
    ),
    hints=(
        "A table with a 0 in front needs no case for the code 0.",
        "`cat([zero, self.table])` puts a Tensor of one 0 before the table; `getitem(x, codes)` looks up "
        "and has a derivative.",
        "wrap(np.zeros_like(self.table.array, shape=(1,))) is that zero, in the table's dtype.",
    ),
    mistakes=(
        swap(
            "return getitem(cat([zero, self.table]), self.codes)",
            "return wrap(cat([zero, self.table]).array[self.codes.array])",
            "These are the right numbers without a history: look them up with Ops, so that the table learns.",
        ),
        swap(
            "return getitem(cat([zero, self.table]), self.codes)",
            "return getitem(self.table, self.codes.array.astype(np.int64) - 1)",
            "Code 0 became the table's last value, for it was looked up at place -1; it stands for 0.",
        ),
        swap(
            "return getitem(cat([zero, self.table]), self.codes)",
            "return getitem(cat([self.table, zero]), self.codes)",
            "The codes are off by one: code i is table[i - 1].",
        ),
        swap(
            "return getitem(cat([zero, self.table]), self.codes)",
            "return getitem(cat([zero, self.table]), self.codes.array.reshape(-1))",
            "The weight is flat; it has the shape of the codes.",
        ),
    ),
)


def shared_weight(codes, table):
    made = compression.SharedWeight(tensor(np.ones(np.shape(codes), np.float32)), len(table))
    made.codes.array[...], made.table.array[...] = codes, table
    return made


@shared_forward.check("code 1 is the table's first value, code 0 is zero")
def _():
    made = shared_weight([[1, 2, 0], [2, 3, 1]], [-0.5, 0.25, 4.0])
    see("forward() for codes [[1, 2, 0], [2, 3, 1]], table [-0.5, 0.25, 4]", made.forward()).gives(
        tensor(float32s(-0.5, 0.25, 0, 0.25, 4, -0.5).reshape(2, 3))
    )


@shared_forward.check("in the shape of a kernel")
def _():
    codes = np.arange(8).reshape(2, 2, 2, 1) % 3
    made = shared_weight(codes, [5.0, 7.0])
    see("forward() for codes (2, 2, 2, 1)", made.forward()).gives(np.array([0, 5, 7], np.float32)[codes])


@shared_forward.check("a shared value's gradient is the sum over its places")
def _():
    made = shared_weight([[1, 2, 0], [2, 3, 2]], [-0.5, 0.25, 4.0])
    sum_of(mul(made.forward(), tensor(float32s(1, 2, 3, 4, 5, 6).reshape(2, 3)))).backward()
    see(
        "gradient of the table, codes [[1, 2, 0], [2, 3, 2]], gradient [[1, 2, 3], [4, 5, 6]]",
        made.table.grad,
    ).gives([1.0, 12.0, 5.0])


pack_sparse = exercises.add(
    "pack_sparse",
    prompt=(
        "Return a dictionary with an entry for each name: {'values': Tensor of the numbers that are not 0, "
        "in row-major order, 'mask': uint8 Tensor of what np.packbits makes of `array != 0`, 'shape': a "
        "list}, if values and mask together have fewer bytes than the array, else the Tensor as it is. A "
        "Tensor whose array came before, under another name, is {'same_as': the first name}, unless it has "
        "no numbers."
    ),
    hints=(
        "array[array != 0] are the values; `.nbytes` of an array is what it takes.",
        "id(x.array) tells whether the same array came before: keep {id: first name}.",
        "np.packbits makes a byte of eight places. `wrap(array)` makes a Tensor; [*x.shape] is a list.",
    ),
    mistakes=(
        swap(
            "if pays else x",
            "",
            "Everything is packed, also where that takes more bytes: leave such a Tensor as it is.",
        ),
        swap(
            "np.packbits(array != 0)",
            "(array != 0).astype(np.uint8)",
            "The mask takes a byte for each place; one bit is enough, np.packbits puts eight into a byte.",
        ),
        swap(
            'packed[name] = {"same_as": first[id(x.array)]}\n            continue',
            "pass",
            "Tied weights are stored twice; the second name only says same_as.",
        ),
        swap(
            "values.nbytes + mask.nbytes < array.nbytes",
            "values.nbytes < array.nbytes",
            "The mask takes bytes as well: count it before you say that packing pays.",
        ),
        swap(
            "x.array.size and id(x.array) in first",
            "id(x.array) in first",
            "A Tensor without numbers is stored as it is, under any name.",
        ),
        swap(
            "continue",
            "pass",
            "A third name refers to the second; same_as is the first one, where the numbers are.",
            ("array = x.array if", "if name in packed:\n            continue\n        array = x.array if"),
        ),
    ),
)


def seen_packed(words, entry):
    """The parts of a packed entry, the arrays as they are."""
    if not isinstance(entry, dict):
        return see(words, entry)
    parts = sorted(entry.items())
    return see(words, [(key, x.array if isinstance(x, Tensor) else x) for key, x in parts])


@pack_sparse.check("two of eight numbers are not zero")
def _():
    x = tensor(float32s(0, 0, 5, 0, 0, 0, 0, -2).reshape(2, 4))
    packed = compression.pack_sparse({"w": x})
    see("names in pack_sparse({'w': [[0, 0, 5, 0], [0, 0, 0, -2]]})", list(packed)).gives(["w"])
    seen_packed("its entry w", packed["w"]).gives(
        [("mask", np.array([0b00100001], np.uint8)), ("shape", [2, 4]), ("values", float32s(5, -2))]
    )


@pack_sparse.check("where it does not pay, the tensor stays as it is")
def _():
    dense, nearly = tensor(float32s(1, 2, 3, 4)), tensor(np.array([1, 0, 2, 3], np.int8))
    packed = compression.pack_sparse({"dense": dense, "bytes": nearly, "one": tensor(np.float32(2.0))})
    kinds = [(name, type(x).__name__) for name, x in packed.items()]
    see("kinds of entries for [1, 2, 3, 4], int8 [1, 0, 2, 3] and 2.0", kinds).gives(
        [("dense", "Tensor"), ("bytes", "Tensor"), ("one", "Tensor")]
    )
    see("the entry of [1, 2, 3, 4]", packed["dense"]).gives(float32s(1, 2, 3, 4))


@pack_sparse.check("nine places need two bytes of mask, and the dtype stays")
def _():
    x = tensor(np.array([3, 0, 0, 0, 0, 0, 0, 0, -1], np.int64))
    seen_packed(
        "the entry of int64 [3, 0, …, 0, -1], 9 numbers", compression.pack_sparse({"x": x})["x"]
    ).gives(
        [
            ("mask", np.array([0b10000000, 0b10000000], np.uint8)),
            ("shape", [9]),
            ("values", np.array([3, -1], np.int64)),
        ]
    )


@pack_sparse.check("tied tensors are stored once, empty ones as they are")
def _():
    x, empty = tensor(float32s(1, 2)), tensor(np.zeros((0, 2), np.float32))
    tensors = {"table": x, "head": x, "third": x, "other": tensor(float32s(1, 2))}
    packed = compression.pack_sparse(tensors | {"none": empty, "nothing": empty})
    for name in ("head", "third"):
        seen_packed(f"the entry {name}, the same tensor as table", packed[name]).gives([("same_as", "table")])
    seen_packed("the entry other, a tensor of its own, of equal numbers", packed["other"]).gives(
        float32s(1, 2)
    )
    see("the entry nothing, the same tensor without numbers as none", packed["nothing"]).gives(
        np.zeros((0, 2), np.float32)
    )


unpack_sparse = exercises.add(
    "unpack_sparse",
    prompt=(
        "Return {name: Tensor}, the state_dict that pack_sparse packed: of {'values', 'mask', 'shape'} comes "
        "a Tensor in that shape and the dtype of the values, of {'same_as': name} what came under that name "
        "before, and a Tensor stays as it is."
    ),
    hints=(
        "Begin with zeros, find the places where the mask has a 1, and write the values there.",
        "`np.unpackbits(mask, count=n)` gives n bits; as bool and in the right shape, they are an index.",
        "array[inside] = values writes the values in row-major order where `inside` is True.",
    ),
    mistakes=(
        swap(
            'np.zeros(x["shape"], x["values"].dtype)',
            'np.zeros(x["shape"])',
            "The dtype became float64; the values say which it is.",
        ),
        swap(
            'np.unpackbits(x["mask"].array, count=array.size)',
            'np.unpackbits(x["mask"].array, count=array.size, bitorder="little")',
            "The bits are read from the wrong end: np.packbits puts the first place into the highest bit.",
        ),
        swap(
            "count=array.size",
            "count=None",
            "The last byte has bits for more places than there are: take as many as the array has.",
        ),
        swap(
            'x = state_dict[x["same_as"]]',
            "continue",
            "The second name of a tied tensor is missing; a model that loads this needs both.",
        ),
        swap(
            'state_dict[x["same_as"]]',
            'wrap(state_dict[x["same_as"]].array.copy())',
            "The numbers are copied, so that tied weights take twice the memory: give both names one Tensor.",
        ),
        swap(
            'state_dict[x["same_as"]]',
            'packed[x["same_as"]]',
            "This gives the packed entry of that name; give the Tensor that was made of it.",
        ),
    ),
)


def packed_entry(values, mask, shape):
    return {"values": tensor(values), "mask": tensor(np.array(mask, np.uint8)), "shape": shape}


@unpack_sparse.check("two values find their places among zeros")
def _():
    entry = packed_entry(float32s(5, -2), [0b00100001], [2, 4])
    found = compression.unpack_sparse({"w": entry})
    words = "values [5, -2], mask [0b00100001], shape [2, 4]: entry w of unpack_sparse"
    see(words, found["w"]).gives(tensor(float32s(0, 0, 5, 0, 0, 0, 0, -2).reshape(2, 4)))


@unpack_sparse.check("five places of a byte, of another dtype")
def _():
    entry = packed_entry(np.array([7, 9], np.int64), [0b01001000], [5])
    see(
        "int64 values [7, 9], mask [0b01001000], shape [5]: entry x of unpack_sparse",
        compression.unpack_sparse({"x": entry})["x"],
    ).gives(np.array([0, 7, 0, 0, 9], np.int64))


@unpack_sparse.check("a tensor stays, and a second name gets what the first one has")
def _():
    packed = {
        "dense": tensor(float32s(1, 2)),
        "table": packed_entry(float32s(3), [0b01000000], [3]),
        "head": {"same_as": "table"},
        "again": {"same_as": "dense"},
    }
    found = compression.unpack_sparse(packed)
    see("the names", list(found)).gives(["dense", "table", "head", "again"])
    see("entry dense", found["dense"]).gives(tensor(float32s(1, 2)))
    see("entry head, same_as table", found["head"]).gives(tensor(float32s(0, 3, 0)))
    see("entry again, same_as dense", found["again"]).gives(tensor(float32s(1, 2)))
    shared = bool(np.shares_memory(found["head"].array, found["table"].array))
    see("head and table are the same memory", shared).gives(True)


@unpack_sparse.check("all zeros, too")
def _():
    entry = packed_entry(float32s(), [0], [2, 2])
    see("no values, mask [0], shape [2, 2]: entry x", compression.unpack_sparse({"x": entry})["x"]).gives(
        np.zeros((2, 2), np.float32)
    )
