"""T5Classifier: training on the paths of labels, targets, checkpoints, prediction, saving, bad input."""

import json
import pickle
import signal
import subprocess
import sys
import textwrap
import traceback
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.helpers.folders import edit_header, replace_array  # noqa: E402
from tests.helpers.naive import neural as naive_neural  # noqa: E402
from tests.helpers.neural import DEVICE, SMALL, fake_hub, use_hub  # noqa: E402
from xclassic import LabelTree, ModelFileError, load  # noqa: E402
from xclassic.neural import scoring  # noqa: E402
from xclassic.neural.choices import Choices  # noqa: E402
from xclassic.neural.network import add_tokens  # noqa: E402
from xclassic.neural.path_loss import PathLoss  # noqa: E402
from xclassic.neural.t5 import T5Classifier  # noqa: E402
from xclassic.neural.texts import Texts  # noqa: E402
from xclassic.neural.trie import TokenTrie, Words  # noqa: E402
from xclassic.neural.vocabulary import tokens_in_use  # noqa: E402

THINGS = {"Apple Juice": "apple", "Apple Jam": "apple jam", "Bread": "loaf", "Bread Rolls": "small loaf", "Tea": "leaf"}


def problem(n=120, seed=0):
    """Texts of which a word or two tell the label, with words that tell nothing."""
    rng = np.random.default_rng(seed)
    names = sorted(THINGS)
    classes = [names[i] for i in rng.integers(len(names), size=n)]
    noise = ["good", "fresh", "new", "red"]
    return [f"{noise[rng.integers(4)]} {THINGS[name]} {noise[rng.integers(4)]}" for name in classes], classes


def quick(tokenizer):
    """Return parameters of a T5 that learns the problem in two seconds."""
    return {
        "model": {**SMALL, "dropout_rate": 0.0},
        "tokenizer": tokenizer,
        "learning_rate": 0.003,
        "batch_size": 16,
        "epochs": 12,
        "patience": 12,
        "device": DEVICE,
        "max_length": 16,
    }


@pytest.fixture
def small(t5_tokenizer):
    return quick(t5_tokenizer)


@pytest.fixture(scope="module")
def fitted(t5_tokenizer):
    texts, classes = problem()
    return T5Classifier(**quick(t5_tokenizer)).fit(texts, np.array(classes))


# Loss and batches


def small_model(seed=0, tied=True):
    torch.manual_seed(seed)
    options = {"vocab_size": 30, "dropout_rate": 0.0, "decoder_start_token_id": 0}
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**SMALL, **options)).double().to(DEVICE)
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(model.shared.weight.detach() * 0.5)
    return model


@pytest.mark.parametrize("gather", [0, 1000])
def test_loss_is_minus_the_log_probability_and_its_gradient_is_right(gather, monkeypatch):
    monkeypatch.setattr(scoring, "GATHER", gather)
    sequences = [[4, 5, 1], [4, 6, 7, 1], [4, 6, 8, 1], [9, 1]]
    rows = [[10, 11, 1], [12, 1], [13, 14, 15, 1]]
    model, trie = small_model(), TokenTrie(sequences)
    loss = PathLoss(model, Choices([trie]), Texts(rows, pad=0))
    pairs = np.array([0, 1, 2, 2]), np.array([1, 0, 3, 2])
    batch = type("Pairs", (), {"rows": pairs[0], "labels": pairs[1]})
    expected = -sum(naive_neural.log_probability(model, rows[i], sequences, j) for i, j in zip(*pairs, strict=True))
    value = loss(batch)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    weight = model.shared.weight
    for place in [(6, 3), (11, 0), (0, 5), (4, 1)]:
        with torch.no_grad():
            before = weight[place].item()
            weight[place] = before + 1e-3
            above = loss(batch).item()
            weight[place] = before - 1e-3
            below = loss(batch).item()
            weight[place] = before
        assert weight.grad[place].item() == pytest.approx((above - below) / 2e-3, rel=2e-2, abs=2e-3)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["names", "codes"])
def test_training_moves_the_tokens_in_use_as_it_would_among_all(kind, tied):
    rows = [[10, 11, 1], [12, 1]]
    batch = type("Pairs", (), {"rows": np.array([0, 1]), "labels": np.array([1, 0])})
    models = [small_model(tied=tied), small_model(tied=tied)]
    tree = LabelTree.flat(range(2))
    words = Words(np.full((tree.n_nodes, 2), [[6, 7]]), np.full((tree.n_nodes, 2), 0.5, np.float32))
    trie = TokenTrie([[4, 5, 1], [4, 6, 1]]) if kind == "names" else TokenTrie.of_codes(tree, 4, words)
    used = [np.array([10, 11, 12, 1]), trie.vocabulary] + ([words.tokens.ravel()] if kind == "codes" else [])
    for model, among in zip(models, (nullcontext, tokens_in_use), strict=True):
        texts = Texts(rows, pad=0)
        with among(model, *used, new=trie.vocabulary[:0]) if among is tokens_in_use else among():
            parameters = list(model.parameters())
            assert len(parameters[0]) == (30 if among is nullcontext else {"names": 8, "codes": 9}[kind])
            optimizer = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0)
            loss = PathLoss(model, Choices([trie]), texts)
            for _ in range(3):
                optimizer.zero_grad()
                loss(batch).backward()
                optimizer.step()
    for (name, one), (_, other) in zip(*(model.named_parameters() for model in models), strict=True):
        np.testing.assert_allclose(one.detach().cpu(), other.detach().cpu(), atol=1e-5, err_msg=name)
    assert models[1].encoder.embed_tokens is models[1].shared
    assert (models[1].lm_head.weight is models[1].shared.weight) == tied


