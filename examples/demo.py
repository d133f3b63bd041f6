"""Train DiSMEC on the bundled bibtex data, print its metrics, and name the best labels of three test points.

Run it with ``make demo``, or ``python examples/demo.py`` where xclassic is installed.
"""

import time

from xclassic import DiSMEC, datasets, metrics

K = 5
N_SHOWN = 3

data = datasets.load_bibtex()
print(f"bibtex: bookmarks and the tags their users gave them. {data.X.shape[0]} training points, ", end="")
print(f"{data.X_test.shape[0]} test points, {data.X.shape[1]} features, {data.Y.shape[1]} labels.")

start = time.perf_counter()
model = DiSMEC(n_jobs=-1, random_state=0).fit(data.X, data.Y)
trained = time.perf_counter()
top = model.predict_topk(data.X_test, k=K)
print(f"\n{model}\ntrained in {trained - start:.2f} s, predicted in {time.perf_counter() - trained:.2f} s.\n")
