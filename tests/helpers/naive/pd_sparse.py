"""The obvious slow version of PD-Sparse: the objective over all pairs of labels, and the dual by an optimizer."""

import numpy as np
from scipy.optimize import LinearConstraint, linprog, minimize


def objective(W, X, Y, cost, l1):
    """The primal objective of the paper, by its definition."""
    loss = 0.0
    for x, y in zip(X, Y > 0, strict=True):
        scores = x @ W
        if y.any() and not y.all():
            loss += max(0.0, *(1 + n - p for n in scores[~y] for p in scores[y]))
    return l1 * np.abs(W).sum() + (W**2).sum() / 2 + cost * loss


def weights_of(alpha, X, l1):
    """The weights that dual variables of shape (n_rows, n_labels) stand for."""
    sums = X.T @ alpha
    return np.sign(sums) * np.maximum(np.abs(sums) - l1, 0)


def dual_objective(alpha, X, Y, smoothing, l1):
    """What is maximized over variables that are not negative on labels, not positive elsewhere, and sum up to 0."""
    return (alpha * (Y > 0)).sum() - (weights_of(alpha, X, l1) ** 2).sum() / 2 - smoothing * (alpha**2).sum() / 2


def solve(X, Y, cost, smoothing, l1):
    """Return the dual variables that maximize the dual objective, by sequential quadratic programming."""
    n_rows, n_labels = Y.shape
    own = Y > 0
    ranked = own.any(axis=1) & ~own.all(axis=1)
    upper, lower = cost * (own & ranked[:, None]), -cost * (~own & ranked[:, None])

    def loss(flat):
        alpha = flat.reshape(Y.shape)
        gradient = X @ weights_of(alpha, X, l1) + smoothing * alpha - own
        return -dual_objective(alpha, X, Y, smoothing, l1), gradient.ravel()

    sums = np.kron(np.eye(n_rows), np.ones(n_labels))
    masses = np.kron(np.eye(n_rows), np.ones(n_labels)) * own.ravel()
    found = minimize(
        loss,
        np.zeros(Y.size),
        jac=True,
        method="SLSQP",
        bounds=list(zip(lower.ravel(), upper.ravel(), strict=True)),
        constraints=[LinearConstraint(sums, 0, 0), LinearConstraint(masses, -np.inf, cost)],
        options={"maxiter": 1000, "ftol": 1e-12},
    )
    return found.x.reshape(Y.shape)


def largest_penalty(X, Y, cost):
    """The smallest L1 penalty at which no weight is left: a linear program over the variables of rows that lose 1."""
    n_rows, n_labels = Y.shape
    own = Y > 0
    products = np.kron(X.T, np.eye(n_labels))  # of the variables, row by row, with the features
    ones = np.ones((len(products), 1))
    sums = np.vstack(
        [
            np.kron(np.eye(n_rows), np.ones(n_labels)) * own.ravel(),
            np.kron(np.eye(n_rows), np.ones(n_labels)) * ~own.ravel(),
        ]
    )
    bounds = [(0, cost) if mine else (-cost, 0) for mine in own.ravel()]
    found = linprog(
        np.append(np.zeros(Y.size), 1),
        A_ub=np.block([[products, -ones], [-products, -ones]]),
        b_ub=np.zeros(2 * len(products)),
        A_eq=np.hstack([sums, np.zeros((len(sums), 1))]),
        b_eq=np.repeat([cost, -cost], n_rows),
        bounds=[*bounds, (0, None)],
    )
    return found.fun


def nearest_shares(own, others, cost):
    """The nearest vectors that are not negative and whose sums are equal and at most `cost`, by a general optimizer."""
    goal = np.concatenate([own, others])
    signs = np.repeat([1.0, -1.0], [len(own), len(others)])
    found = minimize(
        lambda v: (((v - goal) ** 2).sum() / 2, v - goal),
        np.zeros(len(goal)),
        jac=True,
        method="SLSQP",
        bounds=[(0, None)] * len(goal),
        constraints=[LinearConstraint(signs[None], 0, 0), LinearConstraint((signs[None] > 0) * 1.0, -np.inf, cost)],
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    return found.x[: len(own)], found.x[len(own) :]
