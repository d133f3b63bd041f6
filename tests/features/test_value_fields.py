"""Fields of one value, of several values, and pairs of fields: their columns, what is pooled, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from xclassic import DiSMEC, load, predict_topk, save
from xclassic.features import TextFeatures
from xclassic.storage.folder import ModelFileError

ROWS = [
    {"title": "rye bread", "shop": "north", "brand": "Acme", "tags": ["food", "rye"]},
    {"title": "oat bread", "shop": " north ", "brand": "Bolt", "tags": "food, oat"},
    {"title": "desk lamp", "shop": "south", "brand": "Acme", "tags": ["home", "home"]},
    {"title": "wall lamp", "shop": "south", "brand": None, "tags": []},
    {"title": "red shoe", "shop": "west", "brand": "Acme", "tags": None},
    {"title": "blue shoe", "shop": None, "brand": "", "tags": "home"},
]
ALL = {"category": "shop", "several": "tags", "crossed": [("shop", "brand")]}


def made(params, rows=ROWS, new=None):
    """Return the names and the rows of the columns that are no text."""
    encoder = TextFeatures("title", **params).fit(rows)
    names = encoder.get_feature_names_out().tolist()
    first = min(i for i, name in enumerate(names) if " = " in name)
    return names[first:], encoder.transform(rows if new is None else new).toarray()[:, first:]


def test_category_has_a_column_for_each_frequent_value_one_for_the_rest_and_one_for_missing():
    names, X = made({"category": "shop", "category_weight": 0.5})
    assert names == ["shop = north", "shop = south", "shop other", "shop missing"]
    assert X.argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 3]
    np.testing.assert_allclose(X.max(axis=1), 0.5 / np.sqrt(1.25), rtol=1e-6)
    assert (X > 0).sum(axis=1).tolist() == [1] * 6


def test_values_that_fit_did_not_see_are_pooled():
    new = [{"title": "x", "shop": "east"}, {"title": "x", "shop": "north"}, {"title": "x"}]
    assert made({"category": "shop"}, new=new)[1].argmax(axis=1).tolist() == [2, 0, 3]


def test_rare_values_have_columns_with_min_rows_1():
    names, X = made({"category": "shop", "min_rows": 1})
    assert names == ["shop = north", "shop = south", "shop = west", "shop other", "shop missing"]
    assert X.argmax(axis=1).tolist() == [0, 0, 1, 1, 2, 4]


def test_several_values_share_the_weight_of_their_field():
    names, X = made({"several": "tags", "category_weight": 1})
    assert names == ["tags = food", "tags = home", "tags other", "tags missing"]
    half, whole = 0.5, np.sqrt(0.5)
    expected = [[half, 0, half, 0], [half, 0, half, 0], [0, whole, 0, 0], [0, 0, 0, whole], [0, 0, 0, whole]]
    np.testing.assert_allclose(X, [*expected, [0, whole, 0, 0]], rtol=1e-6)


def test_separator_cuts_texts_and_not_lists():
    rows = [{"title": "a", "tags": "x|y,z"}, {"title": "b", "tags": ["x|y", "y,z"]}]
    names, _ = made({"several": "tags", "separator": "|", "min_rows": 1}, rows)
    assert names[:3] == ["tags = x", "tags = x|y", "tags = y,z"]


def test_crossed_fields_have_a_column_for_each_pair_of_values():
    rows = [*ROWS, {"title": "rye roll", "shop": "north", "brand": "Acme"}]
    names, X = made({"crossed": [("shop", "brand")]}, rows)
    assert names == ["shop = north & brand = Acme", "shop & brand other", "shop & brand missing"]
    assert X.argmax(axis=1).tolist() == [0, 1, 1, 2, 1, 2, 0]


def test_pairs_are_not_confused_whatever_the_values_hold():
    rows = [{"title": "a", "p": 'x", "y', "q": "z"}, {"title": "b", "p": "x", "q": 'y", "z'}]
    names, X = made({"crossed": [("p", "q")], "min_rows": 1}, rows)
    assert sorted(X.argmax(axis=1).tolist()) == [0, 1]
    assert sorted(names[:2]) == ['p = x & q = y", "z', 'p = x", "y & q = z']


@pytest.mark.parametrize(
    ("values", "same"),
    [([3, 3.0, "3", np.int64(3), np.float32(3)], True), ([True, np.bool_(True), "True"], True), ([1.5, "1.5"], True)],
)
def test_one_value_in_several_types_is_one_category(values, same):
    rows = [{"title": "a", "n": value} for value in values]
    names, X = made({"category": "n", "min_rows": 1}, rows)
    assert (len(names) == 3) is same
    assert set(X.argmax(axis=1).tolist()) == {0}


def test_rows_have_unit_length_with_all_kinds_of_fields():
    rows = [row | {"price": i} for i, row in enumerate(ROWS)]
    X = TextFeatures("title", numeric="price", **ALL, min_rows=1, category_weight=2).fit_transform(rows)
    np.testing.assert_allclose(np.sqrt((X * X).sum(axis=1)), 1, rtol=1e-6)
    assert X.has_canonical_format


def test_fields_of_values_survive_saving(tmp_path):
    pipe = make_pipeline(TextFeatures("title", **ALL, min_rows=1), DiSMEC()).fit(ROWS, [["a"], ["b"]] * 3)
    save(pipe, tmp_path / "model")
    loaded = load(tmp_path / "model", verify="full")
    assert loaded[0].categories_ == pipe[0].categories_
    np.testing.assert_array_equal(predict_topk(loaded, ROWS, 2).scores, predict_topk(pipe, ROWS, 2).scores)
    np.testing.assert_array_equal(loaded[0].get_feature_names_out(), pipe[0].get_feature_names_out())


@pytest.mark.parametrize("wrong", [["b", "a"], ["a", "a"], ["no pair"]])
def test_stored_values_that_cannot_be_are_refused(wrong):
    encoder = TextFeatures("title", crossed=[("shop", "brand")], min_rows=1).fit(ROWS)
    encoder.categories_[("shop", "brand")] = [f'["{value}", "x"]' if len(value) == 1 else value for value in wrong]
    arrays, metadata = encoder._get_arrays()
    with pytest.raises(ModelFileError, match="'shop' and 'brand' in the model repeat, or are out of order or no pairs"):
        encoder._set_arrays(arrays, metadata, "full")


def test_pieces_give_the_same_as_all_at_once(tmp_path):
    expected = TextFeatures("title", **ALL, min_rows=1).fit(ROWS)
    found = TextFeatures("title", **ALL, min_rows=1).fit_to_matrix([ROWS[:2], ROWS[2:]], tmp_path / "X")
    assert found.categories_ == expected.categories_


def test_classifier_learns_from_the_category_alone():
    rows = [{"title": "thing", "shop": shop} for shop in ["north", "south"] * 5]
    pipe = make_pipeline(TextFeatures("title", category="shop"), DiSMEC()).fit(rows, ["n", "s"] * 5)
    assert pipe.predict([{"title": "thing", "shop": "south"}, {"title": "thing", "shop": "north"}]).tolist() == [
        "s",
        "n",
    ]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"category": "title"}, ValueError, "The field 'title' is in text and in category"),
        ({"category": "shop", "several": "shop"}, ValueError, "The field 'shop' is in category and in several"),
        ({"text": None, "several": "tags"}, ValueError, "several names tags, but text none"),
        ({"text": None, "crossed": [("shop", "brand")]}, ValueError, "crossed names shop, brand, but text none"),
        ({"crossed": "shop"}, TypeError, "crossed is 'shop'; pass a list of pairs"),
        ({"crossed": [("shop",)]}, ValueError, r"crossed has \('shop',\); each entry names two fields"),
        ({"crossed": [("shop", "shop")]}, ValueError, "name each field once"),
        ({"crossed": [("shop", "brand"), ("brand", "shop")]}, ValueError, "name each pair once"),
        (
            {"crossed": [("shop", "title")]},
            ValueError,
            "crossed has 'title', which is in text; only fields of one value",
        ),
        ({"several": "tags", "separator": ""}, ValueError, "separator is ''"),
        ({"min_rows": 0}, ValueError, "min_rows"),
        ({"category_weight": 0}, ValueError, "category_weight"),
        ({"category": "tags"}, TypeError, r"X\['tags'\]\[0\] is \['food', 'rye'\], a list; a category is a string"),
        ({"category": "title2"}, ValueError, "no field 'title2'"),
        (
            {"category": "brand", "min_rows": 9},
            ValueError,
            "Not one of the 2 values of the field 'brand' is in min_rows=9",
        ),
    ],
    ids=str,
)
def test_bad_fields_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        TextFeatures(**({"text": "title"} | params)).fit(ROWS)


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        ([None, ""], ValueError, "All 2 values of the field 'c' are missing; leave it out"),
        ([1, float("inf")], TypeError, r"X\['c'\]\[1\] is inf, a float; a category is a string, a finite number"),
        ([{"a": 1}, "b"], TypeError, r"X\['c'\]\[0\] is \{'a': 1\}, a dict"),
    ],
    ids=str,
)
def test_bad_values_are_refused(column, error, message):
    rows = [{"title": "text", "c": value} for value in column]
    with pytest.raises(error, match=message):
        TextFeatures("title", category="c").fit(rows)


def test_bad_items_of_several_values_are_found():
    with pytest.raises(TypeError, match=r"X\['c'\]\[1\]\[2\] is \[\], a list"):
        TextFeatures("title", several="c").fit([{"title": "a", "c": "x"}, {"title": "b", "c": ["x", "y", []]}])
