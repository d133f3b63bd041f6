"""Calls of the public functions that take matrices or rankings, each with what is passed to it."""

import inspect
from functools import cache
from tempfile import TemporaryDirectory

import numpy as np
from scipy.sparse import csr_array

import xclassic
from xclassic import (
    KNN,
    M3L,
    AutoXMC,
    Blend,
    Calibrated,
    ConceptGraph,
    DiSMEC,
    FastXML,
    LabelAugmentation,
    LabelHierarchy,
    LabelTree,
    NearestCentroid,
    Parabel,
    Popularity,
    SwiftXML,
    TailReranker,
    TopK,
    XReg,
    datasets,
    distributed,
    features,
    label_tree,
    metrics,
    tune,
)

RANDOM = np.random.default_rng(0)
X = csr_array((RANDOM.integers(1, 9, (12, 6)) * (RANDOM.random((12, 6)) < 0.5) / 8).astype(np.float32))
Y = csr_array(np.vstack([np.eye(5), RANDOM.random((7, 5)) < 0.4]).astype(np.float32))
NONE, REVEALED = csr_array(Y.shape, dtype=np.float32), datasets.reveal_labels(Y, random_state=0)[0]
SCORES = csr_array((0.5 + RANDOM.permutation(60).reshape(12, 5) / 128).astype(np.float32))
SIMILARITY = csr_array(Y.T @ Y)
TOP = TopK.from_csr(SCORES, 3)
COUNTS = np.array([4, 5, 1, 7, 9])
ROW, ROWS = X[:1], X
HIERARCHY = LabelHierarchy.from_paths(["a > 1", "a > 2", "b > 1", "b > 2", "c > 1"])
GRAPH = ConceptGraph({"a": (), "b": (), "c": ("a", "b"), "d": ("b",), "e": ("c", "d")})
TREE = LabelTree.from_codes([(0, 0), (0, 1), (1, 0), (1, 1), (2,)])
CODES = TREE.codes()


@cache
def linear():
    return DiSMEC().fit(X, Y)


@cache
def forest():
    return FastXML(n_trees=2, max_leaf=2).fit(X, Y)


@cache
def blended():
    return Blend([("one", DiSMEC()), ("other", KNN(4))])


@cache
def automatic():
    return AutoXMC(members=[("one", KNN(4))], n_trials=1)


@cache
def calibrated():
    return Calibrated(DiSMEC(), cv=2).fit(X, Y)


@cache
def thresholds():
    return xclassic.choose_thresholds(Y, TOP, strategy="label")


def swift():
    return SwiftXML(n_trees=1, max_leaf=2).fit(X, Y)


@cache
def tail():
    return TailReranker().fit(X, Y)


@cache
def augmented():
    return LabelAugmentation().fit(X, Y)


def centroids():
    return NearestCentroid().fit(X, Y)


def grown(X_known=X, y_known=Y):
    return centroids().partial_fit(X, Y, X_known=X_known, y_known=y_known).predict_topk(X)


def reported(truth, top, folder):
    xclassic.write_report(folder / "report.html", truth, top, label_names=list("abcde"), ks=(1, 3))
    return (folder / "report.html").read_text("utf-8")


@cache
def encoder():
    return features.Autoencoder(2, epochs=0).fit(X)


def poincare():
    return features.PoincareEmbedding(2, epochs=2)


def call(function, value, folder):
    if len(inspect.signature(function).parameters) == 2 and "folder" in inspect.signature(function).parameters:
        return function(value, folder)
    return function(value)


# For each parameter the call that passes it, and what is passed. A call may take a folder too.
def sharded(X, y):
    with TemporaryDirectory() as folder:
        return distributed.fit_shard(FastXML(n_trees=2), X, y, folder, shard=1, n_shards=1)


def joined(X, y):
    with TemporaryDirectory() as folder:
        distributed.fit_shard(FastXML(n_trees=2), X, y, folder, shard=1, n_shards=1)
        return distributed.join_shards(FastXML(n_trees=2), X, y, folder).predict_topk(ROWS)


def resumed(X, y):
    with TemporaryDirectory() as folder:
        return distributed.resume(FastXML(n_trees=2), X, y, folder).predict_topk(ROWS)


