"""XMLCNN: pooling, what a text becomes, training, checkpoints, word vectors, saving, bad input."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array

torch = pytest.importorskip("torch")

from tests.helpers.contract import assert_same_arrays, assert_same_predictions  # noqa: E402
from tests.helpers.folders import edit_header, replace_array  # noqa: E402
from tests.helpers.naive import neural as naive  # noqa: E402
from tests.helpers.neural import DEVICE  # noqa: E402
from xclassic import XMLCNN, ModelFileError, load  # noqa: E402
from xclassic.networks import training  # noqa: E402
from xclassic.neural.text_cnn import TextCNN, chunk_maxima, padded  # noqa: E402
from xclassic.neural.texts import Texts  # noqa: E402
from xclassic.neural.words import latent_vectors  # noqa: E402

ON_CPU = pytest.mark.skipif(DEVICE != "cpu", reason="a GPU rounds by batch")


def problem(n=32, n_labels=16, seed=0):
    """Texts of very different lengths, of which two words tell the label."""
    rng = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(60)])
    texts = [
        " ".join(rng.permutation([words[i % n_labels], words[16 + i % 4], *rng.choice(words[20:], i % 12)]))
        for i in range(n)
    ]
    return texts, [[f"label {i % n_labels}", f"group {i % 4}"] for i in range(n)]


def small(**options):
    sizes = {"n_dimensions": 16, "n_filters": 16, "bottleneck": 32, "batch_size": 8}
    return XMLCNN(**(sizes | {"epochs": 3, "learning_rate": 0.01, "validation": 0, "device": DEVICE} | options))


@pytest.fixture(scope="module")
def fitted():
    return small(epochs=30, word_dropout=0.1).fit(*problem())


def small_body(n_chunks=2, windows=(2, 4, 8)):
    torch.manual_seed(0)
    sizes = {"n_filters": 3, "n_chunks": n_chunks, "bottleneck": 5, "dropout": 0.5, "word_dropout": 0.3}
    return TextCNN(10, 4, windows=windows, **sizes).requires_grad_(False)


# Pooling


@pytest.mark.parametrize("n_chunks", [1, 2, 3, 8])
def test_chunk_maxima_are_those_of_a_loop(n_chunks):
    maps, lengths = torch.randn(6, 3, 11), [1, 2, 3, 7, 10, 11]
    found = chunk_maxima(maps, torch.tensor(lengths), n_chunks)
    np.testing.assert_allclose(found.numpy(), naive.chunk_maxima(maps.numpy(), lengths, n_chunks))
    adaptive = torch.nn.AdaptiveMaxPool1d(n_chunks)
    for row, length in enumerate(lengths):
        assert torch.equal(found[row], adaptive(maps[row, :, :length]))


def test_one_chunk_is_the_global_maximum():
    maps, lengths = torch.randn(4, 3, 9), torch.tensor([1, 4, 8, 9])
    found = chunk_maxima(maps, lengths, 1)[:, :, 0]
    for row, length in enumerate(lengths):
        assert torch.equal(found[row], maps[row, :, :length].amax(dim=1))


@pytest.mark.parametrize("n_chunks", [1, 3])
def test_gradient_of_the_chunk_maxima_is_right(n_chunks):
    maps = torch.randn(3, 2, 7, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([2, 5, 7])
    assert torch.autograd.gradcheck(lambda maps: chunk_maxima(maps, lengths, n_chunks), maps)


# Rows


@pytest.mark.parametrize("n_chunks", [1, 2, 8])
def test_text_becomes_what_a_loop_over_words_makes_of_it(n_chunks):
    body = small_body(n_chunks).eval()
    rows = [[], [5], [2, 3], [1, 1, 1], [2, 7, 7, 3, 1, 4, 9, 8, 2, 11, 10]]
    texts = Texts(rows, pad=0)
    with torch.inference_mode():
        found = body(body.inputs(texts, np.arange(len(rows)), torch.device("cpu"))).numpy()
    np.testing.assert_allclose(found, [naive.text_cnn(body, row) for row in rows], rtol=1e-5, atol=1e-6)


def test_words_are_dropped_in_training_alone():
    body = small_body()
    body.dropout.p = 0.0
    texts = Texts([[2, 3, 4, 5, 6, 7]] * 50, pad=0)
    inputs = body.inputs(texts, np.arange(50), torch.device("cpu"))
    assert body.train()(inputs).std(dim=0).max() > 0.01
    assert body.eval()(inputs).std(dim=0).max() < 1e-5


def test_padded_lengths_are_few_and_not_much_longer():
    lengths = np.arange(1000)
    found = padded(lengths)
    assert (found >= np.maximum(lengths, 1)).all()
    assert (found[4:] <= 1.25 * lengths[4:] + 3).all()
    assert np.unique(found).size < 40


@ON_CPU
def test_predictions_do_not_depend_on_the_company_of_a_text(fitted):
    texts = [*problem(100, seed=1)[0], "", "no such thing", "word1 " * 70]
    top = fitted.predict_topk(texts, 5)
    for i, text in enumerate(texts):
        assert_same_predictions(fitted.predict_topk([text], 5), type(top)(*(part[i : i + 1] for part in top)))


def test_texts_without_known_words_are_ranked(fitted):
    top = fitted.predict_topk(["", None, "no such", "neither known"], 3)
    assert (top.counts == 3).all()
    np.testing.assert_array_equal(top.scores[0], top.scores[1])
    np.testing.assert_array_equal(top.scores[2], top.scores[3])


def test_case_and_punctuation_do_not_matter(fitted):
    one, other = fitted.predict_topk(["Word1, WORD17!"], 5), fitted.predict_topk(["word1 word17"], 5)
    assert_same_predictions(one, other)


def test_restriction_ranks_the_allowed_labels(fitted):
    texts, _ = problem()
    top = fitted.predict_topk(texts, 20)
    allowed = fitted.classes_[[1, 5, 7]]
    few = fitted.predict_topk(texts, 20, labels=allowed)
    for ids, scores, found, found_scores in zip(top.ids, top.scores, few.ids, few.scores, strict=True):
        kept = np.isin(ids, [1, 5, 7])
        np.testing.assert_array_equal(found[:3], ids[kept])
        np.testing.assert_array_equal(found_scores[:3], scores[kept])


# Training


@pytest.mark.parametrize("n_chunks", [1, 4])
def test_fit_learns_32_texts_by_heart(n_chunks):
    texts, labels = problem()
    assert small(n_chunks=n_chunks, epochs=40).fit(texts, labels).score(texts, labels) == 1


def test_fit_on_classes_gives_probabilities():
    texts, labels = problem()
    classes = np.array([row[0] for row in labels])
    clf = small(epochs=40).fit(texts, classes)
    assert (clf.predict(texts) == classes).all()
    np.testing.assert_allclose(clf.predict_proba(texts).sum(axis=1), 1, rtol=1e-5)


def test_rows_without_labels_and_labels_without_rows_are_legal():
    texts, _ = problem(8)
    Y = csr_array((np.ones(4, np.float32), [0, 2, 0, 2], [0, 1, 2, 3, 4, 4, 4, 4, 4]), shape=(8, 4))
    top = small().fit(texts, Y).predict_topk(texts, 4)
    assert (top.counts == 2).all()
    assert set(top.ids[:, :2].ravel()) == {0, 2}


def test_rows_without_any_label_make_a_model_that_predicts_none():
    texts, _ = problem(8)
    top = small().fit(texts, csr_array((8, 4), dtype=np.float32)).predict_topk(texts, 4)
    assert (top.counts == 0).all()


@ON_CPU
def test_resumed_training_ends_with_the_same_bits(tmp_path, monkeypatch):
    texts, labels = problem()
    whole = small(epochs=4, validation=0.2).fit(texts, labels)
    one_step, steps = training._Run.one_step, []

    def interrupted(run, batch):
        steps.append(run.progress.step)
        if len(steps) == 8:
            raise KeyboardInterrupt
        one_step(run, batch)

    halted = small(epochs=4, validation=0.2, checkpoint=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(training._Run, "one_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            halted.fit(texts, labels)
    assert_same_arrays(halted.fit(texts, labels), whole)
    for other in ({"n_chunks": 3}, {"embeddings": "random"}, {"embeddings": {"word1": np.ones(16)}}):
        with pytest.raises(ValueError, match="other data or other parameters"):
            small(epochs=4, validation=0.2, checkpoint=tmp_path).set_params(**other).fit(texts, labels)


@ON_CPU
def test_seed_makes_the_model():
    texts, labels = problem()
    one, same, other = (
        small(epochs=1, random_state=seed, n_jobs=n_jobs).fit(texts, labels)
        for seed, n_jobs in ((3, 1), (3, 2), (4, 1))
    )
    assert_same_arrays(one, same)
    assert not np.array_equal(one.predict_topk(texts).scores, other.predict_topk(texts).scores)


# Words and their vectors


def test_vocabulary_holds_words_of_enough_texts():
    texts, labels = ["b a a", "b c", "b c d", "B, d? e-b"], [["x"], ["y"], ["x"], ["y"]]
    assert small(epochs=0).fit(texts, labels).words_.tolist() == ["b", "c", "d", "a", "e"]
    assert small(epochs=0, min_texts=2).fit(texts, labels).words_.tolist() == ["b", "c", "d"]
    assert small(epochs=0, max_words=2).fit(texts, labels).words_.tolist() == ["b", "c"]


def test_latent_vectors_of_words_of_the_same_texts_are_close():
    rows = [[2, 3], [2, 3, 1], [4, 5], [5, 4, 1]] * 5
    texts = Texts(rows, pad=0)
    vectors = latent_vectors(texts.flat, texts.starts, 4, 8, 0)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(vectors @ vectors.T, np.kron(np.eye(2), np.ones((2, 2))), atol=1e-4)
    np.testing.assert_allclose(vectors[:, 2:], 0, atol=1e-4)


@pytest.mark.parametrize("kind", ["dict", "tuple"])
def test_given_vectors_are_where_training_starts(kind):
    texts, labels = problem()
    words, matrix = ["word3", "word1", "beyond"], np.arange(48, dtype=np.float64).reshape(3, 16)
    table = dict(zip(words, matrix, strict=True)) if kind == "dict" else (words, matrix)
    clf = small(epochs=0, embeddings=table).fit(texts, labels)
    found = clf._get_arrays()[0]["body.words.weight"]
    at = {word: 2 + i for i, word in enumerate(clf.words_)}
    np.testing.assert_array_equal(found[at["word3"]], matrix[0])
    np.testing.assert_array_equal(found[at["word1"]], matrix[1])
    np.testing.assert_array_equal(found[:2], 0)
    others = np.delete(found, [0, 1, at["word1"], at["word3"]], axis=0)
    given = np.linalg.norm(matrix[:2], axis=1).mean()
    assert np.linalg.norm(others, axis=1).mean() == pytest.approx(given, rel=0.3)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"a": np.ones(3)}, ValueError, r"shape \(3,\) for 'a', but n_dimensions is 16; pass n_dimensions=3"),
        ((["a"], np.ones((2, 16))), ValueError, "has 1 words, but 2 vectors"),
        ((["a"], np.ones(16)), TypeError, "embeddings is a tuple"),
        ({"a": np.full(16, np.nan)}, ValueError, "not of finite numbers"),
        ({"a": np.full(16, 1e300)}, ValueError, "not of finite numbers"),
        ({"a": ["x"] * 16}, ValueError, "not of finite numbers"),
        ("glove", ValueError, "embeddings is 'glove'"),
        (5, TypeError, "embeddings is a int; pass None, 'random', a dict"),
    ],
)
def test_bad_tables_of_vectors_are_refused(table, error, message):
    with pytest.raises(error, match=message):
        small(embeddings=table).fit(*problem())


# Input and parameters


def test_long_texts_are_cut_with_a_warning():
    texts, labels = ["a b c", "d e", "f"], [["x"], ["y"], ["x"]]
    with pytest.warns(UserWarning, match="1 of 3 texts have more than 2 words and were cut; raise max_length"):
        clf = small(epochs=1, max_length=2).fit(texts, labels)
    with pytest.warns(UserWarning, match="1 of 1 texts"):
        top = clf.predict_topk(["a b c d"])
    np.testing.assert_array_equal(top.scores, clf.predict_topk(["a b"]).scores)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("a b", TypeError, r"X is one str; pass a list of texts"),
        (["a", 5], TypeError, r"X\[1\] is 5, a int"),
        ([], ValueError, "X has no rows"),
        ([{"title": "a"}, {"title": "b"}], TypeError, "holds records"),
        (["", "?!"], ValueError, "there is not one word in any of the 2 texts"),
        (np.eye(2), ValueError, "X has 2 dimensions"),
    ],
)
def test_fit_rejects_what_is_not_texts(texts, error, message):
    with pytest.raises(error, match=message):
        small().fit(texts, [["x"], ["y"]][: len(texts)])


def test_fit_rejects_a_vocabulary_without_words():
    with pytest.raises(ValueError, match="2 words are in fewer than min_texts=2 of the 2 texts"):
        small(min_texts=2).fit(["a", "b"], [["x"], ["y"]])


@pytest.mark.parametrize(
    "options",
    [{"windows": ()}, {"windows": 3}, {"windows": (0,)}, {"windows": (2.5,)}, {"dropout": 1}, {"word_dropout": -0.1}],
)
def test_bad_parameters_name_themselves(options):
    with pytest.raises((TypeError, ValueError), match=f"^{next(iter(options))} is"):
        small(**options).fit(*problem())


def test_estimate_memory_counts_words_and_labels():
    texts, labels = problem()
    estimate = small().estimate_memory(texts, labels)
    assert type(estimate) is int
    assert estimate > 0
    assert small(n_dimensions=64).estimate_memory(texts, labels) > estimate
    assert small(max_words=5).estimate_memory(texts, labels) < estimate


# Model folders


def test_loaded_and_pickled_models_predict_the_same(fitted, tmp_path):
    texts = [*problem(40, seed=2)[0], "", "unheard of"]
    fitted.save(tmp_path / "model")
    expected = fitted.predict_topk(texts, 5)
    for copy in (load(tmp_path / "model"), load(tmp_path / "model", verify="full"), pickle.loads(pickle.dumps(fitted))):
        assert_same_predictions(copy.predict_topk(texts, 5), expected)
        assert_same_arrays(copy, fitted)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("words", lambda words: words[::-1]),
        ("body.words.weight", lambda weight: weight[:-1]),
        ("body.words.weight", lambda weight: np.where(weight == weight.max(), np.nan, weight)),
        ("body.bottleneck.weight", lambda weight: weight.astype(np.float64)),
        ("output.values", lambda values: values[:-1]),
    ],
)
def test_damaged_models_are_refused(fitted, tmp_path, name, change):
    fitted.save(tmp_path / "model")
    arrays = dict(fitted._get_arrays()[0])
    if name == "words":  # The first two words become the same.
        words = arrays["words"].copy()
        first, second = fitted.words_[:2]
        assert len(first) == len(second)
        words[len(first) : 2 * len(first)] = words[: len(first)]
        replace_array(tmp_path / "model", name, words)
    else:
        replace_array(tmp_path / "model", name, change(arrays[name]))
    with pytest.raises(ModelFileError):
        load(tmp_path / "model", verify="full").predict_topk(["word1"])


def test_number_of_words_is_checked(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    edit_header(tmp_path / "model", lambda header: header["facts"].update(n_words=3))
    with pytest.raises(ModelFileError):
        load(tmp_path / "model")
