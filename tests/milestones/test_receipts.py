"""The receipts that the book shows of its milestones: bars reached, by scripts that are there."""

import json
import sys

import pytest

from tests.milestones.conftest import ROOT
from tinytorch.journey.manifest import journey

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="the book is not part of the wheel")

FOLDER = ROOT / "docs" / "milestones" / "receipts"


def read(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


MLPERF = read("mlperf") if FOLDER.is_dir() else {"receipts": {}}
RECEIPTS = [read(name) for name in ("mnist", "cifar10", "tinytalks") if FOLDER.is_dir()]
RECEIPTS += MLPERF["receipts"].values()


@pytest.mark.parametrize("receipt", RECEIPTS, ids=lambda receipt: receipt["script"])
def test_a_receipt_in_the_book_passed_on_the_reference(receipt):
    assert receipt["passed"]
    assert set(receipt["modules"].values()) == {"reference"}
    assert (ROOT / receipt["script"]).is_file()
    milestone = journey().milestone(receipt["milestone"])
    assert receipt["script"].startswith(f"milestones/{milestone.folder}/")


def test_the_bars_of_milestone_06_are_those_of_its_receipts():
    bars = {bar.metric: bar.at_least for bar in journey().milestone(6).bars}
    found = {
        MLPERF["receipts"][name]["metric"]: MLPERF["receipts"][name] for name in ("compress", "accelerate")
    }
    assert {metric: found[metric]["bar"] for metric in bars} == bars
    assert all(found[metric]["value"] >= least for metric, least in bars.items())


@pytest.mark.parametrize("name", ["mnist", "cifar10", "tinytalks"])
def test_every_network_is_four_times_smaller_and_as_good(name):
    figures = MLPERF["bundles"][name]["figures"]
    assert all(figures[where]["before"] >= 4 * figures[where]["after"] for where in ("memory", "disk"))
    assert figures["accuracy"]["after"] >= figures["accuracy"]["before"] - 1
    assert figures["disk"]["after"] == MLPERF["bundles"][name]["config"]["weights"]["bytes"]


@pytest.mark.parametrize("name", ["mnist", "cifar10", "tinytalks"])
def test_every_bundle_was_valid_in_all_scenarios_and_was_accepted(name):
    figures = MLPERF["bundles"][name]["figures"]
    for way, runs in figures["scenarios"]["runs"].items():
        assert set(runs) == {"SingleStream", "Offline", "Server"}, way
        assert all(run["valid"] for run in runs.values()), way
    assert figures["submission"]["accepted"]


@pytest.mark.parametrize("name", ["mnist", "cifar10", "tinytalks"])
def test_every_service_held_its_load_for_a_minute_and_survived_abuse(name):
    found = MLPERF["load"][name]
    assert found["seconds"] >= 60
    assert found["statuses"].keys() == {"200"}
    assert found["rate"] >= 0.95 * found["asked_rate"]
    assert found["survived"]


def test_the_speedups_are_those_that_were_printed():
    text = (FOLDER / "mlperf-accelerate.txt").read_text(encoding="utf-8")
    printed = [line for line in text.splitlines() if "95 % interval" in line and "rounds" in line]
    assert len(MLPERF["speedups"]) == len(printed) > 0
    least = {"generate": 10, "loops": 10, "windows": 3}
    for baseline, bar in least.items():
        assert max(one["low"] for one in MLPERF["speedups"] if one["baseline"] == baseline) >= bar
