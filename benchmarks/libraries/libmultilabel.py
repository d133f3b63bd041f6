"""LibMultiLabel: LIBLINEAR, one against the rest or in a label tree."""

import pickle

import numpy as np
import psutil
from libmultilabel import linear

from libraries import batches, best_of_dense

PACKAGES = ("libmultilabel", "liblinear-multicore", "numpy", "scipy")
OPTIONS = "-s 1 -B 1 -e 0.01"
TRAIN = {"libmultilabel-1vsrest": linear.train_1vsrest, "libmultilabel-tree": linear.train_tree}


def load(X, Y, folder, threads):
    psutil.cpu_count = lambda logical=True: threads  # it has no option for threads: it takes the number of cores
    return Y, X.astype(np.float64)  # LIBLINEAR computes in float64


def train(method, data, folder, threads, params):
    np.random.seed(0)  # noqa: NPY002 - the clustering of the tree draws from the global generator
    return TRAIN[method](*data, options=OPTIONS, verbose=False, **params)


def save(model, folder, threads):
    (folder / "model").mkdir()
    with open(folder / "model" / "model.pickle", "wb") as file:
        pickle.dump(model, file)
    return model


def predict(model, X, k):
    return [best_of_dense(linear.predict_values(model, rows), k) for rows in batches(X)]


def ids(prediction, k):
    return np.vstack(prediction)
