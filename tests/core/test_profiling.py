"""Profiling: counts against hand counts and PyTorch, the hooks, memory, the trace, the roofline."""

import json
import math
import sys
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytorch as tt
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import optim
from tinytorch.core.attention import CausalSelfAttention
from tinytorch.core.autograd import Node
from tinytorch.core.layers import Module
from tinytorch.core.profiling import (
    LayerCount,
    Machine,
    Profiler,
    count_flops,
    count_layers,
    count_parameters,
    flop_rules,
    measure,
    measure_machine,
    model_nbytes,
    peak_memory,
    per_number,
    predict_training_memory,
    saved_arrays,
)
from tinytorch.core.tensor import Op, op
from tinytorch.core.transformers import GPT, GPTConfig

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def small_gpt(**settings):
    return GPT(
        GPTConfig(**{"vocab_size": 31, "block_size": 16, "n_layer": 2, "n_head": 2, "n_embd": 24} | settings)
    )


def flops_by_op(profiler):
    return {row.name: row.flops for row in profiler.rows()}


# Parameters, bytes, time.


def test_parameters_are_counted_once_each():
    layer = nn.Linear(5, 3)
    assert count_parameters(layer) == 5 * 3 + 3
    assert model_nbytes(layer) == 4 * (5 * 3 + 3)
    assert model_nbytes(layer.double()) == 8 * (5 * 3 + 3)
    assert count_parameters(nn.ReLU()) == model_nbytes(nn.ReLU()) == 0


def test_a_tied_weight_counts_once_and_an_optimizer_changes_nothing():
    model = small_gpt(tie_weights=True)
    assert count_parameters(model) == model.num_parameters()
    before = model_nbytes(model)
    optim.Adam(model.parameters())  # puts all parameters into one array
    assert model_nbytes(model) == before == 4 * count_parameters(model)


def test_buffers_have_bytes_and_are_no_parameters():
    layer = nn.BatchNorm2d(4)
    assert count_parameters(layer) == 8
    assert model_nbytes(layer) == 4 * 16 + 8  # weight, bias, mean, variance, and an int64


def test_a_timing_counts_the_calls_and_orders_its_numbers():
    calls = []
    timing = measure(lambda: calls.append(1), repeat=5, warm_up=2)
    if sys.platform == "emscripten":  # as many together as the browser's coarse clock needs
        assert len(calls) > 7
    else:
        assert len(calls) == 7
    assert 0 <= timing.fastest <= timing.median <= timing.slowest


def test_measure_needs_a_repeat():
    with pytest.raises(ValueError, match="repeat is a number from 1, 0 came"):
        measure(lambda: None, repeat=0)


# Operations.


@given(batch=st.integers(0, 4), inside=st.integers(1, 6), outside=st.integers(1, 6), bias=st.booleans())
def test_a_linear_layer_takes_two_operations_a_weight(batch, inside, outside, bias):
    layer, x = nn.Linear(inside, outside, bias), tt.ones(batch, inside)
    assert count_flops(lambda: layer(x)) == 2 * batch * inside * outside


def test_a_product_in_batches():
    a, b = tt.ones(2, 3, 4, 5), tt.ones(2, 3, 5, 6)
    assert count_flops(lambda: a @ b) == 2 * 2 * 3 * 4 * 5 * 6
    assert count_flops(lambda: tt.ones(7) @ tt.ones(7)) == 14


@given(groups=st.sampled_from([1, 2]), stride=st.integers(1, 2), size=st.integers(5, 7))
def test_a_convolution_multiplies_each_weight_for_each_result(groups, stride, size):
    layer = nn.Conv2d(4, 6, 3, stride=stride, padding=1, groups=groups)
    side = (size + 2 - 3) // stride + 1
    count = count_flops(lambda: layer(tt.ones(2, 4, size, size)))
    assert count == 2 * 2 * side * side * 6 * (4 // groups) * 9


def test_a_transposed_convolution_spreads_each_pixel():
    layer = nn.ConvTranspose2d(4, 6, 3, stride=2)
    assert count_flops(lambda: layer(tt.ones(2, 4, 5, 5))) == 2 * 2 * 4 * 25 * 6 * 9


def test_attention_by_hand():
    q, k, v = tt.ones(2, 3, 10, 4), tt.ones(2, 3, 7, 4), tt.ones(2, 3, 7, 5)
    assert count_flops(lambda: F.scaled_dot_product_attention(q, k, v)) == 2 * 3 * 10 * 7 * (2 * 4 + 2 * 5)


def test_a_layer_of_attention_by_hand():
    B, T, C = 2, 12, 8
    layer, x = CausalSelfAttention(C, 2), tt.ones(B, T, C)
    projections, products = 2 * B * T * 4 * C * C, 4 * B * T * T * C
    assert count_flops(lambda: layer(x)) == projections + products


def test_causal_attention_counts_the_tiles_that_it_works_on():
    q = tt.ones(1, 1, 256, 8)
    whole = count_flops(lambda: F.scaled_dot_product_attention(q, q, q))
    causal = count_flops(lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True))
    assert whole == 4 * 256 * 256 * 8
    assert causal == whole * 3 // 4  # of the four blocks of 128 by 128, one comes too late


