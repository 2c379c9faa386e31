"""Convolutions beyond core module 09's Conv2d, made of its functions."""

from math import prod, sqrt

from ..core.layers import Module, Parameter, uniform_
from ..core.spatial import conv2d, conv_transpose2d, max_pool2d, pair
from ..core.tensor import float32, zeros


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation of sequences: (N, C, L) or (C, L) with (O, C/groups, k) -> (N, O, Lo) or (O, Lo).

    It is conv2d of images one pixel high. padding may be "valid" or "same", too.
    """
    if input.ndim not in (2, 3) or weight.ndim != 3:
        raise ValueError(f"conv1d: (N, C, L) and (O, C, k) are needed, {input.shape} and {weight.shape} came")
    padding = padding if isinstance(padding, str) else (0, single(padding))
    settings = (1, single(stride)), padding, (1, single(dilation)), groups
    return conv2d(input.unsqueeze(-2), weight.unsqueeze(-2), bias, *settings).squeeze(-2)


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """The largest value of each window of a sequence: (N, C, L) or (C, L) -> (N, C, Lo) or (C, Lo)."""
    stride = single(kernel_size if stride is None else stride)
    windows = (1, single(kernel_size)), (1, stride), (0, single(padding)), (1, single(dilation))
    return max_pool2d(input.unsqueeze(-2), *windows, ceil_mode).squeeze(-2)


def single(value):
    """A number that may come as a tuple of one."""
    return value[0] if isinstance(value, (tuple, list)) else value


class Conv1d(Module):
    """`conv1d` with learned kernels (out_channels, in_channels/groups, k) and bias (out_channels,).

    Both begin uniform within ±1 / sqrt(in_channels/groups * k), as in PyTorch.
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
        padding_mode="zeros", device=None, dtype=None,
    ):  # fmt: skip
        super().__init__()
        check_settings("Conv1d", padding_mode, groups, in_channels, out_channels)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = ((single(n),) for n in (kernel_size, stride, dilation))
        self.padding = padding if isinstance(padding, str) else (single(padding),)
        shape = out_channels, in_channels // groups, *self.kernel_size
        self.weight, self.bias = kernels(shape, out_channels, bias, dtype, device)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw the kernels and the bias anew."""
        draw(self)

    def forward(self, input):
        return conv1d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self):
        return described(self, {"padding": (0,), "dilation": (1,), "groups": 1})


class ConvTranspose2d(Module):
    """`conv_transpose2d` with learned kernels (in_channels, out_channels/groups, kh, kw) and bias.

    Both begin uniform within ±1 / sqrt(out_channels/groups * kh * kw), as in PyTorch.
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1,
        bias=True, dilation=1, padding_mode="zeros", device=None, dtype=None,
    ):  # fmt: skip
        super().__init__()
        check_settings("ConvTranspose2d", padding_mode, groups, in_channels, out_channels)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = pair(kernel_size, "kernel_size"), pair(stride, "stride")
        self.padding, self.dilation = pair(padding, "padding"), pair(dilation, "dilation")
        self.output_padding = pair(output_padding, "output_padding")
        shape = in_channels, out_channels // groups, *self.kernel_size
        self.weight, self.bias = kernels(shape, out_channels, bias, dtype, device)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw the kernels and the bias anew."""
        draw(self)

    def forward(self, input, output_size=None):
        """With `output_size` (Ho, Wo) the output_padding is what leads to that size."""
        extra = self.output_padding if output_size is None else self.padding_for(input.shape, output_size)
        return conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )

    def padding_for(self, shape, output_size):
        """The output_padding with which an input of this shape gets `output_size`."""
        sizes = zip(shape[-2:], self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        smallest = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in sizes]
        extra = tuple(wanted - least for wanted, least in zip(output_size[-2:], smallest, strict=True))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            largest = tuple(least + s - 1 for least, s in zip(smallest, self.stride, strict=True))
            within = f"sizes from {tuple(smallest)} to {largest} are possible"
            raise ValueError(f"ConvTranspose2d: {within}, output_size={tuple(output_size)} came")
        return extra

    def extra_repr(self):
        return described(self, {"padding": (0, 0), "dilation": (1, 1), "output_padding": (0, 0), "groups": 1})


def check_settings(name, padding_mode, groups, *channels):
    if padding_mode != "zeros":
        raise NotImplementedError(f"{name}: padding_mode is 'zeros', {padding_mode!r} came; use F.pad")
    if groups < 1 or any(count % groups for count in channels):
        raise ValueError(f"{name}: groups={groups} does not divide {channels[0]} and {channels[1]} channels")


def kernels(shape, out_channels, bias, dtype, device):
    """Parameters (weight, bias or None), still full of zeros."""
    settings = {"dtype": dtype or float32, "device": device}
    return Parameter(zeros(*shape, **settings)), Parameter(zeros(out_channels, **settings)) if bias else None


def draw(layer):
    """Random kernels and biases whose bound depends on the weight's shape without its first dimension."""
    bound = 1 / sqrt(prod(layer.weight.shape[1:]) or 1)
    for parameter in layer.parameters():
        uniform_(parameter, -bound, bound)


def described(layer, usual):
    """A convolution's settings as its repr says them: those of `usual` only where they differ from it."""
    shown = (
        f"{layer.in_channels}, {layer.out_channels}, kernel_size={layer.kernel_size}, stride={layer.stride}"
    )
    for name, value in usual.items():
        if getattr(layer, name) != value:
            shown += f", {name}={getattr(layer, name)}"
    return shown + ("" if layer.bias is not None else ", bias=False")


class MaxPool1d(Module):
    """`max_pool1d` as a layer."""

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, input):
        return max_pool1d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self):
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )
