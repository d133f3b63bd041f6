"""Forests over points: the tree, its growth, and the methods built on them."""

from xclassic.instance_tree.tree import InstanceTree

__all__ = ["InstanceTree"]
