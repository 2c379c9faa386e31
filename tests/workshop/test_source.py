"""A module's file as text: found, emptied, exchanged, merged."""

import ast

import pytest

from tinytorch.journey import source
from tinytorch.journey.manifest import journey
from tinytorch.journey.proof import reference_source, stub_source

RELEASED = [module for module in journey().modules if module.released]

FILE = '''\
"""A file."""

import math

SIZE = 3


def first(x):
    """Doc."""
    y = x + 1
    return y
    # what the end of the body says


class Box:
    """A box."""

    kind = "box"

    @property
    def area(self):
        # an answer in a comment
        return self.a * self.b

    def grow(self, by=1):
        self.a += by  # in place


def last(x): return x
'''


def test_functions_are_named_by_their_class_and_found_in_order():
    assert list(source.functions(FILE)) == ["first", "Box.area", "Box.grow", "last"]


def test_a_function_includes_its_decorators_and_the_comments_at_its_end():
    assert source.function(FILE, "Box.area").lstrip().startswith("@property")
    assert source.function(FILE, "first").rstrip().endswith("# what the end of the body says")


def test_a_name_that_is_not_there_is_an_error():
    with pytest.raises(source.SourceError, match=r"no Box\.shrink"):
        source.function(FILE, "Box.shrink")


def test_a_stub_keeps_signature_and_docstring_and_nothing_of_the_body():
    stub = source.stub(FILE, {"first": "Unused.", "Box.area": "The product of the sides."})
    assert '    """Doc."""\n    raise NotImplementedError("first is yours to write")\n' in stub
    assert '        """The product of the sides."""\n        raise NotImplementedError' in stub
    assert "@property" in stub
    for answer in ("y = x + 1", "what the end of the body says", "an answer in a comment", "self.a * self.b"):
        assert answer not in stub
    assert "self.a += by  # in place" in stub  # not an exercise


@pytest.mark.parametrize("module", RELEASED, ids=lambda module: module.name)
def test_the_stub_of_every_module_holds_exactly_its_exercises_and_fills_back(module):
    reference, stub = reference_source(module), stub_source(module)
    ast.parse(stub)
    emptied = {name for name, found in source.functions(stub).items() if source.is_stub(found.node)}
    were = {name for name, found in source.functions(reference).items() if source.is_stub(found.node)}
    assert emptied - were == set(module.exercises)
    filled = source.fill(stub, reference, module.exercises)
    assert filled == reference


@pytest.mark.parametrize("module", RELEASED, ids=lambda module: module.name)
def test_the_parts_of_every_file_are_the_file(module):
    assert "".join(unit.text for unit in source.units(reference_source(module))) == reference_source(module)


def test_a_fingerprint_is_of_what_is_said_not_of_how():
    other = FILE.replace("y = x + 1", "y = (x + 1)  # one more")
    assert source.fingerprint(FILE, "first") == source.fingerprint(other, "first")
    assert source.fingerprint(FILE, "first") != source.fingerprint(FILE.replace("x + 1", "x + 2"), "first")


def test_compiled_code_has_the_references_functions_and_the_readers_lines():
    reference = FILE.replace("y = x + 1", "y = 10 * x")
    mine = FILE.replace('kind = "box"', "kind = 1 / 0  # line 18")
    code = source.compiled(mine, "mine.py", reference, ["first"])
    with pytest.raises(ZeroDivisionError) as caught:
        exec(code, {})
    assert caught.traceback[-1].lineno + 1 == 18
    names = {}
    exec(source.compiled(FILE, "mine.py", reference, ["first", "not there"]), names)
    assert names["first"](2) == 20
    assert names["last"](2) == 2


# Merging a newer stub


def stubs():
    base = source.stub(FILE, {"first": "p", "Box.grow": "p"})
    mine = source.replace(base, {"first": "def first(x):\n    return my_helper(x)\n"})
    return base, mine


def test_what_only_the_new_version_changed_comes_over():
    base, mine = stubs()
    new = base.replace("SIZE = 3", "SIZE = 4").replace("import math", "import math\nimport re")
    merged = source.merge(base, mine, new)
    assert "SIZE = 4" in merged.text
    assert "import re" in merged.text
    assert "return my_helper(x)" in merged.text
    assert merged.conflicts == ()


def test_what_the_reader_added_stays_where_it_was():
    base, mine = stubs()
    mine = mine.replace("class Box:", "def my_helper(x):\n    return x\n\n\nclass Box:")
    merged = source.merge(base, mine, base.replace("SIZE = 3", "SIZE = 4"))
    assert merged.text == mine.replace("SIZE = 3", "SIZE = 4")
    assert merged.conflicts == ()


def test_a_function_that_both_changed_stays_the_readers_and_is_named():
    base, mine = stubs()
    new = base.replace("def first(x):", "def first(x, y=2):")
    merged = source.merge(base, mine, new)
    assert "def first(x):\n    return my_helper(x)" in merged.text
    assert merged.conflicts == ("first",)


def test_a_function_that_went_away_upstream_stays_if_the_reader_wrote_it():
    base, mine = stubs()
    new = source.replace(base, {"first": ""})
    merged = source.merge(base, mine, new)
    assert "return my_helper(x)" in merged.text
    assert merged.conflicts == ("first",)


def test_a_function_that_the_reader_deleted_comes_back_as_a_stub():
    base, _ = stubs()
    merged = source.merge(base, source.replace(base, {"Box.grow": ""}), base)
    assert "def grow(self, by=1):" in merged.text


def test_merging_a_file_that_is_not_python_is_an_error():
    base, mine = stubs()
    with pytest.raises(SyntaxError):
        source.merge(base, mine + "def broken(:\n", base)
