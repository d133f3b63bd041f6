"""The squared loss of a tree of vectors, written with all its variables and dense matrices."""

import numpy as np


class SlowTree:
    """Encoders A, vectors e, projections P and residuals r, each minimized exactly given the others.

    `paths` has a row for each label, with its node on each level below the root, numbered within the level.
    """

    def __init__(self, X, Y, paths, weights, mu, rho, nu):
        self.X, self.weights, self.mu, self.rho, self.nu = X, weights, mu, rho, nu
        self.targets = []
        for column in paths.T:
            nodes = np.zeros((len(X), column.max() + 1))
            for label, node in enumerate(column):
                nodes[:, node] = np.maximum(nodes[:, node], Y[:, label])
            self.targets.append(nodes)
        self.parents = [None] + [
            np.array([paths[paths[:, h] == node, h - 1][0] for node in range(paths[:, h].max() + 1)])
            for h in range(1, paths.shape[1])
        ]
        self.A, self.e = [], []  # (width, n_features) and (n_nodes, width) by level
        self.P, self.r = [], []  # of level 0 there are none

    def start(self, encoders, vectors):
        self.A = [encoder.T.astype(float) for encoder in encoders]
        self.e = [nodes.astype(float) for nodes in vectors]
        self.P = [None] + [
            np.array([np.eye(len(self.A[h]), len(self.A[h - 1]))] * len(self.e[h - 1])) for h in range(1, len(self.A))
        ]
        self.r = [None] + [np.zeros_like(self.e[h]) for h in range(1, len(self.A))]

    def objective(self):
        total = 0.0
        for h, (A, e) in enumerate(zip(self.A, self.e, strict=True)):
            total += self.weights[h] / 2 * np.sum((self.targets[h] - self.X @ A.T @ e.T) ** 2)
            total += self.nu / 2 * (np.sum(A**2) + np.sum(e**2))
            if h:
                identity = np.eye(len(A), len(self.A[h - 1]))
                for c, u in enumerate(self.parents[h]):
                    gap = e[c] - self.P[h][u] @ self.e[h - 1][u] - self.r[h][c]
                    total += self.mu / 2 * np.sum(gap**2) + self.rho / 2 * np.sum(self.r[h][c] ** 2)
                total += self.nu / 2 * sum(np.sum((P - identity) ** 2) for P in self.P[h])
        return total

    def fit_residuals(self):
        for h in range(1, len(self.A)):
            for c, u in enumerate(self.parents[h]):
                gap = self.e[h][c] - self.P[h][u] @ self.e[h - 1][u]
                self.r[h][c] = self.mu / (self.mu + self.rho) * gap if self.mu else 0 * gap

    def fit_projections(self, h):
        """Projections into level h and the residuals there: with r at its minimum, mu becomes kappa."""
        identity = np.eye(len(self.A[h]), len(self.A[h - 1]))
        for u, vector in enumerate(self.e[h - 1]):
            children = self.e[h][self.parents[h] == u]
            gram = self.kappa * len(children) * np.outer(vector, vector) + self.nu * np.eye(len(vector))
            right = self.kappa * np.outer(children.sum(axis=0), vector) + self.nu * identity
            self.P[h][u] = np.linalg.solve(gram, right.T).T
        self.fit_residuals()

    def fit_encoder(self, h):
        """Ridge regression in all entries of A at once."""
        A, e = self.A[h], self.e[h]
        design = np.kron(e, self.X)  # of the entries of A, row by row, for the targets, node by node
        gram = self.weights[h] * design.T @ design + self.nu * np.eye(A.size)
        right = self.weights[h] * design.T @ self.targets[h].T.ravel()
        self.A[h] = np.linalg.solve(gram, right).reshape(A.shape)

    def fit_nodes(self, h):
        Z = self.X @ self.A[h].T
        for u in range(len(self.e[h])):
            gram = self.weights[h] * Z.T @ Z + self.nu * np.eye(Z.shape[1])
            right = self.weights[h] * Z.T @ self.targets[h][:, u]
            if h:
                p = self.parents[h][u]
                gram = gram + self.kappa * np.eye(len(gram))
                right = right + self.kappa * self.P[h][p] @ self.e[h - 1][p]
            if h + 1 < len(self.A):
                for child in self.e[h + 1][self.parents[h + 1] == u]:
                    gram = gram + self.kappa * self.P[h + 1][u].T @ self.P[h + 1][u]
                    right = right + self.kappa * self.P[h + 1][u].T @ child
            self.e[h][u] = np.linalg.solve(gram, right)
        self.fit_residuals()

    @property
    def kappa(self):
        return self.mu * self.rho / (self.mu + self.rho) if self.mu else 0.0


def logistic_loss(codes, vectors, biases, Y, tree, weights):
    """The prediction loss of a probabilistic label tree, row by row and node by node; an only child is certain."""
    paths, total = tree.paths(), 0.0
    for i, labels in enumerate(Y):
        reached = {0, *paths[np.flatnonzero(labels)].ravel().tolist()}
        for node in range(1, tree.n_nodes):
            parent = tree.parent[node]
            if parent not in reached or np.sum(tree.parent == parent) == 1:
                continue
            h = np.searchsorted(tree.level_ptr, node, side="right") - 2
            place = node - tree.level_ptr[h + 1]
            margin = vectors[h][place] @ codes[h][i] + biases[h][place]
            total += weights[h] * np.log(1 + np.exp(-margin if node in reached else margin))
    return total
