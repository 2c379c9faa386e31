"""Operations with a gradient of the user's own, in PyTorch's shape: torch.autograd.Function."""

from ..core.autograd import Node, here, no_grad, node_of
from ..core.tensor import Tensor, wrap


class Context:
    """What a Function's forward leaves for its backward."""

    def __init__(self, needs_input_grad):
        self.needs_input_grad = needs_input_grad
        self._saved: list[tuple[Tensor, int]] = []

    def save_for_backward(self, *tensors):
        """Keep tensors; a later change in place is noticed."""
        self._saved = [(x, x.memory.writes) for x in tensors]

    @property
    def saved_tensors(self):
        if any(x.memory.writes != writes for x, writes in self._saved):
            raise RuntimeError("backward: a tensor saved by save_for_backward was changed in place later")
        return tuple(x for x, _ in self._saved)


class FunctionNode(Node):
    """The record of a Function; its edges are (parent or None, shape) for each argument of apply."""

    __slots__ = ("ctx", "function")

    def __init__(self, function, ctx, edges):
        super().__init__(function.__name__, edges)
        self.function, self.ctx = function, ctx

    def parents(self):
        return [parent for parent, _ in self.edges or () if parent]

    def gradients(self, g):
        self.check_alive()
        with no_grad():
            results = self.function.backward(self.ctx, wrap(g))
        results = results if isinstance(results, tuple) else (results,)
        if len(results) != len(self.edges):
            counts = f"{len(results)} gradients for {len(self.edges)} inputs"
            raise RuntimeError(f"{self.op}.backward returned {counts}")
        for (parent, shape), d in zip(self.edges, results, strict=True):
            if parent and (d is None or d.shape != shape):
                came = "None" if d is None else f"shape {d.shape}"
                raise RuntimeError(f"{self.op}.backward returned {came} for an input of shape {shape}")
            if parent:
                yield parent, d.array.copy()


class Function:
    """An operation with a gradient of your own: static methods `forward(ctx, *args)` and `backward(ctx, g)`.

    Both work on Tensors; forward returns one Tensor, backward one gradient per argument (None for those
    that need none). Call it as `YourFunction.apply(*args)`.
    """

    @staticmethod
    def forward(ctx, *args):
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx, g):
        raise NotImplementedError("a Function needs a static method backward(ctx, g)")

    @classmethod
    def apply(cls, *args):
        needs = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        ctx = Context(needs)
        with no_grad():
            result = wrap(cls.forward(ctx, *args).array)
        if here.enabled and any(needs):
            parents = [node_of(a) if need else None for a, need in zip(args, needs, strict=True)]
            edges = [(parent, getattr(a, "shape", None)) for parent, a in zip(parents, args, strict=True)]
            result.requires_grad, result.node = True, FunctionNode(cls, ctx, edges)
        return result
