"""Texts and records as users hold them, and templates."""

from collections import deque

import numpy as np
import pytest

from xclassic.validation.records import (
    check_columns,
    check_encodable,
    check_texts,
    fill_template,
    is_records,
    template_fields,
)


def frame(**columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def test_texts_of_every_kind_and_missing_ones():
    expected = ["a", "", ""]
    given = [["a", None, float("nan")], ("a", "", None), np.array(["a", "", None], object), iter(["a", "", None])]
    for X in given:
        texts = check_texts(X)
        assert texts.tolist() == expected
        assert texts.dtype == object
    assert check_texts(np.array(["a", "b"])).tolist() == ["a", "b"]
    assert all(type(text) is str for text in check_texts(np.array(["a", "b"])))


def test_columns_of_pandas():
    pandas = pytest.importorskip("pandas")
    table = frame(title=["a", None], price=[1.5, float("nan")], code=pandas.array(["x", pandas.NA], dtype="string"))
    assert check_texts(table["title"]).tolist() == ["a", ""]
    assert check_texts(table["code"]).tolist() == ["x", ""]
    assert check_columns(table, ["price", "code"]) == {"price": [1.5, None], "code": ["x", None]}
    assert is_records(table)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("text", "X is one str"),
        (b"text", "X is one bytes"),
        ({"a": 1}, "X is one dict"),
        (["a", 3], r"X\[1\] is 3, a int; texts are strings"),
        ([{"a": "b"}], "holds records"),
        (5, "X is a int; pass a list"),
    ],
)
def test_texts_reject_other_values(X, message):
    with pytest.raises(TypeError, match=message):
        check_texts(X)


def test_texts_reject_tables():
    with pytest.raises(TypeError, match="column of a table"):
        check_texts(frame(title=["a"]))
    with pytest.raises(ValueError, match="2 dimensions"):
        check_texts(np.array([["a"]]))


ROWS = [{"title": "tea", "price": 2}, {"title": None}, {"price": float("nan"), "title": "mug"}]
COLUMNS = {"title": ["tea", None, "mug"], "price": [2, None, float("nan")]}


class Column:
    """As pandas and polars have them."""

    def __init__(self, values):
        self.values = values

    def __iter__(self):
        return iter(self.values)

    def to_list(self):
        return list(self.values)


class Arrow:
    """A table as pyarrow and datasets have them: its ``columns`` are no names."""

    column_names, columns = list(COLUMNS), [object(), object()]

    def __getitem__(self, name):
        return COLUMNS[name]


@pytest.mark.parametrize("X", [ROWS, tuple(ROWS), COLUMNS, deque(ROWS), Column(ROWS), Arrow(), np.array(ROWS, object)])
def test_columns_are_the_same_from_every_container(X):
    assert is_records(X)
    assert check_columns(X, ["price", "title"]) == {"price": [2, None, None], "title": ["tea", None, "mug"]}


@pytest.mark.parametrize("X", [["a"], np.array(["a"]), [], np.zeros((2, 2))])
def test_records_reject_texts_and_arrays(X):
    assert not is_records(X)


@pytest.mark.parametrize(
    ("X", "fields", "error", "message"),
    [
        (ROWS, ["name"], ValueError, "X has no field 'name'; found are price, title"),
        ([], ["name"], None, ""),
        (["tea"], ["title"], TypeError, r"X\[0\] is a str, but the fields title are to be read"),
        ({"a": [1], "b": [1, 2]}, ["a", "b"], ValueError, "columns of X"),
        ({"a": "tea"}, ["a"], TypeError, r"X\['a'\] is one string, not a column"),
    ],
)
def test_records_that_are_bad_are_rejected(X, fields, error, message):
    if error is None:
        assert check_columns(X, fields) == {"name": []}
        return
    with pytest.raises(error, match=message):
        check_columns(X, fields)


def test_templates():
    texts = fill_template("Price: {price:.2f} Description: {title}!", ROWS)
    assert texts.tolist() == ["Price: 2.00 Description: tea!", "Price:  Description: !", "Price:  Description: mug!"]
    assert template_fields("{a} {b} {a} {{c}}") == ["a", "b"]
    assert template_fields("{price:>100.2f}") == ["price"]
    with pytest.raises(TypeError, match="template is 7 of type int"):
        template_fields(7)


def test_templates_name_the_value_that_they_cannot_write():
    rows = [{"price": None}, {"price": "3"}]
    with pytest.raises(ValueError, match=r"X\['price'\]\[1\] is '3', a str, which the template .* as '.2f'.* by float"):
        fill_template("{price:.2f}", rows)


def test_half_surrogate_pairs_are_located():
    check_encodable(["tea \U0001f375", ""])
    with pytest.raises(ValueError, match=r"names\[1\] has half a surrogate pair at position 4"):
        check_encodable(["tea", "tea \ud83c"], "names")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{price:>1000000000}", r"\{price:>1000000000\}; a field can be padded to at most 100 letters"),
        ("{price:.101f}", "at most 100 letters or digits"),
        ("{price:{title}101}", "at most 100 letters or digits"),
        ("{title", "malformed"),
        ("no field", "must name fields .* found none"),
        ("{}", "found ''"),
        ("{0}", "found '0'"),
        ("{title.__class__}", "found 'title.__class__'"),
        ("{title[0]}", "found"),
    ],
)
def test_templates_that_are_bad_are_rejected(template, message):
    with pytest.raises(ValueError, match=message):
        fill_template(template, ROWS)
