"""16 Compression: a trained model with fewer numbers in it, and an account of what that saves.

Five ways, which combine. Magnitude pruning sets the smallest weights to zero. Channel pruning takes whole
rows out of a layer, and what read them out of the next. A low-rank product stands in for a matrix. A small
student learns from the outputs of a large teacher. And the weights of a layer share a few values, of which it
keeps a table. Then files: packed, compressed, and what they weigh.

All but `magnitude_prune` return a new model and leave the old one as it was. Its parameters are new, so make
the optimizer after it.
"""

import io
import zlib
from copy import deepcopy
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np

from ..utils.safetensors import load, save, write_atomically
from .activations import log_softmax
from .autograd import no_grad
from .layers import Flatten, Linear, Module, Parameter, Sequential, fill, linear
from .losses import cross_entropy, kl_div
from .profiling import count_parameters, measure, model_nbytes
from .spatial import BatchNorm, Conv2d, conv2d
from .tensor import add, cat, div, getitem, mul, wrap
from .training import Callback, Trainer

# Magnitude pruning: the smallest weights become zero.


def count_of(amount, total):
    """How many of `total` an amount is: a share from 0.0 to 1.0, rounded, or a whole number of them."""
    share = isinstance(amount, float)
    is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
    if not is_number or not 0 <= amount <= (1 if share else total):
        raise ValueError(f"amount is a share from 0.0 to 1.0 or a number from 0 to {total}; {amount!r} came")
    return round(amount * total) if share else amount


def magnitude_mask(scores, count):
    """True where a number stays, False for the `count` smallest, for an array of any shape."""
    mask = np.ones_like(scores, dtype=bool).reshape(-1)
    if count:
        mask[np.argpartition(scores.reshape(-1), count - 1)[:count]] = False
    return mask.reshape(scores.shape)


class Pruning(Callback):
    """What was pruned from a model: {path: mask}. As a callback of a Trainer it keeps it at zero.

    The optimizer knows nothing of masks: its momentum moves a pruned weight at the next step. So the zeros
    are written again after each update. In a loop of your own call `apply()` after `optimizer.step()`.
    """

    def __init__(self, model, masks):
        self.parameters = {path: p for path, p in model.named_parameters() if path in masks}
        self.masks = masks

    def apply(self):
        """Set what is pruned to zero."""
        for path, p in self.parameters.items():
            fill(p, np.where(self.masks[path], p.array, 0))

    @property
    def sparsity(self):
        """The share of the weights under the masks that is pruned."""
        total = sum(mask.size for mask in self.masks.values())
        return 1 - sum(int(mask.sum()) for mask in self.masks.values()) / total if total else 0.0

    def on_batch_end(self, trainer, loss):
        self.apply()

    def state_dict(self):
        return {"masks": {path: wrap(mask) for path, mask in self.masks.items()}}

    def load_state_dict(self, state_dict):
        own = {path: p.array for path, p in self.parameters.items()}
        self.masks = {
            path: np.asarray(mask.array, like=own[path]) for path, mask in state_dict["masks"].items()
        }


def magnitude_prune(model, amount, scope="global", names=None):
    """Set the weights nearest to zero to zero, in place. Returns the Pruning that keeps them there.

    amount: the share (a float) or the number (an int) of weights that are zero afterwards.
    scope: "global" compares all weights of the model, "layer" takes the amount from each of them.
    names: the paths of the parameters; by default all with two or more dimensions, so no bias and no norm.
    Han et al. 2015, https://arxiv.org/abs/1506.02626
    """
    if scope not in ("global", "layer"):
        raise ValueError(f"magnitude_prune: scope is 'global' or 'layer'; {scope!r} came")
    weights = {path: p for path, p in model.named_parameters() if p.ndim > 1 or names is not None}
    weights = {path: weights[path] for path in chosen("magnitude_prune", weights, names)}
    scores = {path: np.abs(p.array) for path, p in weights.items()}
    if scope == "layer":
        masks = {path: magnitude_mask(s, count_of(amount, s.size)) for path, s in scores.items()}
    else:
        flat = np.concatenate([s.reshape(-1) for s in scores.values()]) if scores else np.empty(0)
        together = magnitude_mask(flat, count_of(amount, flat.size))
        ends = np.cumsum([s.size for s in scores.values()])[:-1]
        parts = np.split(together, ends.tolist()) if scores else []
        masks = {path: part.reshape(scores[path].shape) for path, part in zip(scores, parts, strict=True)}
    pruning = Pruning(model, masks)
    pruning.apply()
    return pruning


