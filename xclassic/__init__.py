"""Extreme multi-label classification with compiled kernels and a scikit-learn interface.

``__init__.pyi`` lists the public names. They are imported when they are first used, so that ``import xclassic`` costs
next to nothing.
"""

import lazy_loader

from xclassic._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
