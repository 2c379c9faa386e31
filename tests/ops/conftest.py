"""How the property tests draw: always the same examples, and no deadline, because machines are shared."""

import sys

from hypothesis import settings

if sys.platform != "emscripten":  # inside Pyodide the runner chooses fewer examples
    settings.register_profile("tinytorch", deadline=None, max_examples=40, derandomize=True, database=None)
    settings.load_profile("tinytorch")