def chosen(function, paths, names):
    """`names`, each of which has to be among `paths`; all of these for None."""
    unknown = [name for name in names or () if name not in paths]
    if unknown:
        raise ValueError(f"{function}: no {', '.join(unknown)} here; there are: {', '.join(paths)}")
    return list(paths) if names is None else names


# Channel pruning: layers with fewer rows.

# Modules without parameters that treat each channel alone, so that channels can go on both sides of them.
CHANNELWISE = {
    "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "Dropout", "Dropout2d", "ELU", "GELU",
    "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid", "MaxPool2d", "Mish",
    "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softsign", "Tanh", "Upsample", "ZeroPad2d",
}  # fmt: skip


def strongest_channels(layer, amount):
    """The places of the outputs of a Linear or Conv2d that stay, in order: those with the largest L1 norm of
    their weights. At least one stays. Li et al. 2017, https://arxiv.org/abs/1608.08710
    """
    norms = np.abs(layer.weight.array).reshape(len(layer.weight), -1).sum(1)
    count = min(count_of(amount, norms.size), norms.size - 1)
    return np.flatnonzero(magnitude_mask(norms, max(count, 0)))


def slim_outputs(layer, keep):
    """Keep only the outputs at the places `keep`, of a Linear, a Conv2d or a batch norm."""
    check_slim(layer, (Linear, Conv2d, BatchNorm))
    for name, x in {**layer._parameters, **layer._buffers}.items():
        if x is not None and x.ndim:  # the counter of a norm has no dimension
            replace(layer, name, x.array[keep])
    size = {Linear: "out_features", Conv2d: "out_channels"}.get(type(layer), "num_features")
    setattr(layer, size, len(keep))


def slim_inputs(layer, keep):
    """Keep only the inputs at the places `keep`: columns of a Linear, channels that a Conv2d reads."""
    check_slim(layer, (Linear, Conv2d))
    replace(layer, "weight", layer.weight.array[:, keep])
    setattr(layer, "in_features" if isinstance(layer, Linear) else "in_channels", len(keep))


def check_slim(layer, kinds):
    if not isinstance(layer, kinds) or getattr(layer, "groups", 1) != 1:
        names = ", ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"only {names} without groups can be made slimmer; this came: {layer!r}")


def replace(layer, name, array):
    """A new tensor under a registered name, with memory of its own in row-major order."""
    old, new = getattr(layer, name), wrap(array.copy())
    setattr(layer, name, Parameter(new, old.requires_grad) if isinstance(old, Parameter) else new)


def prune_channels(model, amount=0.5):
    """A Sequential with fewer channels between its layers: each Linear and Conv2d but the last loses `amount`
    of its outputs, the norm behind it as many features, and the layer after it as many inputs.

    amount: a share or a number, of each layer. Raises TypeError where a layer stands that mixes channels.
    """
    if not isinstance(model, Sequential):
        raise TypeError(
            f"prune_channels: a Sequential is needed, {type(model).__name__} came; in other models use "
            "slim_outputs and slim_inputs, layer by layer"
        )
    slim = deepcopy(model)
    chain = list(in_order(slim))
    places = [i for i, layer in enumerate(chain) if isinstance(layer, (Linear, Conv2d))]
    if len({chain[i] for i in places}) < len(places):
        raise TypeError("prune_channels: a layer occurs twice, so its channels are not free to choose")
    for start, stop in pairwise(places):
        first, *after = chain[start : stop + 1]
        if not len(first.weight):
            continue
        keep, size, flat = strongest_channels(first, amount), len(first.weight), isinstance(first, Linear)
        slim_outputs(first, keep)
        for layer in after:
            each, is_last = inputs_of(layer) / size, layer is after[-1]
            if isinstance(layer, Flatten) and (layer.start_dim, layer.end_dim) == (1, -1):
                flat = True
            elif is_last and flat == isinstance(layer, Linear) and fits(first, flat, each):
                slim_inputs(layer, spread_out(keep, int(each)))
            elif isinstance(layer, BatchNorm) and fits(first, flat, each):
                slim_outputs(layer, spread_out(keep, int(each)))
            elif type(layer).__name__ not in CHANNELWISE:
                raise TypeError(
                    f"prune_channels: between {first!r} and {after[-1]!r} stands {layer!r}, "
                    "where it isn't known which channel goes where"
                )
    slim.zero_grad()
    return slim


