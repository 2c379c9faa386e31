"""`tito`, the command line of TinyTorch. From a clone: `python tito.py`; installed: `tito`.

The tool itself runs on the reference's modules, so that it works whatever state the reader's are in; it
hands the reader's workspace to the processes that run the reader's code.
"""

import os

VARIABLE = "TINYTORCH_WORKSPACE"


def main() -> None:
    asked = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "off"
    try:
        import tinytorch.core  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise SystemExit(
            "TinyTorch runs on NumPy, and this Python has none: python -m pip install numpy"
        ) from None
    if asked is None:
        del os.environ[VARIABLE]
    else:
        os.environ[VARIABLE] = asked
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ModuleNotFoundError as error:
        raise SystemExit(f"tito needs {error.name}: python -m pip install 'tinytorch[cli]'") from None
    from tinytorch.tito.cli import run

    run()


if __name__ == "__main__":
    main()
