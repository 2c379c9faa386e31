"""The capability levels of the journey, each with what proved it."""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ..journey.manifest import Capability, Milestone, journey
from ..journey.progress import Progress
from ..journey.workshop import Workshop
from . import screens


def proof_of(milestone: Milestone, progress: Progress) -> list[dict[str, Any]] | None:
    """The newest passed receipt of each script that the milestone asks for; None if one is missing."""
    receipts = progress.milestones.get(str(milestone.number), [])
    found = []
    for script in milestone.proves:
        passed = [r for r in receipts if r.get("passed") and str(r.get("script", "")).endswith("/" + script)]
        if not passed:
            return None
        found.append(passed[-1])
    return found


def receipt_in_words(receipt: dict[str, Any]) -> str:
    whose = receipt.get("modules", {})
    numbers = [int(name[:2]) for name, owner in whose.items() if owner != "reference"]
    code = f"your modules {screens.spans(numbers)}" if numbers else "the reference"
    if "partly yours" in whose.values():
        code += " (some in part)"
    figure = f"{receipt.get('metric')}: {receipt.get('value')}, bar {receipt.get('bar')}"
    return f"{figure}, {receipt['at'][:10]}, {code}"


def levels(out: Console, shop: Workshop) -> RenderableType:
    progress = shop.progress()
    parts: list[RenderableType] = []
    for level in journey().levels:
        proofs = [(capability, proof(capability, shop, progress)) for capability in level.capabilities]
        done = sum(found != "" for _, found in proofs)
        title = Text.assemble((f"Level {level.number}  {level.title}", "bold"), f"  {done} of {len(proofs)}")
        parts += [Text(""), title] if parts else [title]
        for capability, found in proofs:
            sign = screens.mark(out, "passed" if found else "todo")
            words = found or f"after {journey().module(capability.after).label}" + (
                f", by {journey().milestone(capability.milestone).label}" if capability.milestone else ""
            )
            parts.append(Text.assemble("  ", sign, " ", capability.text))
            parts.append(Padding(Text(words, style="" if found else "dim"), (0, 0, 0, 6)))
    return Group(*parts)


def proof(capability: Capability, shop: Workshop, progress: Progress) -> str:
    """What proves a capability, in words; "" while nothing does."""
    if capability.milestone is not None:
        receipts = proof_of(journey().milestone(capability.milestone), progress)
        return "; ".join(map(receipt_in_words, receipts)) if receipts else ""
    module = journey().module(capability.after)
    view = shop.overview(module, progress)
    if view.standing not in ("complete", "changed"):
        return ""
    when = progress.modules[module.name].exported[:10]
    return f"{module.label}: all {len(module.exercises)} exercises pass, exported {when}"