def test_norms_and_elementwise_ops_count_their_numbers():
    x = tt.ones(3, 5)
    assert count_flops(lambda: x + x) == count_flops(lambda: F.relu(x)) == count_flops(lambda: x.sum(0)) == 15
    assert count_flops(lambda: F.softmax(x, -1)) == 5 * 15
    assert count_flops(lambda: nn.LayerNorm(5)(x)) == 7 * 15
    assert count_flops(lambda: nn.RMSNorm(5)(x)) == 4 * 15
    assert count_flops(lambda: F.max_pool2d(tt.ones(1, 2, 4, 4), 2)) == 2 * 4 * 4


def test_moving_numbers_takes_no_operations_and_a_view_no_bytes():
    x = tt.ones(4, 6)
    with Profiler() as profiler:
        x.reshape(3, 8).T[1:]
    assert {e.name for e in profiler.events} == {"reshape", "permute", "getitem"}
    assert profiler.flops == 0
    assert [e.nbytes for e in profiler.events] == [0, 0, 0]


def test_bytes_are_those_of_the_arguments_and_of_the_result():
    a, b = tt.ones(4, 6), tt.ones(6, 2, dtype=tt.float64)
    ids, table = tt.tensor([1, 1, 3]), tt.ones(1000, 5)
    with Profiler() as profiler:
        a + 1, tt.cat([a, a], 0), a.to(tt.float64) @ b, F.embedding(ids, table)
    found = {e.name: e.nbytes for e in profiler.events}
    assert found["add"] == 2 * 24 * 4
    assert found["cat"] == 2 * 2 * 24 * 4
    assert found["matmul"] == 8 * (24 + 12 + 8)
    assert found["embedding"] == 3 * 8 + 2 * 15 * 4  # not the whole table


def test_an_unknown_op_counts_its_results_until_it_has_a_rule():
    @op
    def twice_over(a):
        return np.concatenate([a, a])

    x = tt.ones(5)
    assert count_flops(lambda: twice_over(x)) == 10
    flop_rules[twice_over] = lambda out, a: 3 * a.size
    try:
        assert count_flops(lambda: twice_over(x)) == 15
    finally:
        del flop_rules[twice_over]


def test_every_rule_is_for_an_op():
    assert all(isinstance(known, Op) for known in (*flop_rules, *per_number))


def test_a_gpt_takes_what_its_own_formula_says():
    model, B = small_gpt(), 3
    ids = tt.zeros(B, 16, dtype=tt.int64)
    with tt.no_grad(), Profiler() as profiler:
        model(ids)
    found = flops_by_op(profiler)
    assert found["linear"] + found["packed_attention"] == B * 16 * model.flops_per_token()


def test_products_agree_with_pytorch_forward_and_backward(torch):
    from torch.utils.flop_counter import FlopCounterMode

    def twin(theirs):
        return theirs.Sequential(
            theirs.Conv2d(3, 8, 3, padding=1, stride=2), theirs.ReLU(), theirs.Conv2d(8, 4, 3),
            theirs.Flatten(), theirs.Linear(4 * 16, 7), theirs.ReLU(), theirs.Linear(7, 2, bias=False),
        )  # fmt: skip

    with FlopCounterMode(display=False) as counter:
        twin(torch.nn)(torch.ones(5, 3, 11, 11)).sum().backward()
    model = twin(nn)
    with Profiler() as profiler:
        model(tt.ones(5, 3, 11, 11)).sum().backward()
    products = ("convolution", "convolution backward", "linear", "linear backward")
    found = flops_by_op(profiler)
    assert sum(found[name] for name in products) == counter.get_total_flops()


