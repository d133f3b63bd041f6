"""TextFeatures without a vocabulary: terms hashed into columns."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from xclassic import DiSMEC, explain, load, save
from xclassic._kernels.terms import hash_strings
from xclassic.datasets import open_matrix, products_file, read_records
from xclassic.features import TextFeatures, text_chunks
from xclassic.features.terms import packed
from xclassic.storage.folder import ModelFileError

RECORDS = read_records(products_file())
TITLES = [record["title"] for record in RECORDS]


def expected_rows(texts, n, sublinear_tf):
    """Return the rows of single words by a loop over texts, with the columns that the kernel hashes them into."""
    counts = np.zeros((len(texts), n))
    for row, text in enumerate(texts):
        np.add.at(counts[row], hash_strings(*packed(text.split()), n), 1)
    idf = np.log((1 + len(texts)) / (1 + (counts > 0).sum(axis=0))) + 1
    weights = np.where(counts > 0, (1 + np.log(np.maximum(counts, 1))) if sublinear_tf else counts, 0) * idf
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


@pytest.mark.parametrize("n", [3, 1000])
@pytest.mark.parametrize("sublinear_tf", [False, True])
def test_columns_are_sums_over_their_terms(n, sublinear_tf):
    texts = ["rye bread and bread", "rye rye", "butter of rye", "and and and milk"]
    encoder = TextFeatures(ngram_range=(1, 1), char_ngrams=(), sublinear_tf=sublinear_tf, n_hashed=n)
    found = encoder.fit_transform(texts)
    assert found.shape == (4, n)
    np.testing.assert_allclose(found.toarray(), expected_rows(texts, n, sublinear_tf), rtol=1e-6)
    np.testing.assert_array_equal(encoder.transform(texts).toarray(), found.toarray())


def test_many_columns_keep_the_products_of_rows():
    one, other = TextFeatures().fit_transform(TITLES[:50]), TextFeatures(n_hashed=2**24).fit_transform(TITLES[:50])
    np.testing.assert_allclose((one @ one.T).toarray(), (other @ other.T).toarray(), atol=1e-5)


def test_chunks_and_workers_give_the_same_bits(monkeypatch):
    expected = TextFeatures(n_hashed=500).fit_transform(TITLES)
    monkeypatch.setattr(text_chunks, "CHARACTERS", 2000)
    for n_jobs in (1, 2):
        encoder = TextFeatures(n_hashed=500, n_jobs=n_jobs)
        for X in (encoder.fit_transform(TITLES), encoder.transform(TITLES)):
            np.testing.assert_array_equal(X.indices, expected.indices)
            np.testing.assert_array_equal(X.data, expected.data)


def test_hashes_are_those_of_stored_models():
    strings = ["", "a", "bread", "rye bread", "é", "a longer term of several words", "12345678", "123456789"]
    assert hash_strings(*packed(strings), 2**20).tolist() == [0, 1008935, 567465, 2511, 615415, 980365, 236767, 768198]
    assert set(hash_strings(*packed(strings), 1).tolist()) == {0}
    assert hash_strings(*packed(map(str, range(1000))), 2**31 - 1).min() >= 0


def test_hashes_spread_evenly():
    names = [f"{word} {i}" for word in ("bread", "b") for i in range(20_000)]
    counts = np.bincount(hash_strings(*packed(names), 400), minlength=400)
    assert ((counts - 100.0) ** 2 / 100).sum() < 400 + 5 * np.sqrt(800)  # chi squared


def test_names_are_distinct_and_explanations_work():
    encoder = TextFeatures(["title", "type"], n_hashed=4, numeric="price")
    pipe = make_pipeline(encoder, DiSMEC()).fit(RECORDS, [record["type"] for record in RECORDS])
    names = encoder.get_feature_names_out().tolist()
    assert len(set(names)) == len(names) == encoder.transform(RECORDS[:1]).shape[1]
    assert {"title: hash 0", "title: 'hash 3'", "type: hash 3", "price missing"} <= set(names)
    assert "hash" in str(explain(pipe, RECORDS[:1], RECORDS[0]["type"]))


def test_hashed_features_are_saved(tmp_path):
    encoder = TextFeatures(n_hashed=100).fit(TITLES)
    save(encoder, tmp_path / "model")
    again = load(tmp_path / "model", verify="full")
    np.testing.assert_array_equal(again.transform(TITLES[:5]).toarray(), encoder.transform(TITLES[:5]).toarray())
    arrays, metadata = encoder._get_arrays()
    assert set(arrays) == {"idf0", "idf1"}
    with pytest.raises(ModelFileError, match="100 columns of hashed terms, but n_hashed=99"):
        TextFeatures(n_hashed=99)._set_arrays(arrays, metadata, "full")


def test_text_file_is_read_once_after_a_fit_on_a_sample(tmp_path):
    encoder = TextFeatures("title", n_hashed=1000).fit(RECORDS[:100])
    encoder.transform_to_matrix((RECORDS[i : i + 50] for i in range(0, len(RECORDS), 50)), tmp_path / "X")
    np.testing.assert_array_equal(open_matrix(tmp_path / "X").toarray(), encoder.transform(RECORDS).toarray())
    assert encoder.transform([{"title": "zzyzx"}]).nnz


def test_pieces_give_the_features_of_all_texts(tmp_path):
    encoder = TextFeatures("title", n_hashed=1000).fit_to_matrix(products_file(), tmp_path / "X")
    expected = TextFeatures("title", n_hashed=1000).fit_transform(RECORDS)
    np.testing.assert_array_equal(encoder.transform(RECORDS).toarray(), expected.toarray())


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_hashed": 0}, ValueError, "n_hashed"),
        ({"n_hashed": 2**31}, ValueError, "n_hashed"),
        ({"n_hashed": 1.5}, TypeError, "n_hashed"),
        ({"n_hashed": 10, "min_df": 2}, ValueError, "min_df is 2 and n_hashed 10, but terms that are hashed"),
        ({"n_hashed": 10, "max_features": 2}, ValueError, "leave out max_features, or n_hashed"),
    ],
    ids=str,
)
def test_bad_parameters_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        TextFeatures(**params).fit(TITLES)


@pytest.mark.parametrize(("texts", "message"), [([""], "All 1 texts"), (["!"], "has words")])
def test_texts_without_terms_are_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        TextFeatures(char_ngrams=(), n_hashed=10).fit(texts)
