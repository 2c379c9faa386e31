"""14 Profiling: where the time, the memory and the operations of a model go, before anyone optimizes it."""

from statistics import median
from time import perf_counter
from typing import NamedTuple

from . import spatial, transformers  # noqa: F401 (what there is to profile)


def count_parameters(model):
    """How many numbers of a model are parameters; one that is shared counts once."""
    return sum(p.array.size for p in model.parameters())


def model_nbytes(model):
    """Bytes of the parameters and buffers of a model, each piece of memory once."""
    held = {}
    for x in (*model.parameters(), *model.buffers()):
        owner = x.array if x.array.base is None else x.array.base
        held.setdefault(id(owner), {})[x.array.__array_interface__["data"][0], x.array.nbytes] = x.array.nbytes
    return sum(size for pieces in held.values() for size in pieces.values())


class Timing(NamedTuple):
    """Seconds that one call took, over several calls."""

    median: float
    fastest: float
    slowest: float


def measure(function, repeat=9, warm_up=1):
    """Call function() `repeat` times after `warm_up` calls that do not count. Returns a Timing in seconds.

    Raises ValueError for a repeat below 1.
    """
    if repeat < 1:
        raise ValueError(f"measure: repeat is a number from 1, {repeat} came")
    for _ in range(warm_up):
        function()
    seconds = []
    for _ in range(repeat):
        begin = perf_counter()
        function()
        seconds.append(perf_counter() - begin)
    return Timing(median(seconds), min(seconds), max(seconds))
