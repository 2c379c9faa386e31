"""The table of operations that drives the forward tests, the gradient tests and gradcheck.

A row's `call` takes the module (tinytorch or torch: the names are the same) and the inputs. An input is
given as a shape, filled with distinct random numbers between `low` and `high`, or as an `Ints`, `Bools` or
`Positive` with a shape.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ints:
    """int64 numbers in [0, high), such as positions; with `distinct`, without repetition."""

    shape: tuple
    high: int
    distinct: bool = False


@dataclass(frozen=True)
class Bools:
    shape: tuple


@dataclass(frozen=True)
class Positive:
    """Numbers in [0.5, 2): divisors, scales."""

    shape: tuple


@dataclass(frozen=True)
class Row:
    name: str
    call: object
    inputs: tuple  # of tuples, one for each call
    low: float = -2.0
    high: float = 2.0
    ints: bool = True  # does PyTorch take integers, too?
    gradient: bool = True  # has it one, with respect to every floating-point input?
    oracle_gradient: bool = True  # has PyTorch's?
    rtol: float = 1e-5


def make(spec, dtype, rng, low=-2.0, high=2.0, strided=False):
    """An array for one input of a row; `strided` makes it non-contiguous."""
    if isinstance(spec, Ints):
        if spec.distinct:
            return np.argsort(rng.random(spec.shape), axis=0).astype(np.int64)
        return rng.integers(0, spec.high, spec.shape, dtype=np.int64)
    if isinstance(spec, Bools):
        return rng.random(spec.shape) < 0.5
    positive = isinstance(spec, Positive)
    shape = spec.shape if positive else spec
    low, high = (0.5, 2.0) if positive else (low, high)
    made = shape[::-1] if strided else shape
    size = int(np.prod(made))
    if np.dtype(dtype).kind == "f":
        values = rng.uniform(low, high, made)
    else:
        values = rng.permutation(size).reshape(made) + (1 if low >= 0 else -(size // 2))
    values = np.asarray(values, dtype)
    return values.T if strided else values


def rows(names, call, inputs, **settings):
    """One row for each name; `call` makes the row's function from the name."""
    return [Row(name, call(name), inputs, **settings) for name in names.split()]


def unary(name):
    return lambda T, a: getattr(T, name)(a)


def method(name):
    return lambda T, a: getattr(a, name)()


def binary(name):
    return lambda T, a, b: getattr(T, name)(a, b)


ONE = (((),), ((3,),), ((2, 3),), ((0,),), ((2, 0, 3),), ((1, 1),), ((2, 3, 4),))
TWO = (
    ((), ()),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((2, 1, 3), (4, 1)),
    ((), (2, 2)),
    ((0, 3), (3,)),
    ((0, 1), (1, 3)),
    ((1,), (1, 1)),
)
TWO_POSITIVE = tuple((a, Positive(b)) for a, b in TWO)
MATRICES = (((3, 3),), ((2, 4),), ((4, 2),), ((2, 3, 3),), ((0, 3),), ((1, 1),))