def inputs_of(layer):
    """How many channels a layer reads, or features a norm has; 0 for other modules."""
    if isinstance(layer, (Linear, Conv2d)):
        return layer.weight.shape[1]
    return layer.num_features if isinstance(layer, BatchNorm) else 0


def fits(first, flat, each):
    """May a reader have `each` inputs for a channel? More than one only behind a Conv2d and a Flatten."""
    return each == 1 or (flat and isinstance(first, Conv2d) and each == int(each))


def spread_out(keep, each):
    """The places of channels after a Flatten, which makes `each` neighbours of each of them."""
    return (keep[:, None] * each + np.arange(each, like=keep)).reshape(
        -1
    )  # (kept,), (each,) -> (kept * each,)


def in_order(model):
    """The layers of a Sequential, and of those inside it, in the order in which they run."""
    if not isinstance(model, Sequential):
        yield model
        return
    for layer in model:
        yield from in_order(layer)


# Low rank: a product of two thin matrices for a matrix.


def rank_for(weight, energy):
    """The smallest rank whose part of the SVD has at least `energy` of the sum of the squared weights."""
    if not 0 < energy <= 1:
        raise ValueError(f"rank_for: energy is a share above 0, up to 1; {energy} came")
    squares = np.linalg.svd(weight.array.astype(np.float64), compute_uv=False) ** 2
    wanted = energy * squares.sum() * (1 - 1e-12)  # the last digits of a sum of all are not to be reached
    return 1 + int((np.cumsum(squares)[:-1] < wanted).sum())


def factorize(layer, rank):
    """A Linear (in, out) as two, (in, rank) and (rank, out): the first `rank` terms of W = U S V^T.

    No other product of this rank is nearer to W (Eckart and Young 1936, https://doi.org/10.1007/BF02288367).
    It has fewer weights if rank < in * out / (in + out). Denton et al. 2014, https://arxiv.org/abs/1404.0736
    """
    if not isinstance(layer, Linear):
        raise TypeError(f"factorize: a Linear is needed, {type(layer).__name__} came")
    if not 1 <= rank <= min(layer.weight.shape):
        shape = layer.weight.shape
        raise ValueError(f"factorize: a weight {shape} has ranks from 1 to {min(shape)}, {rank} came")
    w = layer.weight.array
    u, s, vt = np.linalg.svd(w.astype(np.float64), full_matrices=False)
    root = np.sqrt(s[:rank])  # half of the scale goes to each side, so that both train at the same pace
    first = linear_of((root[:, None] * vt[:rank]).astype(w.dtype))  # (rank, in)
    second = linear_of((u[:, :rank] * root).astype(w.dtype), layer.bias)  # (out, rank)
    return Sequential(first, second)


def linear_of(weight, bias=None):
    """A Linear with these numbers."""
    layer = Linear(0, 0, bias=bias is not None)
    layer.weight = Parameter(wrap(weight))
    if bias is not None:
        layer.bias = Parameter(wrap(bias.array.copy()))
    layer.out_features, layer.in_features = weight.shape
    return layer


def low_rank(model, energy=0.9, names=None):
    """A copy of a model where two thin Linears stand for one, wherever they have fewer weights.

    energy: how much of the sum of the squared weights has to stay, see `rank_for`. names: paths of Linears.
    """

    def thinner(layer):
        rank = rank_for(layer.weight, energy)
        return factorize(layer, rank) if rank * sum(layer.weight.shape) < prod(layer.weight.shape) else layer

    return rebuilt("low_rank", model, Linear, names, thinner)