# Learning


def test_t5_learns(fitted):
    texts, classes = problem(60, seed=1)
    assert fitted.score(texts, classes) > 0.95
    assert [entry["epoch"] for entry in fitted.curve_] == list(range(1, len(fitted.curve_) + 1))
    assert fitted.curve_[-1]["loss"] < fitted.curve_[0]["loss"] / 2
    assert fitted.predict(texts[:2]).tolist() == classes[:2]


def test_probabilities_of_all_classes_sum_to_one(fitted):
    texts, _ = problem(10, seed=2)
    probabilities = fitted.predict_proba(texts)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.log(probabilities), fitted.decision_function(texts), rtol=1e-3, atol=1e-6)
    top = fitted.predict_topk(texts, 2)
    assert (np.diff(top.scores) <= 0).all()
    assert (top.counts == 2).all()


def test_restrictions_leave_scores_as_they_are(fitted):
    texts, _ = problem(10, seed=2)
    top = fitted.predict_topk(texts, 5, labels=["Tea", "Bread"])
    assert (top.counts == 2).all()
    assert set(fitted.classes_[top.ids[:, :2]].ravel()) == {"Tea", "Bread"}
    assert "Tea" not in fitted.classes_[fitted.predict_topk(texts, 3, exclude=["Tea"]).ids]


def test_weights_of_labels_multiply_probabilities(fitted):
    texts = problem()[0][:4]
    full = fitted.predict_topk(texts, fitted.classes_.size)
    weights = np.where(fitted.classes_ == "Tea", 0, np.arange(1, fitted.classes_.size + 1))
    top = fitted.predict_topk(texts, 2, label_weights=weights)
    assert "Tea" not in fitted.classes_[top.ids]
    for row, ids, scores in zip(range(4), top.ids, top.scores, strict=True):
        plain = dict(zip(full.ids[row].tolist(), full.scores[row].tolist(), strict=True))
        raised = sorted(-plain[i] - np.log(weights[i]) for i in plain if weights[i])[:2]
        np.testing.assert_allclose(-scores, raised, rtol=1e-4)
        np.testing.assert_allclose(scores, [plain[i] + np.log(weights[i]) for i in ids.tolist()], rtol=1e-4)


def test_codes_of_a_given_tree(small):
    texts, classes = problem()
    tree = LabelTree.from_codes([(0, 0), (0, 1), (1, 0), (1, 1), (2,)])
    clf = T5Classifier(**small, target="code", tree=tree).fit(texts, classes)
    np.testing.assert_array_equal(clf.codes_, tree.codes())
    assert clf.trie_.tree.depth == 2
    assert clf.score(*problem(60, seed=1)) > 0.95


@pytest.mark.parametrize("kind", ["array", "transformer"])
def test_codes_by_embeddings(small, kind):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    texts, classes = problem()
    counts = make_pipeline(CountVectorizer(analyzer="char"), FunctionTransformer(lambda X: X.toarray()))
    embeddings = counts if kind == "transformer" else counts.fit_transform(sorted(THINGS))
    clf = T5Classifier(**{**small, "epochs": 30}, target="code", embeddings=embeddings, branching=2).fit(texts, classes)
    codes = [tuple(row[row >= 0]) for row in clf.codes_]
    assert len(set(codes)) == len(THINGS)
    assert max(max(code) for code in codes) == 1
    assert clf.score(*problem(60, seed=1)) > 0.9


def test_fields_are_written_together(small):
    texts, classes = problem()
    table = [
        {"brand": "na" if name == "Tea" else "Bakers", "category": name.split()[0], "text": text}
        for text, name in zip(texts, classes, strict=True)
    ]
    fields = {"brand": "details_Brand", "category": "L0_category"}
    clf = T5Classifier(**{**small, "max_length": 40}, target="fields", fields=fields, prompt="{text}").fit(table, table)
    found = clf.predict_fields(table)
    right = [row["category"] == truth["category"] for row, truth in zip(found, table, strict=True)]
    assert np.mean(right) > 0.9
    assert all((row["brand"] is None) == (row["category"] == "Tea") for row in found)
    assert str(clf.classes_[0]).startswith("details_Brand: ")
    whole = [
        (row["brand"] or "na", row["category"]) == (truth["brand"], truth["category"])
        for row, truth in zip(found, table, strict=True)
    ]
    assert clf.score(table, table) == pytest.approx(np.mean(whole))