ELEMENTWISE = [
    *rows("exp sin cos tan expm1 neg abs square", unary, ONE, low=-1.2, high=1.2),
    *rows("sinh cosh atan", method, ONE, low=-1.2, high=1.2),
    *rows("asin acos", method, ONE, low=-0.9, high=0.9, ints=False),
    Row("atan2", lambda T, a, b: a.atan2(b), TWO_POSITIVE),
    *rows("sqrt rsqrt reciprocal log log2 log10 log1p", unary, ONE, low=0.3, high=3.0),
    *rows("sign floor ceil round trunc", unary, ONE),
    *rows("isnan isinf isfinite logical_not", unary, ONE, gradient=False),
    *rows("add sub mul", binary, TWO),
    *rows("maximum minimum", binary, TWO),
    *rows("div fmod remainder", binary, TWO_POSITIVE),
    *rows("floor_divide", binary, TWO_POSITIVE, gradient=False),
    *rows("eq ne lt le gt ge logical_and logical_or logical_xor", binary, TWO, gradient=False),
    *rows("isclose", binary, (((3,), (3,)), ((), ()), ((0,), (0,))), gradient=False),
    Row("pow of a tensor", lambda T, a, b: T.pow(a, b), TWO, low=0.3, high=2.0),
    Row("pow 2", lambda T, a: a**2, ONE),
    Row("pow 3", lambda T, a: a**3, ONE),
    Row("pow 0", lambda T, a: a**0, ONE),
    Row("pow 0.5", lambda T, a: a**0.5, ONE, low=0.3),
    Row("pow 2.0", lambda T, a: a**2.0, ONE),
    Row("pow -1.5", lambda T, a: a**-1.5, ONE, low=0.3),
    Row("number to a power", lambda T, a: 2.0**a, ONE),
    Row("operators", lambda T, a, b: (2 - a) * 3 + 1 / b - a / 2 + (-b), TWO_POSITIVE),
    Row("%", lambda T, a, b: (a % b) + (a % 2), TWO_POSITIVE),
    Row("% of a number", lambda T, a: 7 % a, ((Positive((2, 3)),),), gradient=False),
    Row("// of floats", lambda T, a, b: a // b, TWO_POSITIVE, gradient=False),
    Row("add alpha", lambda T, a, b: T.add(a, b, alpha=2) + a.sub(b, alpha=3), TWO),
    Row("div floor", lambda T, a, b: T.div(a, b, rounding_mode="floor"), TWO_POSITIVE, gradient=False),
    Row("div trunc", lambda T, a, b: T.div(a, b, rounding_mode="trunc"), TWO_POSITIVE),
    Row("round decimals", lambda T, a: T.round(a, decimals=1), ONE, ints=False),
    Row("clamp", lambda T, a: a.clamp(-0.5, 0.7), ONE, ints=False),
    Row("clamp min", lambda T, a: a.clamp(min=0), ONE),
    Row("clamp max", lambda T, a: T.clamp(a, max=0), ONE),
    Row("clamp by tensors", lambda T, a, b, c: a.clamp(b, c), (((2, 3), (3,), (2, 1)), ((4,), (4,), (4,)))),
    Row("where", lambda T, c, a, b: T.where(c, a, b), ((Bools((2, 3)), (3,), (2, 1)), (Bools(()), (), ()))),
    Row("where of a number", lambda T, c, a: T.where(c, a, 0.5), ((Bools((2, 3)), (3,)),), ints=False),
    Row("Tensor.where", lambda T, c, a, b: a.where(c, b), ((Bools((2, 3)), (2, 3), (3,)),)),
    Row("masked_fill", lambda T, a, m: a.masked_fill(m, 3), (((2, 3), Bools((2, 3))), ((2, 3), Bools((3,))))),
    Row("masked_fill by a tensor", lambda T, a, m, v: a.masked_fill(m, v), (((2, 3), Bools((2, 3)), ()),)),
    Row("lerp", lambda T, a, b: T.lerp(a, b, 0.3), (((2, 3), (2, 3)),), ints=False),
    Row("lerp by a tensor", lambda T, a, b, w: T.lerp(a, b, w), (((2, 3),) * 3,), ints=False),
    Row("addcmul", lambda T, a, b, c: T.addcmul(a, b, c, value=2), (((2, 3), (3,), (2, 1)),)),
    Row(
        "addcdiv",
        lambda T, a, b, c: T.addcdiv(a, b, c, value=2),
        (((2, 3), (3,), Positive((2, 1))),),
        ints=False,
    ),
    Row("& | ^ ~", lambda T, a, b: (a & b) | (a ^ ~b), ((Bools((2, 3)), Bools((3,))),), gradient=False),
    Row(
        "bits of ints",
        lambda T, a, b: (a & b) | (a ^ ~b),
        ((Ints((2, 3), 9), Ints((3,), 9)),),
        gradient=False,
    ),
    Row("relu", lambda T, a: a.relu(), ONE, ints=False),
    Row("sigmoid and tanh", lambda T, a: a.sigmoid() * T.tanh(a), ONE),
    Row(
        "softmax",
        lambda T, a: a.softmax(-1) + T.log_softmax(a, -1),
        (((3,),), ((2, 3),), ((0, 3),)),
        ints=False,
    ),
]

REDUCED = (((2, 3, 4),), ((1, 3, 1),), ((2, 1, 4),))


def over(name, *dims, **settings):
    """The reduction over everything, over each of `dims` and with keepdim."""

    def call(T, a):
        results = [] if settings.get("needs_dim") else [getattr(T, name)(a)]
        for dim in dims:
            results += [getattr(a, name)(dim), getattr(a, name)(dim=dim, keepdim=True)]
        return results

    return call


REDUCTIONS = [
    Row("sum", over("sum", 0, -1, (0, 2), [0, 1]), (*REDUCED, ((0, 3, 2),), ((2, 0, 3),))),
    Row("mean", over("mean", 0, -1, (0, 2), [0, 1]), REDUCED, ints=False),
    Row("var", over("var", 0, -1, (0, 2), [0, 1]), (((2, 3, 4),),), ints=False),
    Row("var population", lambda T, a: a.var(1, correction=0), REDUCED, ints=False),
    Row("std", over("std", 0, -1, (0, 2), [0, 1]), (((2, 3, 4),),), ints=False),
    Row(
        "var and std unbiased",
        lambda T, a: [a.var(1, False), a.std(unbiased=False)],
        (((2, 3),),),
        ints=False,
    ),
    Row("std population", lambda T, a: T.std(a, dim=1, correction=0), (((2, 3, 4),),), ints=False),
    Row("amax", over("amax", 0, -1, (0, 2)), REDUCED),
    Row("amin", over("amin", 0, -1, (0, 2)), REDUCED),
    Row("max", lambda T, a: [T.max(a), a.max(1).values, *a.max(-1, keepdim=True)], REDUCED),
    Row("min", lambda T, a: [T.min(a), a.min(1).values, *a.min(-1, keepdim=True)], REDUCED),
    Row("max of two", lambda T, a, b: T.max(a, b) + T.min(a, b), (((2, 3), (3,)),)),
    Row("argmax", over("argmax", 0, -1), REDUCED, gradient=False),
    Row("argmin", over("argmin", 0, -1), REDUCED, gradient=False),
    Row("any", over("any", 0, -1, (0, 2)), (*REDUCED, ((0, 2, 3),)), gradient=False),
    Row("all", over("all", 0, -1, (0, 2)), (*REDUCED, ((0, 2, 3),)), gradient=False),
    Row("prod", over("prod", 0, -1), (((2, 3, 4),), ((1, 3, 1),), ((0, 3),))),
    Row("cumsum", lambda T, a: T.cumsum(a, 0) + a.cumsum(-1), (*ONE[1:3], ONE[5], ((0, 3),))),
    Row("cumprod", lambda T, a: T.cumprod(a, 0), (((3,),), ((2, 3),), ((0, 3),)), gradient=False),
    Row(
        "logsumexp", lambda T, a: [T.logsumexp(a, 1), a.logsumexp((0, 2), keepdim=True)], REDUCED, ints=False
    ),
    Row(
        "norm",
        lambda T, a: [a.norm(), T.norm(a, dim=1), a.norm(dim=(0, 2), keepdim=True)],
        REDUCED,
        ints=False,
    ),
    *[
        Row(f"norm {p}", lambda T, a, p=p: [a.norm(p, 1), a.norm(p=p)], REDUCED, ints=False)
        for p in (1, 3, 2.5, float("inf"), -float("inf"))
    ],
    Row("norm 0", lambda T, a: a.norm(0, 1), REDUCED, ints=False, gradient=False),
]

PRODUCTS = (
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (5, 3, 2)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((1, 1), (1, 1)),
)


def einsum(equation):
    return lambda T, *operands: T.einsum(equation, *operands)


LINEAR = [
    Row("matmul", lambda T, a, b: a @ b, PRODUCTS),
    Row("mm", binary("mm"), (((2, 3), (3, 4)), ((0, 2), (2, 3)))),
    Row("mv", binary("mv"), (((2, 3), (3,)),)),
    Row("dot", binary("dot"), (((3,), (3,)), ((0,), (0,)))),
    Row("bmm", binary("bmm"), (((5, 2, 3), (5, 3, 4)), ((0, 2, 3), (0, 3, 4)))),
    Row("outer", binary("outer"), (((2,), (3,)), ((0,), (3,)))),
    Row("addmm", lambda T, a, b, c: T.addmm(a, b, c, beta=2, alpha=3), (((4,), (2, 3), (3, 4)),)),
    Row("baddbmm", lambda T, a, b, c: T.baddbmm(a, b, c), (((5, 2, 4), (5, 2, 3), (5, 3, 4)),)),
    *[
        Row(f"einsum {equation}", einsum(equation), (shapes,))
        for equation, *shapes in (
            ("i,i->", (3,), (3,)),
            ("i,j->ij", (3,), (2,)),
            ("i,i->i", (3,), (3,)),
            ("ij->ji", (2, 3)),
            ("ij->", (2, 3)),
            ("ij->j", (2, 3)),
            ("ii->i", (3, 3)),
            ("ii", (3, 3)),
            ("iij->j", (3, 3, 2)),
            ("ij,jk", (2, 3), (3, 4)),
            ("ij,jk->ki", (2, 3), (3, 4)),
            ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
            ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
            ("bhqk,bkhd->bqhd", (2, 2, 3, 5), (2, 5, 2, 4)),
            ("ij,kj->ik", (2, 3), (4, 3)),
            ("ij,kl->ik", (2, 3), (4, 5)),
            ("ij,ij->i", (2, 3), (2, 3)),
            ("ijk,jk->i", (2, 3, 4), (3, 4)),
            ("i,ij,j->", (2,), (2, 3), (3,)),
            ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
            ("ab,bc,cd,de->ae", (2, 3), (3, 2), (2, 4), (4, 2)),
            ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)),
            ("...i,i->...", (2, 3, 4), (4,)),
            ("b...,b...->b", (2, 3, 4), (2, 3, 4)),
            ("ij, jk -> ik", (2, 3), (3, 4)),
            ("bij,bjk->bik", (0, 3, 4), (0, 4, 5)),
            ("ij,jk->ik", (2, 0), (0, 4)),
        )
    ],
]

