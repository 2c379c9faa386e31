"""journey.toml says what the journey promises, and says it of code that exists."""

import ast
from pathlib import Path

import pytest

from tinytorch.journey.manifest import Journey, ManifestError, journey, parse

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "tinytorch" / "journey" / "journey.toml"
CORE = ROOT / "tinytorch" / "core"

# number: title, tier, stars, direct needs
PROMISED_MODULES = {
    1: ("Tensor", "Foundation", 2, ()),
    2: ("Activations", "Foundation", 2, (1,)),
    3: ("Layers", "Foundation", 3, (1,)),
    4: ("Losses", "Foundation", 3, (1,)),
    5: ("Autograd", "Foundation", 4, (1,)),
    6: ("Optimizers", "Foundation", 4, (5, 3)),
    7: ("Training", "Foundation", 4, (6, 4)),
    8: ("DataLoader", "Architecture", 3, (1,)),
    9: ("Spatial (CNNs)", "Architecture", 5, (1, 2, 3, 5, 7)),
    10: ("Tokenization", "Architecture", 4, (1,)),
    11: ("Embeddings", "Architecture", 4, (10, 1)),
    12: ("Attention", "Architecture", 5, (11, 3, 5)),
    13: ("Transformers", "Architecture", 5, (12, 2, 11, 7)),
    14: ("Profiling", "Optimization", 4, (9, 13)),
    15: ("Quantization", "Optimization", 5, (14,)),
    16: ("Compression", "Optimization", 5, (14,)),
    17: ("Memoization", "Optimization", 4, (14,)),
    18: ("Acceleration", "Optimization", 4, (15, 16, 17)),
    19: ("Benchmarking", "Optimization", 4, (18,)),
    20: ("Competition", "Optimization", 5, (19,)),
}

# number: year, unlocked after, bars
PROMISED_MILESTONES = {
    1: (1957, 7, []),
    2: (1969, 7, []),
    3: (1986, 8, [("accuracy", "MNIST", 95)]),
    4: (1998, 9, [("accuracy", "CIFAR-10", 75)]),
    5: (2017, 13, []),
    6: (2024, 20, [("compression", "", 4), ("speed-up", "", 10)]),
}


@pytest.fixture(scope="module")
def j() -> Journey:
    return journey()


