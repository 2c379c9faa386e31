"""04 Losses: how wrong an answer is, as one number that gets smaller when the answer gets better.

    mse_loss        (x - y)^2
    l1_loss         |x - y|
    huber_loss      (x - y)^2 / 2 near 0, a straight line further out
    cross_entropy   log sum_j exp(x_j) - x_t         x: logits, t: the true class
    nll_loss        -x_t                             x: log-probabilities
    binary_cross_entropy_with_logits                 max(x, 0) - x y + log(1 + exp(-|x|))
    kl_div          y (log y - x)                    x: log-probabilities, y: probabilities

`reduction` says what becomes of the single losses: "mean" and "sum" make one number, "none" keeps them. The
mean of no losses at all is nan. Labels are checked for their shape, their range and nan.

Names and arguments follow torch.nn.functional, without its deprecated size_average and reduce:
https://docs.pytorch.org/docs/stable/nn.functional.html#loss-functions
"""

from math import inf, nan, prod

import numpy as np

from .activations import exponentials, relu, softplus
from .tensor import Tensor, mean, mul, neg, op, sub, sum, to_array

# For numbers. Each is composed of Ops, so its gradient is composed as well.


def mse_loss(input, target, reduction="mean"):
    """(x - y)^2, for equal shapes."""
    error = difference("mse_loss", input, target)
    return reduced(mul(error, error), reduction)


def l1_loss(input, target, reduction="mean"):
    """|x - y|, for equal shapes."""
    return reduced(absolute(difference("l1_loss", input, target)), reduction)


def huber_loss(input, target, reduction="mean", delta=1.0):
    """e^2 / 2 where e = |x - y| <= delta, else delta (e - delta / 2): no outlier pulls with more than delta.

    Huber 1964, https://doi.org/10.1214/aoms/1177703732
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta is a distance above 0, {delta} came")
    distance = absolute(difference("huber_loss", input, target))
    inside = delta - relu(delta - distance)  # the smaller of distance and delta
    return reduced(mul(inside, distance - 0.5 * inside), reduction)


def smooth_l1_loss(input, target, reduction="mean", beta=1.0):
    """huber_loss with delta = beta, divided by beta, so that its slope far out is 1; beta = 0 is l1_loss."""
    if beta == 0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, beta) / beta


def absolute(x):
    """|x| = relu(x) + relu(-x)."""
    return relu(x) + relu(neg(x))


def difference(name, input, target):
    """x - y for one shape, labels without nan."""
    check_labels(name, input, target)
    return sub(input, target)


def check_labels(name, input, target):
    if np.shape(input) != np.shape(target):
        raise ValueError(
            f"{name}: input {np.shape(input)} and target {np.shape(target)} differ in shape; broadcasting "
            "would compare answers with the labels of others; reshape one of them"
        )
    labels = to_array(target)
    if np.isnan(labels).any():
        raise ValueError(
            f"{name}: target holds nan in {int(np.isnan(labels).sum())} of {np.size(labels)} places"
        )


def reduced(losses, reduction):
    """One loss for each element, as `reduction` wants them."""
    check_reduction(reduction)
    return losses if reduction == "none" else mean(losses) if reduction == "mean" else sum(losses)


def check_reduction(reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', {reduction!r} came")


# For classes.


def cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """log sum_j exp(x_j) - x_t: minus the log-probability that softmax(x) gives to the true class t.

    input: logits, (N, C), (C,) or (N, C, d1, …). target: classes, integers in the input's shape without C;
    or probabilities, floats in the input's shape. weight (C,) makes classes count differently. Where target
    is `ignore_index`, nothing counts. label_smoothing spreads that much of the probability evenly over all
    classes (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567). A mean over classes divides by the sum of
    the weights that counted, a mean over probabilities by the number of rows.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is between 0 and 1, {label_smoothing} came")
    x, labels = arrays_of("cross_entropy", input, target)
    if labels.dtype.kind == "f":
        distribution, scale = probabilities_of(input, target, weight, reduction, label_smoothing)
        return distribution_cross_entropy(input, distribution, scale)
    classes, row_weight, scale = classes_of("cross_entropy", x, labels, weight, ignore_index, reduction)
    if label_smoothing == 0:
        classes = target if classes is labels else classes  # a Tensor, whose changes autograd would notice
        return class_cross_entropy(input, classes, row_weight, scale, Softmax())
    distribution = smoothed(x, classes, row_weight, labels != ignore_index, weight, label_smoothing)
    return distribution_cross_entropy(input, distribution, scale)


