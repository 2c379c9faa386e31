"""Importing costs nothing that a reader without downloads would pay for."""

import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "emscripten":
    pytest.skip("needs a fresh process, which the browser does not have", allow_module_level=True)

NETWORK = ["urllib.request", "http.client", "ssl", "tarfile", "gzip", "hashlib", "tqdm"]


def test_importing_datasets_loads_no_network_or_archive_module():
    code = (
        "import numpy, sys; before = set(sys.modules); import tinytorch.datasets; "
        f"print(sorted(set({NETWORK}) & set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "[]\n", done.stderr
