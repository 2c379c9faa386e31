"""Finds a Chromium for the browser tests.

In order: the one named by TINYTORCH_CHROMIUM, one on the PATH, the headless shell inside the npm package
@sparticuz/chromium, Debian's own (as root). Otherwise the error says what to install.
"""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
UNPACK = """
import chromium from "@sparticuz/chromium";
console.log(await chromium.executablePath());
"""


def find_chromium() -> Path:
    """Path of a Chromium that starts; raises RuntimeError, in words, where there is none."""
    named = os.environ.get("TINYTORCH_CHROMIUM")
    if named:
        if not starts(Path(named)):
            raise RuntimeError(f"TINYTORCH_CHROMIUM is {named!r}, which does not start as a Chromium.")
        return Path(named)
    for path in filter(None, map(shutil.which, NAMES)):
        if starts(Path(path)):
            return Path(path)
    shell = unpack_headless_shell()
    if shell and starts(shell):
        return shell
    if shell and install_with_apt("libnss3", "libnspr4") and starts(shell):
        return shell
    if install_with_apt("chromium") and (installed := shutil.which("chromium")):
        return Path(installed)
    raise RuntimeError(
        "The browser tests need a Chromium and found none. Install Chromium or Chrome, or run `npm ci` in "
        "lite/ (its headless shell needs the libraries nss and nspr), or name one: "
        "TINYTORCH_CHROMIUM=/path/to/chromium"
    )


def starts(path: Path) -> bool:
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def unpack_headless_shell() -> Path | None:
    if not (ROOT / "lite/node_modules/@sparticuz/chromium").is_dir():
        return None
    folder = ROOT / "_build" / "chromium"
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = subprocess.run(
        ["node", "--input-type=module", "-e", UNPACK],
        cwd=ROOT / "lite",
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    return Path(unpacked.stdout.strip()) if unpacked.returncode == 0 else None


def install_with_apt(*packages: str) -> bool:
    if not (hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")):
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, timeout=600)
        if done.returncode:
            return False
    return True
