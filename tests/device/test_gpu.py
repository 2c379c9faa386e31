"""What only a GPU can show: that its kernels train the milestones' networks, and where the memory is."""

import numpy as np
import pytest

import tinytorch as tt
from tests.device.conftest import HAS_GPU, NO_GPU
from tinytorch import nn, optim
from tinytorch.models import GPT, GPTConfig
from tinytorch.nn import functional as F

pytestmark = pytest.mark.skipif(not HAS_GPU, reason=NO_GPU)


def mlp():
    """The network of milestone 03 for MNIST's images, and a batch."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    batch = rng.random((64, 1, 28, 28), np.float32), rng.integers(0, 10, 64)
    return model, batch, lambda model, x, y: F.cross_entropy(model(x), y)


def cnn():
    """A convolutional network as in milestone 04, and a batch."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(3, 24, 4, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
        nn.Conv2d(24, 32, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    batch = rng.standard_normal((32, 3, 32, 32), np.float32), rng.integers(0, 10, 32)
    return model, batch, lambda model, x, y: F.cross_entropy(model(x), y, label_smoothing=0.1)


def gpt():
    """A small GPT as in milestone 05, and a batch."""
    ids = np.random.default_rng(0).integers(0, 40, (16, 65))
    model = GPT(GPTConfig(vocab_size=40, block_size=64, n_layer=2, n_head=4, n_embd=64))
    return model, (ids[:, :-1], ids[:, 1:]), lambda model, x, y: model(x, y)[1]


def steps(make, device, count):
    """The model, its loss before each of `count` steps, and the gradients of the first."""
    tt.manual_seed(0)
    model, batch, loss_of = make()
    model.to(device)
    x, y = (tt.tensor(part, device=device) for part in batch)
    optimizer, losses, first = optim.SGD(model.parameters(), lr=0.05, momentum=0.9), [], None
    for _ in range(count):
        loss = loss_of(model, x, y)
        optimizer.zero_grad()
        loss.backward()
        first = first or [p.grad.clone() for p in model.parameters()]
        optimizer.step()
        losses.append(loss.item())
    return model, losses, first


MODELS = pytest.mark.parametrize("make", [mlp, cnn, gpt], ids=["M03", "M04", "M05"])


@MODELS
def test_a_step_on_the_gpu_is_a_step_on_the_cpu(make):
    (ours, our_losses, our_first), (theirs, their_losses, their_first) = (
        steps(make, device, 1) for device in ("cuda", "cpu")
    )
    assert our_losses == pytest.approx(their_losses, rel=1e-3)
    mine, others = [*ours.parameters(), *our_first], [*theirs.parameters(), *their_first]
    for x, y in zip(mine, others, strict=True):
        assert x.is_cuda
        np.testing.assert_allclose(x.detach().cpu().numpy(), y.detach().numpy(), rtol=1e-3, atol=1e-3)


@MODELS
def test_twenty_steps_on_the_gpu_learn_what_they_learn_on_the_cpu(make):
    (_, ours, _), (_, theirs, _) = (steps(make, device, 20) for device in ("cuda", "cpu"))
    assert ours[-1] < 0.9 * ours[0]
    assert ours == pytest.approx(theirs, rel=0.05, abs=0.02)  # the rounding differs, and differences grow


@MODELS
def test_steps_give_back_the_memory_that_they_took(make):
    import cupy

    pool = cupy.get_default_memory_pool()
    tt.manual_seed(0)
    model, batch, loss_of = make()
    model.to("cuda")
    x, y = (tt.tensor(part, device="cuda") for part in batch)
    optimizer, used = optim.Adam(model.parameters()), []
    for _ in range(6):
        loss = loss_of(model, x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        del loss
        used.append(pool.used_bytes())
    held = sum(p.nbytes for p in model.parameters())
    assert used[0] >= 4 * held  # parameters, gradients and Adam's two states lie on the GPU
    assert used[-1] == used[1]


def test_a_tensor_on_the_gpu_takes_its_memory_there():
    import cupy

    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    x = tt.zeros(1024, 1024, device="cuda")
    assert pool.used_bytes() - before >= x.nbytes
    del x
    assert pool.used_bytes() == before
