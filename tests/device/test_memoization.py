"""Keys and values kept on the device "cuda": the same logits and tokens as on the CPU."""

import numpy as np
import pytest

import tinytorch as tt
from tinytorch.core.memoization import Decoder, make_caches, seconds_per_token
from tinytorch.core.transformers import GPT, GPTConfig


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("choices", [{}, {"positions": "rotary", "norm": "rms"}], ids=["learned", "rotary"])
@pytest.mark.parametrize("make", [lambda model: model, Decoder], ids=["model", "decoder"])
def test_logits_step_by_step(cuda, make, choices, window):
    tt.manual_seed(0)
    model, ids = GPT(GPTConfig(20, 12, 2, 2, 16, **choices)).eval(), tt.randint(0, 20, (2, 12))
    results = []
    for device in ("cpu", "cuda"):
        model.to(device)
        caches, moved = make_caches(model, 2, window), ids.to(device)
        with tt.no_grad():
            pieces = [moved[:, :5], moved[:, 5:8], *(moved[:, i : i + 1] for i in range(8, 12))]
            results.append([make(model)(piece, cache=caches)[0] for piece in pieces])
    for ours, expected in zip(*results[::-1], strict=True):
        assert type(ours.array) is cuda
        np.testing.assert_allclose(ours.cpu().array, expected.array, atol=1e-5)
    assert all(type(array) is cuda for cache in caches for array in (cache.keys, cache.values))


def test_tokens_and_time(cuda):
    tt.manual_seed(0)
    model, ids = GPT(GPTConfig(20, 12, 2, 2, 16)), tt.randint(0, 20, (2, 3))
    expected = model.generate(ids, 9, temperature=0)
    decoder = Decoder(model.to("cuda"))
    assert decoder.generate(ids.to("cuda"), 9, temperature=0).cpu().tolist() == expected.tolist()
    assert seconds_per_token(decoder, [4], repeat=1)[4].median > 0