def imports_of(path: Path) -> set[str]:
    """Names of the modules of tinytorch that a core file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = {0: "", 1: "tinytorch.core.", 2: "tinytorch."}[node.level] + (node.module or "")
            modules = {f"{origin.rstrip('.')}.{alias.name}" for alias in node.names}
            # `from . import tensor` names a module, `from .tensor import op` what is in it.
            found.update(modules if node.module in (None, "tinytorch", "tinytorch.core") else {origin})
    return {name for name in found if name.startswith("tinytorch.")}


def core_imports(path: Path) -> set[str]:
    return {name.split(".")[2] for name in imports_of(path) if name.startswith("tinytorch.core.")}


# ---- What the journey promises ---------------------------------------------------------------------------


def test_the_twenty_modules_are_those_of_the_journey(j: Journey) -> None:
    found = {m.number: (m.title, m.tier, m.stars, m.needs) for m in j.modules}
    assert found == PROMISED_MODULES


def test_autograd_enhances_tensor_and_profiling_optimizes_the_networks(j: Journey) -> None:
    others = {m.slug: m.relation for m in j.modules if m.relation != "needs"}
    assert others == {"autograd": "enhances", "profiling": "optimizes"}


def test_critical_modules_and_the_capstone(j: Journey) -> None:
    assert [m.number for m in j.modules if m.critical] == [5, 7]
    assert [m.number for m in j.modules if m.capstone] == [20]


def test_the_six_milestones_are_those_of_the_journey(j: Journey) -> None:
    found = {
        m.number: (m.year, m.unlocked_after, [(b.metric, b.dataset, b.at_least) for b in m.bars])
        for m in j.milestones
    }
    assert found == PROMISED_MILESTONES
    assert [m.number for m in j.milestones if m.north_star] == [4]


def test_the_learning_paths_have_their_weeks_and_modules(j: Journey) -> None:
    foundation = tuple(range(1, 8))
    found = {p.title: (p.weeks, {t.title: t.modules for t in p.tracks}) for p in j.paths}
    assert found == {
        "Fast Track": ((6, 8), {"Straight through": tuple(range(1, 10))}),
        "Complete Builder": ((14, 18), {"All twenty": tuple(range(1, 21))}),
        "Focused Explorer": (
            (8, 12),
            {
                "Vision": (*foundation, 9),
                "Language": (*foundation, 10, 11, 12, 13),
                "Production": (*foundation, *range(14, 21)),
            },
        ),
    }


def test_four_levels_of_capability(j: Journey) -> None:
    words = " ".join(c.text for level in j.levels for c in level.capabilities)
    assert len(j.levels) == 4
    for claim in ("backpropagation", "95 %+ on MNIST", "75 %+ on CIFAR-10", "4×", "10×", "deploy production"):
        assert claim in words


def test_the_datasets_have_their_sizes(j: Journey) -> None:
    found = {d.name: (d.shipped, d.samples, d.limit or d.download) for d in j.datasets}
    assert found == {
        "TinyDigits": (True, 1200, 310),
        "TinyTalks": (True, 350, 40),
        "MNIST": (False, 70000, 10),
        "CIFAR-10": (False, 60000, 170),
    }


def test_time_against_depth(j: Journey) -> None:
    assert {p.title: (p.weeks, p.x, p.y) for p in j.investments} == {
        "Foundation Only": ((4, 4), 0.25, 0.35),
        "Fast Track": ((6, 8), 0.35, 0.5),
        "Focused Vision": ((8, 8), 0.45, 0.6),
        "Focused NLP": ((10, 10), 0.55, 0.65),
        "Complete Builder": ((14, 18), 0.85, 0.95),
    }


def test_a_path_that_appears_twice_takes_the_same_time(j: Journey) -> None:
    weeks = {path.title: path.weeks for path in j.paths}
    for point in j.investments:
        assert weeks.get(point.title, point.weeks) == point.weeks


# ---- What it says of itself ------------------------------------------------------------------------------


def test_the_order_of_the_journey_meets_every_need(j: Journey) -> None:
    before: dict[int, set[int]] = {}
    for module in j.modules:
        before[module.number] = set(module.follows).union(*(before[n] for n in module.follows))
        assert set(module.needs) <= before[module.number], module.label


def test_a_track_leaves_out_only_what_its_networks_do_not_need(j: Journey) -> None:
    """Production works on the reference's networks (09, 13); every other track is complete in itself."""
    for path in j.paths:
        for track in path.tracks:
            missing = j.all_needs(*track.modules) - set(track.modules)
            assert missing == (set(range(9, 14)) if track.title == "Production" else set()), track.title


def test_a_dataset_and_its_milestones_name_each_other(j: Journey) -> None:
    by_dataset = {(d.name, n) for d in j.datasets for n in d.milestones}
    by_milestone = {(name, m.number) for m in j.milestones for name in m.datasets}
    assert by_dataset == by_milestone


def test_a_milestone_is_released_only_after_its_modules(j: Journey) -> None:
    for milestone in j.milestones:
        if milestone.released:
            assert all(j.module(n).released for n in j.all_needs(*milestone.needs)), milestone.label


# ---- What it says of the code ----------------------------------------------------------------------------


def test_the_released_modules_are_the_files_of_core(j: Journey) -> None:
    files = {path.stem for path in CORE.glob("*.py")} - {"__init__"}
    assert {m.slug for m in j.modules if m.released} == files


def test_a_core_file_imports_only_core_files_of_lower_numbers(j: Journey) -> None:
    for module in j.modules:
        if module.released:
            path = CORE / f"{module.slug}.py"
            for other in core_imports(path):
                assert j.module(other).number < module.number, f"{module.slug} imports {other}"


def test_core_uses_nothing_of_the_package_but_core_the_file_format_and_threads(j: Journey) -> None:
    allowed = {"tinytorch.utils.safetensors", "tinytorch.utils.threads"}
    for module in j.modules:
        if module.released:
            outside = {
                name
                for name in imports_of(CORE / f"{module.slug}.py")
                if not name.startswith("tinytorch.core.") and name not in allowed
            }
            assert not outside, f"{module.slug} imports {sorted(outside)}"


