"""The device "cuda" that these tests run on: always the stand-in for CuPy, and the GPU where there is one."""

import numpy as np
import pytest

import tinytorch as tt
from tests.device.foreign import in_cupys_place

HAS_GPU = tt.cuda.is_available()
DEVICES = ["stand-in", "GPU"] if HAS_GPU else ["stand-in"]
NO_GPU = "no GPU here (CuPy is not installed, or finds none): tests/device runs on the stand-in alone"


@pytest.fixture(params=DEVICES)
def cuda(request):
    """The type of an array on the device "cuda"."""
    if request.param == "stand-in":
        with in_cupys_place() as cupy:
            yield cupy.ndarray
    else:
        yield type(tt.tensor(np.zeros(1), device="cuda").array)
