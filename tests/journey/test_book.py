"""What the README and the pages tell a reader to type exists, and what they say of the release is so."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tinytorch.journey.manifest import journey

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="the book is not part of the wheel")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_script_that_a_page_runs_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for script in re.findall(r"^\s*\$ .*?\bpython ([\w/.-]+\.py)", text, re.MULTILINE):
        assert (ROOT / script).is_file(), script


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`|\$ )make ([a-z]+)\b", page.read_text(encoding="utf-8"))
    assert set(named) <= targets


def test_the_readme_speaks_of_this_release() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    modules = [module for module in journey().modules if module.released]
    milestones = [milestone for milestone in journey().milestones if milestone.released]
    assert f"version {version}" in text
    assert f"modules {modules[0].number:02} to {modules[-1].number:02}" in text
    assert f"milestones M{milestones[0].number:02} to M{milestones[-1].number:02}" in text
    assert all(module.title in text for module in modules)
    assert len(text.splitlines()) < 150


def test_every_released_module_has_its_chapter_and_no_other_has() -> None:
    for module in journey().modules:
        chapter = ROOT / "docs" / "modules" / f"{module.name}.md"
        assert chapter.is_file() == module.released, chapter.name


def test_no_registry_host_is_named_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    hosts = re.compile(rb"registry\.npm|pypi\.(org|python)|pythonhosted|registry\.yarn|npmmirror")
    own = Path(__file__).relative_to(ROOT).as_posix()
    for name in listed.stdout.split("\n"):
        path = ROOT / name
        if name and name != own and path.is_file():
            assert not hosts.search(path.read_bytes()), name
