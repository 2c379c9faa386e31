"""The package's own tests on the Python of the pages: Pyodide, with the shipped wheels, under Node."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lite.runtime import STATIC, pinned_wheels

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("tests/core", "tests/ops", "tests/utils", "tests/datasets", "tests/workshop")
TIME_LIMIT = 480  # seconds; about 60 on an idle machine


@pytest.mark.pyodide
@pytest.mark.slow
def test_the_package_passes_its_tests_inside_pyodide(capsys: pytest.CaptureFixture[str]) -> None:
    if not (STATIC / "pyodide-lock.json").is_file():
        pytest.skip("lite/static/pyodide/ is not built: run `make html`")
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    folders = [folder for folder in FOLDERS if any((REPOSITORY / folder).rglob("test_*.py"))]
    assert folders, f"there are no tests in {', '.join(FOLDERS)}"
    wheels = pinned_wheels(Path(__file__).with_name("requirements.txt"), "tests")[0].parent
    options = ["-p", "tests.pyodide.slow_machine", "-p", "no:cacheprovider", "-q", "-rfEs", "--color=no"]
    script = Path(__file__).with_name("run_pytest.mjs")
    done = subprocess.run(
        ["node", str(script), f"{STATIC}/", str(wheels), str(REPOSITORY), "--", *options, *folders],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    output = done.stdout + done.stderr
    with capsys.disabled():
        print(f"\ninside Pyodide: {output.strip().splitlines()[-1] if output.strip() else 'no output'}")
    assert done.returncode == 0, output[-20_000:]
    assert re.search(r"\b[1-9]\d* passed", output), f"no test ran inside Pyodide:\n{output[-2_000:]}"
