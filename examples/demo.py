"""Train DiSMEC on the bundled bibtex data, print its metrics, and name the best labels of three test points.

Run it with ``make demo``, or with ``python examples/demo.py`` where xclassic is installed.
"""

import time

from xclassic import DiSMEC, datasets, metrics

K = 5

data = datasets.load_bibtex()
(n_points, n_features), n_labels = data.X.shape, data.Y.shape[1]
print("bibtex: bookmarks as bags of words, with the tags that their users gave them")
print(f"{n_points} training points, {data.X_test.shape[0]} test points, {n_features} features, {n_labels} labels\n")

start = time.perf_counter()
model = DiSMEC(n_jobs=-1).fit(data.X, data.Y)
trained = time.perf_counter()
top = model.predict_topk(data.X_test, k=K)
predicted = time.perf_counter()
print(f"DiSMEC trained in {trained - start:.2f} s, predicted in {predicted - trained:.3f} s\n")

propensities = metrics.propensity(data.Y.sum(axis=0), n_points)
results = metrics.evaluate(data.Y_test, top, propensities=propensities)
shown = ("P@", "nDCG@", "PSP@")
print(metrics.format_table({name: value for name, value in results.items() if name.startswith(shown)}))

word_counts = data.X.sum(axis=0)
tags = [name.removeprefix("TAG_") for name in data.label_names]
for point, predictions in enumerate(top.named(range(n_labels))[:3]):
    bag, truth = data.X_test[[point]].indices, data.Y_test[[point]].indices
    rarest = [data.feature_names[word] for word in bag[word_counts[bag].argsort()][:8]]
    print(f"\nTest point {point}, with the words {', '.join(rarest)} ...")
    print(f"  its tags: {', '.join(tags[tag] for tag in truth)}")
    for tag, score in predictions:
        print(f"  {score:6.2f}  {tags[tag]}{'  (right)' if tag in truth else ''}")
