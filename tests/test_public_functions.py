"""Public functions that take matrices or rankings: the result is right, or an error says why there is none."""

import ast
import inspect
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import (
    bsr_array,
    coo_array,
    csc_array,
    csr_array,
    csr_matrix,
    dia_array,
    dok_array,
    issparse,
    lil_array,
)

import xclassic
from xclassic import (
    KNN,
    DiSMEC,
    FastXML,
    LabelHierarchy,
    LabelTree,
    TailReranker,
    TopK,
    XReg,
    datasets,
    features,
    instance_tree,
    label_tree,
    metrics,
)

RANDOM = np.random.default_rng(0)
X = csr_array((RANDOM.integers(1, 9, (12, 6)) * (RANDOM.random((12, 6)) < 0.5) / 8).astype(np.float32))
Y = csr_array(np.vstack([np.eye(5), RANDOM.random((7, 5)) < 0.4]).astype(np.float32))
SCORES = csr_array((1 + RANDOM.permutation(60).reshape(12, 5) / 64).astype(np.float32))
SIMILARITY = csr_array(Y.T @ Y)
TOP = TopK.from_csr(SCORES, 3)
COUNTS = np.array([4, 5, 1, 7, 9])
ROW = X[:1]
HIERARCHY = LabelHierarchy.from_paths(["a > 1", "a > 2", "b > 1", "b > 2", "c > 1"])
TREE = LabelTree.from_codes([(0, 0), (0, 1), (1, 0), (1, 1), (2,)])
CODES = TREE.codes()


@cache
def linear():
    return DiSMEC().fit(X, Y)


@cache
def forest():
    return FastXML(n_trees=2, max_leaf=2).fit(X, Y)


@cache
def tail():
    return TailReranker().fit(X, Y)


def reported(truth, top, folder):
    xclassic.write_report(folder / "report.html", truth, top, label_names=list("abcde"), ks=(1, 3))
    return (folder / "report.html").read_text("utf-8")


