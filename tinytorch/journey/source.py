"""A module's file as text: its functions found, emptied, exchanged and merged.

Everything here takes the text of a Python file and gives text back. Whatever it does not have to change
stays as it was, comments and blank lines included.
"""

import ast
import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from types import CodeType
from typing import NamedTuple


class SourceError(ValueError):
    """A file has no function of a name that it needs."""


class Function(NamedTuple):
    """One function or method of a file. Lines count from 1; `start` is its first decorator, if it has any."""

    name: str
    start: int
    end: int
    node: ast.FunctionDef

    def text(self, lines: list[str]) -> str:
        return "".join(lines[self.start - 1 : self.end])


class Unit(NamedTuple):
    """A part of a file that is merged as one: a statement, a method, the head of a class."""

    key: str
    text: str


class Merged(NamedTuple):
    """A merged file, and the names of the parts that both sides had changed; there the reader's stands."""

    text: str
    conflicts: tuple[str, ...]


def lines_of(text: str) -> list[str]:
    """The lines with their ends; the last one gets an end if it has none."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return lines


def functions(text: str) -> dict[str, Function]:
    """Every function and method by its qualified name ("Tensor.sum"), in the order of the file.

    Of two with one name the later one counts, as it does when Python runs the file. Raises SyntaxError for a
    text that is not Python.
    """
    found: dict[str, Function] = {}
    lines = lines_of(text)

    def visit(body: Iterable[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef):
                name = prefix + node.name
                found.pop(name, None)
                found[name] = Function(name, _starts(node), _end(node, lines), node)
            elif isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")

    visit(ast.parse(text).body, "")
    return found


def _starts(node: ast.stmt) -> int:
    """The first line of a statement, decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])


def _end(node: ast.stmt, lines: list[str]) -> int:
    """The last line of a function, with the comments that stand in its body after its last statement."""
    end = last = node.end_lineno or node.lineno
    while last < len(lines):
        line = lines[last]
        stripped = line.lstrip()
        if stripped.startswith("#") and len(line) - len(stripped) > node.col_offset:
            end = last + 1
        elif stripped:
            break
        last += 1
    return end


