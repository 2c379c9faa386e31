"""Quantized models on the device "cuda": the same results as on the CPU."""

import numpy as np
import pytest

import tinytorch as tt
import tinytorch.nn as nn
from tinytorch.core.quantization import MovingAverageMinMaxObserver, PercentileObserver, quantize
from tinytorch.core.transformers import GPT, GPTConfig


@pytest.mark.parametrize("settings", [{}, {"symmetric": False}, {"per_channel": False}, {"bits": 4}])
@pytest.mark.parametrize("observer", [None, MovingAverageMinMaxObserver, PercentileObserver])
def test_a_cnn_is_quantized_and_run(cuda, settings, observer):
    tt.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5)).eval()
    images = tt.randn(3, 2, 6, 6)
    batches = {} if observer is None else {"batches": [images], "observer": observer}
    expected = quantize(model, **settings, **batches)(images).detach().array
    batches = {} if observer is None else {"batches": [images.to("cuda")], "observer": observer}
    moved = quantize(model.to("cuda"), **settings, **batches)
    out = moved(images.to("cuda")).detach()
    assert all(type(x.array) is cuda for x in (out, *moved.buffers()))
    np.testing.assert_allclose(out.cpu().array, expected, atol=1e-4)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_gpt_is_quantized_there_or_moved_there(cuda, bits, positions):
    tt.manual_seed(0)
    model, ids = GPT(GPTConfig(20, 8, 1, 2, 16, positions=positions)).eval(), tt.randint(0, 20, (2, 6))
    quantized = quantize(model, bits)
    expected = quantized(ids)[0].detach().array
    for moved in (quantized.to("cuda"), quantize(model.to("cuda"), bits)):
        logits = moved(ids.to("cuda"))[0].detach()
        assert type(logits.array) is cuda
        np.testing.assert_allclose(logits.cpu().array, expected, atol=1e-4)
