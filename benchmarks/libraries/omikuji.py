"""omikuji: its default of three balanced trees, and its settings for a tree like Bonsai's.

It has no seed, trains from a file only (read in `load`), and predicts one row per call.
"""

import omikuji
from omikuji._libomikuji import ffi, lib

from libraries import ids_of_lists

PACKAGES = ("omikuji", "numpy", "scipy")
SETTINGS = {"omikuji": {}, "omikuji-bonsai": {"cluster_k": 100, "cluster_balanced": False, "max_depth": 3}}


def load(X, Y, folder, threads):
    path = folder / "train.txt"
    with open(path, "w") as file:
        file.write(f"{X.shape[0]} {X.shape[1]} {Y.shape[1]}\n")
        for row in range(X.shape[0]):
            labels = ",".join(map(str, Y.indices[Y.indptr[row] : Y.indptr[row + 1]]))
            features = " ".join(f"{feature}:{value:.7g}" for feature, value in _pairs(X, row))
            file.write(f"{labels} {features}\n")
    pool = omikuji._ThreadPoolHandle(threads)
    data = lib.load_omikuji_data_set(ffi.new("char[]", str(path).encode()), pool.ptr)
    return ffi.gc(data, lib.free_omikuji_data_set)


def train(method, data, folder, threads, params):
    settings = omikuji.Model.default_hyper_param()
    for name, value in (SETTINGS[method] | params).items():
        setattr(settings, name, value)
    pool = omikuji._ThreadPoolHandle(threads)
    return omikuji.Model(lib.train_omikuji_model(data, settings, pool.ptr), pool)


def save(model, folder, threads):
    model.save(str(folder / "model"))
    return model


def predict(model, X, k):
    return [model.predict(_pairs(X, row), top_k=k) for row in range(X.shape[0])]


def ids(prediction, k):
    return ids_of_lists([[label for label, _ in pairs] for pairs in prediction], k)


def _pairs(X, row):
    inside = slice(X.indptr[row], X.indptr[row + 1])
    return list(zip(X.indices[inside].tolist(), X.data[inside].tolist(), strict=True))
