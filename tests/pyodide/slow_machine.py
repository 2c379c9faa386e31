"""pytest plugin for Pyodide: WebAssembly runs Python some times slower, so properties get fewer examples."""

from hypothesis import settings

settings.register_profile("pyodide", deadline=None, max_examples=10, derandomize=True, database=None)
settings.load_profile("pyodide")
