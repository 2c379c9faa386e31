"""One function of a running module exchanged for another, and back."""

import sys
from types import ModuleType

import pytest

from tinytorch.core import activations, layers, tensor
from tinytorch.journey.patching import Patch, patched
from tinytorch.journey.source import SourceError

MODULE = """
from functools import wraps

FACTOR = 2

def loud(function):
    @wraps(function)
    def wrapped(*args):
        return function(*args)
    return wrapped

def twice(x):
    return FACTOR * x

held = twice

@loud
def thrice(x):
    return 3 * x

class Base:
    def name(self):
        return "base"

class Child(Base):
    def name(self):
        return "child"

    @classmethod
    def made(cls):
        return cls

    @property
    def size(self):
        return 1
"""


@pytest.fixture
def module():
    made = ModuleType("patched_example")
    exec(MODULE, made.__dict__)
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def test_whoever_holds_the_function_runs_the_new_one_and_then_the_old_one_again(module):
    with patched(module, "twice", "def twice(x):\n    return FACTOR + x\n", "x.py"):
        assert module.held(5) == 7
    assert module.held(5) == 10


def test_decorated_functions_methods_class_methods_and_properties(module):
    child = module.Child()
    with patched(module, "thrice", "@loud\ndef thrice(x):\n    return -x\n", "x.py"):
        assert module.thrice(1) == -1
    with patched(module, "Child.made", "@classmethod\ndef made(cls):\n    return 7\n", "x.py"):
        assert child.made() == 7
    with patched(module, "Child.size", "@property\ndef size(self):\n    return 9\n", "x.py"):
        assert child.size == 9
    assert (module.thrice(1), child.made(), child.size) == (3, module.Child, 1)


def test_a_method_may_say_super_though_the_old_one_did_not(module):
    text = "def name(self):\n    return super().name() + ' of child'\n"
    with patched(module, "Child.name", text, "x.py"):
        assert module.Child().name() == "base of child"
    assert module.Child().name() == "child"


def test_a_generator_may_take_the_place_of_a_function_and_the_other_way_round(module):
    with patched(module, "Child.name", "def name(self):\n    yield 1\n", "x.py"):
        assert list(module.Child().name()) == [1]
    assert module.Child().name() == "child"


def test_it_is_undone_when_the_block_raises(module):
    with (
        pytest.raises(ValueError, match="no"),
        patched(module, "twice", "def twice(x):\n    return 0\n", "x.py"),
    ):
        raise ValueError("no")
    assert module.twice(1) == 2


def test_a_decorator_that_registers_does_not_do_so_again(module):
    exec("registered = []\ndef register(f):\n    registered.append(f)\n    return f\n", vars(module))
    with patched(module, "twice", "@register\ndef twice(x):\n    return 0\n", "x.py"):
        assert module.twice(1) == 0
    assert module.registered == []


def test_an_op_keeps_its_identity():
    before = activations.relu
    with patched(activations, "relu", "def relu(input):\n    return input * 0\n", "x.py"):
        assert activations.relu is before
        assert tensor.tensor([3.0]).relu().item() == 0
    assert tensor.tensor([3.0]).relu().item() == 3


def test_tracebacks_name_the_readers_file_and_line():
    with patched(activations, "relu", "def relu(input):\n    return input.nothing\n", "mine.py", line=40):
        with pytest.raises(AttributeError) as caught:
            activations.relu(tensor.tensor([1.0]))
        frames = [(str(entry.path).rpartition("/")[2], entry.lineno + 1) for entry in caught.traceback]
    assert ("mine.py", 41) in frames
    text = "    def forward(self, x):\n        return x.nothing\n"
    with patched(layers, "Sequential.forward", text, "mine.py", line=90):
        with pytest.raises(AttributeError) as caught:
            layers.Sequential()(tensor.tensor([1.0]))
        frames = [(str(entry.path).rpartition("/")[2], entry.lineno + 1) for entry in caught.traceback]
    assert ("mine.py", 91) in frames


def test_names_that_are_not_there_and_things_that_are_no_functions():
    with pytest.raises(SourceError, match="has no nothing"):
        Patch(activations, "nothing", "def nothing(): pass\n", "x.py")
    with pytest.raises(SourceError, match="not a function"):
        Patch(activations, "pi", "def pi(): pass\n", "x.py")
