"""A workspace from the first stub to the export: what is written down, what runs, what is never lost."""

import json
import os
import subprocess
import sys

import pytest

from tinytorch.journey import archive, source
from tinytorch.journey.manifest import journey
from tinytorch.journey.progress import Exported
from tinytorch.journey.proof import reference_source, stub_source
from tinytorch.journey.workshop import Workshop, WorkshopError, digest

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="starts processes")
ACTIVATIONS = journey().module("activations")
RELU = "@op\ndef relu(input):\n    return np.maximum(input, 0)\n"


def everything(folder):
    """All files of a workspace, but for locks and backups."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock" and "backups" not in path.parts
    }


def running(folder):
    """{module: whose} as a fresh Python says it."""
    code = (
        "import json, tinytorch; from tinytorch.journey.workspace import running_modules as r;"
        "print(json.dumps({m.module.slug: m.owner for m in r()}))"
    )
    environment = {**os.environ, "TINYTORCH_WORKSPACE": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_a_new_workspace_is_empty_and_making_it_again_changes_nothing(tmp_path):
    shop = Workshop.create(tmp_path)
    assert shop.overview(ACTIVATIONS).standing == "not started"
    before = everything(tmp_path)
    Workshop.create(tmp_path)
    assert everything(tmp_path) == before


def test_a_folder_that_cannot_be_one_is_said(tmp_path):
    (tmp_path / "modules").write_text("a file")
    with pytest.raises(WorkshopError, match="is a file"):
        Workshop.create(tmp_path)


def test_starting_makes_the_stub_once(reader):
    file = reader.start(2)
    assert file.read_text("utf-8") == stub_source(ACTIVATIONS)
    file.write_text("# mine\n", "utf-8")
    assert reader.shop.start(ACTIVATIONS) is False
    assert file.read_text("utf-8") == "# mine\n"


def test_solved_is_what_passed_as_it_stands(reader):
    reader.start(2)
    reader.write(2, relu=RELU, tanh="@op\ndef tanh(input):\n    return input\n")
    reader.shop.check(ACTIVATIONS)
    view = reader.shop.overview(ACTIVATIONS)
    assert (view.standing, view.solved, view.written) == ("in progress", ("relu",), ("relu", "tanh"))
    reader.write(2, relu=RELU.replace("np.maximum(input, 0)", "input"))
    assert reader.shop.overview(ACTIVATIONS).solved == ()
    reader.write(2, relu=RELU.replace("return", "# the larger one\n    return"))
    assert reader.shop.overview(ACTIVATIONS).solved == ("relu",)


def test_a_failing_check_takes_nothing_away(reader):
    reader.start(2)
    reader.write(2, relu=RELU)
    reader.shop.check(ACTIVATIONS)
    before = reader.shop.progress()
    reader.write(2, relu=RELU.replace("np.maximum(input, 0)", "input"))
    reader.shop.check(ACTIVATIONS)
    assert reader.shop.progress() == before


def test_a_module_that_passes_is_exported_as_it_stands_and_runs(reader, tmp_path):
    file = reader.start(2)
    reader.solve(2)
    file.write_text(file.read_text("utf-8") + "\n\nMINE = 1\n", "utf-8")
    report, exported = reader.shop.complete(ACTIVATIONS)
    assert report.passed
    assert exported.read_text("utf-8") == file.read_text("utf-8")
    assert reader.shop.overview(ACTIVATIONS).standing == "complete"
    assert [slug for slug, owner in running(tmp_path).items() if owner == "yours"] == ["activations"]
    file.write_text(file.read_text("utf-8") + "MINE = 2\n", "utf-8")
    assert reader.shop.overview(ACTIVATIONS).standing == "changed"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("def relu(input):", "def relu(input:"),
        lambda text: text.replace("np.tanh(input)", "input"),
        lambda text: "import not_there\n" + text,
        lambda text: text + "\nraise SystemExit(0)\n",
        lambda text: text + "\nimport os\nos._exit(0)\n",
        lambda text: text.replace("def relu(", "def rectify("),
        lambda text: "",
    ],
    ids=["syntax", "wrong", "import", "exit", "_exit", "an exercise gone", "empty"],
)
def test_a_broken_file_is_not_exported_and_leaves_everything_as_it_was(reader, tmp_path, spoil):
    file = reader.start(2)
    reader.solve(2)
    good = file.read_text("utf-8")
    reader.shop.complete(ACTIVATIONS)
    file.write_text(spoil(good), "utf-8")
    before = everything(tmp_path)
    report, exported = reader.shop.complete(ACTIVATIONS)
    assert exported is None
    assert not report.passed
    assert everything(tmp_path) == before
    assert running(tmp_path)["activations"] == "yours"


def test_a_name_that_the_rest_of_tinytorch_needs_has_to_stay(reader, tmp_path):
    file = reader.start(2)
    reader.solve(2)
    reader.shop.complete(ACTIVATIONS)
    before = reader.shop.package_file(ACTIVATIONS).read_bytes(), reader.shop.progress().modules
    text = file.read_text("utf-8")
    assert "def in_row_tiles(" in text
    file.write_text(text.replace("in_row_tiles(", "by_rows("), "utf-8")  # others call it only when they run
    report, exported = reader.shop.complete(ACTIVATIONS)
    assert exported is None
    assert "in_row_tiles" in report.error
    assert (reader.shop.package_file(ACTIVATIONS).read_bytes(), reader.shop.progress().modules) == before


def test_part_of_a_module_runs_with_the_reference_for_the_rest(reader, tmp_path):
    reader.start(2)
    reader.write(2, relu=RELU, tanh="@op\ndef tanh(input):\n    return input\n")
    report, exported = reader.shop.complete(ACTIVATIONS)
    assert exported is None
    report, exported = reader.shop.complete(ACTIVATIONS, partial=True)
    assert not report.passed
    text = exported.read_text("utf-8")
    assert "return np.maximum(input, 0)" in text
    assert "return np.tanh(input)" in text
    assert "NotImplementedError" not in text
    view = reader.shop.overview(ACTIVATIONS)
    assert (view.standing, view.yours) == ("in progress", 1)
    assert running(tmp_path)["activations"] == "partly yours"


def test_a_fault_of_an_earlier_module_is_not_put_on_this_one(reader):
    tensor, losses = journey().module(1), journey().module(4)
    package = reader.shop.package_file(tensor)
    package.parent.mkdir(parents=True)
    wrong = source.replace(
        reference_source(tensor), {"mean": "@op\ndef mean(a, dim=None, keepdim=False):\n    return a.sum()\n"}
    )
    package.write_text(wrong, "utf-8")
    with reader.shop.changing() as progress:
        progress.modules["01_tensor"] = Exported("", digest(wrong), list(tensor.exercises), True)
    reader.start(4)
    reader.solve(4)
    report = reader.shop.check(losses)
    failed = [each for each in report.exercises if each.state == "failed"]
    assert failed
    assert all("your other modules" in each.message for each in failed)


def test_nothing_that_passes_is_nothing_to_export(reader):
    reader.start(2)
    assert reader.shop.complete(ACTIVATIONS, partial=True)[1] is None


def test_the_reference_runs_again_when_the_export_is_removed(reader, tmp_path):
    reader.start(2)
    reader.solve(2)
    reader.shop.complete(ACTIVATIONS)
    assert reader.shop.remove_export(ACTIVATIONS) is True
    assert running(tmp_path)["activations"] == "reference"
    assert reader.shop.overview(ACTIVATIONS).standing == "ready"


def test_a_file_in_the_package_that_tito_did_not_export_does_not_count(reader):
    reader.start(2)
    package = reader.shop.package_file(ACTIVATIONS)
    package.parent.mkdir(parents=True)
    package.write_text("# mine", "utf-8")
    assert reader.shop.overview(ACTIVATIONS).yours == 0


# Resetting and updating


def test_a_reset_keeps_a_copy(reader):
    file = reader.start(2)
    reader.write(2, relu=RELU)
    mine = file.read_text("utf-8")
    kept = reader.shop.reset(ACTIVATIONS)
    assert file.read_text("utf-8") == stub_source(ACTIVATIONS)
    assert kept.read_text("utf-8") == mine


def test_one_exercise_is_reset_alone(reader):
    file = reader.start(2)
    reader.solve(2)
    reader.shop.reset(ACTIVATIONS, "relu")
    found = source.functions(file.read_text("utf-8"))
    assert [name for name in ACTIVATIONS.exercises if source.is_stub(found[name].node)] == ["relu"]


def test_an_update_brings_what_is_new_and_keeps_what_is_mine(reader):
    file = reader.start(2)
    assert reader.shop.update(ACTIVATIONS) is None
    reader.write(2, relu=RELU)
    stub = stub_source(ACTIVATIONS)
    old = stub.replace("# The ones that bend.", "# The ones that bent, once.")
    reader.shop.stub_file(ACTIVATIONS).write_text(old, "utf-8")
    file.write_text(
        file.read_text("utf-8").replace("# The ones that bend.", "# The ones that bent, once."), "utf-8"
    )
    assert reader.shop.outdated(ACTIVATIONS)
    merged = reader.shop.update(ACTIVATIONS)
    assert merged.conflicts == ()
    assert file.read_text("utf-8") == source.replace(stub, {"relu": RELU})
    assert not reader.shop.outdated(ACTIVATIONS)


def test_a_conflict_is_named_and_mine_stays(reader):
    file = reader.start(2)
    old = stub_source(ACTIVATIONS).replace("def relu(input):", "def relu(x):")
    reader.shop.stub_file(ACTIVATIONS).write_text(old, "utf-8")
    file.write_text(old, "utf-8")
    mine = "@op\ndef relu(x):\n    return np.maximum(x, 0)\n"
    reader.write(2, relu=mine)
    merged = reader.shop.update(ACTIVATIONS)
    assert merged.conflicts == ("relu",)
    assert source.function(file.read_text("utf-8"), "relu").strip() == mine.strip()


# Files that are not as they should be


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"\xff\xfe\x00", "not UTF-8"), (b"#" * (1 << 20) + b"##", "too large")],
    ids=["bytes", "large"],
)
def test_a_file_that_cannot_be_read_is_said(reader, data, words):
    reader.start(2).write_bytes(data)
    with pytest.raises(WorkshopError, match=words):
        reader.shop.check(ACTIVATIONS)


def test_windows_line_ends_and_a_byte_order_mark_are_fine(reader):
    file = reader.start(2)
    reader.write(2, relu=RELU)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    reader.shop.check(ACTIVATIONS, ["relu"])
    assert reader.shop.overview(ACTIVATIONS).solved == ("relu",)


# Paths and milestones


def test_a_path_leads_past_what_it_skips(reader):
    paths = {track.title: (path, track) for path in journey().paths for track in path.tracks}
    shop = reader.shop
    assert shop.choose_path(*paths["Vision"]).number == 1
    assert shop.next_module(journey().module(7)).number == 9
    assert shop.choose_path(*paths["Language"]).number == 1
    assert shop.next_module(journey().module(7)).number == 10


def test_a_milestone_requires_the_modules_of_the_path(reader):
    paths = {track.title: (path, track) for path in journey().paths for track in path.tracks}
    numbers = lambda number: [m.number for m in reader.shop.missing_for(journey().milestone(number))]  # noqa: E731
    assert numbers(4) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    reader.shop.choose_path(*paths["Vision"])
    assert numbers(4) == [1, 2, 3, 4, 5, 6, 7, 9]
    reader.start(2)
    reader.solve(2)
    reader.shop.complete(ACTIVATIONS)
    assert numbers(4) == [1, 3, 4, 5, 6, 7, 9]


# Carrying it elsewhere


def test_a_workspace_goes_into_a_file_and_comes_out_the_same(reader, tmp_path):
    reader.start(2)
    reader.solve(2)
    reader.shop.complete(ACTIVATIONS)
    reader.start(6)
    reader.shop.export_zip(tmp_path / "mine.zip")
    other = Workshop.create(tmp_path / "other")
    other.import_zip(tmp_path / "mine.zip")
    assert everything(tmp_path / "other" / "modules") == everything(tmp_path / "modules")
    assert other.overview(ACTIVATIONS).standing == "complete"
    assert running(tmp_path / "other")["activations"] == "yours"


def test_what_an_import_replaces_is_kept_and_what_it_lacks_stays(reader, tmp_path):
    reader.start(2)
    reader.shop.export_zip(tmp_path / "stub.zip")
    reader.write(2, relu=RELU)
    reader.start(6)
    reader.shop.import_zip(tmp_path / "stub.zip")
    assert not reader.shop.overview(ACTIVATIONS).written
    assert reader.shop.source_file(journey().module(6)).exists()
    (backup,) = (reader.shop.tito / "backups").glob("before-import-*.zip")
    assert (
        "np.maximum(input, 0)"
        in archive.unpack(backup.read_bytes()).files["source/02_activations/activations.py"]
    )


def test_an_archive_that_is_refused_changes_nothing(reader, tmp_path):
    reader.start(2)
    before = everything(tmp_path / "modules")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(WorkshopError, match="not a zip"):
        reader.shop.import_zip(tmp_path / "bad.zip")
    assert everything(tmp_path / "modules") == before


def test_an_import_that_was_interrupted_is_finished_by_the_next_one_who_looks(reader, tmp_path):
    reader.start(2)
    reader.write(2, relu=RELU)
    reader.shop.export_zip(tmp_path / "mine.zip")
    other = Workshop.create(tmp_path / "other")
    (other.tito / "incoming.zip").write_bytes((tmp_path / "mine.zip").read_bytes())
    again = Workshop(tmp_path / "other")
    assert "relu" in again.overview(ACTIVATIONS).written
    assert not (other.tito / "incoming.zip").exists()


def test_an_export_that_was_interrupted_counts_if_its_file_is_there(reader):
    reader.start(2)
    reader.solve(2)
    reader.shop.complete(ACTIVATIONS)
    with reader.shop.changing() as progress:
        progress.pending = progress.modules
        progress.modules = {}
    assert Workshop(reader.shop.root).overview(ACTIVATIONS).standing == "complete"
    with reader.shop.changing() as progress:
        progress.pending = progress.modules
        progress.modules = {}
    reader.shop.package_file(ACTIVATIONS).write_text("# half", "utf-8")
    assert Workshop(reader.shop.root).overview(ACTIVATIONS).standing == "ready"
