"""Activation functions as modules, so that they can stand in a Sequential.

`inplace` is taken as PyTorch takes it and changes nothing: the result is a new tensor either way.
"""

from ..core import activations
from ..core.layers import Module, Parameter
from ..core.tensor import float32
from ..ops import nonlinear
from ..ops.creation import full


class InPlace(Module):
    """An activation whose only setting is `inplace`."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""


class ReLU(InPlace):
    """max(x, 0)."""

    def forward(self, input):
        return activations.relu(input)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope * x."""

    def __init__(self, negative_slope=0.01, inplace=False):
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input):
        return activations.leaky_relu(input, self.negative_slope)

    def extra_repr(self):
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, input):
        return activations.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input):
        return activations.tanh(input)


class SiLU(InPlace):
    """x * sigmoid(x)."""

    def forward(self, input):
        return activations.silu(input)


class GELU(Module):
    """x * Phi(x); approximate="tanh" for the faster form."""

    def __init__(self, approximate="none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, input):
        return activations.gelu(input, self.approximate)

    def extra_repr(self):
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(beta * x)) / beta; x itself where beta * x > threshold."""

    def __init__(self, beta=1.0, threshold=20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input):
        return activations.softplus(input, self.beta, self.threshold)

    def extra_repr(self):
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Module):
    """Probabilities along `dim`."""

    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, input):
        return activations.softmax(input, self.dim)

    def extra_repr(self):
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """Log-probabilities along `dim`."""

    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, input):
        return activations.log_softmax(input, self.dim)

    def extra_repr(self):
        return f"dim={self.dim}"


# Those of ops.nonlinear.


class ELU(Module):
    """x where x > 0, else alpha * (exp(x) - 1)."""

    def __init__(self, alpha=1.0, inplace=False):
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input):
        return nonlinear.elu(input, self.alpha)

    def extra_repr(self):
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class SELU(InPlace):
    """ELU, scaled so that deep networks keep mean 0 and variance 1."""

    def forward(self, input):
        return nonlinear.selu(input)


class Hardtanh(Module):
    """x, held between min_val and max_val."""

    def __init__(self, min_val=-1.0, max_val=1.0, inplace=False):
        super().__init__()
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input):
        return nonlinear.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self):
        shown = f"min_val={self.min_val}, max_val={self.max_val}"
        return shown + (", inplace=True" if self.inplace else "")


class ReLU6(InPlace):
    """min(max(x, 0), 6)."""

    def forward(self, input):
        return nonlinear.relu6(input)


class Hardsigmoid(InPlace):
    """relu6(x + 3) / 6."""

    def forward(self, input):
        return nonlinear.hardsigmoid(input)


class Hardswish(InPlace):
    """x * hardsigmoid(x)."""

    def forward(self, input):
        return nonlinear.hardswish(input)


class Mish(InPlace):
    """x * tanh(softplus(x))."""

    def forward(self, input):
        return nonlinear.mish(input)


class LogSigmoid(Module):
    """The logarithm of sigmoid."""

    def forward(self, input):
        return nonlinear.logsigmoid(input)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, input):
        return nonlinear.softsign(input)


class Softmin(Module):
    """softmax(-x) along `dim`."""

    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, input):
        return nonlinear.softmin(input, self.dim)

    def extra_repr(self):
        return f"dim={self.dim}"


class GLU(Module):
    """a * sigmoid(b) for the halves a, b of `dim`."""

    def __init__(self, dim=-1):
        super().__init__()
        self.dim = dim

    def forward(self, input):
        return nonlinear.glu(input, self.dim)

    def extra_repr(self):
        return f"dim={self.dim}"


class PReLU(Module):
    """x where x > 0, else weight * x with a learned weight for all (num_parameters=1) or for each channel."""

    def __init__(self, num_parameters=1, init=0.25, device=None, dtype=None):
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init, dtype=dtype or float32, device=device))

    def forward(self, input):
        return nonlinear.prelu(input, self.weight)

    def extra_repr(self):
        return f"num_parameters={self.num_parameters}"
