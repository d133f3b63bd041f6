"""napkinXC with its defaults: logistic regression in a probabilistic label tree or for each label.

`fit` writes the model to its folder, so that training includes this.
"""

from napkinxc.models import BR, PLT

from libraries import ids_of_lists

PACKAGES = ("napkinxc", "numpy", "scipy")
MODELS = {"napkinxc-br": BR, "napkinxc-plt": PLT}


def load(X, Y, folder, threads):
    return X, Y


def train(method, data, folder, threads, params):
    model = MODELS[method](str(folder / "model"), threads=threads, seed=0, **params)
    model.fit(*data)
    return model


def save(model, folder, threads):
    model.load()
    return model


def predict(model, X, k):
    return model.predict(X, top_k=k)


def ids(prediction, k):
    return ids_of_lists(prediction, k)
