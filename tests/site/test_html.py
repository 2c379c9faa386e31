"""What every built page must be, read from its files."""

import json
import os
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("TINYTORCH_SITE", ROOT / "_build" / "html"))
FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}
# What a <link> only names, and no browser fetches.
NAMED_ONLY = {"canonical", "author", "license", "index", "search", "next", "prev"}

pytestmark = pytest.mark.site


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attributes}))

    def ids(self) -> set[str]:
        return {attributes["id"] for _, attributes in self.found if "id" in attributes}


def pages() -> list[Path]:
    if not SITE.is_dir():
        return []
    return sorted(path for path in SITE.rglob("*.html") if not name(path).startswith(("lite/", "_static/")))


def name(path: Path) -> str:
    return path.relative_to(SITE).as_posix()


def chapters() -> list[Path]:
    return [path for path in pages() if name(path).startswith("modules/")]


each_page = pytest.mark.parametrize("path", pages(), ids=name)
each_chapter = pytest.mark.parametrize("path", chapters(), ids=name)


def test_there_is_a_site() -> None:
    assert pages(), f"there is no site in {SITE}: run `make html` first"


@each_page
def test_a_page_fetches_only_its_own_files(path: Path) -> None:
    fetched = [
        attributes[FETCHED[tag]]
        for tag, attributes in Elements(path).found
        if tag in FETCHED and FETCHED[tag] in attributes
        if not (tag == "link" and NAMED_ONLY & set(attributes.get("rel", "").split()))
    ]
    outside = [url for url in fetched if urlsplit(url).scheme not in ("", "data") or url.startswith("//")]
    assert outside == []
    text = path.read_text(encoding="utf-8")
    inline = re.findall(r"""@import|url\(['"]?https?:|import\(['"]https?:""", text)
    assert inline == []


@each_page
def test_links_inside_the_book_lead_somewhere(path: Path) -> None:
    broken = []
    for tag, attributes in Elements(path).found:
        url, fragment = urldefrag(attributes.get("href", "") if tag == "a" else "")
        parts = urlsplit(url)
        if parts.scheme or parts.netloc or not (url or fragment):
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.is_file() or (fragment and target.suffix == ".html" and lacks(target, fragment)):
            broken.append(attributes["href"])
    assert broken == []


known_ids: dict[Path, set[str]] = {}


def lacks(target: Path, fragment: str) -> bool:
    if target not in known_ids:
        known_ids[target] = Elements(target).ids()
    return unquote(fragment) not in known_ids[target]


@each_page
def test_a_page_says_nothing_of_the_machine_that_built_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert str(Path.home()) + "/" not in text
    assert "\x1b[" not in text, "terminal colours of a traceback"


@each_page
def test_ids_are_unique(path: Path) -> None:
    counts = Counter(a["id"] for _, a in Elements(path).found if "id" in a)
    assert [id_ for id_, count in counts.items() if count > 1] == []


@each_chapter
def test_a_chapter_has_live_cells_with_outputs_and_a_notebook(path: Path) -> None:
    elements = Elements(path).found
    cells = [a for tag, a in elements if "tt-cell" in a.get("class", "").split()]
    assert cells, "no live cell"
    names = [cell["data-tt-cell"] for cell in cells]
    assert len(set(names)) == len(names)
    for control in ("start", "run", "stop"):
        assert any(a.get("data-tt") == control for _, a in elements)
    assert 'class="output' in path.read_text(encoding="utf-8")
    notebook = SITE / "lite" / "files" / Path(name(path)).with_suffix(".ipynb")
    assert notebook.is_file()
    sources = ["".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"]]
    assert not [text for text in sources if re.search(r"^(```|:::)\{", text, re.MULTILINE)], "MyST left in"


def test_jupyterlite_uses_the_python_that_the_site_carries() -> None:
    config = json.loads((SITE / "lite" / "jupyter-lite.json").read_text())["jupyter-config-data"]
    kernel = config["litePluginSettings"]["@jupyterlite/pyodide-kernel-extension:kernel"]
    assert kernel["disablePyPIFallback"] is True
    assert (SITE / "lite" / kernel["pyodideUrl"]).is_file()
    runtime = SITE / "lite" / "static" / "pyodide"
    packages = json.loads((runtime / "pyodide-lock.json").read_text())["packages"]
    assert set(kernel["loadPyodideOptions"]["packages"]) <= set(packages)
    assert [p["file_name"] for p in packages.values() if not (runtime / p["file_name"]).is_file()] == []


def test_the_icon_script_of_the_theme_is_gone() -> None:
    assert not list(SITE.glob("_static/scripts/fontawesome*"))
    fonts = list(SITE.glob("_static/vendor/fontawesome/webfonts/*.woff2"))
    assert fonts
    assert sum(font.stat().st_size for font in fonts) < 20_000
