"""LabelTuning and ContrastiveTuning: losses against slow twins, learning, checkpoints, LoRA, persistence, bad input."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.helpers.bert import save_tokenizer, save_weights  # noqa: E402
from tests.helpers.naive import tuning as naive  # noqa: E402
from xclassic import DiSMEC, LabelTree, load, predict_topk, save  # noqa: E402
from xclassic.features import BertEncoder, ContrastiveTuning, LabelTuning  # noqa: E402
from xclassic.features.label_levels import LevelLoss  # noqa: E402
from xclassic.features.pair_loss import PairLoss, nearest_wrong  # noqa: E402
from xclassic.features.tuned_network import TunedNetwork, without_some  # noqa: E402
from xclassic.networks import training  # noqa: E402
from xclassic.networks.batches import Batch  # noqa: E402

KEYS = ["a", "b", "c", "d", "e", "f", "g", "h"]
GROUPS = ["cat", "dog", "sun", "z"]
QUICK = {"epochs": 4, "batch_size": 16, "learning_rate": 0.003}


def problem(n=96, seed=0):
    """Texts of which one letter tells a label and its group, among letters that tell nothing."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for key in rng.integers(len(KEYS), size=n):
        letters = rng.choice(["p", "q", "r", "s", "t"], 3).tolist()
        letters.insert(rng.integers(4), KEYS[key])
        texts.append(" ".join(letters))
        labels.append([KEYS[key], GROUPS[key // 2]])
    return texts, labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small BERT of random weights."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("bert")
    save_weights(path, hidden_dropout_prob=0.05)
    save_tokenizer(path)
    return path


def encoder(folder, tuning=None, **params):
    return BertEncoder(folder, device="cpu", tuning=tuning, **params)


def small_network(folder, texts):
    frozen = encoder(folder).fit(texts)
    network = frozen._ready()
    network.module.requires_grad_(True)
    return TunedNetwork(network, network.tokenize(np.array(texts, object))[0], "mean", bfloat16=False).eval()


# Losses


@pytest.mark.parametrize("beam", [1, 2, 100])
def test_label_loss_and_its_gradient_are_those_of_the_slow_twin(folder, beam):
    rng = np.random.default_rng(beam)
    tree = LabelTree.from_codes([(0, 0), (0, 1), (1, 0), (1, 1), (2,), (3, 0), (3, 1)])
    labels = [[0], [1, 4], [6], [4], [2, 3]]
    Y = csr_array(np.array([[j in row for j in range(7)] for row in labels], np.float32))
    model = small_network(folder, ["a b", "c", "d e f", "g", "h a"])
    vectors = rng.standard_normal((tree.n_nodes, 32)).astype(np.float32)
    loss = LevelLoss(model, Y, tree, vectors, beam=beam, temperature=1 / 3)
    batch = Batch(np.array([0, 1, 3]), np.array([0, 4, 4]))
    rows = model.frozen_rows(model.texts(batch.rows)).astype(np.float64)
    value = loss(batch)
    expected, gradient = naive.level_loss(tree, [labels[i] for i in batch.rows], rows, vectors, beam, 3.0)
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert np.allclose(model.vectors.grad.numpy(), gradient, atol=1e-4)
    assert model.encoder.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_candidates_hold_the_beam_and_the_siblings_of_true_nodes(folder):
    tree = LabelTree.from_codes([(i, j) for i in range(4) for j in range(3)])
    Y = csr_array(np.eye(12, dtype=np.float32))
    model = small_network(folder, ["a b"] * 12)
    row = model.frozen_rows(model.texts(np.arange(1)))[0]
    vectors = np.zeros((tree.n_nodes, 32), np.float32)
    vectors[3] = row  # The third group is the best one of the row, whose label is in the first group.
    loss = LevelLoss(model, Y, tree, vectors, beam=1, temperature=1.0)
    scored = []
    loss.scores = lambda rows, nodes, original=loss.scores: (scored.append(nodes), original(rows, nodes))[1]
    loss(Batch(np.array([0]), np.array([0])))
    assert [nodes.tolist() for nodes in scored] == [[1, 2, 3, 4], [5, 6, 7, 11, 12, 13]]


def test_labels_may_be_leaves_of_any_level(folder):
    tree = LabelTree.from_codes([(0,), (1, 0), (1, 1)])
    model = small_network(folder, ["a b"])
    row = model.frozen_rows(model.texts(np.arange(1)))
    vectors = np.zeros((tree.n_nodes, 32), np.float32)
    vectors[1] = row  # The best node is a label, so no candidates are left below.
    Y = csr_array(np.array([[1, 0, 0]], np.float32))
    value = LevelLoss(model, Y, tree, vectors, beam=1, temperature=0.5)(Batch(np.array([0]), np.array([0])))
    assert value.item() == pytest.approx(np.log1p(np.exp(-2)), rel=1e-5)


@pytest.mark.parametrize("negatives", [0, 1, 3])
def test_pair_loss_is_that_of_the_slow_twin(folder, negatives):
    labels = [[0, 1], [1], [2], [3], [0]]
    Y = csr_array(np.array([[j in row for j in range(5)] for row in labels], np.float32))
    model = small_network(folder, ["a b", "c", "d e f", "g", "h a"])
    label_tokens = model.network.tokenize(np.array(["p", "q r", "s", "t", "p q"], object))[0]
    loss = PairLoss(model, label_tokens, Y, np.arange(5), negatives=negatives, temperature=0.25)
    loss.begin(0)
    batch = Batch(np.array([0, 1, 4, 3]), np.array([0, 1, 0, 3]))  # Labels 0 and 1 are of two rows each.
    drawn = {int(j) for j in [*loss.arrays["hard"][batch.rows].ravel(), *batch.labels] if j >= 0}
    rows = model.frozen_rows(model.texts(batch.rows)).astype(np.float64)
    label_rows = model.frozen_rows(label_tokens).astype(np.float64)
    columns = sorted(drawn)
    known = [labels[i] for i in batch.rows]
    expected = naive.pair_loss(rows, batch.labels, label_rows[columns], known, columns, 4.0)
    assert loss(batch).item() == pytest.approx(expected, rel=1e-4)


def test_hard_negatives_are_the_nearest_labels_and_never_right():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((20, 6)).astype(np.float32)
    Y = csr_array((rng.random((20, 6)) < 0.4).astype(np.float32))
    found = nearest_wrong(scores.copy(), Y, 3)
    for row in range(20):
        wrong = [j for j in np.argsort(-scores[row]) if not Y[row, j]]
        assert found[row].tolist() == (wrong + [-1] * 3)[:3]


# Learning


@pytest.mark.parametrize(
    "tuning",
    [
        LabelTuning(**QUICK).set_params(epochs=12),
        pytest.param(ContrastiveTuning(**QUICK, temperature=0.2).set_params(epochs=25), marks=pytest.mark.long),
    ],
)
def test_tuning_makes_rows_tell_labels_apart(folder, tuning):
    texts, labels = problem()
    held, truth = problem(40, seed=1)
    tuned = make_pipeline(encoder(folder, tuning), DiSMEC(C=0.1)).fit(texts, labels)
    plain = make_pipeline(encoder(folder), DiSMEC(C=0.1)).fit(texts, labels)
    curve = tuned[0].curve_
    assert curve[-1]["loss"] < 0.8 * curve[0]["loss"]

    def right(pipe):
        best = predict_topk(pipe, held, k=2).named(pipe.classes_)
        return np.mean([name in row for found, row in zip(best, truth, strict=True) for name, _ in found])

    assert right(tuned) > right(plain) + 0.1


def test_without_a_tuning_labels_are_ignored(folder):
    texts, labels = problem(10)
    assert np.array_equal(encoder(folder).fit_transform(texts, labels), encoder(folder).fit_transform(texts))


@pytest.mark.parametrize("tuning", [LabelTuning(max_leaf=2, branching=2, beam=1), ContrastiveTuning()])
def test_same_seed_same_bits(folder, tuning):
    texts, labels = problem(40)
    tuning.set_params(epochs=1, batch_size=16)
    rows = [encoder(folder, tuning).fit_transform(texts, labels) for _ in range(2)]
    other = encoder(folder, clone(tuning).set_params(random_state=1)).fit_transform(texts, labels)
    assert np.array_equal(*rows)
    assert not np.array_equal(rows[0], other)


@pytest.mark.parametrize(
    "tuning", [LabelTuning(**QUICK), ContrastiveTuning(**QUICK), LabelTuning(**QUICK, lora_rank=2)]
)
@pytest.mark.parametrize("step", [3, 4])
def test_interrupted_training_goes_on_to_the_same_bits(folder, tuning, step, tmp_path, monkeypatch):
    if tuning.lora_rank:
        pytest.importorskip("peft")
    texts, labels = problem(48)
    tuning = clone(tuning).set_params(epochs=2)
    whole = encoder(folder, tuning).fit(texts, labels)
    tuning.set_params(checkpoint=tmp_path / "state")
    original = training._Run.one_step

    def interrupted(run, batch):
        if run.progress.step == step:
            raise KeyboardInterrupt
        original(run, batch)

    with monkeypatch.context() as patched:
        patched.setattr(training._Run, "one_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            encoder(folder, tuning).fit(texts, labels)
    again = encoder(folder, tuning).fit(texts, labels)
    assert again.curve_ == whole.curve_
    assert np.array_equal(again.transform(texts), whole.transform(texts))


def test_interrupt_leaves_the_encoder_as_it_was(folder, monkeypatch):
    texts, labels = problem(20)
    fitted = encoder(folder).fit(texts)
    before = fitted.transform(texts)
    fitted.set_params(tuning=LabelTuning(**QUICK))
    monkeypatch.setattr(training._Run, "one_step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(texts, labels)
    assert np.array_equal(fitted.transform(texts), before)


def test_checkpoint_of_other_labels_is_refused(folder, tmp_path):
    texts, labels = problem(20)
    tuning = LabelTuning(epochs=1, checkpoint=tmp_path / "state")
    encoder(folder, tuning).fit(texts, labels)
    with pytest.raises(ValueError, match="was made with other data or other parameters"):
        encoder(folder, tuning).fit(texts, labels[::-1])


def changed_weights(folder, tuning):
    texts, labels = problem(20)
    before, after = (encoder(folder, how).fit(texts, labels)._ready().module.state_dict() for how in (None, tuning))
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_upper_layers_alone_learn(folder):
    changed = changed_weights(folder, LabelTuning(epochs=1, layers=1))
    assert changed
    assert all(name.startswith("encoder.layer.1.") for name in changed)


def test_low_rank_changes_queries_and_values_alone(folder):
    pytest.importorskip("peft")
    changed = changed_weights(folder, LabelTuning(epochs=1, lora_rank=2))
    assert changed == {f"encoder.layer.{i}.attention.self.{part}.weight" for i in (0, 1) for part in ("query", "value")}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "mpnet", "modernbert", "deberta-v2", "roberta"])
def test_low_rank_finds_queries_and_values(kind, tmp_path):
    pytest.importorskip("peft")
    names = {"distilbert": {"dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 64}, "roberta": {"pad_token_id": 0}}
    save_weights(tmp_path, kind, **names.get(kind, {}), **({"pad_token_id": 0} if kind == "modernbert" else {}))
    save_tokenizer(tmp_path)
    assert changed_weights(tmp_path, LabelTuning(epochs=1, lora_rank=1, max_length=8))


def test_low_rank_says_that_it_finds_nothing(folder):
    pytest.importorskip("peft")
    from xclassic.networks.lora import low_rank

    message = r"lora_rank finds no queries and values in a Linear; .* Leave lora_rank"
    with pytest.raises(ValueError, match=message), low_rank(torch.nn.Linear(2, 2), 1, 0):
        pass


def test_tokens_are_left_out_in_training_alone(folder):
    texts = [np.arange(100, dtype=np.int32), np.array([7, 8], np.int32), np.array([7], np.int32)]
    torch.manual_seed(0)
    kept = without_some(texts, 0.3)
    assert 50 < kept[0].size < 90
    assert (kept[0][0], kept[0][-1]) == (0, 99)
    assert (np.diff(kept[0]) > 0).all()
    assert all(np.array_equal(before, after) for before, after in zip(texts[1:], kept[1:], strict=True))
    torch.manual_seed(0)
    assert np.array_equal(without_some(texts, 0.3)[0], kept[0])
    model = small_network(folder, ["a b c d e f g h"])
    model.token_dropout = 0.5
    tokens = model.texts(np.arange(1))
    rows = model.frozen_rows(tokens)
    model.train()
    assert np.array_equal(model.frozen_rows(tokens), rows)
    assert not np.allclose(model.rows(tokens).detach().numpy(), rows, atol=1e-3)


def test_validation_keeps_the_best_epoch(folder):
    texts, labels = problem(60)
    tuned = encoder(folder, LabelTuning(**QUICK, validation=0.3)).fit(texts, labels)
    assert all(0 <= entry["score"] <= 1 for entry in tuned.curve_)


def test_pieces_of_a_batch_have_nearly_the_gradient_of_the_whole(folder):
    texts, labels = problem(32)
    options = {"epochs": 1, "batch_size": 16, "layers": 1}
    whole, pieces = (encoder(folder, LabelTuning(**options, accumulate=n)).fit_transform(texts, labels) for n in (1, 3))
    assert np.allclose(whole, pieces, atol=0.05)
    assert not np.array_equal(whole, pieces)


def test_texts_and_labels_of_none(folder):
    texts = ["a p", "b q", "c r", ""]
    tuned = encoder(folder, LabelTuning(epochs=1)).fit(texts, [["x"], [], ["x", "y"], ["y"]])
    assert np.isfinite(tuned.transform(texts)).all()
    Y = csr_array(np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 0, 1]], np.float32))
    assert np.isfinite(encoder(folder, LabelTuning(epochs=1, max_leaf=1)).fit_transform(texts, Y)).all()


def test_a_given_tree_is_used(folder):
    texts, labels = problem(30)
    tree = LabelTree.from_codes([(i // 6, i % 6) for i in range(12)])
    given = clone(encoder(folder, LabelTuning(epochs=1, tree=tree)))
    assert np.isfinite(given.fit_transform(texts, labels)).all()
    with pytest.raises(ValueError, match="tree is over 3 labels but y has 12"):
        encoder(folder, LabelTuning(tree=LabelTree.flat(range(3)))).fit(texts, labels)


@pytest.mark.parametrize("tuning", [LabelTuning(**QUICK, validation=0.2), ContrastiveTuning(**QUICK)])
def test_products_in_bfloat16_learn_nearly_the_same(folder, tuning, tmp_path):
    texts, labels = problem(48)
    whole = encoder(folder, tuning).fit(texts, labels)
    short = encoder(folder, tuning, dtype="bfloat16").fit(texts, labels)
    losses = [[entry["loss"] for entry in fitted.curve_] for fitted in (whole, short)]
    assert np.allclose(*losses, rtol=0.1)
    assert short._ready().dtype == "bfloat16"
    save(short, tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").transform(texts), short.transform(texts))


# Persistence and use


def test_tuned_encoder_is_saved_pickled_and_tuned_further(folder, tmp_path):
    texts, labels = problem(30)
    pipe = make_pipeline(encoder(folder, LabelTuning(epochs=1, learning_rate=0.01)), DiSMEC()).fit(texts, labels)
    rows = pipe[0].transform(texts)
    assert not np.allclose(rows, encoder(folder).fit_transform(texts), atol=1e-3)
    save(pipe, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert np.array_equal(loaded[0].transform(texts), rows)
    assert np.array_equal(pickle.loads(pickle.dumps(pipe))[0].transform(texts), rows)
    further = loaded[0].set_params(tuning=LabelTuning(epochs=1, learning_rate=0.01)).fit(texts, labels)
    assert not np.array_equal(further.transform(texts), rows)
    again = clone(pipe[0]).set_params(tuning__epochs=2)
    assert (again.tuning.epochs, pipe[0].tuning.epochs) == (2, 1)


def test_tuned_rows_do_not_meet_cached_ones_of_the_frozen_encoder(folder, tmp_path):
    texts, labels = problem(20)
    frozen = encoder(folder, cache=tmp_path).fit_transform(texts)
    tuned = encoder(folder, LabelTuning(epochs=1, learning_rate=0.01), cache=tmp_path).fit(texts, labels)
    rows = tuned.transform(texts)
    assert not np.allclose(rows, frozen, atol=1e-3)
    assert np.array_equal(encoder(folder, cache=tmp_path).fit_transform(texts), frozen)
    assert np.array_equal(tuned.transform(texts), rows)


def test_progress_of_tuning_is_shown(folder, capsys):
    texts, labels = problem(20)
    encoder(folder, LabelTuning(epochs=1), verbose=1).fit(texts, labels)
    assert "epoch 1 of 1" in capsys.readouterr().err


# Bad input


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, ValueError, "y is None; pass y, or set tuning=None"),
        ([["x"]], ValueError, "X has 2 rows but Y has 1"),
        ([[], []], ValueError, "no label"),
        (csr_array((2, 3), dtype=np.float32), ValueError, "No row has a label"),
    ],
)
def test_labels_that_teach_nothing_are_refused(folder, y, error, message):
    with pytest.raises(error, match=message):
        encoder(folder, LabelTuning()).fit(["a", "b"], y)


@pytest.mark.parametrize(
    ("texts", "labels", "error", "message"),
    [
        (None, [0, 1], ValueError, "Labels are numbers, which say nothing; pass the text of each one by label_texts"),
        (["a"], [0, 1], ValueError, "label_texts has 1 entries but y has 2 labels"),
        ("ab", [0, 1], ValueError, "label_texts has 2 entries"),
        ({"x": "a"}, ["x", "y"], ValueError, "label_texts has no text of 1 labels of y, such as 'y'"),
        ([1, 2], [0, 1], TypeError, r"label_texts\[0\] is 1"),
    ],
)
def test_label_texts_must_fit_the_labels(folder, texts, labels, error, message):
    with pytest.raises(error, match=message):
        encoder(folder, ContrastiveTuning(texts)).fit(["a", "b"], np.array(labels))


def test_label_texts_by_name_and_by_order_are_the_same(folder):
    texts, names = ["a", "b", "c"], np.array(["x", "y", "x"])
    rows = [
        encoder(folder, ContrastiveTuning(given, epochs=1)).fit_transform(texts, names)
        for given in (["p q", "r"], {"y": "r", "x": "p q"})
    ]
    assert np.array_equal(*rows)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"learning_rate": 0}, ValueError, "learning_rate is 0"),
        ({"temperature": -1}, ValueError, "temperature is -1"),
        ({"validation": 1.0}, ValueError, "validation is 1.0; it must be below 1"),
        ({"token_dropout": 1}, ValueError, "token_dropout is 1; it must be below 1"),
        ({"warmup": True}, TypeError, "warmup is True"),
        ({"layers": 3}, ValueError, "layers is 3; this encoder has 2 layers"),
        ({"layers": 1, "lora_rank": 1}, ValueError, "layers and lora_rank are both given"),
        ({"max_length": 2}, ValueError, "max_length is 2"),
        ({"checkpoint": 1}, TypeError, "checkpoint is 1"),
        ({"random_state": None}, TypeError, "random_state is None"),
        ({"beam": 0}, ValueError, "beam is 0"),
        ({"branching": 1}, ValueError, "branching is 1"),
        ({"tree": [1]}, TypeError, r"tree is \[1\]"),
    ],
)
def test_tuning_rejects_bad_parameters(folder, params, error, message):
    with pytest.raises(error, match=message):
        encoder(folder, LabelTuning(**params)).fit(["a", "b"], ["x", "y"])


def test_tuning_must_be_one(folder):
    with pytest.raises(TypeError, match="tuning is 'labels' of type str; it must be a LabelTuning"):
        encoder(folder, "labels").fit(["a"], ["x"])
    with pytest.raises(ValueError, match="negatives is -1"):
        encoder(folder, ContrastiveTuning(negatives=-1)).fit(["a"], ["x"])
