"""Training of networks below a layer of labels, with products in bfloat16 as on a GPU."""

import numpy as np
import pytest

from tests.helpers.contract import noisy
from xclassic import XMLCNN, DeepXML, NeuralXC, metrics

pytest.importorskip("torch")


@pytest.mark.parametrize(
    "make",
    [NeuralXC, lambda **options: XMLCNN(learning_rate=0.01, **options), DeepXML],
    ids=["NeuralXC", "XMLCNN", "DeepXML"],
)
def test_products_in_bfloat16_learn_nearly_the_same(make, monkeypatch):
    X, Y = noisy(n_rows=200, n_features=40, n_labels=8)
    clf = make(device="cpu", epochs=4, batch_size=16, validation=0.2)
    if isinstance(clf, XMLCNN):
        X = np.array([" ".join(f"w{i}" for i in row.indices) for row in X], object)
    full = clf.fit(X, Y)
    expected, curve = metrics.precision_at_k(Y, full.predict_topk(X, 1), 1), getattr(full, "curve_", None)
    monkeypatch.setattr("xclassic.neural.label_network.has_bfloat16", lambda device: True)
    short = clf.fit(X, Y)
    assert metrics.precision_at_k(Y, short.predict_topk(X, 1), 1) > expected - 0.1
    assert short.curve_ != curve
    np.testing.assert_allclose([e["score"] for e in short.curve_], [e["score"] for e in curve], atol=0.2)