def test_a_backward_pass_takes_a_product_for_each_factor_that_needs_it():
    x, wanted = tt.ones(4, 5), tt.ones(4, 5, requires_grad=True)
    layer = nn.Linear(5, 3)
    forward = 2 * 4 * 5 * 3
    for input, factors in ((x, 1), (wanted, 2)):
        with Profiler() as profiler:
            layer(input).sum().backward()
        assert flops_by_op(profiler)["linear backward"] == factors * forward


def test_attention_takes_two_and_a_half_times_as_much_backward():
    q, k, v = (tt.ones(1, 2, 6, 4, requires_grad=True) for _ in range(3))
    with Profiler() as profiler:
        F.scaled_dot_product_attention(q, k, v).sum().backward()
    found = flops_by_op(profiler)
    assert found["attend_in_tiles backward"] == 2.5 * found["attend_in_tiles"] == 2.5 * 2 * 36 * 16


def test_layers_are_counted_by_themselves():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2, bias=False))
    assert count_layers(model, tt.ones(3, 4)) == [
        LayerCount("0", "Linear", 30, 2 * 3 * 4 * 6, 4 * (12 + 30 + 18)),
        LayerCount("1", "ReLU", 0, 18, 4 * 36),
        LayerCount("2", "Linear", 12, 2 * 3 * 6 * 2, 4 * (18 + 12 + 6)),
    ]


def test_the_layers_of_a_model_add_up_to_the_model():
    model, x = small_cnn(), tt.ones(2, 3, 16, 16)
    counts = count_layers(model, x)
    assert sum(c.parameters for c in counts) == count_parameters(model)
    with tt.no_grad():
        assert sum(c.flops for c in counts) == count_flops(lambda: model(x))


# The profiler.


def test_it_changes_no_result_and_no_gradient():
    x, model = tt.randn(2, 3, 16, 16, generator=tt.Generator(0)), small_cnn()
    out = model(x)
    out.sum().backward()
    gradients = [p.grad for p in model.parameters()]
    model.zero_grad()
    with Profiler(model):
        profiled = model(x)
        profiled.sum().backward()
    np.testing.assert_array_equal(out.detach().numpy(), profiled.detach().numpy())
    for p, expected in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), expected.numpy())


def test_everything_is_put_back_also_after_an_error():
    before = Op.__call__, Module.__call__, Node.gradients
    outer = Profiler()
    a, b = tt.ones(2, 3), tt.ones(4, 5)
    with pytest.raises(ValueError, match="inner sizes"), outer:
        a @ b
    with outer:
        assert Op.__call__ is not before[0]
    assert (Op.__call__, Module.__call__, Node.gradients) == before
    tt.ones(2) + 1
    assert outer.events == []


def test_profilers_nest_and_go_on_when_opened_again():
    outer, inner = Profiler(), Profiler()
    with outer:
        tt.ones(2) + 1
        with inner:
            tt.ones(2) * 2
    assert [e.name for e in outer.events] == ["add", "mul"]
    assert [e.name for e in inner.events] == ["mul"]
    with inner:
        tt.ones(2) - 2
    assert [e.name for e in inner.events] == ["mul", "sub"]
    assert inner.events[0].start + inner.events[0].seconds <= inner.events[1].start
    with outer, pytest.raises(RuntimeError, match="open already"):
        outer.__enter__()


def test_it_sees_methods_operators_keywords_and_defaults():
    x = tt.ones(2, 3)
    with Profiler() as profiler:
        2 + x, -x, x.sum(dim=1, keepdim=True), F.leaky_relu(x), x[0]
    assert [e.name for e in profiler.events] == ["add", "neg", "sum", "leaky_relu", "getitem"]
    assert profiler.events[2].shapes == "((2, 3), 1, True)"


def test_calls_forward_and_backward_go_to_the_module_that_called():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 1)))
    with Profiler(model) as profiler:
        loss = model(tt.ones(2, 3)).sum()
        loss.backward()
    calls = {row.name: row.calls for row in profiler.rows("call")}
    assert calls == {
        "0: linear": 1, "1.0: relu": 1, "1.1: linear": 1, ": sum": 1,
        ": sum backward": 1, "1.1: linear backward": 3, "1.0: relu backward": 1, "0: linear backward": 2,
    }  # fmt: skip
    assert {e.name for e in profiler.events if e.kind == "module"} == {"Sequential", "0", "1", "1.0", "1.1"}


def test_without_a_model_modules_go_by_their_class():
    with Profiler() as profiler:
        nn.Linear(2, 2)(tt.ones(1, 2))
    assert [row.name for row in profiler.rows("module")] == ["Linear"]