# For each parameter the call that passes it, and what is passed. A call may take a folder too.
MATRICES = {
    "XMCClassifier.fit X": (lambda m: KNN(4).fit(m, Y).predict_topk(X), X),
    "XMCClassifier.fit y": (lambda m: DiSMEC().fit(X, m).predict_topk(X), Y),
    "XMCClassifier.estimate_memory X": (lambda m: [DiSMEC().estimate_memory(m, Y) > 0], X),
    "XMCClassifier.estimate_memory y": (lambda m: [DiSMEC().estimate_memory(X, m) > 0], Y),
    "XMCClassifier.predict_topk X": (lambda m: linear().predict_topk(m), X),
    "XMCClassifier.decision_function X": (lambda m: linear().decision_function(m), X),
    "XMCClassifier.predict X": (lambda m: linear().predict(m), X),
    "XMCClassifier.score X": (lambda m: linear().score(m, Y), X),
    "XMCClassifier.score y": (lambda m: linear().score(X, m), Y),
    "XReg.fit X": (lambda m: XReg(max_leaf=2).fit(m, Y).predict_topk(X), X),
    "XReg.fit y": (lambda m: XReg(max_leaf=2).fit(X, m).predict_topk(X), Y),
    "ForestClassifier.add_trees X": (lambda m: FastXML(n_trees=1).fit(X, Y).add_trees(1, m, Y).predict_topk(X), X),
    "ForestClassifier.add_trees y": (lambda m: FastXML(n_trees=1).fit(X, Y).add_trees(1, X, m).predict_topk(X), Y),
    "ForestClassifier.partial_fit X": (lambda m: FastXML(n_trees=1).fit(X, Y).partial_fit(m, Y).predict_topk(X), X),
    "ForestClassifier.partial_fit y": (lambda m: FastXML(n_trees=1).fit(X, Y).partial_fit(X, m).predict_topk(X), Y),
    "predict_topk X": (lambda m: xclassic.predict_topk(linear(), m), X),
    "explain X": (lambda m: [xclassic.explain(linear(), m, 1).score], ROW),
    "ExplainableClassifier.explain X": (lambda m: [linear().explain(m, 1).score], ROW),
    "TailReranker.fit X": (lambda m: TailReranker().fit(m, Y).centroids_, X),
    "TailReranker.fit y": (lambda m: TailReranker().fit(X, m).centroids_, Y),
    "TailReranker.rerank X": (lambda m: tail().rerank(m, TOP.above(0.1)), X),
    "InstanceTree.leaf_of X": (lambda m: forest().trees_[0].leaf_of(m), X),
    "BlockWeights.topk X": (lambda m: linear().weights_.topk(m, 3), X),
    "LabelTree.node_targets Y": (lambda m: TREE.node_targets(m), Y),
    "LabelHierarchy.truth Y": (lambda m: HIERARCHY.truth(m, "L0"), Y),
    "LabelHierarchy.evaluate_levels Y_true": (lambda m: list(HIERARCHY.evaluate_levels(m, TOP)["L0"].values()), Y),
    "TopK.from_csr scores": (lambda m: TopK.from_csr(m, 3), SCORES),
    "TopK.from_dense scores": (lambda m: TopK.from_dense(m, 3), SCORES),
    "agglomerate similarity": (lambda m: label_tree.agglomerate(m), SIMILARITY),
    "cooccurrence_tree Y": (lambda m: label_tree.cooccurrence_tree(m).codes(), Y),
    "cooccurrence_tree vectors": (
        lambda m: label_tree.cooccurrence_tree(Y, m, distance="pifa").codes(),
        label_tree.label_vectors(X, Y),
    ),
    "kmeans_tree vectors": (lambda m: label_tree.kmeans_tree(m, branching=2, max_leaf=2).codes(), X),
    "label_vectors X": (lambda m: label_tree.label_vectors(m, Y), X),
    "label_vectors Y": (lambda m: label_tree.label_vectors(X, m, view="both"), Y),
    "stratified_split Y": (lambda m: datasets.stratified_split(m, random_state=0), Y),
    "Autoencoder.fit X": (lambda m: features.Autoencoder(2, epochs=0).fit(m).transform(X), X),
    "Autoencoder.transform X": (lambda m: encoder().transform(m), X),
    "Autoencoder.reconstruction_error X": (lambda m: encoder().reconstruction_error(m), X),
    "Autoencoder.inverse_transform X": (lambda m: encoder().inverse_transform(m), X[:, :2]),
    "FourierFeatures.fit X": (lambda m: features.FourierFeatures(8, gamma=1.0).fit(m).transform(X), X),
    "FourierFeatures.transform X": (lambda m: features.FourierFeatures(8, gamma=1.0).fit(X).transform(m), X),
    "evaluate Y_true": (lambda m: list(metrics.evaluate(m, TOP, ks=(1, 3)).values()), Y),
    "evaluate top": (lambda m: list(metrics.evaluate(Y, m, ks=(1, 3)).values()), SCORES),
    "evaluate_sets Y_true": (lambda m: list(metrics.evaluate_sets(m, Y).values()), Y),
    "evaluate_sets Y_pred": (lambda m: list(metrics.evaluate_sets(Y, m).values()), Y),
    "prefix_credit Y_true": (lambda m: metrics.prefix_credit(m, TOP, CODES, k=3), Y),
    "prefix_credit top": (lambda m: metrics.prefix_credit(Y, m, CODES, k=3), SCORES),
    "r_precision Y_true": (lambda m: metrics.r_precision(m, SCORES), Y),
    "r_precision top": (lambda m: metrics.r_precision(Y, m), SCORES),
    "write_report Y_true": (lambda m, folder: reported(m, SCORES, folder), Y),
    "write_report top": (lambda m, folder: reported(Y, m, folder), SCORES),
}
RANKINGS = {
    "blend_topk tops": lambda top: xclassic.blend_topk([TOP, top], [1, 2], 3, 5),
    "TailReranker.rerank top": lambda top: tail().rerank(X, top),
    "LabelHierarchy.expand top": lambda top: HIERARCHY.expand(top, "L0"),
    "LabelHierarchy.evaluate_levels top": lambda top: list(HIERARCHY.evaluate_levels(Y, top)["L0"].values()),
    "evaluate top": lambda top: list(metrics.evaluate(Y, top, ks=(1, 3)).values()),
    "evaluate_sets Y_pred": lambda top: list(metrics.evaluate_sets(Y, top).values()),
    "prefix_credit top": lambda top: metrics.prefix_credit(Y, top, CODES, k=3),
    "write_report top": lambda top, folder: reported(Y, top, folder),
    "TopK.to_csr": lambda top: top.to_csr(5),
    "TopK.named": lambda top: [str(top.named("abcde"))],
}
for name in ("precision", "recall", "ndcg", "hit", "coverage"):
    metric = getattr(metrics, f"{name}_at_k")
    MATRICES[f"{name}_at_k Y_true"] = (lambda m, metric=metric: metric(m, TOP, 2), Y)
    MATRICES[f"{name}_at_k top"] = (lambda m, metric=metric: metric(Y, m, 2), SCORES)
    RANKINGS[f"{name}_at_k top"] = lambda top, metric=metric: metric(Y, top, 2)
