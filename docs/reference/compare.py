"""The names that PyTorch documents, by namespace: writes pytorch.json beside this file.

    python docs/reference/compare.py

It needs PyTorch, which building the site does not. The page then says which of these names TinyTorch lacks.
"""

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("pytorch.json")
NAMESPACES = (
    "torch",
    "torch.Tensor",
    "torch.nn",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torch.utils.data",
    "torch.autograd",
)


def resolve(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        package, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(package), attribute)


def documented(owner: Any) -> list[str]:
    """Public functions and classes of a namespace that have documentation and are not deprecated."""
    found = []
    for name in getattr(owner, "__all__", dir(owner)):
        thing = getattr(owner, name, None)
        text = inspect.getdoc(thing) or ""
        home = getattr(thing, "__module__", None) or "torch"
        if (
            not name.startswith("_")
            and callable(thing)
            and text
            and "deprecated" not in text[:300].lower()
            and home.split(".")[0] in ("torch", "builtins")
            and not name.endswith(("Storage", "Type", "_copy"))
        ):
            found.append(name)
    return sorted(found, key=str.lower)


if __name__ == "__main__":
    import torch

    names = {namespace: documented(resolve(namespace)) for namespace in NAMESPACES}
    # In-place twins are twins: who looks for one finds the original.
    for found in names.values():
        found[:] = [name for name in found if not (name.endswith("_") and name[:-1] in found)]
    version = torch.__version__.partition("+")[0]
    FILE.write_text(json.dumps({"version": version, "names": names}, indent=0) + "\n", encoding="utf-8")
    print(FILE, {namespace: len(found) for namespace, found in names.items()})