def test_a_region_has_a_name_a_time_and_its_ops():
    with Profiler() as profiler, profiler.region("twice"):
        tt.ones(3) * 2
    product, region = profiler.events
    assert (product.module, product.depth, region.kind, region.depth) == ("twice", 1, "region", 0)
    assert region.start <= product.start
    assert product.seconds <= region.seconds


def test_times_add_up():
    model, x = small_cnn(), tt.ones(4, 3, 16, 16)
    with Profiler(model) as profiler:
        model(x).sum().backward()
    rows = profiler.rows()
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert sum(row.seconds for row in rows) + profiler.outside == pytest.approx(profiler.seconds)
    assert profiler.outside > 0
    assert all(a.seconds >= b.seconds for a, b in pairwise(rows))
    for by in ("module", "call"):
        assert sum(row.flops for row in profiler.rows(by)) == profiler.flops
        assert sum(row.calls for row in profiler.rows(by)) == sum(row.calls for row in rows)


def test_a_row_knows_its_speed_and_intensity():
    a = tt.ones(64, 64)
    with Profiler() as profiler:
        a @ a
    (row,) = profiler.rows()
    assert row.intensity == 2 * 64**3 / (3 * 64 * 64 * 4)
    assert row.gflops_per_second == pytest.approx(2 * 64**3 / row.seconds / 1e9)


def test_a_table_has_a_line_for_each_row():
    with Profiler() as profiler:
        tt.ones(2) + 1, tt.ones(2) * 2
    lines = profiler.table().splitlines()
    assert lines[0].split() == ["op", "calls", "ms", "share", "MFLOP", "GFLOP/s", "MB", "FLOP/B"]
    assert {line.split()[0] for line in lines[1:]} == {"add", "mul"}
    assert len({len(line) for line in lines}) == 1
    assert len(profiler.table(limit=1).splitlines()) == 2


def test_an_empty_profile():
    with Profiler() as profiler:
        pass
    assert profiler.rows() == []
    assert len(profiler.table().splitlines()) == 1
    assert profiler.flops == 0


def test_rows_by_something_else():
    with pytest.raises(ValueError, match="by is 'op', 'module' or 'call', 'layer' came"):
        Profiler().rows("layer")


# The trace.


def test_the_trace_is_in_the_trace_event_format(tmp_path):
    model = small_cnn()
    with Profiler(model, memory=True) as profiler:
        model(tt.ones(2, 3, 16, 16)).sum().backward()
    path = tmp_path / "trace.json"
    made = profiler.chrome_trace(path)
    read = json.loads(path.read_text())
    assert read == json.loads(json.dumps(made))
    complete = [e for e in read["traceEvents"] if e["ph"] == "X"]
    counters = [e for e in read["traceEvents"] if e["ph"] == "C"]
    assert len(complete) == len(counters) == len(profiler.events)
    for event in complete:
        assert set(event) == {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"}
        assert event["cat"] in ("forward", "backward", "module", "region")
        assert event["ts"] >= 0
        assert event["dur"] >= 0
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
    assert all(set(e["args"]) == {"bytes"} for e in counters)
    assert {e["ph"] for e in read["traceEvents"]} == {"M", "X", "C"}


def test_slices_of_the_trace_contain_each_other_or_are_apart():
    model = small_gpt()
    with Profiler(model) as profiler:
        model(tt.zeros(1, 8, dtype=tt.int64))
    slices = [e for e in profiler.chrome_trace()["traceEvents"] if e["ph"] == "X"]
    ends = []
    for event in slices:  # sorted by their start: each ends before the one that is open around it
        while ends and ends[-1] <= event["ts"]:
            ends.pop()
        end = event["ts"] + event["dur"]
        assert not ends or end <= ends[-1] + 1e-6, event
        ends.append(end)


# Memory.


def test_peak_memory_is_the_most_at_one_moment():
    def work():
        for _ in range(3):
            np.ones(250_000)  # freed before the next one

    peak = peak_memory(work)
    assert 2_000_000 <= peak < 2_100_000
    assert not tracemalloc.is_tracing()


def test_the_memory_of_a_profile_climbs_and_falls():
    model, x = small_cnn(), tt.ones(32, 3, 16, 16)
    with Profiler(model, memory=True) as profiler:
        loss = model(x).sum()
        loss.backward()
    assert not tracemalloc.is_tracing()
    forward = [e.memory for e in profiler.events if e.kind == "forward"]
    backward = [e.memory for e in profiler.events if e.kind == "backward"]
    assert forward[-1] > forward[0] > 0
    assert backward[-1] < max(backward)
    assert max(e.peak for e in profiler.events) >= max(backward) > forward[-1]
    assert all(e.peak >= e.memory for e in profiler.events)


def test_saved_arrays_by_hand():
    x, layer = tt.ones(10, 4), nn.Linear(4, 3)
    hidden = layer(x)  # its weight needs x; x needs no gradient, so the weight is not kept
    loss = F.relu(hidden).sum()  # relu keeps its result
    assert sorted(a.size for a in saved_arrays(loss)) == [30, 40]
    assert sum(a.nbytes for a in saved_arrays(loss)) == 4 * 70


def test_views_of_one_array_are_saved_once():
    x = tt.ones(6, 4, requires_grad=True)
    y = F.relu(x)
    loss = (y * y.reshape(6, 4)).sum()
    assert [a.shape for a in saved_arrays(loss)] == [(6, 4)]


LABELS = np.arange(256) % 10


def image_loss(model, n):
    images = np.random.default_rng(0).standard_normal((n, 3, 16, 16), np.float32)
    return F.cross_entropy(model(tt.tensor(images)), tt.tensor(LABELS[:n]))


def text_loss(model, n):
    ids = np.random.default_rng(0).integers(0, 31, (n, 17))
    return model(tt.tensor(ids[:, :-1]), tt.tensor(ids[:, 1:]))[1]


def small_mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(768, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 10)
    )


