"""The stand-in for CuPy refuses what CuPy refuses; otherwise the tests that run on it would show nothing."""

import subprocess
import sys

import numpy as np
import pytest

import tinytorch as tt
from tests.device import cupy_table
from tests.device.foreign import FUNCTIONS, METHODS, Foreign, in_cupys_place


@pytest.fixture
def x():
    return Foreign(np.arange(6, dtype=np.float32).reshape(2, 3))


def test_results_are_foreign_and_views_know_whose_memory_they_show(x):
    for made in (x + 1, np.exp(x), x.sum(), x[0, 0], np.sum(x, axis=0), 2.0 * x, x > 1, np.float32(2) * x):
        assert type(made) is Foreign
    for view in (x.T, x[0], x[0, 0, ...], x.reshape(3, 2), np.moveaxis(x, 0, 1), x[1:].T):
        assert view.base is x
    for copy in (x + 1, x.copy(), x.T.reshape(6), x[np.asarray([0, 1], like=x)], np.asarray([1.0], like=x)):
        assert copy.base is None
    x[0, 0, ...][...] = 7
    assert x.get()[0, 0] == 7
    np.multiply(x, 2, out=x[:, :])
    assert x.get()[0, 0] == 14


REFUSED = {
    "to become a NumPy array": lambda x: np.asarray(x),
    "to be joined with a NumPy array": lambda x: np.concatenate([x, np.ones((1, 3), np.float32)]),
    "to be added to a NumPy array": lambda x: x + np.ones(3, np.float32),
    "to be added by a NumPy array": lambda x: np.ones(3, np.float32) + x,
    "to be added to in place": lambda x: np.add(x.get(), x, out=x.get()),
    "a NumPy array in its place": lambda x: x.__setitem__(slice(1), np.ones((1, 3))),
    "a NumPy array as an index": lambda x: x[np.asarray([0])],
    "to be an index in Python": lambda x: [1, 2][x[0, 1].astype(int)],
    "ufuncs with a condition": lambda x: np.divide(1, x, where=x > 0),
    "an initial value": lambda x: np.max(x, initial=0),
    "an initial value for a method": lambda x: x.max(initial=0),
    "the largest by ufunc": lambda x: np.maximum.reduce(x),
    "the keyword stable": lambda x: np.argsort(x, stable=True),
    "another kind of sorting": lambda x: np.argsort(x, kind="quicksort"),
    "what NumPy does not hand on": lambda x: np.ascontiguousarray(x),
    "a function that CuPy has not": lambda x: np.einsum_path("ij->i", x),
    "a default axis of take_along_axis": lambda x: np.take_along_axis(x, x.astype(int)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_as_by_cupy(what, x):
    with pytest.raises((TypeError, ValueError, NotImplementedError)):
        REFUSED[what](x)


def test_the_stand_in_leaves_no_trace():
    before = sys.modules.get("cupy")
    with in_cupys_place():
        assert tt.cuda.is_available()
        assert tt.zeros(2, device="cuda").is_cuda
    assert sys.modules.get("cupy") is before


def test_a_gpu_that_cannot_be_used_is_said():
    with in_cupys_place() as cupy:

        def refuse(array):
            raise cupy.cuda.runtime.CUDARuntimeError("cudaErrorInsufficientDriver: too old")

        cupy.asarray = refuse
        with pytest.raises(RuntimeError, match="device 'cuda': CuPy can use no GPU here: cudaErrorInsuff"):
            tt.zeros(1).to("cuda")


@pytest.fixture(scope="module")
def cupy():
    reason = "CuPy is not installed; its functions are not compared with cupy_functions.txt"
    return pytest.importorskip("cupy", reason=reason)


def test_the_table_of_functions_is_the_installed_cupys(cupy):
    if not cupy.__version__.startswith("14.2."):
        pytest.skip(f"the table is CuPy 14.2's, and {cupy.__version__} is installed")
    made = subprocess.run([sys.executable, cupy_table.__file__], capture_output=True, text=True, check=True)
    assert made.stdout == cupy_table.TABLE.read_text(encoding="utf-8")


def test_the_methods_are_the_installed_cupys(cupy):
    names = [line.split("(")[0] for line in METHODS.split("\n") if line]
    assert [name for name in names if not hasattr(cupy.ndarray, name)] == []
    assert len(FUNCTIONS) > 200
