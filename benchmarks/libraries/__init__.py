"""One module per library, all with the same functions, each run in the virtual environment of its library.

``PACKAGES``
    Distributions whose versions belong to a measurement.
``load(X, Y, folder, threads)``
    Return the training data in the form that the library takes. Not timed. `X` and `Y` are float32 CSR matrices with
    sorted int32 indices; `folder` is an empty folder to write to.
``train(method, data, folder, threads, params)``
    Return a model. Timed, with its memory. `params` change the settings of the method.
``save(model, folder, threads)``
    Write the model into the folder ``folder / "model"`` and return what predicts: the model, or what the library makes
    of the folder for fast prediction. Not timed.
``predict(model, X, k)``
    Return the best `k` labels of each row, in any form. Timed.
``ids(prediction, k)``
    Return that prediction as an integer array of shape (n_rows, k), best label first, -1 where a slot is not filled.
    Not timed.
"""

import numpy as np

ROWS_AT_A_TIME = 1024  # where a library makes dense scores of rows x labels


def ids_of_lists(rows, k):
    """Return lists of labels, best first, as an array."""
    ids = np.full((len(rows), k), -1, np.int32)
    for row, labels in enumerate(rows):
        best = labels[:k]
        ids[row, : len(best)] = best
    return ids


def best_of_dense(scores, k):
    """Return the best `k` columns of each row, best first."""
    k = min(k, scores.shape[1])
    best = np.argpartition(scores, -k, axis=1)[:, -k:]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
    return np.take_along_axis(best, order, axis=1)


def batches(X):
    """Cut a matrix into row blocks whose dense scores fit in memory."""
    return [X[start : start + ROWS_AT_A_TIME] for start in range(0, X.shape[0], ROWS_AT_A_TIME)]
