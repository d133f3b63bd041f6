"""Features of texts larger than memory: the same, bit for bit, as those of all texts at once."""

import json

import numpy as np
import pytest

from xclassic.datasets import DataFileError, open_matrix, products_file, read_records
from xclassic.features import TextFeatures

RECORDS = read_records(products_file())
TITLES = [record["title"] for record in RECORDS]
SETTINGS = [
    {},
    {"preset": "abstract"},
    {"min_df": 2, "max_features": 100},
    {"min_df": 0.02, "char_ngrams": ()},
    {"stop_words": "english", "sublinear_tf": False},
]


def pieces(rows, step=50):
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def assert_same(folder, features, expected, reference):
    found = open_matrix(folder, verify="full")
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.data, expected.data)
    assert features.get_feature_names_out().tolist() == reference.get_feature_names_out().tolist()


@pytest.mark.parametrize("settings", SETTINGS)
def test_texts_in_pieces_give_the_features_of_all_texts(settings, tmp_path):
    reference = TextFeatures(**settings)
    expected = reference.fit_transform(TITLES)
    features = TextFeatures(**settings).fit_to_matrix(pieces(TITLES), tmp_path)
    assert_same(tmp_path, features, expected, reference)


@pytest.mark.parametrize("text", ["title", ["title", "brand"]])
def test_a_file_of_records_gives_the_features_of_all_records(text, tmp_path):
    reference = TextFeatures(text, numeric="price")
    expected = reference.fit_transform(RECORDS)
    features = TextFeatures(text, numeric="price").fit_to_matrix(products_file(), tmp_path)
    assert_same(tmp_path, features, expected, reference)


def test_a_file_of_texts_has_them_in_the_field_text(tmp_path, monkeypatch):
    monkeypatch.setattr("xclassic.datasets.texts.RECORDS", 30)
    file = tmp_path / "titles.jsonl"
    file.write_text("\n".join(json.dumps({"text": title, "labels": []}) for title in [*TITLES[:50], None]))
    reference = TextFeatures()
    expected = reference.fit_transform([*TITLES[:50], ""])
    assert_same(tmp_path / "X", TextFeatures().fit_to_matrix(file, tmp_path / "X"), expected, reference)
    with pytest.raises(DataFileError, match="there is no field 'text'; found are 'title'"):
        TextFeatures().fit_to_matrix(products_file(), tmp_path / "X")


def test_further_rows_are_written_by_the_same_features(tmp_path):
    features = TextFeatures("title").fit(RECORDS[:200])
    assert features.transform_to_matrix(iter(pieces(RECORDS[200:])), tmp_path) is features
    assert_same(tmp_path, features, features.transform(RECORDS[200:]), features)
    features.transform_to_matrix([], tmp_path)
    assert open_matrix(tmp_path).shape == features.transform(RECORDS[:0]).shape


def test_features_learned_in_pieces_are_saved(tmp_path):
    import xclassic

    features = TextFeatures("title", numeric="price").fit_to_matrix(products_file(), tmp_path / "X")
    xclassic.save(features, tmp_path / "features")
    again = xclassic.load(tmp_path / "features")
    np.testing.assert_array_equal(again.transform(RECORDS[:9]).toarray(), features.transform(RECORDS[:9]).toarray())


@pytest.mark.parametrize(
    ("source", "settings", "error", "words"),
    [
        (iter([["a"]]), {}, TypeError, "source is an iterator, which ends after the first pass"),
        ([["", ""]], {}, ValueError, "All 2 texts of the field 'text' are empty"),
        ([], {}, ValueError, "X has no rows"),
        ([["red"], ["blue"]], {"min_df": 2}, ValueError, "No words are in min_df=2 of the 2 texts"),
        ([["red"], [3]], {}, TypeError, r"X\[0\]"),
    ],
)
def test_sources_without_terms_are_refused(source, settings, error, words, tmp_path):
    with pytest.raises(error, match=words):
        TextFeatures(**settings).fit_to_matrix(source, tmp_path)