def names(text: str) -> list[str]:
    """What others may use of a file: its functions, methods, classes, and the names it assigns."""
    tree = ast.parse(text)
    assigned = [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    targets = [t for a in assigned for t in (a.targets if isinstance(a, ast.Assign) else [a.target])]
    found = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    return [*functions(text), *classes, *found]


def function(text: str, name: str) -> str:
    """The source of one function, decorators included. Raises SourceError if there is none of that name."""
    found = functions(text)
    if name not in found:
        raise SourceError(f"there is no {name} in this file")
    return found[name].text(lines_of(text))


def is_stub(node: ast.FunctionDef) -> bool:
    """Does the function still do nothing but raise NotImplementedError?"""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    if len(body) != 1 or not isinstance(body[0], ast.Raise):
        return False
    error = body[0].exc.func if isinstance(body[0].exc, ast.Call) else body[0].exc
    return isinstance(error, ast.Name) and error.id == "NotImplementedError"


def fingerprint(text: str, name: str) -> str:
    """SHA-256 of what a function says to Python: layout and comments do not count."""
    return fingerprint_of(functions(text)[name].node)


def fingerprint_of(node: ast.FunctionDef) -> str:
    return hashlib.sha256(ast.unparse(node).encode()).hexdigest()


def stub(text: str, prompts: dict[str, str]) -> str:
    """The file with the bodies of these functions taken out, signatures and docstrings kept.

    prompts: qualified name -> what the reader has to write; it becomes the docstring of a function that has
    none. Each body becomes `raise NotImplementedError`.
    """

    def empty(found: Function, lines: list[str]) -> str:
        node, indent = found.node, " " * (found.node.col_offset + 4)
        has_doc = ast.get_docstring(node, clean=False) is not None
        head_ends = (node.body[0].end_lineno or 0) if has_doc else _starts(node.body[0]) - 1
        # A comment between the signature and the first statement belongs to the body.
        while not has_doc and lines[head_ends - 1].lstrip().startswith("#"):
            head_ends -= 1
        head = "".join(lines[found.start - 1 : head_ends])
        doc = "" if has_doc else _docstring(prompts[found.name], indent)
        return f'{head}{doc}{indent}raise NotImplementedError("{found.name} is yours to write")\n'

    return _exchange(text, dict.fromkeys(prompts, empty))


def _docstring(prompt: str, indent: str) -> str:
    import textwrap

    lines = textwrap.wrap(prompt, 108 - len(indent))
    if len(lines) == 1 and len(lines[0]) + len(indent) < 104:
        return f'{indent}"""{lines[0]}"""\n'
    return f'{indent}"""{lines[0]}\n' + "".join(f"{indent}{line}\n" for line in lines[1:]) + f'{indent}"""\n'


def replace(text: str, solutions: dict[str, str]) -> str:
    """The file with these functions exchanged: qualified name -> source. Raises SourceError for unknown
    ones.
    """
    return _exchange(text, {name: partial(_given, source) for name, source in solutions.items()})


def _given(source: str, found: Function, lines: list[str]) -> str:
    return source


def fill(text: str, reference: str, names: Iterable[str]) -> str:
    """The file with these functions taken from the reference: what the reader has not solved yet."""
    return replace(text, {name: function(reference, name) for name in names})


def compiled(text: str, path: str, reference: str, names: Iterable[str]) -> CodeType:
    """The reader's file as code, with the reference's functions of these names in it.

    The reader's own lines keep their numbers. Names that the file does not have are left out.
    """
    tree, others, wanted = ast.parse(text), functions(reference), set(names)

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for place, node in enumerate(body):
            if isinstance(node, ast.FunctionDef) and prefix + node.name in wanted:
                body[place] = others[prefix + node.name].node
            elif isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")

    visit(tree.body, "")
    return compile(tree, path, "exec")


def _exchange(text: str, new: "dict[str, Callable[[Function, list[str]], str]]") -> str:
    found, lines = functions(text), lines_of(text)
    if missing := [name for name in new if name not in found]:
        raise SourceError(f"there is no {missing[0]} in this file")
    for name in sorted(new, key=lambda name: found[name].start, reverse=True):
        exchanged = new[name](found[name], lines)
        lines[found[name].start - 1 : found[name].end] = lines_of(exchanged)
    return "".join(lines)


# A new version of a stub file, merged into what the reader has written


def units(text: str) -> list[Unit]:
    """The parts of a file; joined, their texts are the file. What stands before a statement, comments and
    blank lines, is a part of its own.
    """
    lines, parts, begun = lines_of(text), [], 0
    seen: dict[str, int] = {}

    def close(key: str, end: int) -> None:
        nonlocal begun
        seen[key] = seen.get(key, 0) + 1
        parts.append(Unit(key if seen[key] == 1 else f"{key} ({seen[key]})", "".join(lines[begun:end])))
        begun = end

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if begun < _starts(node) - 1:
                name = node.name if isinstance(node, ast.ClassDef) else _key(node, "")
                close(f"before {prefix}{name}", _starts(node) - 1)
            if isinstance(node, ast.ClassDef) and node.body[0].lineno > node.lineno:
                first = node.body[0]
                documented = ast.get_docstring(node, clean=False) is not None
                close(f"class {prefix}{node.name}", (first.end_lineno or 0) if documented else node.lineno)
                visit(node.body[1:] if documented else node.body, f"{prefix}{node.name}.")
            else:
                close(_key(node, prefix), _end(node, lines))

    visit(ast.parse(text).body, "")
    if begun < len(lines):
        close("the end", len(lines))
    return parts


def _key(node: ast.stmt, prefix: str) -> str:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return prefix + node.name
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return prefix + " = ".join(map(ast.unparse, targets))
    if isinstance(node, ast.ImportFrom):
        return f"{prefix}from {'.' * node.level}{node.module or ''} import"
    return prefix + ast.unparse(node).partition("\n")[0][:60]


def merge(base: str, mine: str, new: str) -> Merged:
    """`mine` brought up to `new`, where both began as `base`: three versions of one stub file.

    What the reader left alone comes from `new`, what the reader changed or added stays. Where both changed
    the same part, the reader's stays and the part is named as a conflict. Raises SyntaxError if `mine` is
    not Python.
    """
    was, has = ({unit.key: unit.text for unit in units(text)} for text in (base, mine))
    result: list[Unit] = []
    conflicts = []
    for unit in units(new):
        kept = has.get(unit.key)
        if kept is None or _same(kept, was.get(unit.key)):
            result.append(unit)
            continue
        result.append(Unit(unit.key, kept))
        if not _same(kept, unit.text) and not _same(unit.text, was.get(unit.key)):
            conflicts.append(unit.key)
    present = {unit.key for unit in result}
    before = -1  # the place of the reader's preceding part in the result
    for unit in units(mine):
        if unit.key in present:
            before = next(i for i, other in enumerate(result) if other.key == unit.key)
        elif not _same(unit.text, was.get(unit.key)):
            before += 1
            result.insert(before, unit)
            if unit.key in was:
                conflicts.append(unit.key)
    return Merged("".join(unit.text for unit in result), tuple(conflicts))


def _same(text: str | None, other: str | None) -> bool:
    return text is not None and other is not None and text.strip() == other.strip()
