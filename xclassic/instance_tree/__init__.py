"""Forests over points: the tree, how it grows, and the methods made of them."""

from xclassic.instance_tree.tree import InstanceTree

__all__ = ["InstanceTree"]