@pytest.mark.parametrize(
    ("make", "loss_of", "batch", "make_optimizer"),
    [
        (small_cnn, image_loss, 200, lambda p: optim.SGD(p, lr=0.01, momentum=0.9)),
        (small_gpt, text_loss, 200, optim.AdamW),
        (small_mlp, image_loss, 256, optim.Adam),
        (small_mlp, image_loss, 256, lambda p: optim.SGD(p, lr=0.01)),
    ],
    ids=["CNN, SGD with momentum", "GPT, AdamW", "MLP, Adam", "MLP, SGD"],
)
def test_the_memory_of_a_training_step_is_predicted_within_a_tenth(make, loss_of, batch, make_optimizer):
    def train():
        model = make()
        optimizer = make_optimizer(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()

    model = make()
    predicted = predict_training_memory(
        model, lambda n: loss_of(model, n), batch, make_optimizer(model.parameters())
    )
    train()  # buffers that stay are there
    assert predicted.peak == pytest.approx(peak_memory(train), rel=0.1)


def test_the_parts_of_a_training_step():
    model = nn.Sequential(nn.Linear(10, 7), nn.Sigmoid(), nn.Linear(7, 2))
    frozen = sum(p.array.nbytes for p in model[0].requires_grad_(False).parameters())
    parameters = model_nbytes(model)
    predicted = predict_training_memory(
        model, lambda n: model(tt.ones(n, 10)).sum(), 1000, optim.Adam(model[2].parameters())
    )
    assert predicted.parameters == parameters
    assert predicted.gradients == parameters - frozen
    assert predicted.optimizer == 2 * (parameters - frozen)
    assert predicted.activations == 4 * 1000 * 7  # the last layer needs its input, nothing else is followed
    assert predicted.peak > predicted.parameters + predicted.optimizer + predicted.activations
    assert all(p.grad is None for p in model.parameters())


def test_a_loss_that_changes_with_the_batch_is_no_ground_for_a_prediction():
    x = tt.ones(1, requires_grad=True)

    def loss_of(n):
        return (x * 2).sum() if n < 20 else x.sum()

    with pytest.raises(ValueError, match="has to do the same for every n"):
        predict_training_memory(nn.Linear(1, 1), loss_of, 100)
    with pytest.raises(ValueError, match="two growing numbers from 1, \\(4, 4\\) came"):
        predict_training_memory(nn.Linear(1, 1), loss_of, 100, samples=(4, 4))


# The roofline.


def test_the_roofline_is_a_slope_and_then_flat():
    machine = Machine(peak=100e9, bandwidth=20e9)
    assert machine.ridge == 5
    assert machine.attainable(0) == 0
    assert machine.attainable(2) == 40e9
    assert machine.attainable(5) == machine.attainable(1000) == 100e9


def test_a_machine_is_measured():
    machine = measure_machine(sizes=(16, 64), nbytes=1 << 16, repeat=2)
    assert all(math.isfinite(x) and x > 1e6 for x in machine)