def free_brands(n=240, seed=0):
    """Records whose text names brand and path, where 4 of 32 combinations are left for the test."""
    rng = np.random.default_rng(seed)
    brands = ["Acme", "Bolt", "Coda", "Dune", "Echo", "Fern", "Gold", "Hive"]
    paths = [("Food", "Tea"), ("Food", "Jam"), ("Home", "Lamp"), ("Home", "Rug")]
    rows = []
    for b, p in zip(rng.integers(8, size=n), rng.integers(4, size=n), strict=True):
        tags = [["new"], ["sale", "new"], []][rng.integers(3)]
        row = {"brand": brands[b], "category": paths[p][0], "type": paths[p][1], "tags": tags}
        rows.append({**row, "text": f"{brands[b]} {paths[p][1]} {' '.join(tags)}", "held": b == p})
    return [row for row in rows if not row["held"]], [row for row in rows if row["held"]]


@pytest.mark.long
@pytest.mark.parametrize("combinations", ["any", "seen"])
def test_known_brands_are_written_under_any_known_path(small, tmp_path, combinations):
    train, test = free_brands()
    fields = {"brand": "Brand", "category": "Category", "type": "Type", "tags": "Tags"}
    clf = T5Classifier(
        **{**small, "epochs": 15, "patience": 15, "max_length": 40, "learning_rate": 0.005}, target="fields",
        fields=fields, path=["category", "type"], combinations=combinations, prompt="{text}", tail_share=None,
    ).fit(train, train)  # fmt: skip
    found = clf.predict_fields(test)
    right = np.mean(
        [
            all(row[field] == truth[field] for field in fields if field != "tags")
            for row, truth in zip(found, test, strict=True)
        ]
    )
    whole = clf.score(test, test)
    assert (right > 0.8) if combinations == "any" else (right == 0)
    assert (whole > 0.8) if combinations == "any" else (whole == 0)
    paths = {(row["category"], row["type"]) for row in train}
    assert {(row["category"], row["type"]) for row in found} <= paths  # never a type under a foreign category
    assert all(isinstance(row["tags"], list) and row["tags"] == sorted(row["tags"]) for row in found)
    top, records = clf.rank_fields(test[:3], k=1000)
    assert len(records) == (8 * 4 * 3 if combinations == "any" else clf.classes_.size)
    np.testing.assert_allclose(np.exp(top.scores).sum(axis=1), 1, rtol=1e-4)
    assert [records[i] for i in top.ids[:, 0]] == found[:3]
    seen = clf.predict_topk(test[:3], clf.classes_.size)
    np.testing.assert_allclose(np.exp(seen.scores).sum(axis=1), 1, rtol=1e-4)
    assert set(clf.predict(test)) <= set(clf.classes_)
    clf.save(tmp_path / "model")
    loaded = load(tmp_path / "model", verify="full")
    assert loaded.predict_fields(test) == found
    assert pickle.loads(pickle.dumps(clf)).predict_fields(test[:2]) == found[:2]
    assert loaded.score(train, train) == clf.score(train, train)


def test_probabilities_of_combinations_are_those_of_their_texts(small):
    train, _ = free_brands(24)
    fields = ["type", "brand", "category"]
    clf = T5Classifier(
        **{**small, "epochs": 1, "max_length": 40}, target="fields", fields=fields, path=["category", "type"],
        prompt="{text}",
    ).fit(train, train)  # fmt: skip
    assert clf._target.prefixes == [("category", "category"), ("type", "type"), ("brand", "brand")]
    tokenizer, model = clf._network.tokenizer, clf._network.model
    n = np.prod([len(values) for values in clf._target.values])
    texts = clf._target.texts(np.arange(n))
    written = [[*tokenizer(text, add_special_tokens=False)["input_ids"], 1] for text in texts]
    top, records = clf.rank_fields(train[:2], k=n)
    rows = clf._network.encode(clf._check_input(train[:2], reset=False), 40)[0]
    expected = naive_neural.log_probabilities(model, rows, written)
    found = clf._target.encode(records)
    for i in range(2):
        numbers = [texts.index(found[record]) for record in top.ids[i]]
        np.testing.assert_allclose(top.scores[i], expected[i, numbers], atol=1e-3)
    known = clf._target.classes_of(np.arange(n))
    assert clf.classes_[known[known >= 0]].tolist() == [t for t, c in zip(texts, known, strict=True) if c >= 0]
    assert (known >= 0).sum() == clf.classes_.size < n


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [(["a", 3], TypeError, r"table\['tags'\]\[1\] holds 3"), (["a; b"], ValueError, "semicolon parts the values")],
)
def test_fields_of_several_values_reject_others(small, cell, error, message):
    clf = T5Classifier(**small, target="fields", fields=["tags"])
    with pytest.raises(error, match=message):
        clf.fit(["x", "y"], [{"tags": ["a"]}, {"tags": cell}])
    with pytest.raises(ValueError, match="path names 'type', which is not one of fields: tags"):
        T5Classifier(**small, target="fields", fields=["tags"], path=["type"]).fit(["x"], [{"tags": "a"}])


