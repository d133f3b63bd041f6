"""describe: what it counts beside plain loops, and what it says one should look at."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from xclassic import datasets
from xclassic.datasets._tallies import Field, Spread
from xclassic.datasets.description import BANDS

TEXTS = ["rye bread", "plum jam", "rye bread", "Tee", "plum jam"]
LABELS = [["food", "bread"], ["food", "food"], ["food"], [], ["food"]]


def found(*pieces, **options):
    description = datasets.describe(list(pieces), **options)
    json.dumps(description)  # It is plain data.
    return description


# Labels


@given(st.lists(st.lists(st.integers(0, 6), max_size=4), max_size=40), st.integers(1, 9))
def test_labels_are_those_of_loops(lists, size):
    rows = [f"text {i % 7}" for i in range(len(lists))]
    pieces = [(rows[i : i + size], lists[i : i + size]) for i in range(0, len(lists), size)]
    description = found(*pieces)
    if not lists:
        assert description["rows"] == 0
        return
    counts = Counter(label for row in lists for label in set(row))
    labels = description["labels"]
    assert (labels["distinct"], labels["pairs"]) == (len(counts), sum(counts.values()))
    assert labels["rows without labels"] == sum(not row for row in lists)
    assert labels["per row"]["mean"] == pytest.approx(np.mean([len(set(row)) for row in lists]))
    assert labels["per row"]["largest"] == max(len(set(row)) for row in lists)
    bands = [sum(first <= n <= (np.inf if last is None else last) for n in counts.values()) for first, last in BANDS]
    assert [band["labels"] for band in labels["bands"]] == [n for n in bands if n]
    assert sum(band["pairs"] for band in labels["bands"]) == labels["pairs"]
    assert labels["most frequent"] == sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:5]
    kinds = {(text, tuple(sorted(set(row)))) for text, row in zip(rows, lists, strict=True)}
    assert description["duplicates"] == {
        "rows": len(rows) - len(set(rows)),
        "of them with other labels": len(kinds) - len(set(rows)),
    }


def test_matrices_and_lists_are_described_alike():
    lists = [[0, 2], [], [2], [1, 2]]
    Y = csr_array(np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0]]))
    names = ["a", "b", "c", "d"]
    rows = ["x", "y", "z", "w"]
    of_lists, of_matrix = found((rows, lists))["labels"], found((rows, Y), label_names=names)["labels"]
    assert of_matrix["without rows"] == 1  # A matrix may have columns that no row uses.
    assert of_matrix["bands"][0] == {"rows": "0", "labels": 1, "pairs": 0}
    assert of_matrix["bands"][1:] == of_lists["bands"]
    assert of_matrix["most frequent"] == [("c", 3), ("a", 1), ("b", 1)]
    for name in ("pairs", "rows without labels", "per row"):
        assert of_matrix[name] == of_lists[name]
    assert found((rows, Y[:, :3]))["labels"]["distinct"] == 3
    assert found((rows, ["a", "b", "a", "b"]))["labels"]["most frequent"] == [("a", 2), ("b", 2)]


# Features, fields and levels


@given(st.integers(0, 30), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_features_are_those_of_numpy(n_rows, n_columns, seed):
    rng = np.random.default_rng(seed)
    X = (rng.integers(-3, 9, (n_rows, n_columns)) * (rng.random((n_rows, n_columns)) < 0.4)).astype(np.float32)
    half = n_rows // 2
    pieces = [(csr_array(part), None) for part in (X[:half], X[half:]) if len(part)]
    description = found(*pieces)
    if not n_rows:
        return
    features, filled = description["features"], X != 0
    assert "labels" not in description
    assert (features["columns"], features["entries"]) == (n_columns, filled.sum())
    assert features["used columns"] == filled.any(axis=0).sum()
    assert features["columns in one row"] == (filled.sum(axis=0) == 1).sum()
    assert features["density"] == pytest.approx(filled.mean())
    assert features["rows without entries"] == (~filled.any(axis=1)).sum()
    assert features["per row"]["mean"] == pytest.approx(filled.sum(axis=1).mean())
    if filled.any():
        assert (features["smallest"], features["largest"]) == (X[filled].min(), X[filled].max())
    assert description["duplicates"]["rows"] == n_rows - len(np.unique(X, axis=0))
    assert found((X, None)) == found((csr_array(X), None))


RECORDS = [
    {"title": "Green tea 50 bags", "shop": "A", "price": 2.5, "tags": ["x", "y"], "note": None, "code": "1"},
    {"title": "Black tea", "shop": "A", "price": float("nan"), "tags": [], "note": " ", "code": "2.5"},
    {"title": "Rooibos, fine cut", "shop": "B", "price": 4, "tags": ["y"], "note": "", "code": "-3"},
    {"title": "Green tea 50 bags", "shop": "B", "tags": None, "code": "4e1"},
]


def test_fields_by_hand():
    fields = found((RECORDS[:1], None), (RECORDS[1:], None))["fields"]
    assert {name: field["kind"] for name, field in fields.items()} == {
        "title": "text", "shop": "category", "price": "number", "tags": "several values", "note": "always missing",
        "code": "number",
    }  # fmt: skip
    assert [fields[name]["missing"] for name in ("title", "price", "tags", "note")] == [0, 0.5, 0.5, 1]
    assert [fields[name]["distinct"] for name in ("title", "shop", "tags", "note")] == [3, 2, 2, 0]
    assert fields["shop"]["most frequent"] == [("A", 2), ("B", 2)]
    assert fields["tags"]["most frequent"] == [("y", 2), ("x", 1)]
    assert (fields["code"]["smallest"], fields["code"]["largest"]) == (-3, 40)
    assert fields["title"]["words"]["bins"] == [("2", 1), ("3 to 5", 3)]
    assert fields["title"]["characters"]["largest"] == 17
    assert fields["tags"]["values per row"]["mean"] == 1.5


def test_rows_are_equal_by_the_fields_of_the_text():
    assert found((RECORDS, None))["duplicates"] == {"rows": 0}
    assert found((RECORDS, None), text=["title"])["duplicates"] == {"rows": 1}
    labels = [["a"], ["b"], ["c"], ["d"]]
    assert found((RECORDS, labels), text=["title"])["duplicates"] == {"rows": 1, "of them with other labels": 1}


def test_levels_of_labels_and_of_fields():
    labels = [["Food > Drinks > Tea"], ["Food > Drinks > Tea", "Food > Drinks"], ["Home > Drinks"], []]
    levels = found((list("abcd"), labels))["levels"]
    assert [(level["level"], level["nodes"], level["rows that end here"]) for level in levels] == [
        ("L0", 2, 0), ("L1", 2, 2), ("L2", 1, 2),
    ]  # fmt: skip
    assert [level["names with several parents"] for level in levels] == [0, 1, 0]
    assert levels[1]["most frequent"] == [("Food > Drinks", 3), ("Home > Drinks", 1)]
    rows = [{"x": "Food", "y": "Tea"}, {"x": "Food", "y": "na"}, {"x": "Home", "y": "Tea"}, {"x": None}]
    levels = found((rows, None), path=["x", "y"])["levels"]
    assert [(level["level"], level["nodes"], level["rows that end here"]) for level in levels] == [
        ("x", 2, 1), ("y", 2, 2),
    ]  # fmt: skip
    assert "levels" not in found((TEXTS, LABELS))
    assert len(found((["a"], [["x/y"]]), sep="/")["levels"]) == 2


def test_rows_may_lack_a_text_and_labels_may_be_a_vector():
    description = found((["tea", None, float("nan")], np.array([3, 4, 3])))
    assert description["fields"]["text"]["missing"] == pytest.approx(2 / 3)
    assert description["labels"]["most frequent"] == [(3, 2), (4, 1)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pieces": ["tea", "jam"]}, TypeError, "Piece 0 is a str, not a pair of rows and labels"),
        ({"pieces": (["tea"], [["x"]])}, TypeError, "Piece 0 is a list, not a pair"),
        ({"pieces": [(["a", "b"], [["x"], None])]}, TypeError, "The labels of row 1 of a piece are None; pass a list"),
        ({"pieces": [(["a"], [1.5])]}, TypeError, "The labels of row 0 of a piece are 1.5"),
        ({"pieces": [(["a"], [[{}]])]}, TypeError, r"The labels of row 0 of a piece are \[\{\}\]"),
        ({"pieces": [(["a"], None)], "sep": ""}, ValueError, "sep is empty"),
        ({"pieces": [([{"a": 1}], None)], "path": ["b"]}, ValueError, "No record has the field 'b'; found are a"),
        ({"pieces": [([{"a": 1}], None)], "text": ["b"]}, ValueError, "No record has the field 'b'"),
        ({"pieces": [(np.eye(3), np.eye(3))], "label_names": ["x"]}, ValueError, "label_names has 1 names for 3"),
    ],
)
def test_what_cannot_be_described_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        datasets.describe(**arguments)


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=50))
def test_spread_is_that_of_sorted_sizes(sizes):
    spread = Spread()
    spread.add(sizes[:3])
    spread.add(sizes[3:])
    summary, ordered = spread.summary(), sorted(sizes)
    assert summary["mean"] == pytest.approx(np.mean(sizes))
    assert (summary["smallest"], summary["largest"]) == (ordered[0], ordered[-1])
    for name, share in (("median", 0.5), ("90 %", 0.9), ("99 %", 0.99)):
        assert sum(size <= summary[name] for size in sizes) >= share * len(sizes)
        assert sum(size < summary[name] for size in sizes) < share * len(sizes)
    assert sum(n for _, n in summary["bins"]) == len(sizes)
    for name, n in summary["bins"]:
        numbers = [int(number.replace(",", "")) for number in name.removeprefix("over ").split(" to ")]
        low, high = (numbers[0] + 1, np.inf) if name.startswith("over") else (numbers[0], numbers[-1])
        assert n == sum(low <= size <= high for size in sizes)


def test_values_are_forgotten_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr("xclassic.datasets._tallies.MOST_VALUES", 10)
    field = Field()
    for i in range(100):
        field.add(f"value {i % 20}")
    assert field.values is None
    summary = field.summary(100)
    assert (summary["kind"], summary["distinct"]) == ("category", 20)
    assert "most frequent" not in summary


# Two parts


def test_overlap_of_two_parts():
    train = [({"text": text, "shop": "A"}, labels) for text, labels in zip(TEXTS, LABELS, strict=True)]
    test = [({"text": "rye bread"}, ["food"]), ({"text": "new"}, ["strange", "food"]), ({"text": "Tee"}, ["strange"])]
    description = found(
        *[([record], [labels]) for record, labels in train],
        test=[([record for record, _ in test], [labels for _, labels in test])],
        text=["text"],
    )
    assert description["overlap"] == {
        "test rows that are in training": 2,
        "labels of test rows alone": 1,
        "pairs with such labels": 2,
        "fields missing in test": ["shop"],
    }
    assert description["test"]["rows"] == 3
    assert any("2 of 3 test rows (66.7 %) are training rows too" in sentence for sentence in description["warnings"])
    assert any("1 labels occur in test rows alone: 2 of 4" in sentence for sentence in description["warnings"])
    assert any("'shop' is always missing in test rows" in sentence for sentence in description["warnings"])


# What to look at


@pytest.mark.parametrize(
    ("pieces", "options", "sentence"),
    [
        ([], {}, "There are no rows"),
        ([(["a"], [[]])], {}, "No row has a label"),
        ([(["a", "b"], [["x"], []])], {}, "1 of 2 rows (50.0 %) have no labels"),
        ([(["a", "b"], np.eye(2, 3))], {}, "1 of 3 labels (33.3 %) have no rows here"),
        ([(["a", "b"], [["x"], ["y"]])], {}, "2 of 2 labels (100.0 %) have a single row"),
        ([(["a", "b"], [["Tea"], ["tea "]])], {}, "1 labels differ from another one in upper and lower case"),
        ([(["a", "b"], [["x;y"], ["x;z"]])], {}, "2 of 2 labels (100.0 %) hold ';', and no row has two labels"),
        ([(["a", "a"], [["x"], ["y"]])], {}, "1 of 2 rows (50.0 %) repeat an earlier row, 1 of them with other labels"),
        ([(np.eye(2, 3), None)], {}, "1 of 3 columns (33.3 %) of the features have no entries"),
        ([(np.array([[1.0], [0.0]]), None)], {}, "1 of 2 rows (50.0 %) have no features"),
        ([([{"a": None}, {"a": ""}], None)], {}, "The field 'a' is always missing"),
        ([([{"a": "x"}, {"a": "x"}], None)], {}, "The field 'a' has one value in all rows"),
        ([([{"a": "x"}, {"b": "1"}, {}], None)], {}, "The text 'a' is missing in 67 % of the rows"),
        ([(["word " * 600, "b"], None)], {}, "More than 10 % of the texts 'text' have over 512 words"),
    ],
)
def test_what_one_should_look_at_is_said(pieces, options, sentence):
    assert any(sentence in warning for warning in found(*pieces, **options)["warnings"])


def test_sound_data_needs_no_words():
    rows = [f"text {i}" for i in range(20)]
    assert found((rows, [["a", "b"], ["b"]] * 10), test=[(["other"], [["a"]])])["warnings"][1:] == []


# What is refused


@pytest.mark.parametrize(
    ("pieces", "error", "message"),
    [
        ([(["a"], [["x"], ["y"]])], ValueError, "There are 1 rows and 2 lists of labels"),
        ([(["a"], np.eye(2))], ValueError, "X has 1 rows and Y has 2"),
        ([(["a"], None), (np.eye(2), None)], TypeError, "Pieces hold features and texts"),
        ([([1, 2], None)], TypeError, "neither texts, records"),
        ([(["a", {"b": 1}], None)], TypeError, "neither texts, records"),
        ([(np.array([[np.nan]]), None)], ValueError, "NaN"),
        ([(["a"], np.array([[2.0]]))], ValueError, "0"),
    ],
)
def test_what_is_no_data_is_refused(pieces, error, message):
    with pytest.raises(error, match=message):
        datasets.describe(pieces)
