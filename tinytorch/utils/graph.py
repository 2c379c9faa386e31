"""A drawing of the graph that autograd recorded: leaves on top, the result at the bottom.

A notebook shows it as SVG, in the colour of the surrounding text; print() gives it as a Mermaid flowchart.
The layout is that of Sugiyama et al. 1981, https://doi.org/10.1109/TSMC.1981.4308636: layers by longest
path, a few sweeps that put each node near the middle of its neighbours, and bends for long edges.
"""

from collections import defaultdict
from html import escape
from itertools import pairwise

CHARACTER, HEIGHT, GAP, LAYER = 7.8, 28, 18, 62  # pixels: of 13px monospace, boxes, between boxes, layers


def draw_graph(tensor, names=None, limit=200):
    """A drawing of the operations that led to `tensor`.

    `names` gives leaves their names: a dict of tensors, or pairs such as model.named_parameters(). At most
    `limit` nodes are drawn, those nearest to the result.
    """
    if not tensor.requires_grad:
        raise ValueError("draw_graph: no graph leads to this tensor, because nothing behind it requires grad")
    if tensor.is_leaf:
        raise ValueError("draw_graph: this tensor is a leaf; draw a result that was computed from it")
    tensor.node.check_alive()
    named = {id(leaf): name for name, leaf in dict(names or {}).items()}
    return Graph(tensor.node, tensor.shape, named, limit)


class Graph:
    """A drawn graph: `labels[i]` is the text of node i (0 is the result), `edges` are pairs (from, to)."""

    def __init__(self, root, shape, names, limit):
        nodes, self.edges, self.complete = [root], [], True
        number = {root: 0}
        for node in nodes:  # breadth first: nodes grows while it is read
            for parent in node.parents():
                if parent not in number:
                    if len(nodes) >= limit:
                        self.complete = False
                        continue
                    number[parent] = len(nodes)
                    nodes.append(parent)
                self.edges.append((number[parent], number[node]))
        self.leaves = {number[node] for node in nodes if node.leaf}
        self.labels = [leaf_label(node, names) if node.leaf else node.op for node in nodes]
        self.labels[0] = f"{self.labels[0]} {shape}"
        newest_first = sorted(range(len(nodes)), key=lambda i: nodes[i].order, reverse=True)
        self.layer = [0] * len(nodes)  # 0 is the result's; each node lies above all that use it
        for i in newest_first:
            for parent in (p for p, child in self.edges if child == i):
                self.layer[parent] = max(self.layer[parent], self.layer[i] + 1)

    def __str__(self):
        """The graph as a Mermaid flowchart."""
        boxes = [
            f'  n{i}["{mermaid_text(label)}"]' if i in self.leaves else f'  n{i}("{mermaid_text(label)}")'
            for i, label in enumerate(self.labels)
        ]
        arrows = [f"  n{parent} --> n{child}" for parent, child in self.edges]
        cut = [] if self.complete else [f"  %% only the {len(self.labels)} nodes nearest to the result"]
        return "\n".join(["flowchart TD", *cut, *boxes, *arrows])

    def __repr__(self):
        operations = len(self.labels) - len(self.leaves)
        return f"<graph of {operations} operations and {len(self.leaves)} leaves>"

    def _repr_svg_(self):
        """The graph as SVG; notebooks call this."""
        paths, layers = self.with_bends()
        order_layers(layers, paths)
        x, width = self.place(layers)
        top = len(layers) - 1
        y = {i: (top - depth) * LAYER + HEIGHT for depth, layer in enumerate(layers) for i in layer}
        height = top * LAYER + 2 * HEIGHT + (0 if self.complete else HEIGHT)
        shapes = [curve([(x[i], y[i]) for i in path]) for path in paths]
        shapes += [self.box(i, x[i], y[i]) for i in range(len(self.labels))]
        if not self.complete:
            note = f"only the {len(self.labels)} nodes nearest to the result are drawn"
            shapes.append(f'<text x="{width / 2:.0f}" y="{height - 8}" text-anchor="middle">{note}</text>')
        summary = escape(repr(self)[1:-1])
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{summary}" '
            f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" style="max-width:100%;height:auto" '
            f'fill="currentColor" font-family="monospace" font-size="13"><title>{summary}</title>'
            f"{''.join(shapes)}</svg>"
        )

    def with_bends(self):
        """Each edge as a path with one point in every layer that it crosses, and the nodes of each layer."""
        layers: list[list[int]] = [[] for _ in range(max(self.layer) + 1)]
        paths = []
        for i, depth in enumerate(self.layer):
            layers[depth].append(i)
        bends = len(self.labels)
        for parent, child in self.edges:
            path = [parent]
            for depth in range(self.layer[parent] - 1, self.layer[child], -1):
                layers[depth].append(bends)
                path.append(bends)
                bends += 1
            paths.append([*path, child])
        return paths, layers

    def place(self, layers):
        """The middle of every node on the x axis, and the width of the drawing; layers are centred."""
        sizes = {i: self.width_of(i) for layer in layers for i in layer}
        total = max(sum(sizes[i] + GAP for i in layer) for layer in layers) + GAP
        x = {}
        for layer in layers:
            left = (total - sum(sizes[i] + GAP for i in layer) + GAP) / 2
            for i in layer:
                x[i] = left + sizes[i] / 2
                left += sizes[i] + GAP
        return x, total

    def width_of(self, i):
        return len(self.labels[i]) * CHARACTER + 20 if i < len(self.labels) else 2

    def box(self, i, x, y):
        """A leaf as a tinted rectangle, an operation as a rounded outline."""
        width, leaf = self.width_of(i), i in self.leaves
        return (
            f'<rect x="{x - width / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{width:.1f}" height="{HEIGHT}" '
            f'rx="{3 if leaf else HEIGHT // 2}" fill-opacity="{0.12 if leaf else 0}" stroke="currentColor"/>'
            f'<text x="{x:.1f}" y="{y + 4.5:.1f}" text-anchor="middle">{escape(self.labels[i])}</text>'
        )


