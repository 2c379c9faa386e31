"""Many submissions graded: each by itself, whatever is in it."""

import csv
import io
import sys
import time
from pathlib import Path

import pytest

from tinytorch.journey import archive, source
from tinytorch.journey.grading import grade
from tinytorch.journey.manifest import journey
from tinytorch.journey.progress import Progress
from tinytorch.journey.proof import reference_source, stub_source

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="starts processes")
ACTIVATIONS = journey().module("activations")
RELU = "@op\ndef relu(input):\n    {}\n"
NAME = "source/02_activations/activations.py"


@pytest.fixture
def submit(tmp_path):
    """Put a submission into the folder: a text for module 02, or bytes that are no zip."""

    def put(name, text):
        data = (
            text if isinstance(text, bytes) else archive.pack(archive.Archive({NAME: text}, Progress()), "1")
        )
        (tmp_path / f"{name}.zip").write_bytes(data)

    put.folder = tmp_path
    return put


def relu(body):
    return source.replace(stub_source(ACTIVATIONS), {"relu": RELU.format(body)})


def grades_of(folder, **settings):
    files = sorted(folder.glob("*.zip"))
    found = list(grade(files, [ACTIVATIONS], **settings))
    return {(each.submission.removesuffix(".zip"), each.exercise): each for each in found}


def test_each_exercise_is_graded_with_its_remark(submit):
    submit("ada", relu("return np.abs(input)"))
    submit("ben", reference_source(ACTIVATIONS))
    submit("cy", b"not a zip")
    found = grades_of(submit.folder)
    assert found["ada", "relu"].state == "failed"
    assert "absolute value" in found["ada", "relu"].remark
    assert found["ada", "tanh"].state == "todo"
    assert all(found["ben", name].state == "passed" for name in ACTIVATIONS.exercises)
    assert found["cy", ""].state == "unreadable"


def test_what_was_not_handed_in_is_not_started(submit):
    submit("ada", relu("return np.maximum(input, 0)"))
    found = list(grade(sorted(submit.folder.glob("*.zip")), [journey().module(12)]))
    assert {each.state for each in found} == {"not started"}


def test_submissions_that_misbehave_disturb_nobody(submit, tmp_path):
    outside = Path(tmp_path.parent, "written-by-a-submission")
    bad = {
        "loops": "while True: pass",
        "forks": "import os\n    while True: os.fork()",
        "writes": f"open({str(outside)!r}, 'w').write('x'); return np.maximum(input, 0)",
        "prints": "import os\n    for _ in range(1024): os.write(1, b'x' * 2 ** 20); print('y' * 2 ** 20)\n"
        "    return np.maximum(input, 0)",
        "hoards": "return np.concatenate([np.ones(1 << 28) for _ in range(64)])",
        "exits": "import os; os._exit(0)",
        "sleeps": "import time; time.sleep(10**6)",
    }  # fmt: skip
    for name, body in bad.items():
        submit(name, relu(body))
    submit("good", reference_source(ACTIVATIONS))
    began = time.monotonic()
    found = grades_of(submit.folder, seconds=6)
    assert time.monotonic() - began < 90
    assert all(found["good", name].state == "passed" for name in ACTIVATIONS.exercises)
    assert {name: found[name, "relu"].state == "passed" for name in bad} == {
        name: name == "prints" for name in bad
    }  # printing much is no fault
    assert not outside.exists()
    assert "more than 6 seconds" in found["loops", "relu"].remark


def test_the_command_writes_csv_and_a_table(submit, tito):
    submit("ada", relu("return np.abs(input)"))
    submit("=cmd()", relu("return np.maximum(input, 0)"))
    done = tito("grade", submit.folder, "--csv", "--module", "02")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 2 * len(ACTIVATIONS.exercises)
    assert {row["submission"] for row in rows} == {"ada.zip", "'=cmd().zip"}
    (found,) = [row for row in rows if row["submission"] == "ada.zip" and row["exercise"] == "relu"]
    assert (found["state"], found["module"]) == ("failed", "02_activations")
    assert found["remark"]
    table = tito("grade", submit.folder, "--module", "02")
    assert f"1 of {len(ACTIVATIONS.exercises)}" in table.stdout


def test_an_empty_folder_is_said(tito, tmp_path):
    (tmp_path / "none").mkdir()
    done = tito("grade", tmp_path / "none")
    assert done.returncode == 2
    assert "no .zip file" in done.stderr