def test_records_are_read_by_the_prompt(small):
    clf = T5Classifier(**small)
    rows = [{"retailer": "Shop", "price": 2.5, "text": "tea"}, {"text": "bread", "price": None}]
    clf._target = clf._new_target()
    assert clf._check_input(rows, reset=True).tolist() == [
        "Retailer: Shop Price: 2.5 Description: tea",
        "Retailer:  Price:  Description: bread",
    ]
    clf = T5Classifier(**small, target="fields", fields=["brand", "kind"])
    clf._target = clf._new_target()
    assert clf._check_input(["tea"], reset=True).tolist() == ["Name the brand, kind of this product. tea"]
    clf = T5Classifier(**small, prompt="{text}!")
    clf._target = clf._new_target()
    assert clf._check_input(["tea"], reset=True).tolist() == ["tea!"]


@pytest.mark.parametrize("positives", ["one", "all"])
def test_rows_with_several_labels(small, positives):
    texts, classes = problem()
    lists = [[name, "Food"] if name != "Tea" else [] for name in classes]
    clf = T5Classifier(**{**small, "epochs": 30}, positives=positives).fit(texts, lists)
    found = clf.classes_[clf.predict_topk(texts, 2).ids]
    right = [set(predictions) == set(truth) for predictions, truth in zip(found, lists, strict=True) if truth]
    assert np.mean(right) > 0.8
    assert clf.decision_function(["fresh loaf", "new"]).shape == (2, clf.classes_.size)
    with pytest.raises(AttributeError, match="class vector"):
        clf.predict_proba(["loaf"])


def test_label_matrices_need_names(small):
    texts, classes = problem()
    names = sorted(THINGS)
    Y = csr_array((np.ones(len(classes)), ([*range(len(classes))], [names.index(c) for c in classes])))
    clf = T5Classifier(**small, label_names=names).fit(texts, Y)
    assert clf.score(*problem(60, seed=1)[:1], Y[:60]) >= 0
    with pytest.raises(ValueError, match=r"target='name' needs their names: pass label_names"):
        T5Classifier(**small).fit(texts, Y)
    with pytest.raises(ValueError, match=r"label_names has 2 names, but there are 5 labels"):
        T5Classifier(**small, label_names=names[:2]).fit(texts, Y)


def test_best_epoch_wins(small):
    texts, classes = problem()
    clf = T5Classifier(**{**small, "epochs": 20, "patience": 2}, validation=0.3).fit(texts, classes)
    scores = [entry["score"] for entry in clf.curve_]
    best = len(scores) - 1 - int(np.argmax(scores[::-1]))
    assert len(scores) in (20, best + 3)
    without = T5Classifier(**{**small, "epochs": 2}, validation=0).fit(texts, classes)
    assert len(without.curve_) == 2
    assert "score" not in without.curve_[0]


def test_stopping_by_tail_labels(small):
    texts, classes = problem()
    clf = T5Classifier(**small, stop_on="tail", tail_max=20, validation=0.3).fit(texts, classes)
    assert all(0 <= entry["score"] <= 1 for entry in clf.curve_)


def weights(clf):
    return {name: p.detach().cpu().numpy().copy() for name, p in clf._network.model.named_parameters()}


def test_seed_decides_the_model_and_leaves_the_users_chance(small):
    texts, classes = problem(60)
    small = {**small, "model": {**SMALL, "dropout_rate": 0.2}, "epochs": 2}
    torch.manual_seed(5)
    one = T5Classifier(**small).fit(texts, classes)
    after = torch.rand(1)
    two = T5Classifier(**small).fit(texts, classes)
    for name, array in weights(one).items():
        np.testing.assert_array_equal(array, weights(two)[name])
    assert one.curve_ == two.curve_
    torch.manual_seed(5)
    assert torch.rand(1) == after
    assert T5Classifier(**small, random_state=1).fit(texts, classes).curve_ != one.curve_


@pytest.mark.parametrize("option", [{"accumulate": 4}, {"gradient_checkpointing": True}])
def test_saving_memory_changes_nothing_but_rounding(small, option):
    texts, classes = problem(60)
    small = {**small, "epochs": 1, "learning_rate": 1e-3}
    one, two = T5Classifier(**small).fit(texts, classes), T5Classifier(**small, **option).fit(texts, classes)
    assert one.curve_[0]["loss"] == pytest.approx(two.curve_[0]["loss"], rel=1e-4)


def test_bfloat16_learns_too(small):
    texts, classes = problem()
    clf = T5Classifier(**small, dtype="bfloat16").fit(texts, classes)
    assert clf.score(*problem(60, seed=1)) > 0.9


