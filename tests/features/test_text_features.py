"""TextFeatures: what it is made of, every form of input, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array, hstack, issparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils import estimator_checks

from xclassic import DiSMEC, encode_labels, load, predict_topk, save
from xclassic.features import TextFeatures
from xclassic.features.terms import unpacked
from xclassic.features.text_parameters import PRESETS
from xclassic.parallel import RUNNING

TEXTS = [
    "The moons of Jupiter",
    "Bread and butter",
    "Jupiter, Saturn and the moons of both",
    "Rye bread, and more bread",
]
LABELS = [["sky"], ["food"], ["sky"], ["food"]]
RECORDS = [
    {"title": "The moons of Jupiter", "blurb": "All moons that are known.", "price": 12.5},
    {"title": "Bread and butter", "blurb": None, "price": "3"},
    {"title": "Rye bread", "blurb": "A baker tells all that is known.", "price": None},
    {"title": "", "blurb": "All moons.", "price": 40},
]


def lengths(X):
    return np.sqrt((X * X).sum(axis=1))


def assert_same(X, expected):
    np.testing.assert_array_equal(X.toarray(), expected.toarray())


# What the features are


@pytest.mark.parametrize(
    ("params", "words", "chars"),
    [
        ({}, {"ngram_range": (1, 2), "sublinear_tf": True}, {"ngram_range": (4, 4), "sublinear_tf": True}),
        ({"preset": "abstract"}, {"min_df": 2}, None),
        ({"preset": "abstract", "min_df": 0.3, "sublinear_tf": True}, {"min_df": 0.3, "sublinear_tf": True}, None),
        (
            {"ngram_range": (), "char_ngrams": [2, 4], "min_df": 2, "sublinear_tf": False},
            None,
            {"ngram_range": (2, 4), "min_df": 2},
        ),
        (
            {"char_ngrams": (), "stop_words": ["and", "of"], "max_features": 3, "ngram_range": (1, 1)},
            {"stop_words": ["and", "of"], "max_features": 3, "sublinear_tf": True},
            None,
        ),
        (
            {"stop_words": "english", "char_ngrams": (2, 2)},
            {"stop_words": "english", "ngram_range": (1, 2), "sublinear_tf": True},
            {"ngram_range": (2, 2), "sublinear_tf": True},
        ),
    ],
    ids=str,
)
def test_blocks_are_what_the_vectorizer_of_scikit_learn_makes(params, words, chars):
    blocks = [
        TfidfVectorizer(analyzer=analyzer, dtype=np.float32, **settings).fit(TEXTS)
        for analyzer, settings in (("word", words), ("char_wb", chars))
        if settings is not None
    ]
    encoder = TextFeatures(**params)
    X = encoder.fit_transform(TEXTS)
    np.testing.assert_allclose(
        X.toarray(), hstack([block.transform(TEXTS) for block in blocks]).toarray() / np.sqrt(len(blocks)), rtol=1e-6
    )
    np.testing.assert_allclose(lengths(X), 1, rtol=1e-6)
    assert encoder.get_feature_names_out().size == X.shape[1] == encoder._n_features_out


def test_text_features_are_canonical_float32():
    for X in (TextFeatures().fit_transform(TEXTS), TextFeatures().fit(TEXTS).transform(TEXTS[::-1])):
        assert isinstance(X, csr_array)
        assert X.dtype == X.data.dtype == np.float32
        assert X.indices.dtype == np.int32
        checked = csr_array((X.data, X.indices, X.indptr), shape=X.shape)
        assert checked.has_canonical_format
        assert (X.data > 0).all()


def test_field_weighs_one_whatever_blocks_it_has():
    """The product of two full rows is the weighted mean of the cosines of their fields."""
    params = {"numeric": "price", "numeric_weight": 0.5, "preset": ("title", "abstract"), "min_df": 1}
    X = TextFeatures(("title", "blurb"), **params).fit_transform(RECORDS)
    titles = TextFeatures("title", min_df=1).fit_transform(RECORDS)
    blurbs = TextFeatures("blurb", preset="abstract", min_df=1).fit_transform(RECORDS)
    prices = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    expected = (titles @ titles.T + blurbs @ blurbs.T + 0.25 * prices) / 2.25
    np.testing.assert_allclose((X @ X.T).toarray(), expected, atol=1e-6)
    np.testing.assert_allclose(lengths(X)[[0, 2]], 1, rtol=1e-6)
    np.testing.assert_allclose(lengths(X)[1], np.sqrt(1.25 / 2.25), rtol=1e-6)


def test_fields_have_vocabularies_and_presets_of_their_own():
    encoder = TextFeatures(["title", "blurb"], preset=["title", "abstract"]).fit(RECORDS)
    assert {field: len(made) for field, made in encoder.terms_.items()} == {"title": 2, "blurb": 1}
    assert "moons" in encoder.terms_["title"][0].names()
    assert set(encoder.terms_["blurb"][0].names()) == {"all", "is", "known", "moons", "that"} - {"is"}


def test_missing_and_empty_texts_are_zeros():
    X = TextFeatures().fit_transform([None, *TEXTS, "", "  ", np.nan])
    assert X[[0, 5, 6, 7]].nnz == 0
    assert_same(X[1:5], TextFeatures().fit_transform([*TEXTS, "", "", "", ""])[:4])
    assert TextFeatures().fit(TEXTS).transform(["zzzz"]).nnz == 0


def test_text_features_of_zero_rows():
    encoder = TextFeatures("title", numeric="price").fit(RECORDS)
    X = encoder.transform([])
    assert X.shape == (0, encoder.transform(RECORDS).shape[1])
    assert X.dtype == np.float32
    assert TextFeatures().fit(TEXTS).transform(np.empty(0, object)).shape[0] == 0


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "pair",
    [
        ("vitamin C tablets", "vitamin D tablets"),
        ("shirt size M", "shirt size L"),
        ("C++ guide", "C# guide"),
        ("C++11 guide", "C#11 guide"),
        ("vitamin K1", "vitamin K 1"),
        ("苹 果", "香 蕉"),
    ],
)
def test_words_of_one_character_count(preset, pair):
    first, second = TextFeatures(preset=preset, min_df=1).fit_transform(pair).toarray()
    assert (first != second).any()


def test_signs_behind_a_word_belong_to_it_and_others_do_not():
    encoder = TextFeatures(preset="abstract", min_df=1).fit(["C++ C# A+ a+b c++17 x-ray #1 (f)"])
    found = {"c++", "c#", "a+", "a", "b", "17", "x", "ray", "1", "f"}
    assert set(encoder.get_feature_names_out()) == found


def words_after_loading(encoder, folder):
    save(encoder, folder)
    cut = load(folder, verify="full").terms_["text"][0].cut
    return unpacked(cut.count(["size m"], RUNNING).strings)


def test_stored_models_keep_what_a_word_was(tmp_path):
    encoder = TextFeatures().fit(["size M", "size L"])
    arrays, metadata = encoder._get_arrays()
    earlier = TextFeatures()
    earlier._set_arrays(arrays, {"blocks": [block[:4] for block in metadata["blocks"]]}, "full")
    assert words_after_loading(encoder, tmp_path / "new") == ["size", "m", "size m"]
    assert words_after_loading(earlier, tmp_path / "old") == ["size"]


# Numbers


def test_number_bins_have_equally_many_rows():
    values = np.random.default_rng(0).lognormal(size=400)
    rows = [{"text": "a text", "n": value} for value in values.tolist()]
    encoder = TextFeatures("text", numeric="n", n_bins=4).fit(rows)
    np.testing.assert_array_equal(encoder.edges_["n"], np.quantile(values, [0.25, 0.5, 0.75]))
    bins = encoder.transform(rows).toarray()[:, -5:]
    assert (bins > 0).sum(axis=0).tolist() == [100, 100, 100, 100, 0]
    low, middle, high = encoder.edges_["n"].tolist()
    names = encoder.get_feature_names_out()[-5:].tolist()
    assert names == [f"n < {low}", f"{low} <= n < {middle}", f"{middle} <= n < {high}", f"n >= {high}", "n missing"]
    found = encoder.transform([{"text": "", "n": n} for n in (-1e300, low, high, 1e300, None)]).toarray()[:, -5:]
    assert np.argmax(found, axis=1).tolist() == [0, 1, 3, 3, 4]


def test_number_bins_do_not_depend_on_the_scale():
    values = np.random.default_rng(0).lognormal(size=50)
    one, other = ([{"t": "word", "n": factor * value} for value in values] for factor in (1, 1e6))
    assert_same(TextFeatures("t", numeric="n").fit_transform(one), TextFeatures("t", numeric="n").fit_transform(other))


def test_number_bins_are_shared_by_equal_numbers():
    rows = [{"t": "word", "n": n} for n in (7, 7, 7, 7, 9)]
    encoder = TextFeatures("t", numeric="n", n_bins=5).fit(rows)
    assert encoder.get_feature_names_out()[-len(encoder.edges_["n"]) - 2 :][0] == "n < 7.0"
    bins = encoder.transform(rows).toarray()[:, -len(encoder.edges_["n"]) - 2 :].argmax(axis=1)
    assert len(set(bins[:4].tolist())) == 1
    assert bins[4] != bins[0]


@pytest.mark.parametrize("value", [3, 3.0, "3", " 3.0 ", np.float32(3), np.int64(3)])
def test_numbers_may_be_spelled(value):
    encoder = TextFeatures("title", numeric="price").fit(RECORDS)
    assert_same(
        encoder.transform([{"title": "Bread", "price": value}]), encoder.transform([{"title": "Bread", "price": 3}])
    )


@pytest.mark.parametrize("value", [None, np.nan, "", " ", "nan"])
def test_missing_numbers_have_a_bin(value):
    encoder = TextFeatures("title", numeric="price").fit(RECORDS)
    X = encoder.transform([{"title": "Bread", "price": value}])
    assert X[[0], [X.shape[1] - 1]] > 0
    assert encoder.get_feature_names_out()[-1] == "price missing"


@pytest.mark.parametrize("value", ["1,299", "3 EUR", "inf", float("inf"), [3], "1e999"])
def test_numbers_reject_other_values(value):
    message = r"X\['price'\]\[1\] is .*, no finite number\. Write it as 1299\.5"
    with pytest.raises(ValueError, match=message):
        TextFeatures("title", numeric="price").fit([RECORDS[0], {"title": "x", "price": value}])


# Forms of input


@pytest.mark.parametrize("form", [tuple, np.array, lambda texts: np.array(texts, object)])
def test_texts_of_all_forms(form):
    assert_same(TextFeatures().fit_transform(form(TEXTS)), TextFeatures().fit_transform(TEXTS))


def test_records_of_all_forms():
    expected = TextFeatures(["title", "blurb"], numeric=["price"]).fit(RECORDS)
    columns = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}
    short = [{name: value for name, value in record.items() if value is not None} for record in RECORDS]
    for X in (tuple(RECORDS), columns, short, np.array(RECORDS, object)):
        assert_same(clone(expected).fit_transform(X), expected.transform(RECORDS))


def test_frames_and_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(RECORDS)
    frame.index = [7, 5, 3, 1]
    encoder = TextFeatures(["title", "blurb"], numeric="price")
    assert_same(encoder.fit_transform(frame), clone(encoder).fit_transform(RECORDS))
    for column in (frame["title"], frame["title"].astype("string"), frame["title"].astype("category")):
        assert_same(TextFeatures().fit_transform(column), TextFeatures("title").fit_transform(RECORDS))
    frame["price"] = [12.5, 3, pandas.NA, 40]
    assert_same(encoder.fit_transform(frame), clone(encoder).fit_transform(RECORDS))


def test_half_surrogate_pairs_are_read():
    """JSON may hold them."""
    X = TextFeatures().fit_transform(["moon \ud83d light", "moon"])
    assert np.isfinite(X.data).all()


# As a transformer


def test_fit_transform_is_fit_and_transform():
    for encoder, X in ((TextFeatures(), TEXTS), (TextFeatures("title", numeric="price"), RECORDS)):
        found = encoder.fit_transform(X)
        for same in (encoder.transform(X), clone(encoder).fit(X).transform(X)):
            np.testing.assert_array_equal(found.indptr, same.indptr)
            np.testing.assert_array_equal(found.indices, same.indices)
            np.testing.assert_allclose(found.data, same.data, rtol=1e-6)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_output_is_sparse_where_others_return_tables(container):
    with config_context(transform_output=container):
        for found in (TextFeatures().fit_transform(TEXTS), TextFeatures().fit(TEXTS).transform(TEXTS)):
            assert isinstance(found, csr_array)
        make_pipeline(TextFeatures(), DiSMEC()).fit(TEXTS, LABELS).predict(TEXTS)


def test_clone_and_pickle():
    encoder = TextFeatures(["title"], numeric=("price",), preset=["abstract"], min_df=1, stop_words=["of"])
    assert clone(encoder).get_params() == encoder.get_params()
    copy = pickle.loads(pickle.dumps(encoder.fit(RECORDS)))
    assert_same(copy.transform(RECORDS), encoder.transform(RECORDS))
    with pytest.raises(NotFittedError):
        clone(encoder).transform(RECORDS)
    with pytest.raises(NotFittedError):
        clone(encoder).get_feature_names_out()


def test_feature_names_are_distinct_and_readable():
    names = TextFeatures(["title", "blurb"], numeric="price").fit(RECORDS).get_feature_names_out().tolist()
    assert len(set(names)) == len(names)
    assert {"title: moons", "title: bread and", "title: 'brea'", "blurb: ' moo'", "price missing"} <= set(names)
    assert {"moons", "the moons", "'moon'"} <= set(TextFeatures().fit(TEXTS).get_feature_names_out())


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimators_unfitted,
        estimator_checks.check_mixin_order,
    ],
    ids=lambda check: check.__name__,
)
def test_text_features_pass_scikit_learn_check(check):
    """Those that pass no table; scikit-learn leaves out the others for transformers of text."""
    check("TextFeatures", TextFeatures())


def test_search_chooses_the_preset():
    Y, _ = encode_labels(LABELS * 3)
    pipe = make_pipeline(TextFeatures(), DiSMEC())
    search = GridSearchCV(pipe, {"textfeatures__preset": list(PRESETS)}, cv=2).fit(TEXTS * 3, Y)
    assert predict_topk(search, ["bread"], 1).ids.tolist() == [[0]]


def test_views_side_by_side_with_weights():
    union = FeatureUnion(
        [("words", TextFeatures(char_ngrams=())), ("letters", TextFeatures(ngram_range=()))],
        transformer_weights={"words": 1.0, "letters": 0.5},
    )
    X = union.fit_transform(TEXTS)
    assert issparse(X)
    assert X.format == "csr"
    assert X.dtype == np.float32
    np.testing.assert_allclose(lengths(X.tocsr()), np.sqrt(1.25), rtol=1e-6)
    assert {"words__moons", "letters__'moon'"} <= set(union.get_feature_names_out())
    pipe = make_pipeline(union, DiSMEC()).fit(TEXTS, LABELS)
    assert predict_topk(pipe, ["moons"], 1).named(pipe.classes_)[0][0][0] == "sky"


def test_fields_in_a_union():
    union = FeatureUnion([("title", TextFeatures("title")), ("blurb", TextFeatures("blurb", preset="abstract"))])
    both = TextFeatures(["title", "blurb"], preset=["title", "abstract"]).fit_transform(RECORDS)
    np.testing.assert_allclose(union.fit_transform(RECORDS).toarray(), both.toarray() * np.sqrt(2), rtol=1e-6)


# What is refused


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"preset": "tweet"}, ValueError, "preset is 'tweet'; it must be one of 'auto', 'title', 'abstract'"),
        ({"preset": ["title", "title"]}, ValueError, "preset has 2 entries for 1 text field"),
        ({"text": ["a", "b"], "preset": ["title"]}, ValueError, "preset has 1 entries for 2 text fields"),
        ({"text": ()}, ValueError, "text names no field"),
        ({"text": 3}, TypeError, "text is 3; pass the name of a field"),
        ({"text": [3]}, TypeError, r"text is \[3\]"),
        ({"text": ["a", "a"]}, ValueError, "name each field once"),
        ({"numeric": "price"}, ValueError, "numeric names price, but text none"),
        ({"text": "price", "numeric": "price"}, ValueError, "'price' is in text and in numeric"),
        ({"ngram_range": 3}, ValueError, r"ngram_range is 3; pass the shortest and longest length, as in \(1, 2\)"),
        ({"ngram_range": (2, 1)}, ValueError, "ngram_range"),
        ({"char_ngrams": (0, 3)}, ValueError, "char_ngrams"),
        ({"char_ngrams": "35"}, ValueError, "char_ngrams"),
        ({"ngram_range": (), "char_ngrams": ()}, ValueError, "are both empty"),
        ({"ngram_range": (), "preset": "abstract"}, ValueError, "are both empty"),
        ({"min_df": 0}, ValueError, "min_df"),
        ({"min_df": 1.5}, ValueError, "min_df"),
        ({"min_df": "2"}, TypeError, "min_df"),
        ({"max_features": 0}, ValueError, "max_features"),
        ({"stop_words": "german"}, ValueError, "stop_words is 'german'; it must be one of 'english'"),
        ({"stop_words": [1]}, TypeError, "stop_words"),
        ({"sublinear_tf": 1}, TypeError, "sublinear_tf is 1"),
        ({"n_bins": 1}, ValueError, "n_bins"),
        ({"numeric_weight": 0}, ValueError, "numeric_weight"),
    ],
    ids=str,
)
def test_text_features_reject_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        TextFeatures(**params).fit(RECORDS if "text" in params else TEXTS)


@pytest.mark.parametrize(
    ("params", "X", "error", "message"),
    [
        ({}, "one text", TypeError, r"pass a list of texts, \[text\] for a single one"),
        ({}, [b"bytes"], TypeError, r"X\[0\] is b'bytes', a bytes; texts are strings"),
        ({}, ["a", 3], TypeError, r"X\[1\] is 3, a int"),
        ({}, np.eye(2), ValueError, "2 dimensions"),
        ({}, RECORDS, TypeError, r"X holds records, not texts; name the fields to read, as in TextFeatures\('title'\)"),
        ({"text": "title"}, TEXTS, TypeError, r"X\[0\] is a str, but the fields title are to be read"),
        ({"text": "name"}, RECORDS, ValueError, "no field 'name'; found are blurb, price, title"),
        ({"text": "price"}, RECORDS, TypeError, r"X\['price'\]\[0\] is 12.5, a float"),
        ({"text": "title"}, RECORDS[0], TypeError, "X is one record; pass a list of records"),
        ({"text": "title", "numeric": "cost"}, RECORDS, ValueError, "no field 'cost'"),
        ({"text": "title", "numeric": "blurb"}, RECORDS, ValueError, r"X\['blurb'\]\[0\] is 'All moons"),
        (
            {"text": "title", "numeric": "n"},
            [{"title": "bread", "n": None}],
            ValueError,
            "All 1 values of the field 'n'",
        ),
        ({}, ["", None], ValueError, "All 2 texts of the field 'text' are empty. Name the field that holds the text"),
        ({}, [], ValueError, "X has no rows"),
        ({"text": "title"}, [{"title": " "}], ValueError, "All 1 texts of the field 'title' are empty"),
        ({"preset": "abstract"}, TEXTS[:2], ValueError, r"No words are in min_df=2 of the 2 texts .*Lower min_df"),
        ({"char_ngrams": ()}, ["!", "?"], ValueError, r"Not one of the 2 texts .* has words .*; the first is '!'"),
        ({"stop_words": ["a"]}, ["a", "a a"], ValueError, "has words .* not in stop_words"),
        ({"preset": "abstract", "ngram_range": (3, 3)}, ["a b", "c"], ValueError, r"for ngram_range=\(3, 3\)"),
        ({"ngram_range": (), "min_df": 2}, ["a", "b"], ValueError, "No character n-grams are in min_df=2"),
    ],
    ids=str,
)
def test_text_features_reject_bad_input(params, X, error, message):
    with pytest.raises(error, match=message):
        TextFeatures(**params).fit(X)


def test_fit_that_fails_leaves_no_half():
    encoder = TextFeatures("title", numeric="price")
    with pytest.raises(ValueError, match="All 1 values"):
        encoder.fit([{"title": "bread", "price": None}])
    with pytest.raises(NotFittedError):
        encoder.transform(RECORDS)


@pytest.mark.parametrize("query", [{"title": "tea"}, {"price": "3.5"}, {}, {"other": "x"}])
def test_record_without_an_optional_field_is_the_same_alone_and_beside_others(query):
    rows = [{"title": "green tea", "price": "3.5"}, {"title": "lamp", "price": "40"}, {"title": "black tea"}]
    encoder = TextFeatures("title", numeric="price").fit(rows)
    alone, beside = encoder.transform([query]), encoder.transform([*rows, query])
    np.testing.assert_array_equal(alone.toarray(), beside.toarray()[-1:])
    empty = {"title": None, "price": None} | query
    np.testing.assert_array_equal(alone.toarray(), encoder.transform([empty]).toarray())


def test_table_without_a_column_is_rejected():
    encoder = TextFeatures("title", numeric="price").fit({"title": ["tea", "lamp"], "price": [1, 2]})
    with pytest.raises(ValueError, match="no field 'price'; found are title"):
        encoder.transform({"title": ["tea"]})