PADS = ((1, 2), (0, 1, 2, 0), (-1, 1), (-1, -1, 1, -1))

SHAPES = [
    Row("reshape", lambda T, a: [a.reshape(3, -1), T.reshape(a, (4, 6)), a.view(-1)], (((2, 3, 4),),)),
    Row("reshape of nothing", lambda T, a: a.reshape(3, 0), (((0, 3),),)),
    Row(
        "flatten", lambda T, a: [T.flatten(a, 1), a.flatten(), a.flatten(0, 1)], (((2, 3, 4),), ((2, 0, 3),))
    ),
    Row("flatten of one number", lambda T, a: a.flatten(), (((),),)),
    Row("unflatten", lambda T, a: [a.unflatten(1, (2, 3)), T.unflatten(a, -1, (3, -1))], (((2, 6),),)),
    Row(
        "squeeze",
        lambda T, a: [T.squeeze(a), a.squeeze(0), a.squeeze(-1), a.squeeze((0, 1))],
        (((1, 3, 1),),),
    ),
    Row(
        "unsqueeze", lambda T, a: [T.unsqueeze(a, 0), a.unsqueeze(-1), a.unsqueeze(1)], (((2, 3),), ((0, 2),))
    ),
    Row(
        "transpose",
        lambda T, a: [a.transpose(0, -1), T.transpose(a, 1, 2), a.swapaxes(0, 1)],
        (((2, 3, 4),),),
    ),
    Row(
        "permute",
        lambda T, a: [a.permute(2, 0, 1), T.permute(a, (-1, 0, 1)), a.permute(-2, -1, 0)],
        (((2, 3, 4),),),
    ),
    Row("T and t", lambda T, a: [a.T, a.t(), T.t(a)], (((2, 3),), ((0, 3),))),
    Row("mT", lambda T, a: a.mT, (((2, 3),), ((5, 2, 3),))),
    Row("movedim", lambda T, a: [T.movedim(a, 0, -1), a.movedim((0, 2), (1, 0))], (((2, 3, 4),),)),
    Row("expand", lambda T, a: [a.expand(2, -1, 4), a.expand(5, 2, 3, 4)], (((2, 3, 1),), ((1, 3, 1),))),
    Row(
        "expand_as",
        lambda T, a, b: [a.expand_as(b), T.broadcast_to(a, (2, 3))],
        (((3,), (2, 3)), ((), (2, 3))),
    ),
    Row("view_as", lambda T, a, b: a.view_as(b), (((6,), (2, 3)),)),
    Row("repeat", lambda T, a: [a.repeat(2, 3), a.repeat((2, 1, 2))], (((2, 3),), ((1, 3),), ((0, 3),))),
    Row("tile", lambda T, a: [T.tile(a, (2,)), a.tile(2, 1, 2)], (((2, 3),),)),
    Row(
        "repeat_interleave", lambda T, a: [a.repeat_interleave(2), T.repeat_interleave(a, 3, 1)], (((2, 3),),)
    ),
    Row(
        "cat", lambda T, a, b: [T.cat([a, b]), T.cat((a, b, a), dim=-1)], (((2, 3), (2, 3)), ((0, 3), (0, 3)))
    ),
    Row("cat of different sizes", lambda T, a, b: T.cat([a, b], 1), (((2, 3), (2, 1)), ((2, 0), (2, 3)))),
    Row("stack", lambda T, a, b: [T.stack([a, b]), T.stack((a, b), dim=-1)], (((2, 3), (2, 3)), ((), ()))),
    Row("split", lambda T, a: [*T.split(a, 2), *a.split([1, 0, 2], dim=1)], (((5, 3),), ((0, 3),))),
    Row("chunk", lambda T, a: [*T.chunk(a, 3), *a.chunk(2, dim=1)], (((5, 3),), ((7, 4),), ((0, 2),))),
    Row("ravel", lambda T, a: a.ravel(), ONE),
    Row("diff", lambda T, a: [a.diff(), a.diff(dim=0), a.diff(2)], (((4, 3),), ((1, 3),), ((0, 3),))),
    *[
        Row(
            f"meshgrid {way}",
            lambda T, *v, way=way: T.meshgrid(*v, indexing=way),
            (((3,),), ((2,), (3,)), ((2,), (3,), (1,))),
        )
        for way in ("ij", "xy")
    ],
    Row(
        "vstack and hstack",
        lambda T, a, b: [T.vstack([a, b]), T.hstack((a, b))],
        tuple((s, s) for s in ((), (3,), (2, 3), (0, 2), (2, 3, 2))),
    ),
    Row("trace", lambda T, a: a.trace(), (((3, 3),), ((2, 4),), ((0, 3),))),
    Row(
        "new_zeros and others",
        lambda T, a: [
            made * a.flatten()[0]
            for made in (a.new_zeros(2, 3), a.new_ones((2,)), a.new_full((2, 1), 3), a.new_tensor([1, 2]))
        ],
        (((2, 3),), ((),)),
    ),
    Row("new with a dtype", lambda T, a: a.new_ones(2, dtype=T.int32), (((2, 3),),), gradient=False),
    Row("unbind", lambda T, a: [*T.unbind(a), *a.unbind(-1)], (((2, 3),),)),
    Row(
        "select and narrow",
        lambda T, a: [a.select(1, -1), T.narrow(a, 0, 1, 2), a.narrow(-1, 0, 0)],
        (((3, 2),),),
    ),
    Row("flip", lambda T, a: [T.flip(a, (0,)), a.flip(0, 1)], (((2, 3),), ((0, 3),))),
    Row("roll", lambda T, a: [T.roll(a, 1), a.roll(-1, 1), a.roll((1, 2), (0, 1))], (((2, 3),), ((3, 4),))),
    Row("tril", lambda T, a: [T.tril(a), a.tril(1), a.tril(-1)], MATRICES),
    Row("triu", lambda T, a: [T.triu(a), a.triu(diagonal=1), a.triu(-1)], MATRICES),
    Row("diag", lambda T, a: [T.diag(a), a.diag(1), a.diag(-1)], (((3,),), ((3, 3),), ((2, 4),))),
    Row(
        "diagonal", lambda T, a: [T.diagonal(a), a.diagonal(1, 0, 2), a.diagonal(-1, -1, 1)], (((3, 2, 4),),)
    ),
    Row("pad", lambda T, a: [T.nn.functional.pad(a, p) for p in PADS], (((3, 4),), ((2, 3, 3),))),
    Row("pad by a value", lambda T, a: T.nn.functional.pad(a, (1, 0), "constant", 7), (((3,),), ((0,),))),
    *[
        Row(
            f"pad {mode}",
            lambda T, a, mode=mode: T.nn.functional.pad(a, (2, 1), mode),
            (((2, 3, 4),), ((1, 3),)),
        )
        for mode in ("reflect", "replicate", "circular")
    ],
    Row(
        "pad images",
        lambda T, a: [T.nn.functional.pad(a, (1, 0, 2, 1), m) for m in ("reflect", "replicate", "circular")],
        (((2, 1, 4, 3),), ((0, 1, 4, 3),)),
    ),
    Row("clone", lambda T, a: [a.clone(), T.clone(a), a.contiguous()], ONE),
]


def index(*indices):
    return lambda T, a: [a[i] for i in indices]


SELECTION = [
    Row("index by ints", index(0, -1, (1, 2), (0, -1, 2)), (((2, 3, 4),),)),
    Row("index by slices", index(slice(1, None), (slice(None), slice(0, 2)), slice(0, 0)), (((2, 3, 4),),)),
    Row(
        "index by a step",
        index((slice(None), slice(None, None, 2)), (..., slice(1, None, 3))),
        (((2, 3, 4),),),
    ),
    Row("index by None and Ellipsis", index(None, (..., None), (0, ..., None), ...), (((2, 3, 4),),)),
    Row("index by a list", index([0, 1, 0], (slice(None), [2, 0]), ([0, 1], [2, 0])), (((2, 3, 4),),)),
    Row(
        "index by int tensors",
        lambda T, a, i: [a[i], a[:, i]],
        (((3, 3), Ints((4,), 3)), ((3, 3), Ints((2, 2), 3))),
    ),
    Row("index by two int tensors", lambda T, a, i, j: a[i, j], (((3, 4), Ints((5,), 3), Ints((5,), 3)),)),
    Row("index by a bool tensor", lambda T, a, m: [a[m], a[m[:, 0]]], (((3, 4), Bools((3, 4))),)),
    Row(
        "gather",
        lambda T, a, i: [T.gather(a, 1, i), a.gather(-1, i)],
        (((3, 4), Ints((3, 2), 4)), ((3, 4), Ints((2, 6), 4))),
    ),
    Row(
        "gather rows", lambda T, a, i: a.gather(0, i), (((3, 4), Ints((5, 4), 3)), ((3, 4), Ints((0, 4), 3)))
    ),
    Row("scatter", lambda T, a, i, s: a.scatter(0, i, s), (((3, 2), Ints((3, 2), 3, True), (3, 2)),)),
    Row(
        "scatter a part",
        lambda T, a, i, s: T.scatter(a, 0, i, s),
        (((3, 2), Ints((2, 1), 2, True), (3, 2)),),
        oracle_gradient=False,
    ),
    Row("scatter a number", lambda T, a, i: a.scatter(1, i, 7), (((3, 2), Ints((3, 1), 2)),)),
    Row("scatter_add", lambda T, a, i, s: a.scatter_add(0, i, s), (((3, 2), Ints((5, 2), 3), (5, 2)),)),
    Row(
        "index_select",
        lambda T, a, i: [T.index_select(a, 0, i), a.index_select(-1, i)],
        (((3, 4), Ints((5,), 3)),),
    ),
    Row("index_add", lambda T, a, i, s: a.index_add(0, i, s, alpha=2), (((3, 2), Ints((5,), 3), (5, 2)),)),
    Row(
        "index_add of columns", lambda T, a, i, s: T.index_add(a, 1, i, s), (((2, 3), Ints((4,), 3), (2, 4)),)
    ),
    Row(
        "index_fill",
        lambda T, a, i: [T.index_fill(a, 0, i, 5), a.index_fill(1, i, -1)],
        (((3, 3), Ints((2,), 3)),),
    ),
    Row(
        "masked_select",
        lambda T, a, m: [T.masked_select(a, m)],
        (((2, 3), Bools((2, 3))), ((2, 3), Bools((3,)))),
    ),
    Row(
        "nonzero",
        lambda T, a: [T.nonzero(a), *T.nonzero(a, as_tuple=True)],
        (((2, 3),), ((0,),)),
        gradient=False,
    ),
    Row("where alone", lambda T, a: [*T.where(a > 0)], (((2, 3),),), gradient=False),
    Row("sort", lambda T, a: [*T.sort(a), *a.sort(0, descending=True)], (((3, 4),), ((0, 3),), ((1, 1),))),
    Row("argsort", lambda T, a: [T.argsort(a), a.argsort(0, descending=True)], (((3, 4),),), gradient=False),
    Row(
        "topk",
        lambda T, a: [*T.topk(a, 2), *a.topk(2, dim=0), *a.topk(3, largest=False)],
        (((3, 4),), ((2, 3),)),
    ),
    Row("topk of all and of none", lambda T, a: [*a.topk(3), *a.topk(0)], (((2, 3),),)),
    Row(
        "unique",
        lambda T, a: T.unique(a, return_inverse=True, return_counts=True),
        ((Ints((2, 5), 3),),),
        gradient=False,
    ),
    Row("unique rows", lambda T, a: T.unique(a, dim=0), ((Ints((5, 2), 2),),), gradient=False),
]

CLASSES = [
    Row(
        "binary_cross_entropy",
        lambda T, a, b: T.nn.functional.binary_cross_entropy(a.sigmoid(), (b > 0).to(a.dtype)),
        (((2, 3), (2, 3)),),
        ints=False,
    ),
    Row("one_hot", lambda T, i: T.nn.functional.one_hot(i, 4), ((Ints((2, 3), 4),),), gradient=False),
]

ACTIVATIONS = [
    *rows(
        "elu selu relu6 hardsigmoid hardswish mish logsigmoid softsign",
        lambda name: lambda T, a: getattr(T.nn.functional, name)(a),
        ONE,
        low=-4.0,
        high=7.0,
        ints=False,
    ),
    Row("elu alpha", lambda T, a: T.nn.functional.elu(a, 0.3), ONE, ints=False),
    Row("hardtanh", lambda T, a: T.nn.functional.hardtanh(a, -0.5, 1.5), ONE, ints=False),
    Row("softmin", lambda T, a: T.nn.functional.softmin(a, -1), (((3,),), ((2, 3),), ((0, 3),)), ints=False),
    Row(
        "glu",
        lambda T, a: [T.nn.functional.glu(a), T.nn.functional.glu(a, 0)],
        (((4, 2),), ((2, 6),), ((0, 2),)),
        ints=False,
    ),
    Row(
        "prelu",
        lambda T, a, w: T.nn.functional.prelu(a, w),
        (((2, 3), (1,)), ((2, 3), (3,)), ((2, 3, 4), (3,)), ((5,), (1,)), ((0, 3), (3,))),
        ints=False,
    ),
]

TABLE = ELEMENTWISE + REDUCTIONS + LINEAR + SHAPES + SELECTION + CLASSES + ACTIVATIONS