def test_low_rank_corrections_learn(small):
    pytest.importorskip("peft")
    texts, classes = problem(60)
    start = T5Classifier(**{**small, "epochs": 1, "learning_rate": 1e-12}).fit(texts, classes)
    clf = T5Classifier(**{**small, "epochs": 2}, lora_rank=2).fit(texts, classes)
    changed = {name for name, array in weights(clf).items() if np.abs(array - weights(start)[name]).max() > 1e-6}
    assert changed
    assert all(name.endswith((".q.weight", ".v.weight")) for name in changed)
    assert weights(clf).keys() == weights(start).keys()
    coded = {**small, "target": "code", "tree": LabelTree.flat(range(len(THINGS)))}
    start = T5Classifier(**{**coded, "epochs": 1, "learning_rate": 1e-12}).fit(texts, classes)
    clf = T5Classifier(**{**coded, "epochs": 2}, lora_rank=2).fit(texts, classes)
    moved = np.abs(weights(clf)["shared.weight"] - weights(start)["shared.weight"]).max(axis=1) > 1e-6
    assert moved.tolist() == [False] * (len(moved) - len(THINGS)) + [True] * len(THINGS)


def test_low_rank_corrections_come_from_the_seed_and_leave_the_users_chance(small):
    pytest.importorskip("peft")
    texts, classes = problem(60)
    options = {**small, "epochs": 2, "lora_rank": 2}
    fits = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        fits.append(T5Classifier(**options).fit(texts, classes))
        assert torch.equal(before, torch.random.get_rng_state())
    for name, array in weights(fits[0]).items():
        np.testing.assert_array_equal(array, weights(fits[1])[name])


@pytest.mark.parametrize("tied", [True, False])
def test_new_tokens_are_trained_where_the_others_are_not(tied):
    model = small_model(tied=tied)
    first = add_tokens(model, 3, seed=0)
    assert (first, model.config.vocab_size) == (30, 33)
    assert (model.lm_head.weight is model.shared.weight) == tied
    for parameter in model.parameters():
        parameter.requires_grad = False
    before = [table.weight.detach().clone() for table in (model.shared, model.lm_head)]
    trie = TokenTrie.of_codes(LabelTree.from_codes([(0,), (1,), (2,)]), first)
    texts = Texts([[10, 11, 1]], pad=0)
    with tokens_in_use(model, texts.flat, trie.vocabulary, new=trie.vocabulary):
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
        PathLoss(model, Choices([trie]), texts)(
            type("Pairs", (), {"rows": np.array([0]), "labels": np.array([1])})
        ).backward()
        optimizer.step()
    for old, table in zip(before, (model.shared, model.lm_head), strict=True):
        assert torch.equal(old[:first], table.weight[:first])
    assert not torch.isclose(before[1][first:], model.lm_head.weight[first:]).any()


@pytest.mark.parametrize("tied", [True, False])
def test_new_tokens_are_drawn_as_the_old_ones(tied):
    model = small_model(tied=tied)
    before = [table.weight.detach().clone() for table in (model.shared, model.lm_head)]
    add_tokens(model, 500, seed=0)
    for old, table in zip(before, (model.shared, model.lm_head), strict=True):
        assert torch.equal(old, table.weight[:30])
        assert table.weight[30:].std().item() == pytest.approx(old.std().item(), rel=0.1)


# Checkpoints


def test_training_that_was_cut_goes_on_to_the_same_model(small, tmp_path, monkeypatch):
    texts, classes = problem(100)
    small = {**small, "model": {**SMALL, "dropout_rate": 0.1}, "epochs": 4}
    whole = T5Classifier(**small).fit(texts, classes)
    from xclassic.networks import training

    monkeypatch.setattr(training, "CHECKPOINT_STEPS", 2)
    taken = []
    one_step = training._Run.one_step

    def failing(run, batch):
        if len(taken) == 6:
            raise KeyboardInterrupt
        taken.append(1)
        return one_step(run, batch)

    monkeypatch.setattr(training._Run, "one_step", failing)
    clf = T5Classifier(**small, checkpoint=tmp_path / "state")
    with pytest.raises(KeyboardInterrupt):
        clf.fit(texts, classes)
    monkeypatch.setattr(training._Run, "one_step", one_step)
    resumed = clf.fit(texts, classes)
    assert resumed.curve_ == whole.curve_
    for name, array in weights(whole).items():
        np.testing.assert_array_equal(array, weights(resumed)[name])
    again = clone(clf).set_params(checkpoint=tmp_path / "state").fit(texts, classes)  # nothing is left to do
    assert again.curve_ == whole.curve_


