"""Fits in pieces: shards that run apart, fits that go on after a failure, and clusters."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