def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean"):
    """-x_t, the negative log-likelihood, for log-probabilities x. Arguments as in cross_entropy."""
    x, labels = arrays_of("nll_loss", input, target)
    classes, row_weight, scale = classes_of("nll_loss", x, labels, weight, ignore_index, reduction)
    return class_nll(input, target if classes is labels else classes, row_weight, scale)


class Softmax:
    """What cross_entropy leaves for its derivative: exp(x - m) for rows of logits, and the row sums."""

    __slots__ = ("exponentials", "sums")


@op
def class_cross_entropy(input, classes, row_weight, scale, softmax):
    """cross_entropy for checked classes: (log sum_j exp(x_j - m) + m) - x_t, where m keeps exp in range."""
    x = class_rows(input)
    softmax.exponentials = np.empty_like(x, order="C")
    softmax.sums, m = exponentials(x, softmax.exponentials)
    with np.errstate(all="ignore"):
        losses = np.log(softmax.sums).ravel() + (m.ravel() - np.take(x, true_places(x, classes)))
    return weighed(losses.reshape(classes.shape), row_weight, scale)


def true_places(rows, classes):
    """Where the true classes stand in the rows, counted in row-major order."""
    return np.arange(len(rows), like=rows) * rows.shape[1] + classes.ravel()


@op
def class_nll(input, classes, row_weight, scale):
    """nll_loss for checked classes."""
    x = class_rows(input)
    losses = -x[np.arange(len(x), like=x), classes.ravel()]
    return weighed(losses.reshape(classes.shape), row_weight, scale)


@op
def distribution_cross_entropy(input, distribution, scale):
    """sum_c q_c (log sum_j exp(x_j) - x_c) for a distribution q (N, C, …) over the classes."""
    axis = class_axis(input)
    with np.errstate(invalid="ignore"):
        x = input - input.max(axis, keepdims=True)
    losses = np.log(np.exp(x).sum(axis)) * distribution.sum(axis) - (x * distribution).sum(axis)
    return weighed(losses, None, scale)


def weighed(losses, row_weight, scale):
    """The losses times their weights (None: all count the same), summed and scaled unless `scale` is None."""
    losses = losses if row_weight is None else losses * row_weight
    return losses if scale is None else losses.sum() * scale


def scale_of(reduction, total):
    """What the sum of the losses is multiplied with: for a mean 1 / total. None if they are not summed."""
    check_reduction(reduction)
    if reduction == "none":
        return None
    return 1.0 if reduction == "sum" else 1 / total if total else nan


def class_axis(x):
    return 1 if x.ndim > 1 else 0


def class_rows(x):
    """Logits (N, C, d1, …) as a matrix (N * d1 * …, C), without a copy where the memory allows it."""
    if x.ndim == 2:
        return x
    x = np.moveaxis(x, class_axis(x), -1)
    return x.reshape(prod(x.shape[:-1]), x.shape[-1])


def arrays_of(name, input, target):
    """Both as arrays; the input holds floats and has a dimension for the classes."""
    for argument, value in (("input", input), ("target", target)):
        if not hasattr(value, "dtype"):
            raise TypeError(f"{name}: {argument} must be a Tensor, {type(value).__name__} came")
    if input.dtype.kind != "f" or not input.ndim:
        raise ValueError(
            f"{name}: input holds floats and a dimension for the classes; {input.dtype} {input.shape} came"
        )
    return to_array(input), to_array(target)


def classes_of(name, x, classes, weight, ignore_index, reduction):
    """The target of a loss over classes, checked: (classes, weight of each or None, scale of their sum)."""
    axis = class_axis(x)
    count, expected = x.shape[axis], (*x.shape[:axis], *x.shape[axis + 1 :])
    if classes.dtype.kind not in "iu" or classes.shape != expected:
        raise ValueError(
            f"{name}: an input {x.shape} needs a target of classes, integers {expected}; {classes.dtype} "
            f"{classes.shape} came" + (", use .long()" if classes.shape == expected else "")
        )
    inside = (classes >= 0) & (classes < count)
    weight = check_class_weight(name, weight, count)
    if weight is None and not 0 <= ignore_index < count and inside.all():
        return classes, None, scale_of(reduction, classes.size)
    kept = classes != ignore_index
    if not (inside | ~kept).all():
        wrong = int(classes[kept & ~inside][0])
        raise ValueError(f"{name}: target holds class {wrong}, and the input has classes 0 to {count - 1}")
    classes = np.where(kept, classes, 0)
    row_weight = kept.astype(x.dtype) if weight is None else kept * weight[classes]
    return classes, row_weight, scale_of(reduction, float(row_weight.sum()))


