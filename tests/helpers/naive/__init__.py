"""Slow twins: what the package computes, written the obvious way."""
