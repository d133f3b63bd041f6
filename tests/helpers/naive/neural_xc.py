"""The linear start of `NeuralXC` and its loss, the obvious way: dense, one row left out at a time."""

import numpy as np


def ridge(C, Z, penalty):
    return np.linalg.solve(C.T @ C + penalty * np.eye(C.shape[1]), C.T @ Z)


def of_rank(C, Z, penalty, k):
    """Return the minimizer of ``|Z - C F|^2 + penalty |F|^2`` among matrices F of rank k."""
    F = ridge(C, Z, penalty)
    predicted = np.vstack([C, np.sqrt(penalty) * np.eye(C.shape[1])]) @ F
    V = np.linalg.svd(predicted, full_matrices=False)[2][:k]
    return F @ V.T @ V


def codes_and_scores(X, Y, n_codes, k, penalty):
    """Return the scores of the rows, and what they are if each row is left out of the regression, but not its share."""
    axes = np.linalg.svd(X, full_matrices=False)[2][:n_codes]
    C, share = X @ axes.T, Y.mean(axis=0)
    F = of_rank(C, Y - share, penalty, k)
    left_out = np.empty(Y.shape)
    for i in range(len(Y)):
        rest = np.arange(len(Y)) != i
        left_out[i] = C[i] @ ridge(C[rest], (Y - share)[rest], penalty)
    return C @ F + share, left_out + share


def joint_loss(X, Y, log_odds, rebuilt_X, rebuilt_Y, alpha, beta):
    """Return the sum over rows of the loss, number by number."""
    total = 0.0
    for x, y, z, x_again, y_again in zip(X, Y, log_odds, rebuilt_X, rebuilt_Y, strict=True):
        p = [1 / (1 + np.exp(-score)) for score in z]
        total -= np.mean([np.log(q if positive else 1 - q) for q, positive in zip(p, y, strict=True)])
        total += alpha * np.mean([(one - other) ** 2 for one, other in zip(x, x_again, strict=True)])
        total += beta * np.mean([(one - other) ** 2 for one, other in zip(y, y_again, strict=True)])
    return total
