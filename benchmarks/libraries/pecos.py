"""PECOS XR-Linear: a label tree by hierarchical k-means over label features, and no tree (one against the rest)."""

import numpy as np
from pecos.xmc import Indexer, LabelEmbeddingFactory
from pecos.xmc.xlinear.model import XLinearModel

PACKAGES = ("libpecos", "torch", "numpy", "scipy")
SETTINGS = {"threshold": 0.1, "negative_sampling_scheme": "tfn"}


def load(X, Y, folder, threads):
    return X, Y


def train(method, data, folder, threads, params):
    X, Y = data
    clusters = None
    if method == "pecos-xr":
        label_features = LabelEmbeddingFactory.create(Y, X, method="pifa")
        clusters = Indexer.gen(label_features, nr_splits=16, max_leaf_size=100, seed=0, threads=threads)
    return XLinearModel.train(X, Y.tocsc(), C=clusters, threads=threads, **(SETTINGS | params))


def save(model, folder, threads):
    model.save(str(folder / "model"))
    fast = XLinearModel.load(str(folder / "model"), is_predict_only=True, weight_matrix_type="HASH_CHUNKED")
    return fast, threads


def predict(model, X, k):
    fast, threads = model
    return fast.predict(X, only_topk=k, beam_size=10, threads=threads)


def ids(prediction, k):
    lengths = np.diff(prediction.indptr)
    rows = np.repeat(np.arange(prediction.shape[0]), lengths)
    best = np.lexsort((-prediction.data, rows))
    slots = np.arange(prediction.nnz) - np.repeat(prediction.indptr[:-1], lengths)
    kept = slots < k
    ids = np.full((prediction.shape[0], k), -1, np.int32)
    ids[rows[kept], slots[kept]] = prediction.indices[best][kept]
    return ids
