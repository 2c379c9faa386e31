"""A reader's module shadows the reference module of the same name, and everybody can see it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch.journey.workspace import WorkspaceError, find_workspace

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="starts processes")


def python(code: str, folder: Path, **environment: str) -> str:
    """What a fresh Python in `folder` prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make_workspace(folder: Path, **modules: str) -> Path:
    (folder / "modules" / ".tito").mkdir(parents=True)
    core = folder / "modules" / "package" / "core"
    core.mkdir(parents=True)
    for name, source in modules.items():
        (core / f"{name}.py").write_text(source, encoding="utf-8")
    return folder


# The reader's losses, in which one function is their own and the rest is as in the reference.
MINE = (ROOT / "tinytorch" / "core" / "losses.py").read_text(encoding="utf-8") + "\nWRITTEN_BY = 'reader'\n"
WHO = "import tinytorch.core.losses as l; print(getattr(l, 'WRITTEN_BY', 'reference'))"


def test_without_a_workspace_the_reference_runs(tmp_path: Path) -> None:
    assert python(WHO, tmp_path) == "reference"


def test_the_readers_module_runs_in_place_of_the_reference(tmp_path: Path) -> None:
    make_workspace(tmp_path, losses=MINE)
    assert python(WHO, tmp_path) == "reader"


def test_the_workspace_is_found_from_a_folder_inside_it(tmp_path: Path) -> None:
    make_workspace(tmp_path, losses=MINE)
    inside = tmp_path / "notes" / "monday"
    inside.mkdir(parents=True)
    assert python(WHO, inside) == "reader"


def test_the_nearest_workspace_wins(tmp_path: Path) -> None:
    make_workspace(tmp_path, losses=MINE)
    nearer = make_workspace(tmp_path / "nearer")
    assert python(WHO, nearer) == "reference"


def test_the_variable_names_a_workspace_elsewhere(tmp_path: Path) -> None:
    elsewhere = make_workspace(tmp_path / "elsewhere", losses=MINE)
    assert python(WHO, tmp_path, TINYTORCH_WORKSPACE=str(elsewhere)) == "reader"


def test_off_runs_the_reference_whatever_the_reader_wrote(tmp_path: Path) -> None:
    make_workspace(tmp_path, losses=MINE)
    assert python(WHO, tmp_path, TINYTORCH_WORKSPACE="off") == "reference"


def test_the_package_says_module_by_module_whose_code_runs(tmp_path: Path) -> None:
    make_workspace(tmp_path, losses=MINE)
    said = python("from tinytorch.journey.workspace import whose_code; print(whose_code())", tmp_path)
    yours, reference = said.splitlines()
    assert yours == "your modules: 04 Losses"
    assert reference.startswith("the reference: 01 Tensor, 02 Activations, 03 Layers, 05 Autograd")


def test_without_a_workspace_one_line_names_the_reference(tmp_path: Path) -> None:
    said = python("from tinytorch.journey.workspace import whose_code; print(whose_code())", tmp_path)
    assert said == "modules: the reference, 01 Tensor to 20 Competition"


def test_leaving_the_workspace_does_not_change_whose_code_is_reported(tmp_path: Path) -> None:
    make_workspace(tmp_path, losses=MINE)
    said = python(
        "import os, tinytorch.core; os.chdir('/')\n"
        "from tinytorch.journey.workspace import running_modules\n"
        "print(*(f'{entry.module.slug} {entry.path}' for entry in running_modules() if entry.yours))",
        tmp_path,
    )
    assert said == f"losses {tmp_path / 'modules' / 'package' / 'core' / 'losses.py'}"


def test_a_variable_that_names_no_workspace_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYTORCH_WORKSPACE", str(tmp_path))
    with pytest.raises(WorkspaceError, match=r"has no modules/\.tito/ in it"):
        find_workspace()


def test_a_deleted_working_directory_is_no_workspace(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.rmdir(os.getcwd())\n"
        "from tinytorch.journey.workspace import find_workspace; print(find_workspace())"
    )
    gone = tmp_path / "gone"
    gone.mkdir()
    assert python(code, gone) == "None"


def test_importing_the_core_does_not_read_the_manifest(tmp_path: Path) -> None:
    code = "import sys, tinytorch; print({'tomllib', 'tinytorch.journey.manifest'} & set(sys.modules))"
    assert python(code, tmp_path) == "set()"
