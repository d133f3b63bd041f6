"""The estimators of this package; a method is the name of the class.

Parameters that begin with ``agglomeration__`` are those of a `FeatureAgglomeration` before the method, whose time
counts as training; with ``agglomeration__seeds`` above 1 there is a `Blend` of that many, one for each seed.
"""

from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import xclassic
from xclassic.features import FeatureAgglomeration
from xclassic.storage import registry

PACKAGES = ("xclassic", "numpy", "scipy", "scikit-learn")
GROUPING = "agglomeration__"
NAMES = (*registry.ESTIMATORS, *registry.NEURAL_ESTIMATORS)
METHODS = {name: getattr(xclassic, name) for name in NAMES}  # imported before the clock runs


def load(X, Y, folder, threads):
    return X, Y


def train(method, data, folder, threads, params):
    grouping = {name.removeprefix(GROUPING): value for name, value in params.items() if name.startswith(GROUPING)}
    model = METHODS[method](n_jobs=threads, **{name: params[name] for name in params if not name.startswith(GROUPING)})
    if grouping:
        seeds = range(grouping.pop("seeds", 1))
        steps = [(FeatureAgglomeration(n_jobs=threads, random_state=seed, **grouping), clone(model)) for seed in seeds]
        members = [(f"seed{seed}", make_pipeline(*step)) for seed, step in zip(seeds, steps, strict=True)]
        model = members[0][1] if len(members) == 1 else xclassic.Blend(members, weights=None, normalization="rank")
    return model.fit(*data)


def save(model, folder, threads):
    xclassic.save(model, folder / "model")
    return model


def predict(model, X, k):
    return xclassic.predict_topk(model, X, k)


def ids(prediction, k):
    return prediction.ids
