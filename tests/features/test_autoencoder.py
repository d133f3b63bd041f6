"""Autoencoder: the best linear codes, aligned with their rows; training; bad input; scikit-learn's checks."""

import pickle
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array, csr_matrix
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from xclassic import DiSMEC, ModelFileError, datasets, predict_topk
from xclassic.features import Autoencoder
from xclassic.storage.folder import load_model, save_model

HAS_TORCH = find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="needs PyTorch")
CONTAINERS = pytest.mark.parametrize("container", [csr_array, csr_array.toarray], ids=["sparse", "dense"])
ACTIVATIONS = pytest.mark.parametrize("activation", [None, "tanh", "relu"])


@parametrize_with_checks([Autoencoder(1), *([Autoencoder(1, activation="tanh", epochs=2)] if HAS_TORCH else [])])
def test_autoencoder_passes_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def far_from_zero(n_rows=300, n_features=20, rank=3, seed=0):
    """Rows near an affine subspace that does not contain zero, which codes without biases cannot be told apart in."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, rank)) @ rng.standard_normal((rank, n_features)) + rng.standard_normal(n_features)
    return csr_array((X + 0.1 * rng.standard_normal(X.shape)).astype(np.float32) / 5)


def error(X, rebuilt):
    return float(((X.toarray().astype(np.float64) - rebuilt) ** 2).sum(axis=1).mean())


# The linear start


@CONTAINERS
@pytest.mark.parametrize("k", [1, 20, 128])
def test_linear_codes_rebuild_best(bibtex, k, container):
    X = csr_array(bibtex.X[:1000])
    singular_values = np.linalg.svd(X.toarray().astype(np.float64), compute_uv=False)
    best = (singular_values[k:] ** 2).sum() / 1000
    encoder = Autoencoder(k).fit(container(X))
    found = error(X, encoder.inverse_transform(encoder.transform(container(X))))
    assert best * (1 - 1e-4) <= found <= best * 1.002
    assert encoder.reconstruction_error(container(X)) == pytest.approx(found, rel=1e-4)
    np.testing.assert_allclose(encoder.errors_, [found], rtol=1e-4)


def test_codes_span_what_a_singular_value_decomposition_does():
    X = far_from_zero()
    codes = Autoencoder(4).fit_transform(X)
    expected = TruncatedSVD(4, algorithm="arpack").fit_transform(X.toarray().astype(np.float64))
    np.testing.assert_allclose(np.abs(codes), np.abs(expected), atol=1e-3)


def test_biases_keep_the_start_of_relu_exact():
    X = far_from_zero()
    linear, relu = Autoencoder(5).fit(X), Autoencoder(5, activation="relu").fit(X)
    assert (relu.transform(X) >= 0).all()
    assert relu.errors_[0] == pytest.approx(linear.errors_[0], rel=1e-3)


def test_start_of_tanh_is_nearly_exact():
    X = far_from_zero()
    linear, tanh = Autoencoder(5).fit(X), Autoencoder(5, activation="tanh").fit(X)
    assert np.abs(tanh.transform(X)).max() <= np.tanh(0.5) + 1e-6
    total = (X.toarray() ** 2).sum(axis=1).mean()
    assert linear.errors_[0] <= tanh.errors_[0] <= linear.errors_[0] + 0.01 * total


# Codes


@ACTIVATIONS
@pytest.mark.parametrize("epochs", [0, pytest.param(2, marks=needs_torch)])
def test_code_belongs_to_its_row(bibtex, activation, epochs):
    X = csr_array(bibtex.X[:600])
    encoder = Autoencoder(100, activation=activation, epochs=epochs, batch_size=100).fit(X)
    codes = encoder.transform(X)
    assert codes.shape == (600, 100)  # the code, not the rebuilt row
    assert codes.dtype == np.float32
    np.testing.assert_array_equal(encoder.fit_transform(X), codes)
    np.testing.assert_array_equal(np.concatenate([encoder.transform(X[i : i + 1]) for i in range(600)]), codes)
    order = np.random.default_rng(0).permutation(600)
    np.testing.assert_array_equal(encoder.transform(X[order]), codes[order])
    np.testing.assert_allclose(encoder.transform(X.toarray()), codes, atol=1e-4)
    rebuilt = encoder.inverse_transform(codes)
    assert rebuilt.shape == X.shape
    to_own, to_others = (((rebuilt - rows.toarray()) ** 2).sum(axis=1) for rows in (X, X[order]))
    assert (to_own <= to_others).mean() > 0.99


@CONTAINERS
@pytest.mark.parametrize("k", [1, 3])
def test_code_does_not_depend_on_the_rows_beside(k, container):
    for seed in range(20):
        X = container(far_from_zero(50, seed=seed))
        coder = Autoencoder(k).fit(X)
        order = np.random.default_rng(seed).permutation(50)
        codes = coder.transform(X)
        np.testing.assert_array_equal(coder.transform(X[order]), codes[order])
        np.testing.assert_array_equal(np.vstack([coder.transform(X[[i]]) for i in range(50)]), codes)


def test_codes_train_and_predict_in_a_pipeline(bibtex):
    pipe = make_pipeline(Autoencoder(128), DiSMEC(C=10)).fit(bibtex.X, bibtex.Y)
    found = predict_topk(pipe, bibtex.X_test, 1)
    hits = bibtex.Y_test.toarray()[np.arange(2515), found.ids[:, 0]]
    assert hits.mean() > 0.5  # rows and labels that do not belong together: 0.02
    assert pipe[:-1].get_feature_names_out()[:2].tolist() == ["autoencoder0", "autoencoder1"]


def test_codes_of_zero_rows():
    encoder = Autoencoder(3).fit(far_from_zero())
    assert encoder.transform(np.empty((0, 20))).shape == (0, 3)


@pytest.mark.parametrize("form", [csr_matrix, csc_array, lambda X: X.astype(np.float64)])
def test_sparse_features_of_any_form_have_the_same_codes(form):
    X = far_from_zero()
    np.testing.assert_array_equal(Autoencoder(4).fit(form(X)).transform(form(X)), Autoencoder(4).fit(X).transform(X))


def test_seed_decides_the_codes():
    X = far_from_zero()
    encoder = Autoencoder(4, random_state=3)
    np.testing.assert_array_equal(encoder.fit(X).encoder_, clone(encoder).fit(X).encoder_)


def test_sparse_features_stay_sparse():
    n_rows, n_features = 2000, 1_000_000  # 8 GB if it were dense
    rng = np.random.default_rng(0)
    columns = rng.integers(n_features, size=(n_rows, 5)).ravel()
    X = csr_array((np.ones(5 * n_rows, np.float32), (np.repeat(np.arange(n_rows), 5), columns)), (n_rows, n_features))
    encoder = Autoencoder(2).fit(X)
    assert encoder.transform(X).shape == (n_rows, 2)
    assert 0 < encoder.errors_[0] < 5.1


# Training


@needs_torch
@CONTAINERS
@ACTIVATIONS
def test_training_reaches_the_principal_components(activation, container):
    X = far_from_zero()
    best = error(X, PCA(3).fit(X.toarray()).inverse_transform(PCA(3).fit_transform(X.toarray())))
    encoder = Autoencoder(3, activation=activation, epochs=300, batch_size=50, learning_rate=3e-3).fit(container(X))
    assert encoder.errors_.shape == (301,)
    assert encoder.errors_[0] > 1.5 * best
    found = error(X, encoder.inverse_transform(encoder.transform(X)))
    assert found == pytest.approx(encoder.errors_.min(), rel=1e-3)
    assert best * 0.999 <= found <= (1.05 if activation is None else 1.5) * best
    assert found < 0.7 * encoder.errors_[0]
    again = clone(encoder).fit(container(X))
    np.testing.assert_array_equal(again.encoder_, encoder.encoder_)


@needs_torch
@CONTAINERS
@ACTIVATIONS
def test_batch_error_is_that_of_its_rebuilt_rows(activation, container):
    import torch

    from xclassic.features.autoencoder import _batch_error

    X = far_from_zero()
    rng = np.random.default_rng(0)
    shapes = [(20, 4), (4,), (20, 4), (20,)]
    weights = [torch.tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True) for shape in shapes]
    encoder, encoder_bias, decoder, decoder_bias = weights
    dense = torch.tensor(X.toarray())
    codes = dense @ encoder + encoder_bias
    rebuilt = (codes if activation is None else getattr(torch, activation)(codes)) @ decoder.T + decoder_bias
    expected = ((dense - rebuilt) ** 2).sum(dim=1).mean()
    gradients = torch.autograd.grad(expected, weights)
    found = _batch_error(torch, container(X), weights, activation)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    for one, other in zip(torch.autograd.grad(found, weights), gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


@needs_torch
def test_training_that_harms_is_undone():
    X = far_from_zero()
    wild = Autoencoder(3, epochs=2, learning_rate=100.0).fit(X)
    assert wild.errors_[1:].min() > wild.errors_[0]
    np.testing.assert_array_equal(wild.encoder_, Autoencoder(3).fit(X).encoder_)


def test_training_without_torch_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert Autoencoder(3).fit(far_from_zero()).transform(far_from_zero()).shape == (300, 3)
    with pytest.raises(ImportError, match=r"xclassic\[neural\]"):
        Autoencoder(3, epochs=1).fit(far_from_zero())


# Bad input


@pytest.mark.parametrize(
    ("params", "error_class", "message"),
    [
        ({"n_components": 0}, ValueError, "n_components is 0"),
        ({"n_components": 2.5}, TypeError, "n_components is 2.5"),
        ({"n_components": 21}, ValueError, "n_components is 21 but X has n_samples = 300 and n_features = 20"),
        ({"activation": "sigmoid"}, ValueError, "activation is 'sigmoid'"),
        ({"epochs": -1}, ValueError, "epochs is -1"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate is 0"),
    ],
)
def test_autoencoder_rejects_bad_parameters(params, error_class, message):
    with pytest.raises(error_class, match=message):
        Autoencoder(**{"n_components": 3, **params}).fit(far_from_zero())


def test_autoencoder_rejects_bad_features():
    X = far_from_zero().toarray()
    encoder = Autoencoder(3)
    for method in (encoder.transform, encoder.inverse_transform, encoder.reconstruction_error):
        with pytest.raises(NotFittedError):
            method(X)
    encoder.fit(X)
    with pytest.raises(ValueError, match="19 features"):
        encoder.transform(X[:, :19])
    with pytest.raises(ValueError, match="X has 4 columns but codes have 3"):
        encoder.inverse_transform(X[:, :4])
    X[7, 5] = np.nan
    with pytest.raises(ValueError, match=r"NaN.*X\[7, 5\]"):
        encoder.fit(X)


@ACTIVATIONS
def test_rows_of_zeros_have_codes(activation):
    encoder = Autoencoder(2, activation=activation).fit(csr_array((10, 5), dtype=np.float32))
    codes = encoder.transform(csr_array((3, 5), dtype=np.float32))
    assert np.isfinite(codes).all()
    assert encoder.errors_[0] == 0


# Persistence


@ACTIVATIONS
@pytest.mark.parametrize("mmap", [True, False])
def test_autoencoder_arrays_go_through_a_model_folder(activation, mmap, tmp_path):
    X = far_from_zero()
    encoder = Autoencoder(3, activation=activation).fit(X)
    save_model(tmp_path / "model", {}, encoder.arrays())
    copy = Autoencoder.from_arrays(load_model(tmp_path / "model", mmap=mmap)[1])
    assert (copy.n_components, copy.activation, copy.n_features_in_) == (3, activation, 20)
    for one in (copy, pickle.loads(pickle.dumps(copy))):
        np.testing.assert_array_equal(one.transform(X), encoder.transform(X))
        np.testing.assert_array_equal(
            one.inverse_transform(X[:, :3].toarray()), encoder.inverse_transform(X[:, :3].toarray())
        )


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("encoder", None),
        ("activation", None),
        ("activation", np.array("softmax")),
        ("encoder", np.zeros((20, 3))),
        ("encoder", np.zeros((20, 2), np.float32)),
        ("decoder", np.zeros((19, 3), np.float32)),
        ("decoder_bias", np.zeros(3, np.float32)),
        ("encoder_bias", np.array([0, np.nan, 0], np.float32)),
    ],
)
def test_autoencoder_rejects_damaged_arrays(name, array):
    arrays = Autoencoder(3).fit(far_from_zero()).arrays()
    if array is None:
        del arrays[name]
    else:
        arrays[name] = array
    with pytest.raises(ModelFileError, match="autoencoder"):
        Autoencoder.from_arrays(arrays)