MATRICES = {
    "XMCClassifier.fit X": (lambda m: NearestCentroid().fit(m, Y).predict_topk(X), X),
    "XMCClassifier.fit y": (lambda m: Popularity().fit(X, m).predict_topk(X), Y),
    "TakesWeights.fit X": (lambda m: KNN(4).fit(m, Y, sample_weight=COUNTS[[0] * 6 + [1] * 6]).predict_topk(X), X),
    "TakesWeights.fit y": (lambda m: KNN(4).fit(X, m, sample_weight=COUNTS[[0] * 6 + [1] * 6]).predict_topk(X), Y),
    "XMCClassifier.estimate_memory X": (lambda m: [DiSMEC().estimate_memory(m, Y) > 0], X),
    "XMCClassifier.estimate_memory y": (lambda m: [DiSMEC().estimate_memory(X, m) > 0], Y),
    "XMCClassifier.predict_topk X": (lambda m: linear().predict_topk(m), X),
    "XMCClassifier.decision_function X": (lambda m: linear().decision_function(m), X),
    "XMCClassifier.predict X": (lambda m: linear().predict(m), X),
    "XMCClassifier.score X": (lambda m: linear().score(m, Y), X),
    "XMCClassifier.score y": (lambda m: linear().score(X, m), Y),
    "fit_shard X": (lambda m: sharded(m, Y), X),
    "fit_shard y": (lambda m: sharded(X, m), Y),
    "join_shards X": (lambda m: joined(m, Y), X),
    "join_shards y": (lambda m: joined(X, m), Y),
    "resume X": (lambda m: resumed(m, Y), X),
    "resume y": (lambda m: resumed(X, m), Y),
    "ForestClassifier.add_trees X": (lambda m: FastXML(n_trees=1).fit(X, Y).add_trees(1, m, Y).predict_topk(X), X),
    "ForestClassifier.add_trees y": (lambda m: FastXML(n_trees=1).fit(X, Y).add_trees(1, X, m).predict_topk(X), Y),
    "ChangingLabels.partial_fit X": (lambda m: FastXML(n_trees=1).fit(X, Y).partial_fit(m, Y).predict_topk(X), X),
    "ChangingLabels.partial_fit y": (lambda m: FastXML(n_trees=1).fit(X, Y).partial_fit(X, m).predict_topk(X), Y),
    "ChangingLabels.partial_fit X_known": (lambda m: grown(X_known=m), X),
    "ChangingLabels.partial_fit y_known": (lambda m: grown(y_known=m), Y),
    "ChangingLabels.add_labels X": (lambda m: centroids().add_labels(m, Y).predict_topk(X).scores, X),
    "ChangingLabels.add_labels Y_new": (lambda m: centroids().add_labels(X, m).predict_topk(X), Y),
    "ChangingLabels.add_labels Y": (lambda m: Parabel().fit(X, Y).add_labels(X, Y, Y=m).predict_topk(X), Y),
    "Reservoir.add X": (lambda m: datasets.Reservoir(2).add(m, Y).y, X),
    "Reservoir.add y": (lambda m: datasets.Reservoir(2).add(X, m).X, Y),
    "predict_topk X": (lambda m: xclassic.predict_topk(linear(), m), X),
    "predict_topk revealed": (lambda m: xclassic.predict_topk(swift(), X, revealed=m), REVEALED),
    "explain X": (lambda m: [xclassic.explain(linear(), m, 1).score], ROW),
    "ExplainableClassifier.explain X": (lambda m: [linear().explain(m, 1).score], ROW),
    "TailReranker.fit X": (lambda m: TailReranker().fit(m, Y).centroids_, X),
    "TailReranker.fit y": (lambda m: TailReranker().fit(X, m).centroids_, Y),
    "TailReranker.rerank X": (lambda m: tail().rerank(m, TOP.above(0.1)), X),
    "InstanceTree.leaf_of X": (lambda m: forest().trees_[0].leaf_of(m), X),
    "BlockWeights.topk X": (lambda m: linear().weights_.topk(m, 3), X),
    "LabelTree.node_targets Y": (lambda m: TREE.node_targets(m), Y),
    "LabelLevels.truth Y": (lambda m: GRAPH.truth(m, "L1"), Y),
    "LabelLevels.evaluate_levels Y_true": (lambda m: list(GRAPH.evaluate_levels(m, TOP)["L1"].values()), Y),
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
    "tune X": (lambda m: [tune(KNN(4), m, Y, "P@1", n_trials=2, n_splits=1).best_score], X),
    "tune Y": (lambda m: [tune(KNN(4), X, m, "P@1", n_trials=2, n_splits=1).best_score], Y),
    "stratified_kfold Y": (lambda m: datasets.stratified_kfold(m, 2, random_state=0), Y),
    "reveal_labels Y": (lambda m: datasets.reveal_labels(m, 0.5, random_state=0), Y),
    "check_held_out Y_true": (lambda m: [metrics.check_held_out(m, NONE) is None], Y),
    "check_held_out revealed": (lambda m: [metrics.check_held_out(NONE, m) is None], Y),
    "TopK.without labels": (lambda m: TOP.without(m), Y),
    "LabelAugmentation.fit X": (lambda m: LabelAugmentation(XReg(max_leaf=2, eps=1e-3)).fit(m, Y).predict_topk(X), X),
    "LabelAugmentation.fit y": (lambda m: LabelAugmentation(XReg(max_leaf=2, eps=1e-3)).fit(X, m).predict_topk(X), Y),
    "LabelAugmentation.predict_topk X": (lambda m: augmented().predict_topk(m), X),
    "augment_with_labels X": (lambda m: features.augment_with_labels(m, Y)[0], X),
    "augment_with_labels Y": (lambda m: features.augment_with_labels(X, m)[2], Y),
    "M3L.fit X": (lambda m: M3L().fit(m, Y).predict_topk(X), X),
    "M3L.fit y": (lambda m: M3L().fit(X, m).predict_topk(X), Y),
    "audit_labels X": (lambda m: xclassic.audit_labels(KNN(4), m, Y, n=3), X),
    "audit_labels Y": (lambda m: xclassic.audit_labels(KNN(4), X, m, n=3), Y),
    "AutoXMC.estimate_memory X": (lambda m: [automatic().estimate_memory(m, Y) > 0], X),
    "AutoXMC.estimate_memory y": (lambda m: [automatic().estimate_memory(X, m) > 0], Y),
    "OfMembers.explain X": (lambda m: [calibrated().explain(m, 1).score], ROW),
    "OfMembers.estimate_memory X": (lambda m: [blended().estimate_memory(m, Y) > 0], X),
    "OfMembers.estimate_memory y": (lambda m: [blended().estimate_memory(X, m) > 0], Y),
    "choose_thresholds Y": (lambda m: xclassic.choose_thresholds(m, TOP, strategy="one").values, Y),
    "choose_thresholds top": (lambda m: xclassic.choose_thresholds(Y, m, strategy="one").values, SCORES),
    "RevealedLabelsForest.fit X": (lambda m: SwiftXML(n_trees=1).fit(m, Y).predict_topk(X), X),
    "RevealedLabelsForest.fit y": (lambda m: SwiftXML(n_trees=1).fit(X, m).predict_topk(X), Y),
    "RevealedLabelsForest.add_trees X": (lambda m: swift().add_trees(1, m, Y).predict_topk(X), X),
    "RevealedLabelsForest.add_trees y": (lambda m: swift().add_trees(1, X, m).predict_topk(X), Y),
    "RevealedLabelsForest.partial_fit X": (lambda m: swift().partial_fit(m, Y).predict_topk(X), X),
    "RevealedLabelsForest.partial_fit y": (lambda m: swift().partial_fit(X, m).predict_topk(X), Y),
    "RevealedLabelsForest.predict_topk X": (lambda m: swift().predict_topk(m, revealed=REVEALED), X),
    "RevealedLabelsForest.decision_function X": (lambda m: swift().decision_function(m, revealed=REVEALED), X),
    "RevealedLabelsForest.predict X": (lambda m: swift().predict(m, revealed=REVEALED), X),
    "RevealedLabelsForest.score X": (lambda m: [swift().score(m, Y - REVEALED, revealed=REVEALED)], X),
    "RevealedLabelsForest.score y": (lambda m: [swift().score(X, m, revealed=NONE)], Y),
    "RevealedLabelsForest.fit revealed": (
        lambda m: SwiftXML(n_trees=1).fit(X, Y, m).predict_topk(X, revealed=REVEALED),
        REVEALED,
    ),
    "RevealedLabelsForest.add_trees revealed": (lambda m: swift().add_trees(1, X, Y, m).predict_topk(X), REVEALED),
    "RevealedLabelsForest.partial_fit revealed": (
        lambda m: swift().partial_fit(X, Y, revealed=m).predict_topk(X),
        REVEALED,
    ),
    "RevealedLabelsForest.predict_topk revealed": (lambda m: swift().predict_topk(X, revealed=m), REVEALED),
    "RevealedLabelsForest.decision_function revealed": (lambda m: swift().decision_function(X, revealed=m), REVEALED),
    "RevealedLabelsForest.predict revealed": (lambda m: swift().predict(X, revealed=m), REVEALED),
    "RevealedLabelsForest.score revealed": (lambda m: [swift().score(X, Y - REVEALED, revealed=m)], REVEALED),
    "Autoencoder.fit X": (lambda m: features.Autoencoder(2, epochs=0).fit(m).transform(X), X),
    "Autoencoder.transform X": (lambda m: encoder().transform(m), X),
    "Autoencoder.reconstruction_error X": (lambda m: encoder().reconstruction_error(m), X),
    "Autoencoder.inverse_transform X": (lambda m: encoder().inverse_transform(m), X[:, :2]),
    "FeatureAgglomeration.fit X": (lambda m: features.FeatureAgglomeration(2).fit(m, Y).transform(X), X),
    "FeatureAgglomeration.fit y": (lambda m: features.FeatureAgglomeration(2).fit(X, m).transform(X), Y),
    "FeatureAgglomeration.transform X": (lambda m: features.FeatureAgglomeration(2).fit(X, Y).transform(m), X),
    "FourierFeatures.fit X": (lambda m: features.FourierFeatures(8, gamma=1.0).fit(m).transform(X), X),
    "FourierFeatures.transform X": (lambda m: features.FourierFeatures(8, gamma=1.0).fit(X).transform(m), X),
    "PoincareEmbedding.fit X": (lambda m: poincare().fit(m).tangent_, SIMILARITY),
    "PoincareEmbedding.fit_transform X": (lambda m: poincare().fit_transform(m), SIMILARITY),
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
    "check_held_out top": lambda top: [metrics.check_held_out(Y, NONE, top) is None],
    "blend_topk tops": lambda top: xclassic.blend_topk([TOP, top], [1, 2], 3, 5),
    "choose_thresholds top": lambda top: xclassic.choose_thresholds(Y, top, strategy="one").values,
    "Thresholds.sets top": lambda top: thresholds().sets(top),
    "TailReranker.rerank top": lambda top: tail().rerank(X, top),
    "LabelLevels.deepest top": lambda top: [len(str(node)) for node in GRAPH.deepest(top)],
    "LabelLevels.expand top": lambda top: GRAPH.expand(top, "L1"),
    "LabelLevels.evaluate_levels top": lambda top: list(GRAPH.evaluate_levels(Y, top)["L1"].values()),
    "LabelHierarchy.deepest top": lambda top: [len(str(node)) for node in HIERARCHY.deepest(top)],
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
for metric in (metrics.expected_calibration_error, metrics.brier_score):
    MATRICES[f"{metric.__name__} Y_true"] = (lambda m, metric=metric: metric(m, TOP, 2), Y)
    MATRICES[f"{metric.__name__} top"] = (lambda m, metric=metric: metric(Y, m, 2), SCORES)
    RANKINGS[f"{metric.__name__} top"] = lambda top, metric=metric: metric(Y, top, 2)
for metric in (metrics.psp_at_k, metrics.psndcg_at_k):
    MATRICES[f"{metric.__name__} Y_true"] = (lambda m, metric=metric: metric(m, TOP, 2, COUNTS / 10), Y)
    MATRICES[f"{metric.__name__} top"] = (lambda m, metric=metric: metric(Y, m, 2, COUNTS / 10), SCORES)
    RANKINGS[f"{metric.__name__} top"] = lambda top, metric=metric: metric(Y, top, 2, COUNTS / 10)
for metric in (metrics.accuracy, metrics.f1, metrics.precision, metrics.recall, metrics.subset_accuracy):
    MATRICES[f"{metric.__name__} Y_true"] = (lambda m, metric=metric: metric(m, Y), Y)
    MATRICES[f"{metric.__name__} Y_pred"] = (lambda m, metric=metric: metric(Y, m), Y)
    RANKINGS[f"{metric.__name__} Y_pred"] = lambda top, metric=metric: metric(Y, top)
COUNTED = {  # what takes training rows of each label
    "huffman_tree counts": lambda v: label_tree.huffman_tree(v).codes(),
    "propensity label_counts": lambda v: metrics.propensity(v, 100),
    "label_groups train_counts": lambda v: list(metrics.label_groups(v).values()),
    "evaluate train_counts": lambda v: list(metrics.evaluate(Y, TOP, ks=(1,), train_counts=v).values()),
}
# Calls that take a vector where others take a matrix.
TAKE_VECTORS = {
    "reveal_labels Y",
    "explain X",
    "ExplainableClassifier.explain X",
    "OfMembers.explain X",
    "stratified_kfold Y",
    "stratified_split Y",
    "tune Y",
}
