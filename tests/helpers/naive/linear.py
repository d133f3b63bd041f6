"""The obvious slow version of what the kernels compute. Imports nothing from them."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit


def with_bias(X, bias):
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    return np.hstack([X.astype(np.float64), np.full((X.shape[0], 1), float(bias))])


def linear_objective(w, X, positive, costs, loss):
    """|w|^2 / 2 + sum_i c_i loss(t_i w.x_i) of one label, and its gradient."""
    t = np.where(positive, 1.0, -1.0)
    margin = t * (X @ w)
    if loss == "squared_hinge":
        room = np.maximum(0, 1 - margin)
        return 0.5 * w @ w + costs @ room**2, w - X.T @ (2 * costs * room * t)
    return 0.5 * w @ w + costs @ np.logaddexp(0, -margin), w - X.T @ (costs * t * expit(-margin))


def train_linear(X, positive, costs, loss):
    """The minimizer of `linear_objective`, by a general optimizer in double precision."""
    start = np.zeros(X.shape[1])
    options = {"maxiter": 10_000, "maxcor": 50, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(linear_objective, start, (X, positive, costs, loss), "L-BFGS-B", jac=True, options=options)
    return found.x


def sparse_objective(w, X, positive, l1, cost):
    """l1 |w|_1 + |w|^2 / 2 + sum_i c_i max(0, 1 - t_i w.x_i)^2 of one label; the last weight has no l1 penalty.

    `cost` is that of each row, or of all.
    """
    return l1 * np.abs(w[:-1]).sum() + linear_objective(w, X, positive, np.full(len(X), cost), "squared_hinge")[0]


def train_sparse(X, positive, l1, cost, steps=20_000):
    """The minimizer of `sparse_objective`, by accelerated proximal gradient steps with restarts."""
    costs = np.full(len(X), cost)
    step = 1 / (1 + 2 * costs.max() * np.linalg.norm(X, 2) ** 2)
    w = z = np.zeros(X.shape[1])
    momentum = 1.0
    for _ in range(steps):
        gradient = linear_objective(z, X, positive, costs, "squared_hinge")[1]
        moved = z - step * gradient
        moved[:-1] = np.sign(moved[:-1]) * np.maximum(np.abs(moved[:-1]) - step * l1, 0)
        if (z - moved) @ (moved - w) > 0:  # The momentum points uphill.
            momentum = 1.0
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        z = moved + (momentum - 1) / following * (moved - w)
        done = np.abs(moved - w).max() < 1e-10
        w, momentum = moved, following
        if done:
            break
    return w


def ridge(X, Y, alpha):
    """(X^T X + alpha I)^-1 X^T Y."""
    return np.linalg.solve(X.T @ X + alpha * np.eye(X.shape[1]), X.T @ Y)


def leave_one_out_scores(X, Y, alpha):
    """Row i scored by the ridge regression of all other rows."""
    rows = np.arange(X.shape[0])
    return np.array([X[i] @ ridge(X[rows != i], Y[rows != i], alpha) for i in rows])


def precision_at(scores, Y, k):
    """Mean share of positives among the k best labels of a row, ties to the smaller id."""
    return np.mean([sum(Y[i, l] for l in rank(scores[i])[:k]) / k for i in range(len(scores))])


def rank(scores):
    """Labels by descending score, ties to the smaller id."""
    return sorted(range(len(scores)), key=lambda label: (-scores[label], label))
