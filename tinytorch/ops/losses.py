"""Losses that few programs need: for probabilities where logits would do better."""

import numpy as np

from ..core.autograd import derivative
from ..core.losses import check_labels, element_weighed, reduced
from ..core.tensor import op


@op
def log_loss(input, target):
    """-y log p - (1 - y) log(1 - p), elementwise; logarithms are held above -100, as in PyTorch."""
    with np.errstate(divide="ignore"):
        log_yes, log_no = np.maximum(np.log(input), -100), np.maximum(np.log1p(-input), -100)
    return -target * log_yes - (1 - target) * log_no


derivative(log_loss, lambda g, input, target: g * (input - target) / np.maximum(input * (1 - input), 1e-12))


def binary_cross_entropy(input, target, weight=None, reduction="mean"):
    """-y log p - (1 - y) log(1 - p) for probabilities p. Where there are logits, take the loss for logits."""
    check_labels("binary_cross_entropy", input, target)
    x = input.array
    low, high = (float(x.min()), float(x.max())) if x.size else (0, 0)
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"binary_cross_entropy: input holds probabilities, from 0 to 1; {low:g} to {high:g} came; "
            "for logits there is binary_cross_entropy_with_logits"
        )
    return reduced(element_weighed(log_loss(input, target), weight, input), reduction)
