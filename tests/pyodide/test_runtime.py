"""What lite/runtime.py assembles, and how it takes trouble: checked files, exact lock, clear errors."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from lite import runtime
from lite.runtime import STATIC, RuntimeBuildError


@pytest.fixture(scope="module")
def lock() -> dict[str, dict]:
    if not (STATIC / "pyodide-lock.json").is_file():
        pytest.skip("lite/static/pyodide/ is not built: run `make html`")
    return json.loads((STATIC / "pyodide-lock.json").read_text())["packages"]


def test_the_lock_names_exactly_the_wheels_that_are_there(lock: dict[str, dict]) -> None:
    there = sorted(path.name for path in STATIC.glob("*.whl"))
    assert sorted(entry["file_name"] for entry in lock.values()) == there
    for entry in lock.values():
        assert runtime.sha256(STATIC / entry["file_name"]) == entry["sha256"], entry["file_name"]


def test_the_lock_is_closed_and_holds_what_a_notebook_starts_with(lock: dict[str, dict]) -> None:
    missing = {name: set(entry["depends"]) - set(lock) for name, entry in lock.items()}
    assert not any(missing.values()), missing
    started_with = json.loads((STATIC / "kernel-packages.json").read_text())
    assert {"tinytorch", "numpy", "ipython", "piplite", "pyodide-kernel"} <= set(started_with) <= set(lock)
    assert "matplotlib" in lock
    assert "matplotlib" not in started_with, "it is loaded when it is imported"


def test_wheels_are_bytecode_and_ours_has_its_source_too(lock: dict[str, dict]) -> None:
    for name, entry in lock.items():
        with zipfile.ZipFile(STATIC / entry["file_name"]) as wheel:
            sources = {file for file in wheel.namelist() if file.endswith(".py")}
            compiled = {file for file in wheel.namelist() if file.endswith(".pyc")}
        if name == "tinytorch":
            assert "tinytorch/core/tensor.py" in sources
            assert len(compiled) == len(sources)
        else:
            assert not sources, f"{entry['file_name']} still has source"
            assert compiled, f"{entry['file_name']} has no bytecode"


def test_the_manifest_of_the_live_cells_tells_the_size_of_every_file(lock: dict[str, dict]) -> None:
    manifest = json.loads((STATIC / "live/manifest.json").read_text())
    for part in (*manifest["files"].values(), manifest["stdlib"]):
        assert (STATIC / part["url"]).stat().st_size == part["bytes"]
    assert manifest["versions"]["tinytorch"] == lock["tinytorch"]["version"]
    assert (STATIC / manifest["boot"]).is_file()


def test_a_file_with_other_bytes_is_not_kept(tmp_path: Path) -> None:
    published = hashlib.sha256(b"published").hexdigest()
    with pytest.raises(RuntimeBuildError, match=r"numpy\.whl from a mirror is not the file"):
        runtime.keep(b"tampered with", tmp_path / "numpy.whl", published, "a mirror")
    assert list(tmp_path.iterdir()) == []
    runtime.keep(b"published", tmp_path / "numpy.whl", published, "a mirror")
    assert (tmp_path / "numpy.whl").read_bytes() == b"published"


def test_a_damaged_file_of_the_cache_is_thrown_away(tmp_path: Path) -> None:
    path = tmp_path / "numpy.whl"
    path.write_bytes(b"published")
    digest = runtime.sha256(path)
    assert runtime.intact(path, digest)
    path.write_bytes(b"publ")
    assert not runtime.intact(path, digest)
    assert not path.exists()


def test_packing_the_same_files_gives_the_same_wheel(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "package").mkdir(parents=True)
        (tmp_path / name / "package-1.0.dist-info").mkdir()
        (tmp_path / name / "package-1.0.dist-info" / "METADATA").write_text("Name: package\n")
        (tmp_path / name / "package" / "module.pyc").write_bytes(b"code")
        runtime.pack(tmp_path / name, tmp_path / f"{name}.whl")
    assert (tmp_path / "one.whl").read_bytes() == (tmp_path / "two.whl").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.whl") as wheel:
        record = wheel.read("package-1.0.dist-info/RECORD").decode().splitlines()
        assert sorted(line.split(",")[0] for line in record) == sorted(wheel.namelist())


def test_the_closure_follows_dependencies_round_in_circles() -> None:
    depends = {"a": ("b",), "b": ("c", "a"), "c": (), "d": ("a",)}
    assert runtime.closure(["a"], depends) == ["a", "b", "c"]


def test_a_missing_wheel_and_a_missing_program_are_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(RuntimeBuildError, match="build it first"):
        runtime.build(tmp_path / "tinytorch-0.1.0-py3-none-any.whl")
    with pytest.raises(RuntimeBuildError, match=r"no-such-program is not installed\. Install it\."):
        runtime.run(["no-such-program"], "trying", "Install it.")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TINYTORCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(RuntimeBuildError, match="set TINYTORCH_CACHE to a folder you can write"):
        runtime.cache_dir("pyodide")