for metric in (metrics.psp_at_k, metrics.psndcg_at_k):
    MATRICES[f"{metric.__name__} Y_true"] = (lambda m, metric=metric: metric(m, TOP, 2, COUNTS / 10), Y)
    MATRICES[f"{metric.__name__} top"] = (lambda m, metric=metric: metric(Y, m, 2, COUNTS / 10), SCORES)
    RANKINGS[f"{metric.__name__} top"] = lambda top, metric=metric: metric(Y, top, 2, COUNTS / 10)
for metric in (metrics.accuracy, metrics.f1, metrics.precision, metrics.recall, metrics.subset_accuracy):
    MATRICES[f"{metric.__name__} Y_true"] = (lambda m, metric=metric: metric(m, Y), Y)
    MATRICES[f"{metric.__name__} Y_pred"] = (lambda m, metric=metric: metric(Y, m), Y)
    RANKINGS[f"{metric.__name__} Y_pred"] = lambda top, metric=metric: metric(Y, top)

BELONGS_TO_OTHERS = {  # their own tests cover what they take for a matrix: texts, records, tables
    "T5Classifier", "FieldsClassifier", "BertEncoder", "TextFeatures", "write_xmc",
}  # fmt: skip
TAKE_VECTORS = {"explain X", "ExplainableClassifier.explain X", "stratified_split Y"}
# Parameters that hold matrices or rankings.
NAMED = {"X", "y", "Y", "Y_true", "Y_pred", "top", "tops", "vectors", "similarity", "scores"}


@cache
def encoder():
    return features.Autoencoder(2, epochs=0).fit(X)


def public_functions():
    """Return (name, function) of the public functions, and of the public methods of the public classes."""
    stub = ast.parse(Path(xclassic.__file__).with_name("__init__.pyi").read_text()).body
    found = [
        getattr(xclassic, alias.asname) for node in stub if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    found += [
        getattr(module, name)
        for module in (datasets, features, instance_tree, label_tree, metrics)
        for name in module.__all__
    ]
    for thing in found:
        if inspect.isfunction(thing):
            yield thing.__name__, thing
        for owner in inspect.getmro(thing) if inspect.isclass(thing) else ():
            if owner.__module__.startswith("xclassic."):
                for name, method in vars(owner).items():
                    method = getattr(method, "__func__", method)
                    if (
                        inspect.isfunction(method)
                        and not name.startswith("_")
                        and owner.__name__ not in BELONGS_TO_OTHERS
                    ):
                        yield f"{owner.__name__}.{name}", method


def test_every_matrix_of_a_public_function_is_looked_at():
    found = {
        f"{name} {parameter}"
        for name, function in public_functions()
        for parameter in inspect.signature(function).parameters
        if parameter in NAMED and name not in BELONGS_TO_OTHERS
    }
    unread = {"Autoencoder.fit y", "FourierFeatures.fit y"}  # for pipelines
    assert found - unread - MATRICES.keys() - RANKINGS.keys() == set()


def with_parts(matrix, data=None, indices=None, indptr=None):
    """Return the matrix with other arrays, which no constructor looks at."""
    made = matrix.copy()
    made.data, made.indices, made.indptr = (
        old.copy() if new is None else np.asarray(new)
        for new, old in zip((data, indices, indptr), (matrix.data, matrix.indices, matrix.indptr), strict=True)
    )
    return made


def replaced(array, place, value):
    made = array.copy()
    made[place] = value
    return made


def backwards(m):
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(m.indptr[:-1], m.indptr[1:], strict=True)])
    return with_parts(m, m.data[order], m.indices[order])


