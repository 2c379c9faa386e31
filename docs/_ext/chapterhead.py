"""`{chapter-head}`: where a chapter stands in the journey, from journey.toml.

The chapter's file name says which module it is: 01_tensor.md shows module 1.
"""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from tinytorch.journey.manifest import journey


class ChapterHead(SphinxDirective):
    """One line with tier, stars, hours, what the module needs and what it leads to."""

    def run(self):
        module = journey().module(self.env.docname.rpartition("/")[2].partition("_")[2])
        leads_to = [m for m in journey().modules if module.number in m.needs]
        needs = [m for m in journey().modules if m.number in module.needs]
        relation = "Enhances" if module.relation == "enhances" else "Needs"
        facts = nodes.bullet_list(classes=["tt-chapter-head"])
        for label, value in (
            ("Tier", module.tier),
            ("Difficulty", f"{module.stars} of 5 stars"),
            ("First reading", f"about {module.hours} hours"),
            (relation, ", ".join(m.label for m in needs) or "nothing"),
            ("Leads to", ", ".join(m.label for m in leads_to)),
        ):
            if value:
                line = nodes.paragraph()
                line += [nodes.strong(text=label), nodes.Text(f" {value}")]
                facts += nodes.list_item("", line)
        return [facts]


def setup(app):
    app.add_directive("chapter-head", ChapterHead)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
