"""Names in PyTorch's shape: `tinytorch.cuda`. The GPU is CuPy's, an optional extra: tinytorch[gpu]."""


def device_count():
    """How many GPUs CuPy sees; 0 without CuPy or without a driver."""
    try:
        import cupy
    except ImportError:
        return 0
    try:
        return cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        return 0


def is_available():
    """Can a tensor move to the device "cuda" here?"""
    return device_count() > 0


def synchronize():
    """Wait until the GPU has done all that it was given."""
    if is_available():
        import cupy

        cupy.cuda.get_current_stream().synchronize()