def rebuilt(function, model, kinds, names, change):
    """A copy of a model with change(layer) for its layers of these kinds, but those that share a weight."""
    model = deepcopy(model)
    model.zero_grad()
    layers = {path: layer for path, layer in model.named_modules() if isinstance(layer, kinds)}
    uses = [p for _, p in model.named_parameters(remove_duplicate=False)]
    layers = {path: layer for path, layer in layers.items() if sum(p is layer.weight for p in uses) == 1}
    for path in chosen(function, layers, names):
        if not path:
            return change(layers[path])
        parent, _, name = path.rpartition(".")
        model.get_submodule(parent)._modules[name] = change(layers[path])
    return model


# Distillation: a student learns what the teacher says, not only what is right.


def distillation_loss(input, teacher, target=None, temperature=4.0, alpha=0.9):
    """alpha T^2 KL(softmax(teacher / T) || softmax(input / T)) + (1 - alpha) cross_entropy(input, target).

    input, teacher: logits (N, C) of the student and the teacher; no gradient flows to the teacher. target:
    classes (N,), or None for the first part alone. The gradient of the KL part shrinks as 1 / T^2; the factor
    T^2 undoes it, so alpha means the same at every temperature. Hinton et al. 2015,
    https://arxiv.org/abs/1503.02531
    """
    if not temperature > 0:
        raise ValueError(f"distillation_loss: temperature is a number above 0, {temperature} came")
    if not 0 <= alpha <= 1:
        raise ValueError(f"distillation_loss: alpha is a share from 0 to 1, {alpha} came")
    if input.ndim != 2 or input.shape != teacher.shape:
        raise ValueError(
            f"distillation_loss: logits (N, C) of both are needed; {input.shape} and {teacher.shape} came"
        )
    with no_grad():
        wanted = log_softmax(div(teacher.detach(), temperature), 1)
    given = log_softmax(div(input, temperature), 1)
    soft = mul(kl_div(given, wanted, "batchmean", log_target=True), temperature**2)
    if target is None:
        return soft
    return add(mul(soft, alpha), mul(cross_entropy(input, target), 1 - alpha))


class Distiller(Trainer):
    """A Trainer whose model, the student, also learns from a teacher with `distillation_loss`.

    `evaluate` takes the Trainer's own loss, so that it compares with other runs. The teacher stays as it is.
    """

    def __init__(self, student, teacher, optimizer, *, temperature=4.0, alpha=0.9, **settings):
        super().__init__(student, optimizer, **settings)
        self.teacher, self.temperature, self.alpha = teacher, temperature, alpha

    def measure(self, batch):
        if not self.model.training:
            return super().measure(batch)
        inputs, targets = batch if self.device is None else (x.to(self.device) for x in batch)
        was_training = self.teacher.training
        with no_grad():
            says = self.teacher.eval()(inputs)
        self.teacher.train(was_training)
        outputs = self.model(inputs)
        loss = distillation_loss(outputs, says, targets, self.temperature, self.alpha)
        with no_grad():
            metrics = {name: float(metric(outputs, targets)) for name, metric in self.metrics.items()}
        return loss, {"loss": loss.item(), **metrics}


# Weight sharing: a table of values, and for each weight its place in the table.


def kmeans(values, clusters, steps=100):
    """Centres (clusters,) in rising order, for an array of numbers: k-means on a line.

    The centres begin evenly between the smallest and the largest number, so that large weights, which are few
    and matter most, get centres too (Han et al. 2016, section 3.2, https://arxiv.org/abs/1510.00149). On
    sorted numbers a cluster is a slice, and its sum the difference of two running sums.
    """
    values = np.sort(values, axis=None).astype(np.float64)
    if not values.size:
        return np.zeros(clusters)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centres, before = np.linspace(values[0], values[-1], clusters), None
    for _ in range(steps):
        inner = np.searchsorted(values, (centres[1:] + centres[:-1]) / 2, "right")
        bounds = np.concatenate([[0], inner, [values.size]])
        if before is not None and (bounds == before).all():
            break
        before, counts = bounds, np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(counts, 1)
        centres = np.where(counts, means, centres)  # an empty cluster stays where it is
    return np.sort(centres)


