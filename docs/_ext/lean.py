"""Keeps the pages light: the theme's icons without its icon script, and icon fonts cut to the icons in use.

The theme draws its icons twice over, with a script of 1.5 MB and with fonts. `templates/static/` leaves the
script out; when the pages are written, the fonts are cut to the glyphs that some page, script or style names.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
from fontTools import subset
from sphinx.application import Sphinx
from sphinx.config import Config

TEMPLATES = Path(__file__).parent / "templates"
THEME_STATIC = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
FONTS = Path("vendor") / "fontawesome" / "webfonts"
UNUSED = ("scripts/fontawesome.js", "scripts/*.map", "styles/*.map", "scripts/fontawesome.js.LICENSE.txt")


def add_templates(app: Sphinx, config: Config) -> None:
    config.templates_path.insert(0, str(TEMPLATES))


def cut_icons(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    for pattern in UNUSED:
        for path in static.glob(pattern):
            path.unlink()
    glyphs = set(glyphs_in_use(Path(app.outdir)))
    for font in sorted((THEME_STATIC / FONTS).glob("*.woff2")):
        write_subset(font, static / FONTS / font.name, glyphs)


def glyphs_in_use(site: Path) -> Iterator[int]:
    """Code points of the icons that the pages, the theme's scripts and its style variables name."""
    style = (THEME_STATIC / "styles" / "pydata-sphinx-theme.css").read_text()
    by_name: dict[str, int] = {}
    for selector, escaped in re.findall(r'([^{}]*)\{--fa:"\\?([^"]*)"', style):
        for name in re.findall(r"\.fa-([\w-]+)", selector):
            by_name[name] = code_point(escaped)
    for escaped in re.findall(r'--pst-icon-[\w-]+:"\\?([^"]*)"', style):
        yield code_point(escaped)
    scripts = [path for path in (site / "_static").rglob("*.js") if path.parent.name == "scripts"]
    for path in (*site.glob("*.html"), *pages_below(site), *scripts):
        for name in set(re.findall(r"\bfa-([\w-]+)", path.read_text(encoding="utf-8"))):
            if name in by_name:
                yield by_name[name]


def pages_below(site: Path) -> Iterator[Path]:
    """The book's own pages; JupyterLite and the assets carry their own icons."""
    for folder in site.iterdir():
        if folder.is_dir() and not folder.name.startswith("_") and folder.name != "lite":
            yield from folder.rglob("*.html")


def code_point(escaped: str) -> int:
    """From the hexadecimal digits of a style sheet's escape, or from the character itself."""
    return ord(escaped) if len(escaped) == 1 else int(escaped, 16)


def write_subset(font: Path, target: Path, glyphs: set[int]) -> None:
    options = subset.Options(flavor="woff2", layout_features=[], ignore_missing_unicodes=True)
    loaded = subset.load_font(str(font), options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=glyphs)
    cutter.subset(loaded)
    subset.save_font(loaded, str(target), options)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", add_templates)
    app.connect("build-finished", cut_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
