"""Threads for Ops whose work falls into independent parts, such as the images of a batch.

NumPy lets go of Python's lock while it computes, so threads of one process share the arrays and use all
cores. The number of threads is, in this order: what `set_num_threads` was told; the environment variables
TINYTORCH_NUM_THREADS or OMP_NUM_THREADS; the processors that this process may use. In a browser it is 1.
"""

import os
import sys
import threading
from contextlib import contextmanager
from functools import cache
from math import prod

import numpy as np

WORTH_A_THREAD = 10_000_000  # multiplications

_chosen: list[int] = []  # what set_num_threads was told
_here = threading.local()


def get_num_threads():
    """How many threads an Op may use."""
    return _chosen[-1] if _chosen else _default()


def set_num_threads(threads):
    """Let Ops use this many threads, from 1; also NumPy's OpenBLAS, until Ops have started theirs."""
    if not isinstance(threads, int) or threads < 1:
        raise ValueError(f"set_num_threads: a whole number of at least 1 is needed, {threads!r} came")
    _chosen[:] = [1 if sys.platform == "emscripten" else threads]
    if (blas := _openblas()) and not _pool.cache_info().currsize:
        blas[1](_chosen[-1])


def parallel(work, count, grain=1):
    """The results of work(start, stop), called on parts that make up range(count), in their order.

    There are at most get_num_threads() parts, and each has at least `grain` items, which says how many are
    worth a thread (starting one takes about 50 microseconds). A call from within `work` runs in one part.

    Meanwhile BLAS keeps to one thread: in the small products that parts are made of, its own cost more than
    they gain. And once there were several parts, it keeps to one for good, for its threads wait busily for
    more work, on the processors that these threads need.
    """
    if getattr(_here, "inside", False):
        return [work(0, count)] if count else []
    parts = max(min(get_num_threads(), count // max(grain, 1)), min(count, 1))
    bounds = [count * part // max(parts, 1) for part in range(parts + 1)]
    with _one_blas_thread(for_good=parts > 1):
        others = [_pool(parts - 1).submit(_inside, work, *bounds[i : i + 2]) for i in range(1, parts)]
        try:
            first = [_inside(work, *bounds[:2])] if parts else []
        finally:
            errors = [other.exception() for other in others]  # wait for all, whatever happened here
    for error in errors:
        if error is not None:
            raise error
    return [*first, *(other.result() for other in others)]


def product(a, b):
    """a @ b of two matrices, the rows of `a` shared among threads."""
    (rows, inner), columns = a.shape, b.shape[1]
    if not isinstance(a, np.ndarray) or rows * inner * columns < 2 * WORTH_A_THREAD:
        return np.matmul(a, b)
    out = np.empty((rows, columns), np.result_type(a, b))
    grain = 1 + WORTH_A_THREAD // (inner * columns)
    parallel(lambda start, stop: np.matmul(a[start:stop], b, out=out[start:stop]), rows, grain)
    return out


def scratch(key, shape, dtype):
    """An uninitialized array that this thread gets again at its next call with the same key and size.

    Fresh memory costs a page fault every 4 KB, a buffer that stays costs nothing. Its numbers are only good
    until the thread's next call with this key: it may be no part of a result.
    """
    buffers = _here.__dict__.setdefault("buffers", {})
    size = prod(shape) * np.dtype(dtype).itemsize
    held = buffers.get(key)
    if held is None or not size <= held.size <= 4 * size:
        held = buffers[key] = np.empty(size, np.uint8)
    return held[:size].view(dtype).reshape(shape)


@cache
def _default():
    for name in ("TINYTORCH_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    if sys.platform == "emscripten":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool(workers):
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(workers, thread_name_prefix="tinytorch")


def _inside(work, start, stop):
    _here.inside = True
    try:
        return work(start, stop)
    finally:
        _here.inside = False


@cache
def _openblas():
    """(how many threads?, use so many) of the OpenBLAS that NumPy's wheels bring along; None without one."""
    import ctypes
    from pathlib import Path

    home = Path(np.__file__).parent
    for path in (*home.parent.glob("numpy.libs/*openblas*"), *home.glob(".dylibs/*openblas*")):
        library = ctypes.CDLL(str(path))
        for name in ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads"):
            if hasattr(library, name.format("set")):
                return getattr(library, name.format("get")), getattr(library, name.format("set"))
    return None


@contextmanager
def _one_blas_thread(for_good):
    blas = _openblas()
    before = blas[0]() if blas else 1
    if before > 1:
        blas[1](1)
    try:
        yield
    finally:
        if before > 1 and not for_good:
            blas[1](before)


def _keep_freed_memory():
    """Let the C library keep freed arrays for the next ones.

    glibc takes a large array from the system and gives it back when it is freed, and then every page of the
    next one costs a fault. Its bound between small and large rises to the largest array freed so far, up to
    32 MB: so one is asked for, never touched, and freed. (M_MMAP_THRESHOLD in mallopt's manual page.)
    """
    if sys.platform == "linux":
        np.empty((32 << 20) - (64 << 10), np.uint8)


_keep_freed_memory()
