"""The drawing of the recorded graph: every node and edge is there, nothing overlaps, and it stays small."""

import re
from xml.etree import ElementTree

import pytest

import tinytorch as torch
from tinytorch.utils.graph import draw_graph

SVG = "{http://www.w3.org/2000/svg}"


def small_network():
    torch.manual_seed(0)
    w, b = torch.randn(4, 3, requires_grad=True), torch.zeros(3, requires_grad=True)
    loss = (torch.randn(5, 4) @ w + b).relu().mean() + 0.1 * w.norm()
    return loss, {"w": w, "b": b}


def test_the_drawing_names_the_operations_and_gives_shapes_at_the_leaves():
    loss, names = small_network()
    graph = draw_graph(loss, names)
    assert sorted(graph.labels) == [
        "add",
        "add ()",
        "b (3,)",
        "matmul",
        "mean",
        "mul",
        "norm",
        "relu",
        "w (4, 3)",
    ]
    arrows = {(graph.labels[a], graph.labels[b]) for a, b in graph.edges}
    assert arrows == {
        ("w (4, 3)", "matmul"),
        ("w (4, 3)", "norm"),
        ("matmul", "add"),
        ("b (3,)", "add"),
        ("add", "relu"),
        ("relu", "mean"),
        ("mean", "add ()"),
        ("norm", "mul"),
        ("mul", "add ()"),
    }
    assert repr(graph) == "<graph of 7 operations and 2 leaves>"


def test_the_text_is_a_mermaid_flowchart_with_a_line_for_every_node_and_edge():
    graph = draw_graph(*small_network())
    first, *lines = str(graph).splitlines()
    assert first == "flowchart TD"
    assert sum(" --> " in line for line in lines) == len(graph.edges)
    assert sum(bool(re.fullmatch(r'  n\d+[\[(]".*"[\])]', line)) for line in lines) == len(graph.labels)


def boxes_of(svg):
    return [[float(box.get(k)) for k in ("x", "y", "width", "height")] for box in svg.iter(f"{SVG}rect")]


def test_the_svg_has_a_box_for_every_node_inside_the_picture_and_none_overlap():
    torch.manual_seed(0)
    x = torch.randn(3, 3, requires_grad=True)
    parts = [(x * i).exp().sum() for i in range(8)]
    graph = draw_graph(torch.stack(parts).logsumexp(0) + x.norm())
    svg = ElementTree.fromstring(graph._repr_svg_())
    boxes = boxes_of(svg)
    assert len(boxes) == len(graph.labels)
    _, _, width, height = map(float, svg.get("viewBox").split())
    for i, (x0, y0, w0, h0) in enumerate(boxes):
        assert 0 <= x0 <= x0 + w0 <= width
        assert 0 <= y0 <= y0 + h0 <= height
        for x1, y1, w1, h1 in boxes[:i]:
            assert x0 + w0 <= x1 or x1 + w1 <= x0 or y0 + h0 <= y1 or y1 + h1 <= y0


def test_every_arrow_runs_from_a_higher_box_down_to_a_lower_one():
    graph = draw_graph(*small_network())
    boxes = boxes_of(ElementTree.fromstring(graph._repr_svg_()))
    for parent, child in graph.edges:
        assert boxes[parent][1] + boxes[parent][3] < boxes[child][1]


def test_the_svg_takes_its_colour_from_the_text_and_says_what_it_is():
    loss, names = small_network()
    picture = draw_graph(loss, names)._repr_svg_()
    assert set(re.findall(r'(?:stroke|fill)="([^"]*)"', picture)) == {"currentColor", "none"}
    assert " id=" not in picture  # two drawings on one page cannot collide
    svg = ElementTree.fromstring(picture)
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == svg.find(f"{SVG}title").text == "graph of 7 operations and 2 leaves"


def test_a_name_cannot_break_the_picture_or_the_text():
    x = torch.ones(2, requires_grad=True)
    graph = draw_graph(x.sum(), {'<b>"&': x})
    labels = [text.text for text in ElementTree.fromstring(graph._repr_svg_()).iter(f"{SVG}text")]
    assert '<b>"& (2,)' in labels
    assert '"<b>&quot;&amp; (2,)"' in str(graph)


def test_a_large_graph_is_cut_and_says_so():
    y = torch.ones(2, requires_grad=True)
    for _ in range(1000):
        y = y * 1.01
    graph = draw_graph(y.sum(), limit=20)
    assert len(graph.labels) == 20
    assert "only the 20 nodes nearest to the result" in str(graph)
    assert "only the 20 nodes nearest to the result are drawn" in graph._repr_svg_()


def test_names_may_be_pairs_and_functions_appear_by_their_own_name():
    class Twice(torch.autograd.Function):
        forward = staticmethod(lambda ctx, x: x * 2)
        backward = staticmethod(lambda ctx, g: g * 2)

    x = torch.ones(2, requires_grad=True)
    graph = draw_graph(Twice.apply(x), [("x", x)].__iter__())
    assert sorted(graph.labels) == ["Twice (2,)", "x (2,)"]


def test_a_leaf_that_is_gone_is_drawn_without_a_shape():
    y = torch.ones(2, requires_grad=True).sum()
    assert sorted(draw_graph(y).labels) == ["leaf", "sum ()"]


def freed():
    y = (torch.ones(2, requires_grad=True) * 2).sum()
    y.backward()
    return y


@pytest.mark.parametrize(
    ("tensor", "error", "message"),
    [
        (lambda: torch.ones(2), ValueError, "nothing behind it requires grad"),
        (lambda: torch.ones(2, requires_grad=True), ValueError, "this tensor is a leaf"),
        (freed, RuntimeError, "the graph behind sum was freed"),
    ],
    ids=["no graph", "a leaf", "a freed graph"],
)
def test_what_cannot_be_drawn_is_refused(tensor, error, message):
    with pytest.raises(error, match=message):
        draw_graph(tensor())
