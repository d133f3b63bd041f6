"""NeuralXC: its linear start against a twin, its loss, what mends the published form, checkpoints, bad input."""

import sys

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import logit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from tests.helpers.contract import assert_same_arrays, block_diagonal, noisy
from tests.helpers.folders import edit_header
from tests.helpers.naive import neural_xc as naive
from tests.helpers.neural import DEVICE
from xclassic import ModelFileError, NeuralXC, datasets, load

PUBLISHED = {
    "input_layers": (1152, 600, 256), "regressor_layers": 112, "label_layers": (96, 32), "activation": "tanh",
    "start": "random", "alpha": 0.01, "beta": 0.01, "dropout": 0, "averaging": 0, "decay": "coupled",
    "weight_decay": 1e-4, "batch_size": 64, "epochs": 10, "learning_rate": 3e-4, "validation": 0, "normalize": False,
}  # fmt: skip


def test_fit_without_torch_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"NeuralXC needs PyTorch.*xclassic\[neural\]"):
        NeuralXC().fit(*noisy())


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("input_layers", (), "input_layers is empty; it must hold a number"),
        ("input_layers", (8, 0), "input_layers is 0"),
        ("regressor_layers", "two", "regressor_layers is 'two'"),
        ("label_layers", 2.5, "label_layers is 2.5"),
        ("activation", "sine", "activation is 'sine'"),
        ("start", "warm", "start is 'warm'"),
        ("decay", None, "decay is None"),
        ("penalty", 0, "penalty is 0"),
        ("alpha", -1, "alpha is -1"),
        ("dropout", 1, "dropout is 1; it must be below 1"),
        ("averaging", 1.0, "averaging is 1.0; it must be below 1"),
    ],
)
def test_parameters_out_of_range_are_refused(parameter, value, message):
    with pytest.raises((TypeError, ValueError), match=message):
        NeuralXC(**{parameter: value}).fit(*noisy())


torch = pytest.importorskip("torch")

from xclassic.networks.feature_rows import feature_rows  # noqa: E402
from xclassic.neural.autoencoders import JointBody, JointNetwork, dense_rows  # noqa: E402


def make(**options):
    return NeuralXC(**{"device": DEVICE, "validation": 0, **options})


def log_odds(clf, X):
    scores = clf.predict_topk(X, clf.classes_.size).to_csr(clf.classes_.size).toarray()
    return logit(scores.astype(np.float64))


@pytest.mark.parametrize("n_codes", [12, 60])
def test_start_is_singular_vectors_and_a_ridge_regression(n_codes):
    rng = np.random.default_rng(0)
    Y = (rng.random((150, 30)) < np.geomspace(0.02, 0.4, 30)).astype(np.float64)
    Y[~Y.any(axis=1), -1] = 1  # Rows without labels are not used.
    of_rank = Y @ rng.standard_normal((30, n_codes)) + rng.standard_normal((150, n_codes))
    X = of_rank @ rng.standard_normal((n_codes, 60))  # Of this rank, so that the codes are exact.
    clf = make(input_layers=n_codes, epochs=0, regressor_layers=(), penalty=0.7).fit(X, Y)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    k = min(n_codes, Y.shape[1])
    scores, left_out = naive.codes_and_scores(unit, Y, n_codes, k, 0.7)
    found = log_odds(clf, X)
    fits = []
    for power in (0, 0.1, 0.2, 0.3, 0.4):
        weight = Y.mean(axis=0) ** -power
        line = np.polyfit((scores * weight).ravel(), found.ravel(), 1)
        fits.append((np.abs(np.polyval(line, scores * weight) - found).max(), power, line))
    error, power, line = min(fits, key=lambda fit: fit[0])
    assert error < 0.01 < 0.1 < sorted(fits)[1][0]
    if k == Y.shape[1]:  # Of a lower rank the model left out differs from that of the fit.
        weighted = (left_out * Y.mean(axis=0) ** -power).reshape(-1, 1)
        calibration = LogisticRegression(C=1e9, tol=1e-9).fit(weighted, Y.ravel())
        np.testing.assert_allclose(line, [calibration.coef_[0, 0], calibration.intercept_[0]], rtol=1e-2)