def test_every_need_is_a_true_one(j: Journey) -> None:
    """The file of a module leads, through its imports, to the file of each module that it needs."""
    reached: dict[str, set[str]] = {}
    for module in j.modules:
        if not module.released:
            continue
        direct = core_imports(CORE / f"{module.slug}.py")
        reached[module.slug] = direct.union(*(reached[slug] for slug in direct))
        for need in module.needs:
            needed = j.module(need)
            assert needed.slug in reached[module.slug], f"{module.label} does not use {needed.label}"


def test_an_exercise_is_a_function_or_class_of_its_core_file(j: Journey) -> None:
    for module in j.modules:
        if module.released:
            assert module.exercises, f"{module.label} has no exercises"
            tree = ast.parse((CORE / f"{module.slug}.py").read_text(encoding="utf-8"))
            names = set(qualified_names(tree.body))
            assert set(module.exercises) <= names, module.label


def qualified_names(body: list[ast.stmt], prefix: str = "") -> list[str]:
    found = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(prefix + node.name)
        if isinstance(node, ast.ClassDef):
            found += qualified_names(node.body, f"{prefix}{node.name}.")
    return found


def test_a_released_milestone_has_a_script(j: Journey) -> None:
    for milestone in j.milestones:
        scripts = list((ROOT / "milestones" / milestone.folder).glob("*.py"))
        assert bool(scripts) == milestone.released, milestone.label


def test_a_shipped_dataset_stays_within_its_limit(j: Journey) -> None:
    shipped = {d.name.lower(): d.limit for d in j.datasets if d.shipped and d.limit}
    for name, limit in shipped.items():
        data = [p for p in (ROOT / "datasets" / name).iterdir() if p.suffix in (".npz", ".tsv")]
        assert data, name
        assert sum(p.stat().st_size for p in data) <= limit * 1024, name


# ---- When it is malformed --------------------------------------------------------------------------------


def broken(old: str, new: str) -> str:
    text = MANIFEST.read_text(encoding="utf-8")
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('slug = "tensor"', "slug = 1", r"modules\[1\]: slug: expected str, got 1"),
        ('slug = "tensor"\n', "", r"modules\[1\]: key 'slug' is missing"),
        ('slug = "tensor"', 'slug = "tensor"\nstar = 2', r"modules\[1\]: unknown key 'star'"),
        ("number = 2\n", "number = 3\n", "modules must be numbered"),
        ('tier = "Architecture"', 'tier = "Roof"', "there is no tier 'Roof'"),
        ("stars = 2", "stars = 6", "stars go from 1 to 5, got 6"),
        ("needs = [5, 3]", "needs = [7]", "06_optimizers: module 7 does not come before it"),
        ('relation = "enhances"', 'relation = "likes"', "'likes' is not one of needs, enhances, optimizes"),
        ('datasets = ["TinyTalks"]', 'datasets = ["TinyTales"]', "there is no dataset 'TinyTales'"),
        ("weeks = [6, 8]", "weeks = [8, 6]", r"Fast Track: weeks are \[fewest, most\]"),
        ("limit = 310\n", "", "dataset TinyDigits: key 'limit' is missing"),
        ("needs = [20]", "needs = [21]", "there is no module 21"),
        ("milestones = [3, 4]", "milestones = [7]", "dataset TinyDigits: there is no milestone 7"),
        ("number = 1", "number = ", "not valid TOML"),
    ],
)
def test_a_malformed_manifest_says_what_is_wrong(old: str, new: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        parse(broken(old, new))


def test_an_unknown_module_is_answered_with_those_that_exist(j: Journey) -> None:
    with pytest.raises(KeyError, match=r"no module 'tensr'; the modules are 01_tensor, "):
        j.module("tensr")
    with pytest.raises(KeyError, match="no milestone 7; they run from 1 to 6"):
        j.milestone(7)


def test_a_module_is_found_by_number_slug_and_name(j: Journey) -> None:
    assert j.module(5) is j.module("autograd") is j.module("05_autograd")
