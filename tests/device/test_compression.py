"""Compressed models on the device "cuda": the same results as on the CPU."""

import numpy as np
import pytest

import tinytorch as tt
import tinytorch.nn as nn
from tinytorch import optim
from tinytorch.core.compression import (
    Distiller,
    compressed,
    low_rank,
    magnitude_prune,
    pack_sparse,
    prune_channels,
    share_weights,
    unpack_sparse,
)
from tinytorch.utils.data import DataLoader, TensorDataset


def cnn():
    tt.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 24), nn.Linear(24, 5)
    )


WAYS = {
    "prune_channels": lambda model: prune_channels(model, 0.5),
    "low_rank": lambda model: low_rank(model, 0.6),
    "share_weights": lambda model: share_weights(model, 8),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_model_is_compressed_there_as_here(cuda, way):
    images = tt.randn(3, 2, 6, 6)
    expected = WAYS[way](cnn()).eval()(images).detach().array
    there = WAYS[way](cnn().to("cuda")).eval()
    out = there(images.to("cuda")).detach()
    assert all(type(x.array) is cuda for x in (out, *there.parameters(), *there.buffers()))
    np.testing.assert_allclose(out.cpu().array, expected, atol=1e-4)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_masks_stay_while_a_student_learns_there(cuda, scope):
    teacher, student = cnn().to("cuda"), cnn().to("cuda")
    pruning = magnitude_prune(student, 0.7, scope)
    assert all(type(mask) is cuda for mask in pruning.masks.values())
    data = TensorDataset(tt.randn(20, 2, 6, 6), tt.tensor(np.arange(20) % 5))
    settings = {"callbacks": [pruning], "progress": False, "device": "cuda"}
    Distiller(student, teacher, optim.Adam(student.parameters()), **settings).fit(DataLoader(data, 10))
    weights = {path: p.cpu().detach().array for path, p in student.named_parameters()}
    here = magnitude_prune(cnn(), 0.7, scope).masks
    for path, mask in here.items():
        np.testing.assert_array_equal(weights[path] != 0, mask)


def test_a_file_of_a_pruned_model_is_written_from_there(cuda):
    model = cnn().to("cuda")
    magnitude_prune(model, 0.7)
    packed = pack_sparse(model.state_dict())
    assert len(compressed(packed)) < len(compressed(cnn().state_dict()))
    back = unpack_sparse(packed)
    np.testing.assert_array_equal(back["4.weight"].cpu().array, model[4].weight.detach().cpu().array)