@pytest.mark.parametrize("label_layers", [20, (25, 20)])
def test_start_of_a_deep_network_is_that_of_a_shallow_one(label_layers):
    X, Y = noisy()
    options = {"input_layers": 30, "label_layers": 20, "regressor_layers": (), "epochs": 0}
    shallow = log_odds(make(**options).fit(X, Y), X)
    deep = {"input_layers": (50, 30), "label_layers": label_layers, "alpha": 1, "beta": 1}
    np.testing.assert_allclose(log_odds(make(**options | deep).fit(X, Y), X), shallow, atol=1e-4)


def test_start_does_not_depend_on_dropout():
    X, Y = noisy()
    assert_same_arrays(make(epochs=0, dropout=0.5).fit(X, Y), make(epochs=0, dropout=0).fit(X, Y))


def network(direct, alpha, beta, layers=None):
    X, Y = noisy(n_rows=9)
    Y = csr_array(Y[:, np.unique(Y.indices)])
    layers = layers or {"input": [20, 10], "regressor": [11, 6], "label": [7, 6]}
    torch.manual_seed(0)
    body = JointBody(X.shape[1], layers["input"], layers["regressor"], layers["label"][-2::-1], "tanh", direct, 0.0)
    return JointNetwork(body, Y, layers, "tanh", direct, alpha, beta).double(), X, Y


@pytest.mark.parametrize("direct", [True, False])
def test_loss_is_that_of_the_paper(direct):
    net, X, Y = network(direct, 0.3, 0.7)
    rows = torch.from_numpy(X.toarray()).double()
    targets = torch.from_numpy(Y.toarray()).double()
    with torch.no_grad():
        code = net.body.encoder(rows)
        parts = (
            net.output(net.body.decoder(net.body.regressor(code))),
            net.input_decoder(code),
            torch.sigmoid(net.output(net.body.decoder(net.label_encoder(targets)))),
        )
        found = float(net.loss(rows, targets))
    expected = naive.joint_loss(X.toarray(), Y.toarray(), *(part.numpy() for part in parts), 0.3, 0.7)
    assert found == pytest.approx(expected, rel=1e-6)


def test_plain_stack_is_a_chain_of_layers():
    net, X, _ = network(False, 0, 0)
    rows = torch.from_numpy(X.toarray()).double()
    hidden = rows
    for layer in (*net.body.encoder.layers, *net.body.regressor.layers, *net.body.decoder.layers):
        weight = layer.weight if layer.weight.shape[0] == hidden.shape[1] else layer.weight.T
        hidden = torch.tanh(hidden @ weight + layer.bias)
    torch.testing.assert_close(net.body(rows), hidden)


def test_dense_rows_are_the_rows():
    X, _ = noisy()
    chosen = np.array([3, 0, 7])
    X = csr_array(X.toarray() * (np.arange(150) != 0)[:, None])  # The second of these is empty.
    found = dense_rows(feature_rows(X, chosen, torch.device("cpu")), X.shape[1])
    np.testing.assert_array_equal(found.numpy(), X[chosen].toarray())


@pytest.mark.parametrize("options", [{}, {"alpha": 1.0, "beta": 1.0, "decay": "coupled"}, {"start": "random"}])
def test_interrupted_training_goes_on_to_the_same_bits(options, tmp_path, monkeypatch):
    from xclassic.networks import training

    X, Y = noisy()
    options = {"input_layers": (9, 8), "regressor_layers": 7, "dropout": 0.2, "validation": 0.2, "epochs": 3, **options}
    whole = make(**options, batch_size=16).fit(X, Y)
    one_step, taken = training._Run.one_step, []

    def failing(run, batch):
        if len(taken) == 10:
            raise KeyboardInterrupt
        taken.append(1)
        return one_step(run, batch)

    clf = make(**options, batch_size=16, checkpoint=tmp_path / "state")
    with monkeypatch.context() as patched:
        patched.setattr(training._Run, "one_step", failing)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(X, Y)
    assert_same_arrays(clf.fit(X, Y), whole)
    assert clone(clf).fit(X, Y).curve_ == whole.curve_  # Nothing is left to do.


