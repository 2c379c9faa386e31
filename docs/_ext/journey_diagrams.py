"""The diagrams of the journey, made from its manifest: Mermaid source, and the same in words.

The class names in the source (`:::tt-foundation`) are those of tinytorch.css, which has the colours.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from tinytorch.journey.manifest import Journey, Milestone, Module

STAR = "★"
LEGEND = {
    "foundation": "Foundation",
    "critical": "critical module",
    "advanced": "advanced architecture",
    "optimization": "optimization",
    "milestone": "milestone",
    "north-star": "north star",
    "capstone": "capstone",
}


class Diagram(NamedTuple):
    """Mermaid source, its title, what it shows in a sentence (`alt`), and all of it in Markdown (`text`)."""

    title: str
    source: str
    alt: str
    text: str
    legend: tuple[str, ...] = ()


Link = Callable[[Module | Milestone], str]


def role(module: Module) -> str:
    """The colour class of a module."""
    if module.capstone:
        return "capstone"
    if module.critical:
        return "critical"
    return {"Foundation": "foundation", "Architecture": "advanced"}.get(module.tier, "optimization")


def milestone_role(milestone: Milestone) -> str:
    return "north-star" if milestone.north_star else "milestone"


def module_node(module: Module) -> str:
    return f'm{module.number}["{module.label}"]:::tt-{role(module)}'


def milestone_node(milestone: Milestone) -> str:
    name = f"M{milestone.number:02} · {milestone.year}<br>{milestone.title}"
    return f'M{milestone.number}(["{name}"]):::tt-{milestone_role(milestone)}'


def in_words(items: Iterable[Any]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    *most, last = map(str, items)
    return f"{', '.join(most)} and {last}" if most else last


def numbers_in_words(numbers: Iterable[int]) -> str:
    """[1, 2, 3, 9] -> "01–03 and 09"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return in_words(f"{run[0]:02}" if len(run) == 1 else f"{run[0]:02}–{run[-1]:02}" for run in runs)


