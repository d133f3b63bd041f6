"""scikit-learn: linear support vector machines, one against the rest."""

import joblib
import numpy as np
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from libraries import batches, best_of_dense

PACKAGES = ("scikit-learn", "numpy", "scipy", "joblib")


def load(X, Y, folder, threads):
    return X.astype(np.float64), Y.astype(np.int64)  # LinearSVC computes in float64


def train(method, data, folder, threads, params):
    # LIBLINEAR runs without the interpreter lock; threads are faster here than processes, and share the data.
    with joblib.parallel_config("threading", n_jobs=threads):
        return OneVsRestClassifier(LinearSVC(**params), n_jobs=threads).fit(*data)


def save(model, folder, threads):
    (folder / "model").mkdir()
    joblib.dump(model, folder / "model" / "model.joblib")
    return model


def predict(model, X, k):
    return [best_of_dense(model.decision_function(rows), k) for rows in batches(X)]


def ids(prediction, k):
    return np.vstack(prediction)