FORMS = {  # the same matrix
    "csr_matrix": csr_matrix,
    "csc": csc_array,
    "coo": coo_array,
    "bsr": bsr_array,
    "dia": dia_array,
    "dok": dok_array,
    "lil": lil_array,
    "float64": lambda m: m.astype(np.float64),
    "int64": lambda m: with_parts(m, indices=m.indices.astype(np.int64), indptr=m.indptr.astype(np.int64)),
    "unsorted": backwards,
    "stored twice": lambda m: with_parts(m, np.repeat(m.data / 2, 2), np.repeat(m.indices, 2), m.indptr * 2),
    "stored zeros": lambda m: m if m.nnz == np.prod(m.shape) else with_zeros(m),
    "dense": lambda m: m.toarray(),
    "dense float64": lambda m: m.toarray().astype(np.float64),
    "Fortran": lambda m: np.asfortranarray(m.toarray()),
    "objects": lambda m: m.toarray().astype(object),
    "lists": lambda m: m.toarray().tolist(),
}  # fmt: skip
BROKEN = {  # no matrix at all
    "column too large": lambda m: with_parts(m, indices=replaced(m.indices, 0, m.shape[1])),
    "column far too large": lambda m: with_parts(m, indices=replaced(m.indices, 0, 2**31 - 1)),
    "column below zero": lambda m: with_parts(m, indices=replaced(m.indices, 0, -1)),
    "column far below zero": lambda m: with_parts(m, indices=replaced(m.indices, 0, -(2**31))),
    "row of csc too large": lambda m: with_parts(csc_array(m), indices=replaced(csc_array(m).indices, 0, 2**31 - 1)),
    "row of csc below zero": lambda m: with_parts(csc_array(m), indices=replaced(csc_array(m).indices, 0, -9)),
    "row of coo too large": lambda m: with_coordinate(m, 2**31 - 1),
    "row of coo below zero": lambda m: with_coordinate(m, -9),
    "pointers descend": lambda m: with_parts(m, indptr=replaced(m.indptr, 0 if m.shape[0] == 1 else 1, 10**8)),
    "pointers too long": lambda m: with_parts(m, indptr=replaced(m.indptr, -1, 10**8)),
    "pointers below zero": lambda m: with_parts(m, indptr=replaced(m.indptr, 0, -5)),
    "one dimension": lambda m: m.toarray().ravel(),
    "one sparse dimension": lambda m: coo_array(m.toarray().ravel()),
    "three dimensions": lambda m: m.toarray()[None],
    "a number": lambda m: 3.0,
    "nothing": lambda m: None,
    "complex": lambda m: m.toarray() * (1 + 1j),
    "complex and sparse": lambda m: m * (1 + 1j),
    "dates": lambda m: m.toarray().astype(np.int64).astype("M8[s]"),
    "NaN": lambda m: replaced(m.toarray(), (0, 0), np.nan),
    "sparse NaN": lambda m: with_parts(m, replaced(m.data, 0, np.nan)),
}  # fmt: skip
ODD = {  # right or refused, which depends on the function
    "narrower": lambda m: m[:, :-1],
    "wider": lambda m: csr_array((m.data, m.indices, m.indptr), shape=(m.shape[0], m.shape[1] + 1)),
    "without columns": lambda m: m[:, :0],
    "without rows": lambda m: m[:0],
    "one row fewer": lambda m: m[:-1],
    "infinite": lambda m: replaced(m.toarray(), (0, 0), np.inf),
    "huge": lambda m: m.astype(np.float64) * 1e300,
    "negative": lambda m: -m,
    "texts": lambda m: m.toarray().astype(str),
    "ragged": lambda m: [[1.0, 0.0], [1.0]],
    "objects": lambda m: np.full(m.shape, None),
    "wraps around": lambda m: with_parts(m, np.full(2 * m.nnz, 128, np.uint8), np.repeat(m.indices, 2), m.indptr * 2),
}  # fmt: skip