@pytest.mark.parametrize(("place", "steps"), [("backward", 5), ("clip_grad_norm_", 0)])
def test_interrupt_within_an_epoch_leaves_a_checkpoint_of_whole_steps(small, tmp_path, monkeypatch, place, steps):
    """An interrupt while gradients are added up loses them alone; one while weights move leaves the state before."""
    texts, classes = problem(100)
    small = {**small, "model": {**SMALL, "dropout_rate": 0.1}, "epochs": 2}
    whole = T5Classifier(**small).fit(texts, classes)
    owner = torch.Tensor if place == "backward" else torch.nn.utils
    original, calls = getattr(owner, place), []

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(*args, **options)

    state = tmp_path / "state"
    clf = T5Classifier(**small, checkpoint=state)
    with monkeypatch.context() as patched:
        patched.setattr(owner, place, interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            clf.fit(texts, classes)
    assert clf._network is None
    assert not any("run" in frame.locals for frame in caught.traceback if frame.name == "train")  # it would hold memory
    assert (json.loads((state / "model.json").read_text())["progress"]["step"] if state.exists() else 0) == steps
    resumed = clf.fit(texts, classes)
    assert resumed.curve_ == whole.curve_
    for name, array in weights(whole).items():
        np.testing.assert_array_equal(array, weights(resumed)[name])


@pytest.mark.long
def test_killed_training_goes_on(small, tmp_path):
    """The same, by a process that is killed between two epochs."""
    script = textwrap.dedent("""
        import json, os, signal, sys
        import numpy as np
        import torch
        from xclassic.networks import training
        from xclassic.neural.t5 import T5Classifier
        options, texts, classes, kill = json.loads(sys.stdin.read())
        torch.use_deterministic_algorithms(options["device"] != "cpu")
        if kill:
            close = training._Run.close_epoch
            def killed(run, score):
                close(run, score)
                if run.progress.epoch == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
            training._Run.close_epoch = killed
        print(json.dumps(T5Classifier(**options).fit(texts, np.array(classes)).curve_))
    """)
    texts, classes = problem(64)
    options = {**small, "epochs": 3, "checkpoint": str(tmp_path / "state")}

    def run(kill, **changes):
        given = json.dumps([{**options, **changes}, texts, classes, kill])
        return subprocess.run([sys.executable, "-c", script], input=given, capture_output=True, text=True)

    assert run(True).returncode == -signal.SIGKILL
    resumed, whole = run(False), run(False, checkpoint=None)
    assert json.loads(resumed.stdout) == json.loads(whole.stdout)


@pytest.mark.parametrize("change", [{"learning_rate": 0.02}, {"texts": 1}, {"classes": 1}])
def test_checkpoints_of_something_else_are_rejected(small, tmp_path, change):
    texts, classes = problem(40)
    options = {**small, "epochs": 1, "checkpoint": tmp_path / "state"}
    T5Classifier(**options).fit(texts, classes)
    texts[0] += " more" if "texts" in change else ""
    classes[0] = "Tea" if "classes" in change and classes[0] != "Tea" else classes[0]
    classes[1] = "Bread" if "classes" in change and classes[1] != "Bread" else classes[1]
    options |= {name: value for name, value in change.items() if name == "learning_rate"}
    with pytest.raises(ValueError, match=r"checkpoint in .* was made with other data or other parameters"):
        T5Classifier(**options).fit(texts, classes)


# Saving


def test_save_and_load(fitted, tmp_path):
    texts, _ = problem(30, seed=3)
    fitted.save(tmp_path / "model")
    assert list((tmp_path / "model").glob("weights.*.safetensors"))
    assert list((tmp_path / "model").glob("tokenizer.*.json"))
    top = fitted.predict_topk(texts, 3)
    for verify in ("lazy", "full"):
        loaded = load(tmp_path / "model", verify=verify)
        again = loaded.predict_topk(texts, 3)
        np.testing.assert_array_equal(top.ids, again.ids)
        np.testing.assert_array_equal(top.scores, again.scores)
    assert loaded.curve_ == fitted.curve_
    with pytest.raises(ValueError, match="model is None, as after loading"):
        clone(loaded).fit(texts, texts)
    loaded.save(tmp_path / "copy")
    assert load(tmp_path / "copy").predict(texts).tolist() == fitted.predict(texts).tolist()
    unpickled = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(unpickled.predict_topk(texts, 3).scores, top.scores)


def test_pickles_hold_no_network_of_a_device(small):
    texts, classes = problem(40)
    clf = T5Classifier(**{**small, "epochs": 1}, gradient_checkpointing=True).fit(texts, classes)
    assert clf.__getstate__()["_network"] is None
    copy = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(copy.predict_topk(texts, 2).scores, clf.predict_topk(texts, 2).scores)


@pytest.mark.parametrize("target", ["name", "code"])
def test_output_weights_of_their_own_stay_so(small, tmp_path, t5_tokenizer, target):
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**SMALL, decoder_start_token_id=0))
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight))
    model.save_pretrained(tmp_path / "t5")
    texts, classes = problem(60)
    tree = LabelTree.flat(range(len(THINGS)))
    options = {**small, "model": str(tmp_path / "t5"), "target": target, "tree": tree, "epochs": 2}
    clf = T5Classifier(**options).fit(texts, classes)
    trained = weights(clf)
    assert {"shared.weight", "lm_head.weight"} <= trained.keys()
    clf.save(tmp_path / "model")
    loaded = load(tmp_path / "model", verify="full")
    np.testing.assert_array_equal(loaded.predict_topk(texts, 3).scores, clf.predict_topk(texts, 3).scores)
    assert weights(loaded).keys() == trained.keys()


