"""Sphinx configuration: `sphinx-build -c . docs _build/html`, or simply `make html`."""

import hashlib
import os
import sys
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

# The book shows and runs the reference modules, never the work of whoever builds it.
os.environ["TINYTORCH_WORKSPACE"] = "off"
# Its figures are those of one core: a second BLAS thread waits on whatever else the builder's machine does.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Nor do their IPython startup files. The kernels talk on this machine alone, so no word about encryption.
ipython = ROOT / "_build" / "ipython" / "profile_default"
ipython.mkdir(parents=True, exist_ok=True)
(ipython / "ipython_kernel_config.py").write_text('get_config().IPKernelApp.log_level = "ERROR"\n')
os.environ["IPYTHONDIR"] = str(ipython.parent)

from journey_diagrams import in_words, numbers_in_words  # noqa: E402

from tinytorch.journey.manifest import journey  # noqa: E402

project = "TinyTorch"
author = "the TinyTorch authors"
copyright = "2026, the TinyTorch authors. Code: MIT. Text and data: CC BY 4.0"
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

# `live` takes over the settings of jupyterlite_sphinx, which it must follow.
extensions = [
    "myst_nb",
    "formulas",
    "jupyterlite_sphinx",
    "live",
    "lean",
    "diagrams",
    "coresource",
    "chapterhead",
    "namespace",
]
exclude_patterns = ["_ext", "_static", "**/README.md"]
source_suffix = {".md": "myst-nb"}
root_doc = "index"
nitpicky = True
suppress_warnings = ["toc.empty_glob"]  # a tier whose chapters are still to be written

myst_enable_extensions = [
    "amsmath",
    "attrs_block",
    "attrs_inline",
    "colon_fence",
    "deflist",
    "dollarmath",
    "substitution",
]
myst_heading_anchors = 3


# What the pages say about the journey comes from its manifest: {{ modules }}, {{ released_modules }}, …
released = [module for module in journey().modules if module.released]
shown = [milestone for milestone in journey().milestones if milestone.released]
myst_substitutions = {
    "version": version,
    "modules": {20: "twenty"}[len(journey().modules)],
    "milestones": {6: "six"}[len(journey().milestones)],
    "released_modules": numbers_in_words(module.number for module in released),
    "released_milestones": in_words(f"M{milestone.number:02}" for milestone in shown),
    "years": journey().milestones[-1].year - journey().milestones[0].year,
}


def fingerprint(*patterns: str) -> str:
    """Hash of the files that match, relative to the root."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# A page is executed again when its text or what its cells can import changed, and never otherwise.
package_fingerprint = fingerprint(
    "tinytorch/**/*.py",
    "tinytorch/**/*.toml",
    "datasets/*/*.npz",
    "datasets/*/*.tsv",
    "milestones/**/*.py",
    "docs/milestones/receipts/*.json",
    "docs/reference/bench.json",
)
extension_fingerprint = fingerprint("docs/_ext/*.py")
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "_build" / "executed" / package_fingerprint)
nb_execution_raise_on_error = False  # but -W: one build names every page that fails, and fails
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_render_markdown_format = "myst"  # with tables
nb_merge_streams = True

MARK = "docs/_static/mark.svg"
html_theme = "sphinx_book_theme"
html_title = "TinyTorch"
html_static_path = ["docs/_static"]
html_css_files = ["tinytorch.css"]
html_favicon = MARK
html_copy_source = False
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_sidebars = {"**": ["navbar-logo.html", "search-button-field.html", "sbt-sidebar-nav.html"]}
html_theme_options = {
    "logo": {"image_light": MARK, "image_dark": MARK, "text": "TinyTorch"},
    "home_page_in_toc": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "toc_title": "On this page",
    "navbar_persistent": [],
    "footer_content_items": ["copyright.html"],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def setup(app: Sphinx) -> None:
    app.add_config_value("package_fingerprint", "", "env")
    app.add_config_value("extension_fingerprint", "", "env")
