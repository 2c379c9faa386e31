"""The twenty modules, one file each. A reader's module of the same name comes first."""

from tinytorch.journey.workspace import core_path

__path__ = core_path(__path__)
