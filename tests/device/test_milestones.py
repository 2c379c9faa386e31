"""The milestone scripts with --device cuda, as a reader runs them, for a few epochs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.conftest import DEVICES

ROOT = Path(__file__).resolve().parents[2]

# A module named cupy, in a folder that the script's Python looks into first.
STAND_IN = """
import sys

from tests.device.foreign import cupy_module

sys.modules["cupy"] = cupy_module()
"""


@pytest.fixture(params=DEVICES)
def path(request, tmp_path):
    """Where Python looks for modules: on the stand-in, for `cupy` too."""
    if request.param == "GPU":
        return str(ROOT)
    (tmp_path / "cupy.py").write_text(STAND_IN, encoding="utf-8")
    return os.pathsep.join([str(tmp_path), str(ROOT)])


@pytest.mark.parametrize(
    ("script", "epochs", "close"),
    [
        ("01_1957_perceptron/perceptron.py", 5, 1),
        ("02_1969_xor/xor.py", 50, 10),
        ("03_1986_mlp/tinydigits.py", 5, 1),
        ("04_1998_cnn/digits.py", 2, 3),
        ("05_2017_transformer/attention.py", 2, 3),
    ],
)
def test_a_milestone_reaches_on_the_device_what_it_reaches_on_the_cpu(script, epochs, close, path, tmp_path):
    reached = {}
    for device in ("cuda", "cpu"):
        receipt = tmp_path / f"{device}.json"
        options = ["--device", device, "--epochs", str(epochs), "--seeds", "1", "--reference"]
        kept = {name: value for name, value in os.environ.items() if name != "TINYTORCH_WORKSPACE"}
        done = subprocess.run(
            [sys.executable, ROOT / "milestones" / script, *options, "--json", receipt],
            env={**kept, "PYTHONPATH": path, "TINYTORCH_DATA": str(tmp_path / device)},
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: the bar needs more epochs
        reached[device] = json.loads(receipt.read_text(encoding="utf-8"))["value"]
    assert reached["cuda"] == pytest.approx(reached["cpu"], abs=close)
