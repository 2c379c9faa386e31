"""Prove the exercises of one module where nothing above it exists: `python bare_proof.py 05`.

`tinytorch` is here only a name for the folder: its own __init__, which imports everything, does not run,
and any import of a higher module, or of what is built on the modules, fails.
"""

import importlib.abc
import os
import sys
from pathlib import Path
from types import ModuleType

os.environ["TINYTORCH_WORKSPACE"] = "off"
ALLOWED = {"core", "journey", "utils"}


class Nothing(importlib.abc.MetaPathFinder):
    """Refuses the modules above `highest`, and every package beside core, journey and utils."""

    def __init__(self, highest: int, numbers: dict[str, int]):
        self.highest, self.numbers = highest, numbers

    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        if parts[0] == "tinytorch" and len(parts) > 1:
            too_high = parts[1] == "core" and len(parts) > 2 and self.numbers[parts[2]] > self.highest
            if parts[1] not in ALLOWED or too_high:
                raise ImportError(f"{name} does not exist where module {self.highest} is the highest")
        return


def main() -> int:
    package = ModuleType("tinytorch")
    root = Path(__file__).resolve().parents[2]
    package.__path__ = [os.environ.get("TINYTORCH_PACKAGE", str(root / "tinytorch"))]
    sys.modules["tinytorch"] = package
    from tinytorch.journey.manifest import journey

    module = journey().module(int(sys.argv[1]))
    sys.meta_path.insert(0, Nothing(module.number, {each.slug: each.number for each in journey().modules}))
    from tinytorch.journey.proof import problems

    found = list(problems(module))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