def test_averaged_weights_are_those_of_the_steps(monkeypatch):
    from xclassic.networks import training

    X, Y = noisy()
    seen = []
    one_step = training._Run.one_step

    def recording(run, batch):
        one_step(run, batch)
        seen.append(run.model.output.bias.detach().clone())

    monkeypatch.setattr(training._Run, "one_step", recording)
    clf = make(epochs=2, batch_size=64, averaging=0.6).fit(X, Y)
    average = seen[0]
    for bias in seen[1:]:
        average = 0.6 * average + 0.4 * bias
    labels = clf.output_.labels
    np.testing.assert_allclose(clf.output_.bias[labels >= 0], average.cpu().numpy(), rtol=1e-5)


def test_start_is_kept_if_training_does_harm():
    X, Y = block_diagonal()
    clf = make(validation=0.2, epochs=4, learning_rate=30.0, averaging=0, patience=2).fit(X, Y)
    scores = [entry["score"] for entry in clf.curve_]
    assert [entry["epoch"] for entry in clf.curve_] == [0, 1, 2]
    assert max(scores[1:]) < scores[0] == 1
    assert clf.score(X, Y) == 1


@pytest.mark.parametrize("start", ["linear", "log-odds"])
def test_features_of_any_range_and_constant_columns(start):
    X, Y = block_diagonal()
    X = X.toarray() * 40 - 7
    X[:, [3, 5]] = 2
    clf = make(start=start, alpha=0.01, beta=0.01, epochs=40, learning_rate=0.01, averaging=0.9).fit(X, Y)
    assert clf.score(X, Y) > 0.9
    assert np.ptp(clf.predict_topk(X, 20).scores, axis=0).max() > 0.1  # Scores differ between rows.


def test_codes_longer_than_rows_and_labels():
    X, Y = noisy(n_rows=12)
    clf = make(input_layers=80, label_layers=90, regressor_layers=[70], epochs=1).fit(X, Y)
    assert clf.layers_ == {"input": [80], "regressor": [70, 90], "label": [90]}
    assert np.isfinite(clf.predict_topk(X, 5).scores).all()


def test_default_layers_follow_features_and_labels():
    assert NeuralXC()._layers(300, 40)["input"] == [300]
    assert NeuralXC()._layers(36_000, 22_000)["input"] == NeuralXC()._layers(36_000, 22_000)["label"] == [1024]
    assert NeuralXC()._layers(36_000, 40)["label"] == [40]


@pytest.mark.parametrize("layers", [None, {}, {"input": [0], "regressor": [3], "label": [3]}, {"input": "ab"}])
def test_damaged_layers_are_refused(layers, tmp_path):
    make(epochs=0, input_layers=8).fit(*noisy()).save(tmp_path / "m")
    edit_header(tmp_path / "m", lambda header: header["facts"].update(layers=layers))
    with pytest.raises(ModelFileError):
        load(tmp_path / "m", verify="full")


def test_weights_are_counted_for_the_estimate_of_memory():
    for direct in (True, False):
        layers = {"input_layers": (20, 10), "regressor_layers": 11, "label_layers": (7, 6)}
        clf = NeuralXC(**layers, start="linear" if direct else "random", alpha=1, beta=1)
        net, X, Y = network(direct, 1, 1)
        n_weights = sum(p.numel() for name, p in net.named_parameters() if name.endswith("weight"))
        assert n_weights <= clf._n_weights(X.shape[1], Y.shape[1]) <= 2 * n_weights


# The published form, and what mends it


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


@pytest.mark.long
def test_published_form_learns_popularity_alone(bibtex):
    X, Y = bibtex.X[:1600], bibtex.Y[:1600]
    clf = make(**PUBLISHED).fit(X, Y)
    frequent = np.argsort(-Y.sum(axis=0), kind="stable")[0]
    assert (clf.predict_topk(bibtex.X_test, 1).ids == frequent).mean() > 0.99


@pytest.mark.long
def test_repaired_form_learns(bibtex):
    clf = make(epochs=2, validation=0.1).fit(bibtex.X, bibtex.Y)
    popular = max(bibtex.Y_test.mean(axis=0))
    found, trained = clf.score(bibtex.X_test, bibtex.Y_test), clf.score(bibtex.X, bibtex.Y)
    assert found > popular + 0.45
    assert trained > found + 0.05
    assert clf.predict_topk(bibtex.X_test, 1).scores.std() > 0.1
