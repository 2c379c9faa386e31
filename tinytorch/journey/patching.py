"""One function of a running module exchanged for another, and back.

What is exchanged is the code inside the function object, so that everything which holds the function
already (an Op, a table of derivatives, a module that imported it by name) runs the new one, too.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from . import source


class Patch:
    """A function of a module, with other code in it from `apply()` to `undo()`.

    Raises SourceError if the module has no function of that name, and whatever running the `def` raises
    (SyntaxError, a NameError in a default).

    module: the running module; name: the qualified name of the function; text: its new source, as it stands
    in its file; path, line: where that is, for tracebacks.
    """

    def __init__(self, module: ModuleType, name: str, text: str, path: str, line: int = 1):
        self.holder, attribute = _find(module, name)
        self.old = _plain(inspect.getattr_static(self.holder, attribute))
        made = _define(module, self.holder, attribute, text, path, line)
        self.new, self.attribute, self.made = _plain(made), attribute, made
        self.kept = _parts(self.old)

    def apply(self) -> None:
        if _kind(self.old) == _kind(self.new):
            _put(self.old, _parts(self.new))
        else:  # one of them says super() or yield: the function object itself has to change
            self.kept_object = inspect.getattr_static(self.holder, self.attribute)
            setattr(self.holder, self.attribute, self.made)

    def undo(self) -> None:
        if hasattr(self, "kept_object"):
            setattr(self.holder, self.attribute, self.kept_object)
            del self.kept_object
        _put(self.old, self.kept)


@contextmanager
def patched(module: ModuleType, name: str, text: str, path: str, line: int = 1) -> Iterator[None]:
    """Inside the block, the module runs this source for one of its functions."""
    patch = Patch(module, name, text, path, line)
    patch.apply()
    try:
        yield
    finally:
        patch.undo()


def _find(module: ModuleType, name: str) -> tuple[Any, str]:
    """What holds a function (the module or a class), and under which attribute."""
    *classes, attribute = name.split(".")
    holder: Any = module
    for part in classes:
        holder = getattr(holder, part, None)
    if holder is None or attribute not in vars(holder):
        raise source.SourceError(f"{module.__name__} has no {name}")
    return holder, attribute


def _plain(value: Any) -> FunctionType:
    """The plain function at the heart of an Op, a property, a class method or a decorated function."""
    while not isinstance(value, FunctionType) or hasattr(value, "__wrapped__"):
        inner = [getattr(value, name) for name in ("__wrapped__", "__func__", "fget") if hasattr(value, name)]
        if not inner:
            raise source.SourceError(f"{value!r} is not a function")
        value = inner[0]
    return value


def _define(module: ModuleType, holder: Any, attribute: str, text: str, path: str, line: int) -> Any:
    """Run a `def` as if it stood in its file: with the module's globals, and a class for super() in a
    method.
    """
    text = textwrap.dedent(text)
    if holder is module:
        tree = ast.parse("\n" * (line - 1) + text)
        # Its decorators ran when the module was imported; one that registers did its work then.
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                node.decorator_list = []
        code = compile(tree, path, "exec")
        found: dict[str, Any] = {}
        exec(code, vars(module), found)
        return found[attribute]
    wrapper = f"def _method(__class__):\n{textwrap.indent(text, '    ')}\n    return {attribute}\n"
    code = compile("\n" * max(0, line - 2) + wrapper, path, "exec")
    made: dict[str, Callable[[Any], Any]] = {}
    exec(code, vars(module), made)
    return made["_method"](holder)


def _kind(function: FunctionType) -> tuple[int, int]:
    """What two functions have to share if one is to run the other's code: free variables, and being a
    generator.
    """
    code = function.__code__
    return len(code.co_freevars), code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE)


def _parts(function: FunctionType) -> tuple[Any, Any, Any]:
    return function.__code__, function.__defaults__, function.__kwdefaults__


def _put(function: FunctionType, parts: tuple[Any, Any, Any]) -> None:
    function.__code__, function.__defaults__, function.__kwdefaults__ = parts