def leaf_label(node, names):
    """A leaf's name, if it has one, and its shape."""
    leaf = node.tensor()
    if leaf is None:
        return "leaf"  # the user has let go of the tensor
    return f"{names.get(id(leaf), 'leaf')} {leaf.shape}"


def mermaid_text(label):
    return label.replace("&", "&amp;").replace('"', "&quot;")


def order_layers(layers, paths, sweeps=4):
    """Reorder each layer in place by the mean position of the neighbours above or below it, in turn."""
    above, below = defaultdict(list), defaultdict(list)
    for path in paths:
        for upper, lower in pairwise(path):
            above[lower].append(upper)
            below[upper].append(lower)
    for sweep in range(sweeps):
        neighbours = above if sweep % 2 else below
        position = {i: place for layer in layers for place, i in enumerate(layer)}
        for layer in reversed(layers) if sweep % 2 else layers:
            layer.sort(key=lambda i: mean([position[n] for n in neighbours[i]], position[i]))
            position.update((i, place) for place, i in enumerate(layer))


def mean(values, default):
    return sum(values) / len(values) if values else default


def curve(points):
    """An arrow down through the points, from the lower side of a box to the upper side of another."""
    (x, y), (end_x, end_y) = points[0], points[-1]
    points = [(x, y + HEIGHT / 2), *points[1:-1], (end_x, end_y - HEIGHT / 2)]
    line = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        line.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
    tip_x, tip_y = points[-1]
    tip = f'<path d="M{tip_x - 3.5:.1f} {tip_y - 6:.1f}h7l-3.5 6z"/>'
    return f'<path d="{"".join(line)}" fill="none" stroke="currentColor"/>{tip}'
