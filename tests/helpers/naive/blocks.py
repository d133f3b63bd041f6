"""What `_kernels/block_train.h` does for one label under the squared hinge: sample, sweep, pass, list, gap.

The kernel does the same for up to 16 labels side by side. Names, constants and the order in which rows are visited are
those of the kernel, so both take the same steps up to the rounding of single precision.
"""

import numpy as np

GROUP, SWEEPS_PER_PASS, SAMPLE_SWEEPS, SAMPLE_SHARE, SAMPLE = 8, 5, 3, 16, 2**63 - 1
SLACK, RESTING, STILL = 0.02, 0.05, 0.1


class Random:
    """xorshift64* from a state that SplitMix64 makes of a seed and the number of what is drawn."""

    def __init__(self, seed, number):
        z = (seed + (number + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        self.state = z ^ z >> 31 | 1

    def below(self, n):
        self.state ^= self.state >> 12
        self.state ^= self.state << 25 & 2**64 - 1
        self.state ^= self.state >> 27
        return (self.state * 0x2545F4914F6CDD1D % 2**64 >> 32) * n >> 32


def shuffled(n, random):
    order = list(range(n))
    for g in range(n - 1, 0, -1):
        other = random.below(g + 1)
        order[g], order[other] = order[other], order[g]
    return order


class OneLabel:
    """The dual of one label; the last column of `X` is the constant one, `t` is 1 or -1, `c` the cost of each row."""

    def __init__(self, X, t, c, *, eps, seed):
        self.X, self.t, self.c, self.eps = X, t, c, eps
        self.w, self.alpha = np.zeros(X.shape[1]), np.zeros(len(X))
        self.seed, self.counts = seed, {"passes": 0, "sweeps": 0, "read": 0, "moved": 0}

    def propose(self, i):
        """Return the projected gradient of the dual at a row, the optimum of its coordinate, and whether it rests."""
        ridge = 0.5 / self.c[i]
        gradient = self.t[i] * (self.X[i] @ self.w) - 1 + self.alpha[i] * ridge
        at_bound = self.alpha[i] == 0
        best = max(self.alpha[i] - gradient / (self.X[i] @ self.X[i] + ridge), 0)
        return min(gradient, 0) if at_bound else gradient, best, at_bound and gradient > SLACK

    def sweep(self, rows, number, sweeps):
        """Visit rows in a random order of all, by groups of eight, until the gradients of a sweep hardly differ."""
        for sweep in range(sweeps):
            if not rows:
                return
            gradients, kept = [], set()
            for g in shuffled(-(-len(self.X) // GROUP), Random(self.seed, SWEEPS_PER_PASS * number + sweep)):
                for i in [i for i in rows if i // GROUP == g]:
                    projected, best, rests = self.propose(i)
                    if not rests:
                        gradients.append(projected)
                        kept.add(i)
                    if abs(projected) > STILL * self.eps:
                        self.w += self.t[i] * (best - self.alpha[i]) * self.X[i]
                        self.alpha[i] = best
                        self.counts["moved"] += 1
                    self.counts["read"] += 1
            self.counts["sweeps"] += 1
            if not gradients or max(gradients) - min(gradients) <= min(10 * self.eps, RESTING):
                return
            rows = [i for i in rows if i in kept]

    def look(self):
        """Return the duality gap as a share of ``|w|^2 / 2``, and the rows that are to be moved."""
        hinge = np.maximum(1 - self.t * (self.X @ self.w), 0)
        half = 0.5 * self.w @ self.w
        primal = half + self.c @ hinge**2
        dual = np.sum(self.alpha - self.alpha**2 / (4 * self.c)) - half
        self.counts["passes"] += 1
        self.counts["read"] += len(self.X)
        return (primal - dual) / half, [i for i in range(len(self.X)) if not self.propose(i)[2]]

    def train(self, max_passes):
        """Return the gap at the end."""
        random = Random(self.seed, SAMPLE)
        drawn = [random.below(SAMPLE_SHARE) == 0 for _ in self.X]
        self.sweep([i for i in range(len(self.X)) if drawn[i] or self.t[i] > 0], 0, SAMPLE_SWEEPS)
        for number in range(1, max_passes + 1):
            gap, rows = self.look()
            if gap <= self.eps:
                break
            self.sweep(rows, number, SWEEPS_PER_PASS)
        return gap
