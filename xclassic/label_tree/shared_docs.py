"""The shared entries of the docstrings of the label-tree methods."""

from __future__ import annotations

from xclassic import shared_docs

PARAMETERS = shared_docs.PARAMETERS | {
    "n_trees": """int, default={}
        Trees, whose scores are averaged. They differ in the random start of the grouping.""",
    "tree": """LabelTree or sequence of them, optional
        Take these trees, such as a catalog, instead of grouping labels; `n_trees` is then their number. Every label
        with a row must be in each. A saved model keeps its trees, not this parameter.""",
    "beam": """int or None, default={}
        Nodes kept on each level of a search. More is a little more accurate and slower; None gives the exactly best
        labels, of one tree by best-first search, of several by looking at all nodes.""",
    "loss": """{{"squared_hinge", "logistic", "least_squares"}}, default={}
        What is fitted for the children of a node: independent binary classifiers, or ridge regressions by block
        conjugate gradients.""",
    "C": """float, default={}
        Cost of an error, above 0. Larger fits the training rows more closely; for least squares it is the ridge
        penalty, and larger fits less closely.""",
    "eps": """float, default={}
        Precision at which the training of a child ends: its duality gap as a share of :math:`\\|w\\|^2 / 2`; for least
        squares the relative residual.""",
    "max_passes": """int, default={}
        Passes over the rows of a node after which the training of a child ends in any case.""",
    "weight_dtype": """{{"float32", "float16", "int8"}}, default={}
        How weights are stored. "float16" predicts the same but for the order of near ties; "int8" loses a little more
        and makes the smallest model.""",
    "random_state": """int or None, default={}
        Seed of the grouping and of the order of rows; None takes a new one each time.""",
}

NOTES = """Labels without a training row are never predicted; rows without labels are not trained on. A node whose rows
    all belong to one child is a constant. Scores lie in [0, 1].

    In ``fit``, ``sample_weight`` multiplies the cost of a row in every node, and the row in label vectors by which
    labels are grouped. With ``relevance`` a row counts in a node as much as the most relevant of its labels under the
    node, and each child is told its share of that. ``label_weight`` multiplies the cost of all rows in the model of the
    label itself, as a C of its own would, and leaves the nodes above as they are. ``loss="least_squares"`` takes
    ``sample_weight`` alone.

    Cost: each row is trained on in the nodes that its labels pass, ``O(log L)`` of them. Memory: the label vectors, a
    copy of the rows of one node for each worker (of a map of `datasets.open_matrix` at most 16 bytes for each row and
    feature), and the finished model."""