class SharedWeight(Module):
    """A weight that keeps `codes`, uint8 in its shape, and `table`, the values that they stand for.

    Code 0 is the number 0 and not in the table, so that pruned weights stay zero; code i is table[i - 1]. The
    table is a parameter: the gradient of a shared value is the sum over all weights that share it.
    """

    def __init__(self, weight, clusters=16):
        super().__init__()
        if not isinstance(clusters, int) or not 1 <= clusters <= 255:
            raise ValueError(f"SharedWeight: a byte tells 1 to 255 clusters apart; {clusters!r} came")
        w = weight.array if isinstance(weight.array, np.ndarray) else weight.array.get()
        centres = kmeans(w[w != 0], clusters).astype(w.dtype)
        codes = np.searchsorted((centres[1:] + centres[:-1]) / 2, w, "left") + 1
        codes = np.where(w == 0, 0, codes).astype(np.uint8)
        self.register_buffer("codes", wrap(np.asarray(codes, like=weight.array)))
        self.table = Parameter(wrap(np.asarray(centres, like=weight.array)))

    def forward(self):
        """The weight itself, made anew from the table at each call."""
        zero = wrap(np.zeros_like(self.table.array, shape=(1,)))
        return getitem(cat([zero, self.table]), self.codes)  # (clusters + 1,) -> the shape of codes

    def extra_repr(self):
        return f"{self.codes.shape}, clusters={len(self.table)}"


class SharedLinear(Module):
    """A Linear whose weight is a SharedWeight."""

    def __init__(self, layer, clusters=16):
        super().__init__()
        self.weight, self.bias = SharedWeight(layer.weight, clusters), layer.bias

    def forward(self, input):
        return linear(input, self.weight(), self.bias)


class SharedConv2d(Module):
    """A Conv2d whose kernels are a SharedWeight."""

    def __init__(self, layer, clusters=16):
        super().__init__()
        self.weight, self.bias = SharedWeight(layer.weight, clusters), layer.bias
        self.settings = (layer.stride, layer.padding, layer.dilation, layer.groups)

    def forward(self, input):
        return conv2d(input, self.weight(), self.bias, *self.settings)


def share_weights(model, clusters=16, names=None):
    """A copy of a model whose Linears and Conv2ds have shared weights. names: the paths of these layers.

    To load a saved one, share the weights of a model of the same form and load the state_dict into it.
    """

    def shared(layer):
        return (SharedLinear if isinstance(layer, Linear) else SharedConv2d)(layer, clusters)

    return rebuilt("share_weights", model, (Linear, Conv2d), names, shared)


# Files.


def pack_sparse(state_dict):
    """The state_dict with {values, mask, shape} for each tensor that takes fewer bytes so.

    values: what is not zero; mask: one bit for each place, eight in a uint8. `save` can write it. A tensor
    under a second name, such as tied weights, is {same_as: the first name}.
    """
    packed: dict = {}
    first: dict = {}
    for name, x in state_dict.items():
        if x.array.size and id(x.array) in first:
            packed[name] = {"same_as": first[id(x.array)]}
            continue
        first[id(x.array)] = name
        array = x.array if isinstance(x.array, np.ndarray) else x.array.get()
        values, mask = array[array != 0], np.packbits(array != 0)
        pays = values.nbytes + mask.nbytes < array.nbytes
        packed[name] = {"values": wrap(values), "mask": wrap(mask), "shape": [*x.shape]} if pays else x
    return packed


def unpack_sparse(packed):
    """The state_dict that `pack_sparse` packed."""
    state_dict: dict = {}
    for name, x in packed.items():
        if isinstance(x, dict) and "same_as" in x:
            x = state_dict[x["same_as"]]
        elif isinstance(x, dict):
            array = np.zeros(x["shape"], x["values"].dtype)
            inside = np.unpackbits(x["mask"].array, count=array.size).astype(bool).reshape(array.shape)
            array[inside] = x["values"].array
            x = wrap(array)
        state_dict[name] = x
    return state_dict


