"""Fit three label trees on the bundled bibtex data, compare them, and draw the top of one.

Run it with ``python examples/trees.py`` where xclassic is installed.
"""

import time

from xclassic import Bonsai, HierarchicalXC, XRLinear, datasets, metrics

data = datasets.load_bibtex()
tags = [name.removeprefix("TAG_") for name in data.label_names]
propensities = metrics.propensity(data.Y.sum(axis=0), data.X.shape[0])

for method in (XRLinear(), Bonsai(branching=10, max_leaf=30), HierarchicalXC()):
    start = time.perf_counter()
    method.fit(data.X, data.Y)
    seconds = time.perf_counter() - start
    top = method.predict_topk(data.X_test, k=5)
    results = metrics.evaluate(data.Y_test, top, propensities=propensities)
    shown = {name: value for name, value in results.items() if name.startswith(("P@", "PSP@"))}
    print(f"{type(method).__name__}, trained in {seconds:.2f} s: {method.trees_[0]}")
    print(metrics.format_table(shown), end="\n\n")

print("How HierarchicalXC groups the tags, by the bookmarks that they share:\n")
print(method.trees_[0].draw(label_names=tags, max_depth=3, max_children=6))
