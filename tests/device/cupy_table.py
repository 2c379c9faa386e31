"""Which of NumPy's functions the installed CuPy has, and with which parameters; it needs no GPU for that.

    python tests/device/cupy_table.py > tests/device/cupy_functions.txt

`foreign.py` reads the file: a function that is not in it, or a parameter that its line does not name, is one
that a tensor on a GPU has to do without.
"""

import inspect
from functools import reduce
from pathlib import Path

import numpy as np

TABLE = Path(__file__).with_name("cupy_functions.txt")


def lines():
    """One line for each function that CuPy's arrays find for NumPy's: numpy.sum(a, axis=None, …)."""
    import cupy

    for space in (np, np.linalg, np.lib.stride_tricks):
        for name in sorted(dir(space)):
            theirs = getattr(space, name)
            if name.startswith("_") or not inspect.isroutine(theirs):
                continue
            if (theirs.__module__, theirs.__name__) != (space.__name__, name):
                continue
            home = reduce(lambda at, part: getattr(at, part, None), space.__name__.split(".")[1:], cupy)
            ours = getattr(home, name, None)
            if ours is not None and ours is not theirs and not isinstance(theirs, np.ufunc):
                yield f"{space.__name__}.{name}({', '.join(parameters(ours))})"


def parameters(function):
    """Names as in a lambda: a, axis=None, *, copy=None."""
    try:
        found = inspect.signature(function).parameters.values()
    except ValueError:  # compiled, without a signature
        return ["*args"]
    names, only_keywords = [], False
    for p in found:
        if p.kind is p.KEYWORD_ONLY and not only_keywords:
            names.append("*")
        only_keywords = p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        names.append(star + p.name + ("" if star or p.default is p.empty else "=None"))
    return names


if __name__ == "__main__":
    print("\n".join(lines()))