def with_zeros(matrix):
    dense = matrix.toarray()
    dense[dense == 0] = np.nan
    made = csr_array(dense)
    made.data[np.isnan(made.data)] = 0
    return made


def with_coordinate(matrix, row):
    made = coo_array(matrix)
    made.coords[0][0] = row
    return made


def call(function, value, folder):
    if len(inspect.signature(function).parameters) == 2 and "folder" in inspect.signature(function).parameters:
        return function(value, folder)
    return function(value)


def assert_same(found, expected):
    if issparse(found) or issparse(expected):
        found, expected = (m.toarray() if issparse(m) else m for m in (found, expected))
    if isinstance(expected, (TopK, list, tuple)):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, str):
        assert found == expected
    else:
        np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MATRICES)
def test_form_of_a_matrix_does_not_change_the_result(name, form, tmp_path):
    function, matrix = MATRICES[name]
    given = FORMS[form](matrix)
    try:
        found = call(function, given, tmp_path)
    except (ValueError, TypeError):
        assert form in ("stored twice", "objects", "stored zeros") or (name, issparse(given)) == (
            "TopK.from_dense scores",
            True,
        )
        return
    assert_same(found, call(function, matrix.toarray() if name == "TopK.from_dense scores" else matrix, tmp_path))


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("name", [name for name in MATRICES if "estimate_memory" not in name])  # reads shapes alone
def test_what_is_no_matrix_is_refused(name, fault, tmp_path):
    function, matrix = MATRICES[name]
    if "one" in fault and name in TAKE_VECTORS:
        pytest.skip("takes a vector too")
    with pytest.raises((ValueError, TypeError)):
        call(function, BROKEN[fault](matrix), tmp_path)


@pytest.mark.parametrize("oddity", ODD)
@pytest.mark.parametrize("name", MATRICES)
def test_odd_matrix_is_read_or_refused(name, oddity, tmp_path):
    function, matrix = MATRICES[name]
    with suppress(ValueError, TypeError):
        call(function, ODD[oddity](matrix), tmp_path)


BAD_RANKINGS = {
    "too many": {"counts": replaced(TOP.counts, 0, 4)},
    "far too many": {"counts": replaced(TOP.counts, 0, 10**9)},
    "fewer than none": {"counts": replaced(TOP.counts, 0, -1)},
    "right in sum": {"counts": np.r_[10**9, 6 - 10**9, TOP.counts[2:]].astype(np.int32)},
    "counts for fewer rows": {"counts": TOP.counts[:-1]},
    "no counts": {"counts": None},
    "fractions": {"counts": TOP.counts.astype(np.float32)},
    "unknown label": {"ids": replaced(TOP.ids, (0, 0), 5)},
    "far from any label": {"ids": replaced(TOP.ids, (0, 0), 2**31 - 1)},
    "no label": {"ids": replaced(TOP.ids, (0, 0), -1)},
    "far below any label": {"ids": replaced(TOP.ids, (0, 0), -2_000_000_000)},
    "a label twice": {"ids": replaced(TOP.ids, 0, [2, 1, 2])},
    "ids of fewer slots": {"ids": TOP.ids[:, :-1]},
    "ids that are scores": {"ids": TOP.scores},
    "ids that are texts": {"ids": TOP.ids.astype(str)},
    "scores of fewer rows": {"scores": TOP.scores[:-1]},
    "complex scores": {"scores": TOP.scores * 1j},
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_RANKINGS)
@pytest.mark.parametrize("name", RANKINGS)
def test_ranking_that_is_none_is_refused(name, fault, tmp_path):
    if fault == "a label twice" and name == "TopK.named":
        pytest.skip("shows what is there")
    with pytest.raises((ValueError, TypeError)):
        call(RANKINGS[name], TOP._replace(**BAD_RANKINGS[fault]), tmp_path)


@pytest.mark.parametrize("name", RANKINGS)
def test_ranking_of_wider_integers_is_read(name, tmp_path):
    scored = TOP.above(0.1)
    wide = TopK(
        np.where(scored.filled(), scored.ids, 10**12), scored.scores.astype(np.float64), scored.counts.astype(np.int64)
    )
    assert_same(call(RANKINGS[name], wide, tmp_path), call(RANKINGS[name], scored, tmp_path))