@pytest.mark.parametrize("kind", ["mt5", "umt5"])
def test_relatives_of_the_t5_are_trained_and_stored(small, tmp_path, kind):
    texts, classes = problem(60)
    config = {"mt5": transformers.MT5Config, "umt5": transformers.UMT5Config}[kind](**SMALL, vocab_size=32100)
    small = {**small, "epochs": 2, "random_state": 3}
    clf = T5Classifier(**{**small, "model": {**SMALL, "model_type": kind, "dropout_rate": 0.0}}).fit(texts, classes)
    assert clf._network.model.config.model_type == kind
    assert clf.curve_[1]["loss"] < clf.curve_[0]["loss"]
    clf.save(tmp_path / "model")
    loaded = load(tmp_path / "model", verify="full")
    np.testing.assert_array_equal(loaded.predict_topk(texts, 3).scores, clf.predict_topk(texts, 3).scores)
    assert T5Classifier(**{**small, "model": config}).estimate_memory(texts, classes) > 0
    start = transformers.AutoModelForSeq2SeqLM.from_config(config)
    start.save_pretrained(tmp_path / "start")
    clf = T5Classifier(**{**small, "model": str(tmp_path / "start"), "learning_rate": 1e-12, "epochs": 1})
    clf.set_params(dtype="bfloat16").fit(texts, classes)
    read = weights(clf)["encoder.block.1.layer.0.SelfAttention.q.weight"]
    np.testing.assert_allclose(read, start.encoder.block[1].layer[0].SelfAttention.q.weight.detach(), atol=1e-6)


def test_loading_needs_no_torch_until_rows_are_queried(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    code = f"import sys, xclassic; xclassic.load({str(tmp_path / 'model')!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("pattern", ["weights.*", "tokenizer.*", "trie.tokens.*", "trie.label.*", "trie.child_ptr.*"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_load_rejects_damaged_models(fitted, tmp_path, pattern, damage):
    fitted.save(tmp_path / "model")
    file = next((tmp_path / "model").glob(pattern))
    content = bytearray(file.read_bytes())
    if damage == "remove":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content)
    with pytest.raises(ModelFileError):
        load(tmp_path / "model", verify="full")


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"model_type": "t5", "d_model": 10**7}},
        {"config": {}},
        {"config": {"model_type": "bert"}},
        {"config": "none"},
        {"special_tokens": None},
        {"prefixes": 3},
    ],
)
def test_load_rejects_foreign_metadata(fitted, tmp_path, change):
    fitted.save(tmp_path / "model")
    edit_header(tmp_path / "model", lambda header: header["facts"].update(change))
    with pytest.raises(ModelFileError):
        load(tmp_path / "model", verify="full")


def test_load_rejects_tokens_that_the_model_lacks(fitted, tmp_path):
    broken = pickle.loads(pickle.dumps(fitted))
    broken.trie_.tokens = np.where(broken.trie_.tokens < 0, -1, broken.trie_.tokens + 10**6)
    with pytest.raises(ValueError, match=r"could not be loaded again.*trie has token 10\d+, the T5 only 32100"):
        broken.save(tmp_path / "model")
    fitted.save(tmp_path / "model")
    replace_array(tmp_path / "model", "trie.tokens", broken.trie_.arrays()["tokens"])
    with pytest.raises(ModelFileError, match="trie has token"):
        load(tmp_path / "model", verify="full")
    with pytest.raises(ModelFileError, match="trie has token"):
        load(tmp_path / "model").predict(["tea"])


# Bad input


def test_texts_may_be_empty_missing_and_long(fitted):
    with pytest.warns(UserWarning, match=r"1 of 3 texts have more than 16 tokens and were cut; raise max_length"):
        top = fitted.predict_topk(["", None, "fresh loaf " * 20], 1)
    assert (top.counts == 1).all()
    assert top.ids[0, 0] == top.ids[1, 0]
    assert fitted.n_truncated_ == 0  # of the training texts
    assert fitted.predict_topk([], 2).ids.shape == (0, 2)
    with pytest.warns(UserWarning, match="700 of 701"):
        fitted.predict_topk(["fresh loaf " * 20] * 700 + ["tea"], 1)


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ([], [], ValueError, "X has no rows"),
        ("tea", ["Tea"], TypeError, "X is one str"),
        (["tea", 3], ["Tea", "Bread"], TypeError, r"X\[1\] is 3"),
        (["tea"], ["Tea", "Bread"], ValueError, "X has 1 rows but Y has 2"),
        ([{"a": "tea"}], ["Tea"], ValueError, "no field 'retailer'"),
        (["tea", "bread"], [[], ["Tea"]], None, ""),
    ],
)
def test_t5_rejects_bad_rows(small, X, y, error, message):
    clf = T5Classifier(**{**small, "epochs": 1})
    if error is None:
        assert clf.fit(X, y).predict_topk(["x"], 1).ids.tolist() == [[0]]
        return
    with pytest.raises(error, match=message):
        clf.fit(X, y)


