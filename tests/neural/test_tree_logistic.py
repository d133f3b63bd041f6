"""TreeEmbedding under logistic loss: each term against loops, its gradient against differences, and its training."""

import sys

import numpy as np
import pytest
from scipy.sparse import csr_array

torch = pytest.importorskip("torch")

from tests.helpers.contract import assert_same_arrays, assert_same_predictions  # noqa: E402
from tests.helpers.naive.tree_embedding import SlowTree, logistic_loss  # noqa: E402
from tests.helpers.neural import DEVICE  # noqa: E402
from xclassic import LabelTree, TreeEmbedding, datasets, load  # noqa: E402
from xclassic.metrics import precision_at_k  # noqa: E402
from xclassic.networks import training  # noqa: E402
from xclassic.networks.feature_rows import feature_rows  # noqa: E402
from xclassic.neural.tree_levels import even_tree, new_levels, random_start  # noqa: E402
from xclassic.neural.tree_logistic import TreeLoss, TreeNetwork, coupling_term  # noqa: E402
from xclassic.neural.tree_squares import alternate_levels  # noqa: E402
from xclassic.parallel import RUNNING  # noqa: E402

CODES = [(0, 0, 0), (0, 0, 1), (0, 1), (1, 0, 0), (2,), (3, 0), (3, 1), (3, 2)]
WIDTHS, WEIGHTS, KAPPA, NU = [2, 3, 5], [0.25, 0.5, 1.0], 1.5, 0.3
QUICK = {"loss": "logistic", "epochs": 3, "batch_size": 16, "mu": 2.0, "device": DEVICE}


def problem(n_rows=40, n_features=7, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_features)).astype(np.float32) * (rng.random((n_rows, n_features)) < 0.6)
    Y = (rng.random((n_rows, len(CODES))) < 0.25).astype(np.float32)
    Y[np.arange(n_rows), rng.integers(len(CODES), size=n_rows)] = 1
    return csr_array(X.astype(np.float32)), csr_array(Y)


def loss_of(X, Y):
    """Return a loss in double precision at random weights."""
    tree = even_tree(LabelTree.from_codes(CODES), np.arange(len(CODES)))
    levels = new_levels(tree, Y, WEIGHTS)
    random_start(levels, WIDTHS, X.shape[1], 0)
    levels = alternate_levels(X, levels, 1.0, 1.0, 1, RUNNING)
    network = TreeNetwork(levels).double()
    return tree, levels, TreeLoss(network, levels, X.astype(np.float64), KAPPA, NU, X.shape[0])


@pytest.mark.parametrize("container", [csr_array, csr_array.toarray])
def test_predictions_equal_loops(container):
    X, Y = problem()
    tree, _, loss = loss_of(X, Y)
    loss.X = container(loss.X)
    network = loss.network
    arrays = [[a.detach().numpy() for a in part] for part in (network.nodes, network.bias)]
    codes = [z.detach().numpy() for z in network.codes(feature_rows(loss.X, np.arange(X.shape[0]), network.device))]
    rows = np.array([3, 0, 17])
    expected = logistic_loss([z[rows] for z in codes], *arrays, Y.toarray()[rows], tree, WEIGHTS)
    assert loss.predictions(rows).item() == pytest.approx(expected)


def test_couplings_equal_the_objective_at_the_best_projections():
    X, Y = problem()
    tree, levels, loss = loss_of(X, Y)
    slow = SlowTree(X.toarray(), Y.toarray(), tree.paths()[:, 1:] - tree.level_ptr[1:-1], [0] * 3, KAPPA, 1e12, NU)
    slow.start([level.encoder for level in levels], [level.nodes for level in levels])
    slow.fit_projections(1)
    slow.fit_projections(2)
    expected = slow.objective() - loss.penalties().item()  # At weights of 0 nothing is predicted.
    assert loss.couplings().item() == pytest.approx(expected, rel=1e-4)