def compressed(obj, method="zlib"):
    """The bytes of a .safetensors file of `obj`, compressed: "zlib", "lzma" (smaller and slower), or None."""
    file = io.BytesIO()
    save(obj, file)
    if method is None:
        return file.getvalue()
    if method == "zlib":
        return zlib.compress(file.getvalue(), 9)
    if method == "lzma":
        return lzma_module().compress(file.getvalue(), preset=9)
    raise ValueError(f"compressed: method is 'zlib', 'lzma' or None; {method!r} came")


def lzma_module():
    """Python's lzma, which a Python that was built without liblzma lacks."""
    try:
        import lzma
    except ImportError:
        raise ImportError("lzma is not part of this Python; use method='zlib'") from None
    return lzma


def save_compressed(model, path, method="zlib"):
    """Write a model's state_dict, packed and compressed, whole or not at all. Returns the bytes written."""
    data = compressed(pack_sparse(model.state_dict()), method)
    write_atomically(str(path), [data])
    return len(data)


def load_compressed(path, limit=1 << 30):
    """The state_dict that `save_compressed` wrote. A damaged file raises ValueError, and so does one that
    would become more than `limit` bytes: a small file can expand to a thousand times its size.
    """
    with open(path, "rb") as opened:
        data = opened.read(limit + 1)
    if data[4:9] != b"\0\0\0\0{":  # so begins a file without compression, whose header is below 4 GB
        data = decompressed(data, path, limit)
    if len(data) > limit:
        raise ValueError(f"load_compressed: {path} holds more than limit={limit:,} bytes")
    try:
        packed = load(io.BytesIO(data))
        nbytes = sum(unpacked_nbytes(name, x) for name, x in packed.items())
        if nbytes > limit:
            raise ValueError(
                f"load_compressed: {path} holds {nbytes:,} bytes, more than limit={limit:,} bytes"
            )
        return unpack_sparse(packed)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"load_compressed: {path} holds no packed state_dict: {error!r}") from None


def unpacked_nbytes(name, x):
    """Bytes that an entry of a packed state_dict will take; its shape is held against its mask first."""
    if not isinstance(x, dict):
        return x.array.nbytes
    if "same_as" in x:
        return 0
    size = prod(x["shape"])
    if -(-size // 8) != x["mask"].array.size:
        raise ValueError(f"load_compressed: {name} has the shape {x['shape']} and a mask of another size")
    return size * x["values"].array.itemsize


def decompressed(data, path, limit):
    """The contents of a zlib or xz stream, or one byte more than `limit` of them."""
    if data[:6] == b"\xfd7zXZ\0":
        stream, damage = lzma_module().LZMADecompressor(), lzma_module().LZMAError
    else:
        stream, damage = zlib.decompressobj(), zlib.error
    try:
        contents = stream.decompress(data, limit + 1)
    except damage as error:
        raise ValueError(f"load_compressed: {path} is damaged: {error}") from None
    if not stream.eof and len(contents) <= limit:
        raise ValueError(f"load_compressed: {path} is damaged: it ends too early")
    return contents


class Footprint(NamedTuple):
    """What a model takes: learned numbers, those of them that are not 0, bytes in memory, bytes of the packed
    and compressed file, and the seconds of a forward pass, the fastest of several.
    """

    parameters: int
    nonzero: int
    nbytes: int
    file_nbytes: int
    seconds: float


def footprint(model, *inputs, method="zlib", repeat=9):
    """The Footprint of a model in evaluation mode, on these inputs."""
    training = model.training
    model.eval()
    try:
        with no_grad():
            seconds = measure(lambda: model(*inputs), repeat).fastest
    finally:
        model.train(training)
    return Footprint(
        count_parameters(model),
        sum(int((p.array != 0).sum()) for p in model.parameters()),
        model_nbytes(model),
        len(compressed(pack_sparse(model.state_dict()), method)),
        seconds,
    )