@pytest.mark.parametrize(
    "parameter",
    [
        {"target": "names"}, {"branching": 1}, {"max_length": 1}, {"epochs": 0}, {"learning_rate": 0}, {"warmup": 1.0},
        {"tail_share": 1}, {"validation": -0.1}, {"positives": "some"}, {"stop_on": "loss"}, {"dtype": "float16"},
        {"lora_rank": 0}, {"beam": 0}, {"accumulate": 1.5}, {"target": "fields"}, {"random_state": None},
    ],
)  # fmt: skip
def test_t5_rejects_bad_parameters(small, parameter):
    with pytest.raises((ValueError, TypeError), match=next(iter(parameter))):
        T5Classifier(**{**small, **parameter}).fit(["tea"], ["Tea"])


def test_t5_rejects_other_models(tmp_path, t5_tokenizer, small):
    def refused(error, message, **options):
        with pytest.raises(error, match=message):
            T5Classifier(**{**small, **options}).fit(["tea", "loaf"], ["Tea", "Bread"])

    refused(ValueError, "configuration without tokenizer", tokenizer=None)
    refused(OSError, "There is no folder /nowhere", model="/nowhere/t5")
    (tmp_path / "empty").mkdir()
    refused((OSError, ValueError), "cannot load the folder", model=str(tmp_path / "empty"))
    config = transformers.T5Config(**SMALL, decoder_start_token_id=0)
    config.save_pretrained(tmp_path / "bare")
    refused(OSError, "cannot load the folder", model=str(tmp_path / "bare"))
    bert = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    transformers.BertModel(bert).save_pretrained(tmp_path / "bert")
    refused(ValueError, "type 'bert'; T5Classifier needs one of type 't5'", model=str(tmp_path / "bert"))
    refused(ValueError, "tokenizer has 32100 tokens, the model only 50", model={**SMALL, "vocab_size": 50})


def test_hub_that_cannot_be_reached_is_one_clear_line(small, monkeypatch, tmp_path):
    use_hub(tmp_path, monkeypatch)
    with pytest.raises(OSError, match=r"'google-t5/t5-large': .*hub does not give it .* Check the name") as caught:
        T5Classifier(device=DEVICE).fit(["tea"], ["Tea"])
    assert "\n" not in str(caught.value)


def test_models_from_the_cache_of_the_hub(monkeypatch, tmp_path):
    fake_hub(tmp_path)
    use_hub(tmp_path, monkeypatch)
    texts, classes = problem(20)
    clf = T5Classifier("google-t5/t5-small", epochs=1, device=DEVICE, max_length=8).fit(texts, classes)
    assert clf.predict(texts).shape == (20,)


def test_gpu_memory_error_names_the_knobs(small, monkeypatch):
    from xclassic.networks import training

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    clf = T5Classifier(**small)
    with monkeypatch.context() as patched:
        patched.setattr(training._Run, "one_step", full)
        with pytest.raises(MemoryError, match=r"lower batch_size and raise accumulate.*lora_rank") as caught:
            clf.fit(["tea", "loaf"], ["Tea", "Bread"])
    errors = (caught.value, caught.value.__cause__)
    held = [frame.f_locals for error in errors for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert not any(isinstance(value, torch.nn.Module) for found in held for value in found.values())
    assert clf.fit(["tea", "loaf"], ["Tea", "Bread"]).predict(["tea"]).shape == (1,)


def test_loss_that_is_not_finite_ends_training(small):
    texts, classes = problem(40)
    with pytest.raises(ValueError, match=r"The loss is nan at step .*; lower learning_rate"):
        T5Classifier(**{**small, "learning_rate": 1e30}).fit(texts, classes)


def test_t5_without_the_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"T5Classifier needs the package transformers.*xclassic\[neural\]"):
        T5Classifier().fit(["tea"], ["Tea"])


def test_memory_estimate_is_of_the_right_size(small):
    estimate = T5Classifier(**small).estimate_memory(["tea"] * 100, ["Tea"] * 100)
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**SMALL))
    n_weights = sum(p.numel() for p in model.parameters())
    assert 16 * n_weights <= estimate < 32 * n_weights


def test_tokenizer_of_the_tests_is_that_of_t5(t5_tokenizer):
    assert (Path(t5_tokenizer) / "tokenizer.json").stat().st_size > 2_000_000


def test_half_surrogate_pairs_are_located_in_texts_and_names(fitted, small):
    with pytest.raises(ValueError, match=r"X\[1\] has half a surrogate pair at position 6"):
        fitted.predict(["tea", "party \ud83d"])
    with pytest.raises(ValueError, match=r"classes_\[1\] has half a surrogate pair"):
        T5Classifier(**small).fit(["leaf", "loaf"], ["Bread", "Tea \ud83d"])
    with pytest.raises(ValueError, match=r"label_names\[0\] has half a surrogate pair"):
        T5Classifier(**small, label_names=["\ud83d", "Tea"]).fit(["leaf", "loaf"], [0, 1])
