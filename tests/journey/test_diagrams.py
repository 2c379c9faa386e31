"""The diagrams of the book show the whole journey, and say it in words too."""

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the directives of the book need the extra `site`")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from journey_diagrams import KINDS, Diagram, numbers_in_words  # noqa: E402

from tinytorch.journey.manifest import Journey, journey  # noqa: E402

J: Journey = journey()
LANGUAGE = {
    "learning-flow": "flowchart",
    "dependencies": "flowchart",
    "tiers": "timeline",
    "milestones": "gantt",
    "paths": "flowchart",
    "capabilities": "flowchart",
    "workflow": "flowchart",
    "datasets": "flowchart",
    "success": "mindmap",
    "investment": "quadrantChart",
    "difficulty": "xychart-beta",
}


def drawn(kind: str) -> Diagram:
    return KINDS[kind](J, lambda entry: entry.label)


def test_every_kind_of_diagram_is_there_in_its_own_language() -> None:
    assert {kind: drawn(kind).source.split()[0] for kind in KINDS} == LANGUAGE


@pytest.mark.parametrize("kind", ["learning-flow", "dependencies", "tiers"])
def test_every_module_is_in_the_diagram_and_in_its_words(kind: str) -> None:
    diagram = drawn(kind)
    for module in J.modules:
        assert module.label in diagram.source, module.label
        if kind != "tiers":
            assert module.label in diagram.text, module.label


@pytest.mark.parametrize("kind", ["learning-flow", "tiers", "milestones"])
def test_every_milestone_is_in_the_diagram_and_in_its_words(kind: str) -> None:
    diagram = drawn(kind)
    for milestone in J.milestones:
        assert milestone.title in diagram.source, milestone.label
        assert milestone.label in diagram.text, milestone.label


def test_the_difficulty_curve_has_the_stars_of_every_module() -> None:
    (numbers,) = re.findall(r'x-axis \[(.*)\]', drawn("difficulty").source)
    (stars,) = re.findall(r"bar \[(.*)\]", drawn("difficulty").source)
    assert numbers == ", ".join(f'"{module.number:02}"' for module in J.modules)
    assert stars == ", ".join(str(module.stars) for module in J.modules)


def test_the_complete_path_reaches_every_tier_and_the_fast_one_ends_at_cifar() -> None:
    source = drawn("paths").source
    for range_ in ("01–07", "08–09", "08–13", "10–13", "14–20"):
        assert range_ in source
    assert "75 %+ on CIFAR-10" in source
    assert "ML systems engineer" in source


def test_dependencies_has_an_arrow_for_every_need_and_no_other() -> None:
    arrows = re.findall(r"^\s+m(\d+) -.*> m(\d+)$", drawn("dependencies").source, re.MULTILINE)
    assert {(int(a), int(b)) for a, b in arrows} == {(n, m.number) for m in J.modules for n in m.needs}


def test_the_learning_flow_leads_from_the_first_module_to_everything() -> None:
    arrows = re.findall(r"^\s+([mM]\d+) =?-?[-=]> ([mM]\d+)$", drawn("learning-flow").source, re.MULTILINE)
    reached, waiting = set(), ["m1"]
    while waiting:
        node = waiting.pop()
        reached.add(node)
        waiting += [b for a, b in arrows if a == node and b not in reached]
    assert reached == {f"m{m.number}" for m in J.modules} | {f"M{m.number}" for m in J.milestones}


def test_the_workflow_names_its_commands_and_places() -> None:
    diagram = drawn("workflow")
    for said in (diagram.source, diagram.text):
        for part in (
            "modules/source/XX_name/",
            "tito module complete XX",
            "milestones/0X_*/script.py",
            "tito checkpoint status",
        ):
            assert part in said


def test_every_colour_of_a_diagram_is_in_the_style_sheet() -> None:
    style = (ROOT / "docs" / "_static" / "tinytorch.css").read_text(encoding="utf-8")
    used = {name for kind in KINDS for name in re.findall(r":::(tt-[\w-]+)", drawn(kind).source)}
    assert used
    for name in used:
        assert f".{name} {{" in style, name


def test_text_on_a_coloured_node_has_contrast_in_light_and_dark() -> None:
    style = (ROOT / "docs" / "_static" / "tinytorch.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--tt-([\w-]+): (#[0-9a-f]{6});", part))
        for part in style.split('html[data-theme="dark"]')[:2]
    )
    for palette in (light, dark):
        pairs = [(f"{role[:-5]}-ink", role) for role in palette if role.endswith("-fill")]
        pairs += [("ink", "paper"), ("ink", "soft"), ("muted", "soft")]
        for ink, fill in pairs:
            assert contrast(palette[ink], palette[fill]) >= 4.5, f"{ink} on {fill}"


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two sRGB colours, 1 to 21 (WCAG 2.2)."""
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([1], "01"), ([1, 2, 3], "01–03"), ([1, 2, 9], "01–02 and 09"), ([1, 3, 5], "01, 03 and 05")],
)
def test_numbers_in_words(numbers: list[int], words: str) -> None:
    assert numbers_in_words(numbers) == words