def test_gradients_of_all_terms_equal_differences():
    X, Y = problem()
    _, _, loss = loss_of(X, Y)
    parameters = list(loss.network.parameters())
    rows = np.arange(12)
    terms = {
        "predictions": lambda *_: loss.predictions(rows),
        "couplings": lambda *_: loss.couplings(),
        "penalties": lambda *_: loss.penalties(),
    }
    for name, term in terms.items():
        used = [p for p in parameters if torch.autograd.grad(term(), p, allow_unused=True)[0] is not None]
        gradients = torch.autograd.grad(term(), used)
        assert used, name
        for parameter, gradient in zip(used, gradients, strict=True):
            flat = parameter.data.view(-1)
            for i in range(0, len(flat), max(1, len(flat) // 10)):
                kept = flat[i].item()
                flat[i] = kept + 1e-6
                above = term().item()
                flat[i] = kept - 1e-6
                below = term().item()
                flat[i] = kept
                assert gradient.view(-1)[i].item() == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-6), name


def test_coupling_without_a_private_residual_is_none():
    above, below = torch.ones(2, 2), torch.ones(3, 4)
    assert coupling_term(above, below, torch.tensor([0, 0, 1]), 0.0, NU).item() == 0


def test_scores_are_probabilities_that_multiply_along_paths():
    X, Y = problem()
    clf = TreeEmbedding(5, tree=LabelTree.from_codes(CODES), beam=None, **QUICK).fit(X, Y)
    found = clf.predict_proba(X).toarray()
    tree, codes = clf.model_.tree, clf._inputs(X)
    margins = clf.model_.weights.to_csc(tree.n_nodes).toarray()
    bias = np.zeros(tree.n_nodes)
    bias[clf.model_.weights.labels[clf.model_.weights.labels >= 0]] = clf.model_.weights.bias[
        clf.model_.weights.labels >= 0
    ]
    chances = 1 / (1 + np.exp(-(codes @ margins + bias)))
    expected = np.stack([chances[:, path[1:]].prod(axis=1) for path in tree.paths()], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_model_does_not_depend_on_workers_and_is_the_same_again():
    X, Y = problem()
    once, again = (TreeEmbedding(5, n_jobs=n, **QUICK).fit(X, Y) for n in (1, 2))
    assert_same_arrays(once, again)


@pytest.mark.parametrize("stop_at", [1, 5])
def test_interrupted_training_resumes_to_the_same_bits(stop_at, tmp_path, monkeypatch):
    X, Y = problem()
    expected = TreeEmbedding(5, **QUICK).fit(X, Y)
    step, taken = training._Run.one_step, []

    def interrupted(run, batch):
        if len(taken) == stop_at:
            raise KeyboardInterrupt
        taken.append(1)
        step(run, batch)

    clf = TreeEmbedding(5, checkpoint=tmp_path / "steps", **QUICK)
    monkeypatch.setattr(training._Run, "one_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    monkeypatch.setattr(training._Run, "one_step", step)
    assert_same_arrays(clf.fit(X, Y), expected)
    with pytest.raises(ValueError, match="other data or other parameters"):
        clf.set_params(mu=7.0).fit(X, Y)


def test_save_and_load(tmp_path):
    X, Y = problem()
    clf = TreeEmbedding(5, checkpoint=tmp_path / "steps", **QUICK).fit(X, Y)
    clf.save(tmp_path / "model")
    loaded = load(tmp_path / "model", verify="full")
    assert_same_predictions(loaded.predict_topk(X, 5), clf.predict_topk(X, 5))


def test_explain_adds_up_and_restricted_searches_keep_scores():
    X, Y = problem()
    clf = TreeEmbedding(5, tree=LabelTree.from_codes(CODES), **QUICK).fit(X, Y)
    top = clf.predict_topk(X[:1], 8)
    for label, score in zip(top.ids[0], top.scores[0], strict=True):
        assert clf.explain(X[:1], int(label)).score == pytest.approx(float(score), rel=1e-4)
        alone = clf.predict_topk(X[:1], 8, labels=[int(label)])
        assert (alone.ids[0, 0], alone.scores[0, 0], alone.counts[0]) == (label, score, 1)


def test_without_pytorch_the_extra_is_named_and_squared_loss_works(monkeypatch):
    X, Y = problem()
    clf = TreeEmbedding(5, **QUICK).fit(X, Y)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert clf.predict_topk(X, 2).ids.shape == (40, 2)
    assert TreeEmbedding(5).fit(X, Y).predict_topk(X, 2).ids.shape == (40, 2)
    with pytest.raises(ImportError, match=r"TreeEmbedding\(loss='logistic'\) needs PyTorch.*xclassic\[neural\]"):
        TreeEmbedding(5, **QUICK).fit(X, Y)


@pytest.mark.parametrize("tree", [LabelTree.flat(np.arange(8)), LabelTree.from_codes([(0, i) for i in range(8)])])
def test_rows_without_labels_and_only_children(tree):
    X, Y = problem()
    Y = csr_array(Y.toarray() * (np.arange(40) % 3 > 0)[:, None])
    clf = TreeEmbedding(4, tree=tree, **QUICK).fit(X, Y)
    top = clf.predict_topk(X, 8)
    assert (top.counts == len(np.unique(Y.indices))).all()
    assert ((top.scores[top.filled()] > 0) & (top.scores[top.filled()] < 1)).all()


def test_training_lowers_the_loss_and_finds_planted_labels():
    rng = np.random.default_rng(0)
    labels = rng.integers(12, size=300)
    X = np.eye(12)[labels] + 0.1 * rng.standard_normal((300, 12))
    clf = TreeEmbedding(12, **QUICK | {"epochs": 30, "learning_rate": 0.02}).fit(X[:200], labels[:200])
    assert clf.curve_[-1]["loss"] < clf.curve_[0]["loss"] / 3
    assert clf.score(X[200:], labels[200:]) == 1


@pytest.mark.long
def test_accuracy_on_bibtex():
    bibtex = datasets.load_bibtex()
    top = TreeEmbedding(loss="logistic", device="cpu").fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > 0.63
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.285
