"""Threads: work in parts, errors, nesting, the number of threads and the buffers that threads keep."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinytorch
from tinytorch.utils import threads
from tinytorch.utils.threads import get_num_threads, parallel, scratch, set_num_threads

in_browser = pytest.mark.skipif(sys.platform == "emscripten", reason="a browser has one thread")


@pytest.fixture(autouse=True)
def three_threads():
    set_num_threads(3)
    yield
    threads._chosen.clear()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 100])
@pytest.mark.parametrize("grain", [1, 2, 50])
def test_the_parts_make_up_the_whole_in_order(count, grain):
    parts = parallel(lambda start, stop: list(range(start, stop)), count, grain)
    assert [number for part in parts for number in part] == list(range(count))
    assert len(parts) <= 3
    assert all(len(part) >= min(grain, count) for part in parts)


@in_browser
def test_every_part_has_a_thread_and_a_part_starts_no_more():
    meeting = threading.Barrier(3, timeout=20)

    def work(start, stop):
        meeting.wait()
        return parallel(lambda start, stop: threading.get_ident(), 100)

    inner = parallel(work, 3)
    assert all(len(idents) == 1 for idents in inner)
    assert len({ident for (ident,) in inner}) == 3


@pytest.mark.parametrize("guilty", [0, 2])
def test_an_error_in_a_part_comes_out_and_the_next_call_works(guilty):
    def work(start, stop):
        if start <= guilty < stop:
            raise ValueError(f"part {guilty}")
        return stop - start

    with pytest.raises(ValueError, match=f"part {guilty}"):
        parallel(work, 3)
    assert sum(parallel(lambda start, stop: stop - start, 3)) == 3


@pytest.mark.parametrize("threads", [0, -1, 1.5, "two", None])
def test_a_number_of_threads_that_is_none_is_an_error(threads):
    with pytest.raises(ValueError, match="a whole number of at least 1 is needed"):
        set_num_threads(threads)


@in_browser
def test_the_number_that_was_set_is_the_number_that_is_used():
    tinytorch.set_num_threads(2)
    assert tinytorch.get_num_threads() == get_num_threads() == 2
    assert len(parallel(lambda start, stop: None, 10)) == 2


@in_browser
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OMP_NUM_THREADS": "5"}, "5"),
        ({"OMP_NUM_THREADS": "5", "TINYTORCH_NUM_THREADS": "7"}, "7"),
        ({"TINYTORCH_NUM_THREADS": "many", "OMP_NUM_THREADS": "4"}, "4"),
    ],
)
def test_the_environment_decides_where_the_program_does_not(variables, expected):
    environment = {**os.environ, **variables}
    code = "import tinytorch; print(tinytorch.get_num_threads())"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr


@in_browser
def test_blas_keeps_to_one_thread_meanwhile():
    blas = threads._openblas()
    if blas is None:
        pytest.skip("this NumPy does not come with OpenBLAS")
    blas[1](2)
    assert parallel(lambda start, stop: blas[0](), 1) == [1]
    assert parallel(lambda start, stop: blas[0](), 3) == [1, 1, 1]


def test_scratch_is_the_same_memory_again_():
    first = scratch("a", (3, 4), np.float32)
    assert first.shape == (3, 4)
    assert first.dtype == np.float32
    assert np.shares_memory(first, scratch("a", (2, 4), np.float32))
    assert not np.shares_memory(first, scratch("b", (3, 4), np.float32))
    assert scratch("a", (0, 4), np.float64).shape == (0, 4)


@in_browser
def test_threads_have_buffers_of_their_own():
    meeting = threading.Barrier(3, timeout=20)

    def work(start, stop):
        meeting.wait()
        return scratch("c", (8,), np.float32)

    a, b, c = parallel(work, 3)
    assert not np.shares_memory(a, b)
    assert not np.shares_memory(b, c)


@pytest.mark.parametrize("shape", [(0, 3, 4), (1, 1, 1), (5, 0, 3), (700, 300, 70)])
def test_a_product_in_parts_is_the_product(shape):
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((rows, inner)), rng.standard_normal((columns, inner)).T
    np.testing.assert_allclose(threads.product(a, b), a @ b, 1e-12, 1e-12)


@in_browser
def test_blas_is_given_back_after_one_part_and_kept_once_threads_have_started():
    code = """
from tinytorch.utils import threads
blas = threads._openblas()
if blas:
    threads.set_num_threads(2)
    threads.parallel(lambda start, stop: None, 1)
    print(blas[0](), end=" ")
    threads.parallel(lambda start, stop: None, 2)
    threads.set_num_threads(2)
    print(blas[0]())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if not done.stdout:
        pytest.skip("this NumPy does not come with OpenBLAS")
    assert done.stdout.split() == ["2", "1"], done.stderr