def table(headings: list[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def learning_flow(j: Journey, link: Link) -> Diagram:
    lines = ["flowchart TB"]
    for tier in j.tiers:
        lines.append(f'  subgraph {tier.name}["{tier.name}"]')
        lines += [f"    {module_node(module)}" for module in j.modules_of(tier.name)]
        lines.append("  end")
    lines += [f"  {milestone_node(milestone)}" for milestone in j.milestones]
    opened_by = {
        module.number: [m for m in j.milestones if m.unlocked_after == module.number] for module in j.modules
    }
    for module in j.modules:
        for origin in module.follows:
            gates = opened_by[origin] if j.module(origin).tier != module.tier else []
            lines += [f"  M{gate.number} --> m{module.number}" for gate in gates]
            lines += [] if gates else [f"  m{origin} --> m{module.number}"]
        lines += [f"  m{module.number} ==> M{opened.number}" for opened in opened_by[module.number]]
    rows = [
        [
            link(module),
            module.tier,
            STAR * module.stars,
            numbers_in_words(module.follows) if module.follows else "the start",
            in_words(map(link, opened_by[module.number])) if opened_by[module.number] else "–",
        ]
        for module in j.modules
    ]
    critical = in_words(module.label for module in j.modules if module.critical)
    north_star = next(milestone for milestone in j.milestones if milestone.north_star)
    text = (
        f"You start at {j.modules[0].label} and end at {j.modules[-1].label}. Milestones "
        f"stand between the tiers. {critical} are critical: nothing learns without them. "
        f"{north_star.label} is the north star. "
        "Vision and language are parallel tracks that meet again at Optimization.\n\n"
    ) + table(["module", "tier", "difficulty", "you come from", "opens"], rows)
    return Diagram(
        "Complete learning flow",
        "\n".join(lines),
        f"Flowchart of {len(j.modules)} modules in {len(j.tiers)} tiers and {len(j.milestones)} milestones.",
        text,
        tuple(LEGEND),
    )


def dependencies(j: Journey, link: Link) -> Diagram:
    lines = ["flowchart TB"]
    groups = list(dict.fromkeys(module.group for module in j.modules))
    for i, group in enumerate(groups):
        lines.append(f'  subgraph g{i}["{group}"]')
        lines += [f"    {module_node(module)}" for module in j.modules if module.group == group]
        lines.append("  end")
    arrows = {"needs": "-->", "enhances": "-. enhanced by .->", "optimizes": "-. optimized by .->"}
    for module in j.modules:
        lines += [f"  m{need} {arrows[module.relation]} m{module.number}" for need in module.needs]
    verbs = {"needs": "", "enhances": "enhances ", "optimizes": "optimizes "}
    rows = [
        [
            link(module),
            module.group,
            verbs[module.relation] + in_words(f"{n:02}" for n in module.needs) if module.needs else "nothing",
            numbers_in_words(n for n in sorted(j.all_needs(module.number)) if n != module.number)
            if module.needs
            else "nothing",
        ]
        for module in j.modules
    ]
    text = (
        "Tensor is under everything. Autograd enhances Tensor and enables all learning. Training "
        "orchestrates the pipeline. Vision (08 → 09) and language (08 → 10 → 11 → 12 → 13) are parallel "
        "tracks that meet again at Optimization.\n\n"
    ) + table(["module", "group", "needs directly", "needs in all"], rows)
    return Diagram(
        "Module dependencies",
        "\n".join(lines),
        f"Graph of which of the {len(j.modules)} modules needs which, in the groups {in_words(groups)}.",
        text,
        ("foundation", "critical", "advanced", "optimization", "capstone"),
    )


def tiers(j: Journey, link: Link) -> Diagram:
    lines = ["timeline"]
    rows = []
    for tier in j.tiers:
        modules = j.modules_of(tier.name)
        span = f"{modules[0].number:02}–{modules[-1].number:02}"
        opened = [m for m in j.milestones if j.module(m.unlocked_after) in modules]
        lines.append(f"  section {tier.name}")
        lines.append(f"    {span} : " + " : ".join(module.label for module in modules))
        lines.append("    opens : " + " : ".join(milestone.label for milestone in opened))
        rows.append(
            [
                f"**{tier.name}**",
                span,
                tier.promise,
                sum(module.hours for module in modules),
                ", ".join(map(link, opened)),
            ]
        )
    text = table(["tier", "modules", "what you have at its end", "hours", "milestones it opens"], rows) + (
        "\n\nThe hours are the authors' estimate for a first reading with the exercises."
    )
    return Diagram(
        "Three tiers",
        "\n".join(lines),
        f"Timeline of the tiers {in_words(tier.name for tier in j.tiers)} with their modules and milestones.",
        text,
    )


def milestones(j: Journey, link: Link) -> Diagram:
    lines = ["gantt", "  dateFormat YYYY", "  axisFormat %Y", "  todayMarker off"]
    ends = [milestone.year for milestone in j.milestones[1:]] + [j.milestones[-1].year + 6]
    for milestone, end in zip(j.milestones, ends, strict=True):
        tag = "crit" if milestone.north_star else "active"
        lines.append(f"  section M{milestone.number:02}")
        lines.append(
            f"    {milestone.title} ({milestone.year}) :{tag}, M{milestone.number}, {milestone.year}, {end}"
        )
    rows = [
        [m.year, link(m), m.history, j.module(m.unlocked_after).label, m.goal[0].upper() + m.goal[1:]]
        for m in j.milestones
    ]
    span = j.milestones[-1].year - j.milestones[0].year
    text = f"{span} years of machine learning, with your code.\n\n" + table(
        ["year", "milestone", "what happened", "opened by", "what your code shows"], rows
    )
    return Diagram(
        "Historical milestones",
        "\n".join(lines),
        f"Chart of {len(j.milestones)} milestones from {j.milestones[0].year} to {j.milestones[-1].year}.",
        text,
        ("milestone", "north-star"),
    )


def paths(j: Journey, link: Link) -> Diagram:
    lines = ["flowchart LR", '  start(["Where do you want to go?"])']
    rows = []
    for p, path in enumerate(j.paths):
        lines.append(f'  start --> p{p}["{path.title}<br>{path.duration}"]:::tt-critical')
        for t, track in enumerate(path.tracks):
            previous = f"p{p}"
            if len(path.tracks) > 1:
                lines.append(f'  p{p} --> p{p}t{t}{{{{"{track.title}"}}}}')
                previous = f"p{p}t{t}"
            for tier in j.tiers:
                numbers = [n for n in track.modules if j.module(n).tier == tier.name]
                if numbers:
                    here = f"p{p}t{t}{tier.name}"
                    colour = role(j.module(numbers[-1])) if tier.name == "Architecture" else tier.name.lower()
                    lines.append(
                        f'  {previous} --> {here}["{tier.name}<br>{numbers_in_words(numbers)}"]:::tt-{colour}'
                    )
                    previous = here
            lines.append(f'  {previous} --> p{p}end(["{path.ends}"]):::tt-milestone')
            rows.append(
                [
                    path.title if len(path.tracks) == 1 else f"{path.title}: {track.title}",
                    path.duration,
                    numbers_in_words(track.modules),
                    sum(j.module(n).hours for n in track.modules),
                    path.ends,
                    path.suits,
                ]
            )
    text = table(["path", "time", "modules", "hours", "ends at", "for you if"], rows) + (
        "\n\nThe focused tracks leave modules out. The reference stands in for what you have not written."
    )
    return Diagram(
        "Learning paths",
        "\n".join(lines),
        f"Flowchart of the paths {in_words(path.title for path in j.paths)}.",
        text,
        ("foundation", "advanced", "optimization", "milestone"),
    )


def capabilities(j: Journey, link: Link) -> Diagram:
    lines = ["flowchart LR"]
    colours = ("foundation", "critical", "advanced", "optimization")
    rows = []
    for level, colour in zip(j.levels, colours, strict=True):
        lines += [f'  subgraph L{level.number}["L{level.number} {level.title}"]', "    direction TB"]
        for lane, members in enumerate(level.lanes):
            names = [f"c{level.number}{lane}{i}" for i in range(len(members))]
            for name, capability in zip(names, members, strict=True):
                measured = j.milestone(capability.milestone) if capability.milestone else None
                shade = milestone_role(measured) if measured else colour
                lines.append(f'    {name}["{capability.text}"]:::tt-{shade}')
                after, proof = j.module(capability.after).label, measured.label if measured else "–"
                rows.append([f"L{level.number}", capability.text, after, proof])
            lines += [f"    {a} --> {b}" for a, b in pairwise(names)]
        lines.append("  end")
    lines.append("  " + " --> ".join(f"L{level.number}" for level in j.levels))
    text = "Each level is something you can do and measure, not a module you have read.\n\n" + table(
        ["level", "you can", "after", "measured by"], rows
    )
    return Diagram(
        "Capability progression",
        "\n".join(lines),
        f"Graph of the {len(j.levels)} levels of capability, from {j.levels[0].title.lower()} "
        f"to {j.levels[-1].title.lower()}.",
        text,
        ("milestone", "north-star"),
    )


def workflow(j: Journey, link: Link) -> Diagram:
    source = """flowchart LR
  status(["tito checkpoint status<br>at any time"])
  edit["<b>Edit</b><br>modules/source/XX_name/"]:::tt-foundation
  export["<b>Export</b><br>tito module complete XX"]:::tt-critical
  validate["<b>Validate</b><br>milestones/0X_*/script.py"]:::tt-milestone
  next["Next module"]:::tt-advanced
  debug["Debug"]:::tt-capstone
  edit --> export --> validate
  validate -- passes --> next --> edit
  validate -- fails --> debug --> edit
  edit ~~~ status"""
    steps = [
        ["1", "**Edit**", "`modules/source/XX_name/`", "write the exercises of a module"],
        ["2", "**Export**", "`tito module complete XX`", "check them and put them into your package"],
        ["3", "**Validate**", "`milestones/0X_*/script.py`", "run a milestone on your own code"],
        ["4", "**Go on, or debug**", "", "the next module if it passes; edit again if it does not"],
    ]
    text = (
        table(["step", "what", "where", "which means"], steps)
        + "\n\n`tito checkpoint status` shows your progress at any time."
    )
    return Diagram(
        "Workflow cycle",
        source,
        "Graph of the cycle: edit, export, validate, then the next module, or debug and edit again.",
        text,
    )


def dataset_strategy(j: Journey, link: Link) -> Diagram:
    lines = ["flowchart TB", '  start(["Start small"])']
    lines += ['  subgraph shipped["In the repository"]']
    lines += [
        f'    {d.name}["{d.name}<br>{d.samples:,} · {d.size}"]:::tt-foundation'
        for d in j.datasets
        if d.shipped
    ]
    lines += ["  end", '  iterate{"Does it learn?"}', '  subgraph fetched["Downloaded when needed"]']
    lines += [
        f'    {d.name}["{d.name}<br>{d.samples:,} · {d.size}"]:::tt-advanced'
        for d in j.datasets
        if not d.shipped
    ]
    lines += ["  end"]
    for dataset in j.datasets:
        lines.append(
            f"  start --> {dataset.name} --> iterate"
            if dataset.shipped
            else f"  iterate -- yes --> {dataset.name}"
        )
    lines.append("  iterate -- no: fix it in seconds --> start")
    used = dict.fromkeys(number for dataset in j.datasets for number in dataset.milestones)
    lines += [f"  {milestone_node(j.milestone(number))}" for number in sorted(used)]
    for dataset in j.datasets:
        if not dataset.shipped:
            lines += [f"  {dataset.name} --> M{number}" for number in dataset.milestones]
        else:
            benchmarked = {number for d in j.datasets if not d.shipped for number in d.milestones}
            lines += [f"  iterate -- yes --> M{n}" for n in dataset.milestones if n not in benchmarked]
    rows = [
        [
            d.name,
            "shipped" if d.shipped else "downloaded when needed",
            f"{d.samples:,}",
            d.contents,
            d.size,
            in_words(j.milestone(n).label for n in d.milestones),
            d.purpose,
        ]
        for d in j.datasets
    ]
    text = (
        "Start small with what ships, iterate fast, then validate on the downloaded benchmarks.\n\n"
        + table(["set", "where", "samples", "contents", "size", "used by", "for"], rows)
    )
    return Diagram(
        "Dataset strategy",
        "\n".join(lines),
        f"Flowchart from the shipped sets to the benchmarks: {in_words(d.name for d in j.datasets)}.",
        text,
        ("milestone", "north-star"),
    )


def success(j: Journey, link: Link) -> Diagram:
    lines = ["mindmap", "  root((What success means))"]
    for branch in j.success:
        lines.append(f"    {branch.title}")
        lines += [f'      ["{point}"]' for point in branch.points]
    text = "\n".join(
        f"- **{branch.title}:** {'; '.join(p[0].lower() + p[1:] for p in branch.points)}."
        for branch in j.success
    )
    return Diagram(
        "Success metrics",
        "\n".join(lines),
        f"Mind map of what success means, in {in_words(branch.title.lower() for branch in j.success)}.",
        text,
    )


def investment(j: Journey, link: Link) -> Diagram:
    lines = [
        "quadrantChart",
        "  x-axis Less time --> More time",
        "  y-axis Less depth --> More depth",
        "  quadrant-1 The whole system",
        "  quadrant-2 Depth soon",
    ]
    lines += [f'  "{p.title}, {p.duration.replace(" weeks", " w")}": [{p.x}, {p.y}]' for p in j.investments]
    rows = [[p.title, p.duration, f"{p.x:g}", f"{p.y:g}"] for p in j.investments]
    return Diagram(
        "Time against depth",
        "\n".join(lines),
        f"Chart of time against depth for {in_words(p.title for p in j.investments)}.",
        table(["path", "time", "time (0–1)", "depth (0–1)"], rows),
    )


def difficulty(j: Journey, link: Link) -> Diagram:
    source = "\n".join(
        [
            "xychart-beta",
            "  x-axis [" + ", ".join(f'"{module.number:02}"' for module in j.modules) + "]",
            f'  y-axis "Stars" 0 --> {max(module.stars for module in j.modules)}',
            "  bar [" + ", ".join(str(module.stars) for module in j.modules) + "]",
        ]
    )
    by_stars = {stars: [m for m in j.modules if m.stars == stars and not m.capstone] for stars in range(1, 6)}
    gentle, hard, sustained = by_stars[2], by_stars[4][0], by_stars[5]
    peak = next(module for module in j.modules if module.capstone)
    text = (
        f"It starts gently with {in_words(m.label for m in gentle)}. The first hard module is {hard.label}. "
        f"{in_words(m.label for m in sustained)} ask for sustained effort. {peak.label} is the peak.\n\n"
    ) + table(
        ["stars", "modules"],
        [
            [STAR * stars, ", ".join(m.label for m in j.modules if m.stars == stars)]
            for stars in by_stars
            if any(m.stars == stars for m in j.modules)
        ],
    )
    return Diagram(
        "Difficulty curve",
        source,
        f"Bar chart of how hard the {len(j.modules)} modules are, in stars from one to five.",
        text,
    )


KINDS: dict[str, Callable[[Journey, Link], Diagram]] = {
    "learning-flow": learning_flow,
    "dependencies": dependencies,
    "tiers": tiers,
    "milestones": milestones,
    "paths": paths,
    "capabilities": capabilities,
    "workflow": workflow,
    "datasets": dataset_strategy,
    "success": success,
    "investment": investment,
    "difficulty": difficulty,
}
