"""The command line as a module: ``python -m xclassic`` is the same as ``xclassic``."""

from xclassic.cli import app

app()
