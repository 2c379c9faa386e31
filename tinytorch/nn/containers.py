"""Containers beyond those of core module 03."""

from ..core.layers import Module, Parameter


class ParameterList(Module):
    """Parameters in a row; a Tensor that is added becomes a Parameter."""

    def __init__(self, values=()):
        super().__init__()
        self.extend(values)

    def append(self, value):
        """Add a parameter at the end. Returns this container."""
        self.register_parameter(str(len(self)), value if isinstance(value, Parameter) else Parameter(value))
        return self

    def extend(self, values):
        """Add parameters at the end. Returns this container."""
        for value in values:
            self.append(value)
        return self

    def __len__(self):
        return len(self._parameters)

    def __iter__(self):
        return iter(self._parameters.values())

    def __getitem__(self, index):
        """A parameter by its position, or a ParameterList by a slice."""
        found = list(self)[index]
        return ParameterList(found) if isinstance(index, slice) else found

    def __setitem__(self, index, value):
        name = list(self._parameters)[index]
        self.register_parameter(name, value if isinstance(value, Parameter) else Parameter(value))

    def extra_repr(self):
        return "\n".join(f"({name}): Parameter {p.shape}, {p.dtype}" for name, p in self._parameters.items())
