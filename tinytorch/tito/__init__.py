"""`tito`: the journey at the command line. A thin face of tinytorch.journey; tito.py starts it."""
