"""Where the built site is and which pages it has."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("TINYTORCH_SITE", ROOT / "_build" / "html"))
CHAPTER = "modules/01_tensor.html"

Open = Callable[..., Any]  # the fixture open_page


def pages() -> list[str]:
    """Every page of the book, as a path below the site."""
    found = [path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html")]
    return sorted(path for path in found if not path.startswith(("lite/", "_static/")))


def chapters() -> list[str]:
    return [path for path in pages() if path.startswith("modules/")]


def live_pages() -> list[str]:
    """The pages that have a live cell."""
    return [path for path in pages() if "tt-bar" in (SITE / path).read_text(encoding="utf-8")]
