"""The exercises of the twenty modules: one file each, named like the core file."""

from importlib import import_module

from ..checking import Exercises


def exercises_of(slug: str) -> Exercises:
    """The exercises of a module by its slug, such as "activations". Imports the modules that they check."""
    found: Exercises = import_module(f".{slug}", __name__).exercises
    return found