def check_class_weight(name, weight, count):
    weight = to_array(weight)
    if weight is not None and weight.shape != (count,):
        raise ValueError(f"{name}: weight needs one number for each of {count} classes, {weight.shape} came")
    return weight


def smoothed(x, classes, row_weight, kept, weight, label_smoothing):
    """The distribution that label smoothing makes of classes, in the shape of x, weights included."""
    axis, weight = class_axis(x), to_array(weight)
    count = x.shape[axis]
    shape = (*classes.shape, count)  # (N, d1, …, C)
    spread = np.full_like(x, label_smoothing / count, order="C", shape=shape)
    spread *= kept[..., None] if weight is None else kept[..., None] * weight
    certain = 1 - label_smoothing if row_weight is None else (1 - label_smoothing) * row_weight.ravel()
    spread.reshape(-1, count)[np.arange(classes.size, like=x), classes.ravel()] += certain
    return np.moveaxis(spread, -1, axis)


def probabilities_of(input, target, weight, reduction, label_smoothing):
    """A target of probabilities, checked, smoothed and weighted; and the scale of the sum of the losses."""
    axis = class_axis(input)
    if input.shape != target.shape:
        expected = (*input.shape[:axis], *input.shape[axis + 1 :])
        raise ValueError(
            f"cross_entropy: an input {input.shape} needs a target of classes, integers {expected}, or of "
            f"probabilities, floats {input.shape}; {target.dtype} {target.shape} came"
            + (", use .long()" if target.shape == expected else "")
        )
    if np.isnan(to_array(target)).any():
        raise ValueError("cross_entropy: target holds nan")
    count = input.shape[axis]
    weight = check_class_weight("cross_entropy", weight, count)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / count
    if weight is not None:
        target = target * weight.reshape(count, *(1,) * (input.ndim - 1 - axis))
    return target, scale_of(reduction, prod(input.shape) // count if count else 0)


# For yes and no.


def binary_cross_entropy_with_logits(input, target, weight=None, reduction="mean", pos_weight=None):
    """max(x, 0) - x y + log(1 + exp(-|x|)): -y log p - (1 - y) log(1 - p) with p = sigmoid(x), for any x.

    target: floats y in the input's shape, usually 0 or 1. `weight` multiplies the losses, `pos_weight` the
    part of y = 1; both broadcast to the input's shape.
    """
    check_labels("binary_cross_entropy_with_logits", input, target)
    minus_log_p = softplus(neg(input), threshold=inf)
    if pos_weight is not None:
        minus_log_p = mul(1 + mul(sub(pos_weight, 1), target), minus_log_p)
    return reduced(element_weighed(mul(sub(1, target), input) + minus_log_p, weight, input), reduction)


def element_weighed(losses, weight, input):
    """Losses times weights, which must not make them more."""
    losses = losses if weight is None else mul(losses, weight)
    if losses.shape != input.shape:
        raise ValueError(f"weights must broadcast to the input's {input.shape}; they make it {losses.shape}")
    return losses


# For distributions.


def kl_div(input, target, reduction="mean", log_target=False):
    """y (log y - x): the Kullback-Leibler divergence of log-probabilities x from probabilities y.

    Shapes are equal. With log_target the target is log y. "mean" divides by the number of elements,
    "batchmean" by the number of rows, which gives the divergence as it is defined. The target is a constant:
    one that requires grad is refused.
    """
    check_labels("kl_div", input, target)
    if isinstance(target, Tensor) and target.requires_grad:
        raise NotImplementedError("kl_div: there is no gradient for the target; pass target.detach()")
    labels = to_array(target)
    with np.errstate(all="ignore"):
        y = np.exp(labels) if log_target else labels
        entropy = y * labels if log_target else np.where(y > 0, y * np.log(y), 0)
    losses = sub(entropy, mul(y, input))
    return sum(losses) / (len(input) or nan) if reduction == "batchmean" else reduced(losses, reduction)
