"""Turns a page's MyST text into the plain Markdown that a notebook shows."""

import re

ADMONITIONS = {"admonition", "note", "tip", "hint", "important", "seealso"}
ADMONITIONS |= {"attention", "caution", "danger", "warning"}
FENCE = re.compile(r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<argument>.*)$")
ROLE = re.compile(r"\{([\w:+-]+)\}(`+)(.+?)\2", re.DOTALL)
INNER_LINK = re.compile(r"(?<![\w`])\[([^\]]+)\]\((?![a-z]+:)[^)\s]*\)")
CODE_ROLES = {"func", "meth", "class", "mod", "data", "attr", "obj", "exc"}


def plain_markdown(text: str) -> str:
    """MyST Markdown as CommonMark with formulas: directives and roles become what they show, or go.

    Admonitions become quotes, formulas and Mermaid diagrams keep their source, figures keep their caption.
    """
    return re.sub(r"\n{3,}", "\n\n", "\n".join(_blocks(text.splitlines()))).strip()


def _blocks(lines: list[str]) -> list[str]:
    shown: list[str] = []
    place = 0
    while place < len(lines):
        line = lines[place]
        opening = FENCE.match(line)
        if opening:
            end = _closing(lines, place + 1, opening["fence"])
            shown += _directive(opening["name"], opening["argument"].strip(), lines[place + 1 : end])
            place = end + 1
        elif re.match(r"^`{3,}", line):
            end = _closing(lines, place + 1, line[: len(line) - len(line.lstrip("`"))])
            shown += lines[place : end + 1]
            place = end + 1
        else:
            if not re.match(r"^(\([\w-]+\)=|%|\{[^}]*\})\s*", line) or ROLE.match(line):
                shown.append(_inline(line))
            place += 1
    return shown


def _closing(lines: list[str], start: int, fence: str) -> int:
    """Where the block opened with `fence` ends; the end of the text if it is never closed."""
    for place in range(start, len(lines)):
        line = lines[place].rstrip()
        if line.startswith(fence) and not line.strip(fence[0]):
            return place
    return len(lines)


def _directive(name: str, argument: str, lines: list[str]) -> list[str]:
    options, body = _options(lines)
    if name in ADMONITIONS:
        title, first = (argument, "") if name == "admonition" else (name.capitalize(), argument)
        quoted = _blocks([first, *body] if first else body)
        return [f"> **{_inline(title)}**", ">", *(f"> {line}".rstrip() for line in quoted)]
    if name == "math":
        return ["$$", *([argument] if argument else []), *body, "$$"]
    if name == "mermaid":
        return ["```mermaid", *body, "```"]
    if name in {"code-block", "code"}:
        return [f"```{argument}", *body, "```"]
    if name == "core":
        return [f"*The reference code is `{argument}` in `tinytorch.core`.*"]
    if name in {"figure", "image"}:
        caption = " ".join(_inline(line) for line in body if line.strip()) or options.get("alt", "")
        return [f"*{caption}*"] if caption else []
    if name in {"toctree", "contents", "raw", "index"}:
        return []
    return _blocks(body)


def _options(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    place = 0
    while place < len(lines) and (match := re.match(r"^:([\w-]+):\s*(.*)$", lines[place])):
        options[match[1]] = match[2]
        place += 1
    return options, lines[place:]


def _inline(line: str) -> str:
    """Roles as what they show; links within the book as their words: the notebook stands alone."""
    return INNER_LINK.sub(r"\1", ROLE.sub(_role, line))


def _role(match: re.Match[str]) -> str:
    role, content = match[1].split(":")[-1], match[3]
    if role == "math":
        return f"${content}$"
    titled = re.match(r"^(.*?)\s*<([^>]*)>$", content, re.DOTALL)
    text = titled[1] if titled else content
    if role in CODE_ROLES:
        return f"`{text.rsplit('.', 1)[-1] if text.startswith('~') else text}`"
    if role in {"doc", "ref", "download"} and not titled:
        return text.rsplit("/", 1)[-1]
    return text
