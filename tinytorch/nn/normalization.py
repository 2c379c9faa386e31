"""Normalization without the batch: over groups of channels, or over each channel of each image."""

from math import prod

from ..core.layers import Module, Parameter
from ..core.tensor import float32, ones, reshape, zeros
from ..core.transformers import layer_norm


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(var + eps) over each group of channels of each sample, then weight and bias (C,).

    input: (N, C, …), with C a multiple of num_groups. Wu and He 2018, https://arxiv.org/abs/1803.08494
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ValueError(f"group_norm: num_groups={num_groups} does not divide the channels of {input.shape}")
    n, channels, *rest = input.shape
    size = channels // num_groups * prod(rest)
    groups = layer_norm(reshape(input, (n, num_groups, size)), (size,), eps=eps)  # (N, G, C/G * …)
    out = reshape(groups, input.shape)
    for name, values in (("weight", weight), ("bias", bias)):
        if values is not None and values.shape != (channels,):
            raise ValueError(
                f"group_norm: {name} has shape {values.shape}, the input has {channels} channels"
            )
    per_channel = (channels, *(1 for _ in rest))  # (C, 1, …)
    out = out if weight is None else out * reshape(weight, per_channel)
    return out if bias is None else out + reshape(bias, per_channel)


def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    """`group_norm` with a group for each channel: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022

    Running statistics are not there: `running_mean` and `running_var` are None, `use_input_stats` is True.
    """
    if running_mean is not None or running_var is not None or not use_input_stats:
        raise NotImplementedError("instance_norm: there are no running statistics; batch_norm has them")
    return group_norm(input, input.shape[1], weight, bias, eps)


class GroupNorm(Module):
    """`group_norm` with learned weight and bias (num_channels,); bias=False, affine=False: without."""

    def __init__(
        self, num_groups, num_channels, eps=1e-5, affine=True, device=None, dtype=None, *, bias=True
    ):
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_groups} groups of {num_channels} channels are not equal")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        settings = {"dtype": dtype or float32, "device": device}
        self.weight = Parameter(ones(num_channels, **settings)) if affine else None
        self.bias = Parameter(zeros(num_channels, **settings)) if affine and bias else None

    def forward(self, input):
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self):
        shown = f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        return f"{shown}, bias={self.bias is not None}"


class InstanceNorm2d(Module):
    """`instance_norm` of images (N, C, H, W) or (C, H, W); with affine=True weight and bias are learned.

    `momentum` is taken as PyTorch takes it and is of no use without running statistics.
    """

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=False,
        track_running_stats=False,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__()
        if track_running_stats:
            raise NotImplementedError("InstanceNorm2d: there are no running statistics; BatchNorm2d has them")
        self.num_features, self.eps, self.momentum, self.affine = num_features, eps, momentum, affine
        self.track_running_stats = track_running_stats
        settings = {"dtype": dtype or float32, "device": device}
        self.weight = Parameter(ones(num_features, **settings)) if affine else None
        self.bias = Parameter(zeros(num_features, **settings)) if affine and bias else None

    def forward(self, input):
        if input.ndim not in (3, 4):
            raise ValueError(f"InstanceNorm2d: (N, C, H, W) or (C, H, W) is needed, {input.shape} came")
        images = input if input.ndim == 4 else input.unsqueeze(0)
        out = instance_norm(images, weight=self.weight, bias=self.bias, eps=self.eps)
        return out.reshape(input.shape)

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )
