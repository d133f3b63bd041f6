"""Label trees: how labels are grouped, what is fitted in the nodes, and the search for the best labels."""

from xclassic.label_tree.agglomeration import agglomerate, cooccurrence_tree
from xclassic.label_tree.partition import huffman_tree, kmeans_tree, random_tree
from xclassic.linalg.label_vectors import label_vectors

__all__ = ["agglomerate", "cooccurrence_tree", "huffman_tree", "kmeans_tree", "label_vectors", "random_tree"]
