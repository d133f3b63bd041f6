"""The slow twins of the one-vs-rest methods with an L1 penalty and with coupled labels. They import no kernel."""

import numpy as np
from scipy.optimize import minimize


def l1_objective(w, X, positive, C):
    """|w|_1 + C sum_i max(0, 1 - t_i w.x_i)^2, and the gradient of the second term."""
    t = np.where(positive, 1.0, -1.0)
    room = np.maximum(0, 1 - t * (X @ w))
    return np.abs(w).sum() + C * (room**2).sum(), -2 * C * X.T @ (t * room)


def proximal_gradient(X, positive, C, n_steps=20_000):
    """The minimizer of `l1_objective` by plain proximal steps of one length."""
    length = 1 / (2 * C * np.linalg.norm(X, 2) ** 2)
    w = np.zeros(X.shape[1])
    for _ in range(n_steps):
        moved = w - length * l1_objective(w, X, positive, C)[1]
        w = np.sign(moved) * np.maximum(0, np.abs(moved) - length)
    return w


def coupled_objective(Z, X, Y, R, costs):
    """tr(R Z^T Z) / 2 + sum of costs * hinge losses of the scores X Z R."""
    hinge = np.maximum(0, 1 - (2 * Y - 1) * (X @ Z @ R))
    return np.trace(R @ Z.T @ Z) / 2 + (costs * hinge).sum()


def coupled_duals(X, Y, R, costs):
    """The dual variables of all pairs of a row and a label, by a general solver: the kernel is R (x) X X^T."""
    t = (2 * Y - 1).T.ravel()  # label by label
    Q = np.kron(R, X @ X.T) * np.outer(t, t)

    def dual(a):
        return a @ Q @ a / 2 - a.sum(), Q @ a - 1

    bounds = [(0, cost) for cost in costs.T.ravel()]
    options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-14, "gtol": 1e-9}
    found = minimize(dual, np.zeros(len(t)), method="L-BFGS-B", jac=True, bounds=bounds, options=options)
    return (found.x * t).reshape(Y.shape[::-1]).T
