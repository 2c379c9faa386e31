"""The vision workloads of the benchmark: from single convolutions to a network's step on pictures.

`WORKLOADS` has the form of bench.py's. PyTorch runs twice: with its default order of memory, (N, C, H, W),
and with its faster one, channels last. tinytorch's images lie as its own layers hand them on, channels last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.language import Contest

CHANNELS_LAST = "torch channels-last"


def contestants(make: Callable[[Any, bool], Callable[[], object]], tinytorch: Any, torch: Any) -> Contest:
    """make(framework, channels last?) for each of the three."""
    contest = {"tinytorch": make(tinytorch, True)}
    if torch:
        contest |= {"torch": make(torch, False), CHANNELS_LAST: make(torch, True)}
    return contest


def images(framework: Any, shape: tuple[int, ...], last: bool) -> Any:
    x = framework.randn(*shape)
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) if last else x


def layer(
    shape: tuple[int, int, int, int], make_layer: Callable[[Any], Any], first: bool = False
) -> Callable[[Any, Any], Contest]:
    """A layer's forward and backward pass; the `first` one of a network needs no gradient of its input."""

    def prepared(framework: Any, last: bool) -> Callable[[], object]:
        framework.manual_seed(0)
        x, module = images(framework, shape, last).requires_grad_(not first), make_layer(framework.nn)
        if last and framework.__name__ == "torch":
            module.to(memory_format=framework.channels_last)
        gradient = images(framework, tuple(module(x).shape), last)

        def run() -> None:
            module.zero_grad()
            x.grad = None
            module(x).backward(gradient)

        return run

    return lambda tinytorch, torch: contestants(prepared, tinytorch, torch)


def convolution(
    shape: tuple[int, int, int, int], outputs: int, kernel: int, first: bool = False, **settings: int
) -> Callable[[Any, Any], Contest]:
    return layer(shape, lambda nn: nn.Conv2d(shape[1], outputs, kernel, **settings), first)


def plain_network(nn: Any) -> Any:
    """3x3 convolutions of 32, 32, 64, 64 channels."""

    def conv(inputs: int, outputs: int) -> list[Any]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]

    return nn.Sequential(
        *conv(3, 32), *conv(32, 32), nn.MaxPool2d(2), *conv(32, 64), *conv(64, 64), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 64, 10),
    )  # fmt: skip


def milestone_network(nn: Any) -> Any:
    """The network of milestones/04_1998_cnn/cifar10.py."""

    def conv(inputs: int, outputs: int, pool: bool = False) -> list[Any]:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return [convolution, *([nn.MaxPool2d(2)] if pool else []), nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        nn.Conv2d(3, 24, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
        *conv(24, 40, pool=True), *conv(40, 80), *conv(80, 80, pool=True), *conv(80, 160),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(160, 10),
    )  # fmt: skip


def step(make_network: Callable[[Any], Any]) -> Callable[[Any, Any], Contest]:
    """Forward, cross-entropy, backward and Nesterov SGD on 128 pictures of 32 × 32 in colour."""

    def prepared(framework: Any, last: bool) -> Callable[[], object]:
        framework.manual_seed(0)
        network = make_network(framework.nn)
        pictures, labels = framework.randn(128, 3, 32, 32), framework.arange(128) % 10
        if last and framework.__name__ == "torch":
            network.to(memory_format=framework.channels_last)
            pictures = pictures.to(memory_format=framework.channels_last)
        optimizer = framework.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)

        def run() -> None:
            optimizer.zero_grad()
            framework.nn.functional.cross_entropy(network(pictures), labels).backward()
            optimizer.step()

        return run

    return lambda tinytorch, torch: contestants(prepared, tinytorch, torch)


DESCRIBED: dict[str, tuple[str, Callable[[Any, Any], Contest]]] = {
    "conv-first": (
        "conv 3×3, 3 → 32, 128 × 32², a first layer",
        convolution((128, 3, 32, 32), 32, 3, True, padding=1),
    ),
    "conv-wide": ("conv 3×3, 32 → 32, 64 × 32²", convolution((64, 32, 32, 32), 32, 3, padding=1)),
    "conv-middle": ("conv 3×3, 32 → 64, 128 × 16²", convolution((128, 32, 16, 16), 64, 3, padding=1)),
    "conv-deep": ("conv 3×3, 64 → 64, 128 × 8²", convolution((128, 64, 8, 8), 64, 3, padding=1)),
    "conv-stride": (
        "conv 3×3 stride 2, 64 → 128, 64 × 16²",
        convolution((64, 64, 16, 16), 128, 3, stride=2, padding=1),
    ),
    "conv-1x1": ("conv 1×1, 64 → 256, 64 × 16²", convolution((64, 64, 16, 16), 256, 1)),
    "conv-5x5": (
        "conv 5×5, 1 → 6, 128 × 28², a first layer",
        convolution((128, 1, 28, 28), 6, 5, True, padding=2),
    ),
    "conv-depthwise": (
        "conv 3×3 depthwise, 64, 64 × 16²",
        convolution((64, 64, 16, 16), 64, 3, padding=1, groups=64),
    ),
    "max-pool": ("max pool 2×2, 128 × 32 × 32²", layer((128, 32, 32, 32), lambda nn: nn.MaxPool2d(2))),
    "batch-norm": ("batch norm, 128 × 32 × 32²", layer((128, 32, 32, 32), lambda nn: nn.BatchNorm2d(32))),
    "cifar-plain": ("CNN 32-32-64-64, 128 × 32², SGD step", step(plain_network)),
    "cifar": ("the CNN of milestone 04, 128 × 32², SGD step", step(milestone_network)),
}

# name: (what it is, contest, repetitions that one round contains)
WORKLOADS = {name: (*described, 1) for name, described in DESCRIBED.items()}
