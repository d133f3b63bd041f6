"""FieldsClassifier, its report, and records as texts: by hand, beside loops, and what is refused."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from tests.helpers.centroid import Centroid
from tests.helpers.folders import edit_header, file_of, replace_array
from xclassic import (
    Blend,
    Calibrated,
    DiSMEC,
    ModelFileError,
    OneVsRestLeastSquares,
    TopK,
    XRLinear,
    load,
    predict_topk,
)
from xclassic.taxonomy.field_text import format_fields, parse_fields
from xclassic.taxonomy.fields import FieldsClassifier, fields_report

PATH = ("group", "shelf")
FIELDS = ("brand", "color")


def products():
    """Titles and the fields of each; one has no path, one a short one, and brands are missing."""
    rows = [
        ("green tea leaves", "Food", "Drinks", "Leaf", None),
        ("black tea bags", "Food", "Drinks", "Leaf", None),
        ("brown rice", "Food", "Grains", "na", "brown"),
        ("white rice", "Food", "Grains", None, "white"),
        ("desk lamp white", "Home", "Lamps", "Lux", "white"),
        ("floor lamp", "Home", "Lamps", "Lux", ""),
        ("gift box", "Home", "na", "", None),
        ("voucher", None, None, None, "NA"),
    ]
    titles = [row[0] for row in rows]
    return titles, [dict(zip((*PATH, *FIELDS), row[1:], strict=True)) for row in rows]


def features():
    titles, table = products()
    return TfidfVectorizer(dtype=np.float32).fit_transform(titles), table


def small(estimator=None, **params):
    return FieldsClassifier(estimator or OneVsRestLeastSquares(), **{"path": PATH, "fields": FIELDS, **params})


def expected_records():
    _, table = products()
    return [{key: None if value in ("na", "NA", "") else value for key, value in row.items()} for row in table]


# Fit and predict


def test_training_rows_are_told_apart():
    X, table = features()
    assert small().fit(X, table).predict(X) == expected_records()
    assert small().fit(X, table).score(X, table) == 1


def test_texts_through_a_pipeline_inside_or_in_front():
    titles, table = products()
    inside = small(make_pipeline(TfidfVectorizer(), OneVsRestLeastSquares())).fit(titles, table)
    front = make_pipeline(TfidfVectorizer(), small()).fit(titles, table)
    assert inside.predict(titles) == front.predict(titles) == expected_records()
    assert front.score(titles, table) == 1
    assert {"Lamps"} == {record["shelf"] for record in front.predict(["a lamp", "desk"])}


def test_tables_of_every_kind_train_the_same():
    pandas = pytest.importorskip("pandas")
    X, table = features()
    columns = {key: [row[key] for row in table] for key in table[0]}
    for form in (columns, pandas.DataFrame(columns), np.array(table, object)):
        assert small().fit(X, form).predict(X) == expected_records()
        assert small().fit(X, form).score(X, form) == 1


def test_fitted_attributes():
    clf = small().fit(*features())
    assert clf.hierarchy_.labels.tolist() == ["Food > Drinks", "Food > Grains", "Home", "Home > Lamps", "na"]
    assert clf.path_estimator_.classes_.tolist() == clf.hierarchy_.labels.tolist()
    assert list(clf.field_estimators_) == list(FIELDS)
    assert {field: values.tolist() for field, values in clf.values_.items()} == {
        "group": ["Food", "Home", None],
        "shelf": ["Drinks", "Grains", "Lamps", None],
        "brand": ["Leaf", "Lux", None],
        "color": ["brown", None, "white"],
    }


def test_paths_alone_and_fields_alone():
    X, table = features()
    only_path = small(fields=()).fit(X, table)
    assert only_path.predict(X) == [{key: record[key] for key in PATH} for record in expected_records()]
    only_fields = small(path=()).fit(X, table)
    assert only_fields.predict(X) == [{key: record[key] for key in FIELDS} for record in expected_records()]
    assert only_fields.hierarchy_ is None
    assert only_fields.path_estimator_ is None
    assert only_fields.predict_topk(X, 1).keys() == set(FIELDS)


def test_na_is_always_missing_and_the_rest_is_what_the_caller_says():
    X, table = features()
    clf = small(na=("Lux",), path=()).fit(X, table)
    assert clf.values_["brand"].tolist() == ["Leaf", None]
    assert clf.values_["color"].tolist() == ["NA", "brown", None, "white"]


def test_field_of_one_value():
    X, _ = features()
    for value in ("same", None):
        clf = small(path=(), fields=("brand",)).fit(X, [{"brand": value}] * 8)
        assert clf.predict(X) == [{"brand": value}] * 8


@pytest.mark.parametrize("estimator", [Centroid(), XRLinear(), DiSMEC()])
@pytest.mark.parametrize("seed", range(3))
def test_paths_predicted_are_paths_of_training(estimator, seed):
    rng = np.random.default_rng(seed)
    X = rng.random((60, 8)).astype(np.float32)
    names = rng.choice(["a", "b"], size=(60, 3)).astype(object)
    lengths = rng.integers(0, 4, 60)
    names[np.arange(3) >= lengths[:, None]] = None
    levels = ("x", "y", "z")
    table = [dict(zip(levels, row, strict=True)) for row in names]
    clf = FieldsClassifier(estimator, path=levels, fields=()).fit(X[:40], table[:40])
    seen = {tuple(row) for row in names[:40].tolist()}
    parents = {tuple(row[:end]) for row in seen for end in (1, 2, 3)}
    top = clf.predict_topk(X, 1)
    for i, record in enumerate(clf.predict(X)):
        found = tuple(record.values())
        assert found in seen
        assert all(found[:end] in parents for end in (1, 2, 3))
        assert all(below is None or above is not None for above, below in pairwise(found))
        assert [clf.values_[level][top[level].ids[i, 0]] for level in levels] == list(found)


def test_rankings_of_levels_are_those_of_their_best_paths():
    X, table = features()
    clf = small(Centroid()).fit(X, table)
    paths = clf.path_estimator_.predict_topk(X, 99)
    predictions = clf.predict_topk(X, 3)
    assert list(predictions) == [*PATH, *FIELDS]
    for place, level in enumerate(PATH):
        assert predictions[level].k == 3
        for i in range(len(table)):
            best = {}
            for label, score in zip(paths.ids[i].tolist(), paths.scores[i].tolist(), strict=True):
                names = [*clf.hierarchy_.labels[label].split(" > "), "na"]
                best.setdefault(None if names[place] == "na" else names[place], score)  # best first
            expected = sorted(best.values(), reverse=True)[:3]
            named = predictions[level].named(clf.values_[level])[i]
            assert [score for _, score in named] == expected
            assert all(best[value] == score for value, score in named)
    for field in FIELDS:
        expected = clf.field_estimators_[field].predict_topk(X, 3)
        np.testing.assert_array_equal(predictions[field].ids, expected.ids)


class Silent(Centroid):
    """Predictions nothing for rows without features."""

    def _topk(self, X, k, labels, stop):
        top = super()._topk(X, k, labels, stop)
        nothing = TopK.empty(top.n_rows, top.k)
        empty = np.asarray(abs(X).sum(axis=1) == 0).ravel()
        return TopK(
            *(np.where(empty.reshape(-1, *[1] * (a.ndim - 1)), b, a) for a, b in zip(top, nothing, strict=True))
        )


def test_rows_for_which_nothing_is_ranked():
    X, table = features()
    clf = small(Silent()).fit(X, table)
    records = clf.predict(np.vstack([X.toarray()[4], np.zeros(X.shape[1])]))
    assert records[0]["shelf"] == "Lamps"
    assert records[1] == dict.fromkeys((*PATH, *FIELDS))


def test_predict_takes_zero_rows():
    X, table = features()
    clf = small().fit(X, table)
    assert clf.predict(X[:0]) == []
    assert clf.predict_topk(X[:0])["shelf"].n_rows == 0


def test_classifier_is_cloned_and_searched_by_scikit_learn():
    X, table = features()
    clf = small(DiSMEC(C=3.0))
    assert clone(clf).get_params()["estimator__C"] == 3.0
    assert clone(clf).set_params(estimator__C=0.5, na=()).estimator.C == 0.5
    assert clf.estimator.C == 3.0
    assert not hasattr(clf.fit(X, table).estimator, "classes_")
    search = GridSearchCV(small(fields=("brand",)), {"estimator__alpha": [0.1, 10.0]}, cv=2)
    search.fit(X, table)
    assert 0 <= search.best_score_ <= 1
    assert len(search.predict(X)) == 8
    assert clone(clf).fit(X, table).predict(X) == pickle.loads(pickle.dumps(clf)).predict(X)


@pytest.mark.parametrize(
    ("params", "change", "error", "message"),
    [
        ({"path": "group"}, {}, TypeError, "path is 'group'; pass a list"),
        ({"fields": [1]}, {}, TypeError, r"fields is \[1\]; pass a list"),
        ({"path": ("group", "brand")}, {}, ValueError, "path and fields names 'brand' twice"),
        ({"path": (), "fields": ()}, {}, ValueError, "path and fields are both empty"),
        ({"na": "na"}, {}, TypeError, "na is 'na'; pass a list"),
        ({"fields": ("price",)}, {}, ValueError, "table has no field 'price'; found are brand, color, group, shelf"),
        ({}, {"shelf": 3}, TypeError, r"table\['shelf'\]\[2\] is 3 of type int; names are strings"),
        ({}, {"group": None}, ValueError, "Row 2 of the table has shelf 'Grains' but no group"),
        ({}, {"group": "Food > Dry"}, ValueError, r"The path \('Food > Dry', 'Grains'\) cannot be written"),
    ],
)
def test_classifier_rejects_bad_parameters_and_tables(params, change, error, message):
    X, table = features()
    table[2] |= change
    with pytest.raises(error, match=message):
        small(**params).fit(X, table)


def test_estimator_must_fit():
    with pytest.raises(TypeError, match=r"estimator is \[\]; pass a classifier"):
        FieldsClassifier([]).fit(*features())


def test_predict_rejects_other_sizes_and_unfitted_objects():
    X, table = features()
    with pytest.raises(ValueError, match="table has no rows"):
        small().fit(X, [])
    with pytest.raises(ValueError, match="8"):
        small().fit(X, table[:5])
    with pytest.raises(NotFittedError):
        small().predict(X)
    clf = small().fit(X, table)
    with pytest.raises(ValueError, match="table_true has 5 rows and predictions have 8"):
        clf.score(X, table[:5])
    with pytest.raises(ValueError, match="k is 0"):
        clf.predict_topk(X, 0)


# Persistence


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"path": ()},
        {"fields": ()},
        {"estimator": Blend([("a", DiSMEC()), ("b", XRLinear())], normalization="none", weights=[1, 2])},
    ],
    ids=["both", "fields", "path", "blend"],
)
@pytest.mark.parametrize("options", [{}, {"mmap": False, "verify": "full"}], ids=["lazy", "full"])
def test_saved_model_predicts_the_same(params, options, tmp_path):
    X, table = features()
    clf = small(**params).fit(X, table)
    clf.save(tmp_path / "model")
    again = load(tmp_path / "model", **options)
    assert again.predict(X) == clf.predict(X)
    assert again.get_params(deep=False).keys() == clf.get_params(deep=False).keys()
    assert (again.path, again.fields, again.na) == (clf.path, clf.fields, clf.na)
    assert again.hierarchy_ == clf.hierarchy_
    for field, top in clf.predict_topk(X).items():
        np.testing.assert_array_equal(top.scores, again.predict_topk(X)[field].scores)
    clone(again).fit(X, table)
    again.save(tmp_path / "model")  # over the arrays that it maps
    assert load(tmp_path / "model").predict(X) == clf.predict(X)


def test_save_rejects_what_a_folder_cannot_hold(tmp_path):
    titles, table = products()
    clf = small(make_pipeline(TfidfVectorizer(), OneVsRestLeastSquares())).fit(titles, table)
    with pytest.raises(TypeError, match="which a model folder cannot hold"):
        clf.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    with pytest.raises(NotFittedError):
        small().save(tmp_path / "model")


@pytest.fixture
def saved(tmp_path):
    small().fit(*features()).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    "edit",
    [
        lambda header: header["facts"]["members"].pop(),
        lambda header: header["facts"]["members"].append(header["facts"]["members"][0]),
        lambda header: header["facts"]["members"].clear(),
        lambda header: header["facts"].pop("members"),
        lambda header: header["facts"]["members"][0].update({"class": "Pipeline"}),
        lambda header: header["facts"]["members"][0].update(n_features=3),
        lambda header: header["params"].update(color="red"),
        lambda header: header["params"].update(path="group"),
        lambda header: header["params"].update(path={"tuple": ["group"]}),
        lambda header: header["params"].update(path={"tuple": []}),
        lambda header: header["params"].update(path={"tuple": ["group", "brand"]}),
        lambda header: header["arrays"].pop("member.1.classes_"),
        lambda header: header.update({"class": "DiSMEC"}),
    ],
)
def test_load_rejects_a_damaged_header(saved, edit):
    edit_header(saved, edit)
    with pytest.raises(ModelFileError):
        load(saved)


def test_load_rejects_damaged_arrays(saved):
    file = next(saved.glob("member.0.classes_.*"))
    content = file.read_bytes()
    file.write_bytes(content[:-4])
    with pytest.raises(ModelFileError, match="is damaged"):
        load(saved)
    file.write_bytes(content[:-4] + b"\0\1\0\0")
    with pytest.raises(ModelFileError, match="checksum"):
        load(saved, verify="full")
    file.unlink()
    with pytest.raises(ModelFileError, match="is missing"):
        load(saved)


def test_classes_of_numbers_are_rejected(saved):
    n_classes = len(np.load(file_of(saved, "member.1.classes_")))
    replace_array(saved, "member.1.classes_", np.arange(n_classes))
    with pytest.raises(ModelFileError):
        load(saved)


# The report


def test_report_by_hand():
    true = {"brand": ["a", "a", "b", "na", None, ""], "type": ["x", "x", "y", "y", "na", "z"]}
    predicted = {"brand": ["a", "b", "b", None, "a", None], "type": ["x", "x", "y", "x", None, "q"]}
    report = fields_report(true, predicted)
    brand = report["brand"]
    assert brand["accuracy"] == pytest.approx(4 / 6)
    assert brand["accuracy without na"] == pytest.approx(2 / 3)
    # na: 2 of 2 right, 2 of 3 found; a: 1 of 2, 1 of 2; b: 1 of 2, 1 of 1
    assert brand["macro precision"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert brand["macro recall"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert brand["macro F1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert brand["macro precision without na"] == pytest.approx(1 / 2)
    assert brand["macro recall without na"] == pytest.approx(3 / 4)
    assert brand["macro F1 without na"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert report["type"]["accuracy"] == pytest.approx(4 / 6)
    assert report["type"]["accuracy without na"] == pytest.approx(3 / 5)
    assert report["whole record"] == {"accuracy": pytest.approx(2 / 6)}
    assert list(report) == ["brand", "type", "whole record"]


def test_head_torso_and_tail_by_hand():
    train = {"brand": ["h"] * 101 + ["m"] * 26 + ["t"] * 25 + [None] * 200}
    true = {"brand": ["h", "h", "m", "t", "t", "new", None]}
    predicted = {"brand": ["h", "m", "m", "t", "h", "h", None]}
    found = fields_report(true, predicted, train)["brand"]
    assert found["head accuracy"] == pytest.approx(1 / 2)
    assert found["torso accuracy"] == 1
    assert found["tail accuracy"] == pytest.approx(1 / 3)
    only_missing = fields_report({"brand": [None]}, {"brand": ["h"]}, train)["brand"]
    assert only_missing.keys() == {"accuracy", "macro precision", "macro recall", "macro F1"}


VALUES = st.lists(st.tuples(*[st.sampled_from(["na", "a", "b", "c"])] * 2), min_size=1, max_size=12)


@given(VALUES)
def test_report_is_that_of_scikit_learn(pairs):
    true, predicted = zip(*pairs, strict=True)
    found = fields_report({"f": list(true)}, [{"f": value} for value in predicted])
    assert found["f"]["accuracy"] == pytest.approx(accuracy_score(true, predicted))
    names = ("precision", "recall", "F1")
    expected = precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)
    assert [found["f"][f"macro {name}"] for name in names] == pytest.approx(expected[:3])
    values = sorted({*true, *predicted} - {"na"})
    named = [t == p for t, p in pairs if t != "na"]
    if named:
        expected = precision_recall_fscore_support(true, predicted, labels=values, average="macro", zero_division=0)
        assert [found["f"][f"macro {name} without na"] for name in names] == pytest.approx(expected[:3])
        assert found["f"]["accuracy without na"] == pytest.approx(np.mean(named))
    assert found["whole record"] == {"accuracy": found["f"]["accuracy"]}


@pytest.mark.parametrize(
    ("true", "predicted", "error", "message"),
    [
        ({"f": ["a"]}, {"f": ["a", "b"]}, ValueError, "table_true has 1 rows and predictions have 2"),
        ({"f": []}, {"f": []}, ValueError, "table_true has 0 rows"),
        ({"f": ["a"]}, [], ValueError, "predictions name no field"),
        ({"f": ["a"]}, ["a"], ValueError, "predictions name no field"),
        ({"f": ["a"]}, {"g": ["a"]}, ValueError, "table_true has no field 'g'"),
        ({"f": ["a"]}, {"f": [1]}, TypeError, r"predictions\['f'\]\[0\] is 1 of type int"),
    ],
)
def test_report_rejects_bad_tables(true, predicted, error, message):
    with pytest.raises(error, match=message):
        fields_report(true, predicted)


# Records as texts

PREFIXES = {"brand": "details_Brand", "category": "L0_category", "shelf": "L1_category"}


def test_formatting_by_hand():
    rows = [{"brand": "Wella", "category": "Beauty", "shelf": "Hair"}, {"brand": "", "category": "na", "shelf": None}]
    texts = ["details_Brand: Wella L0_category: Beauty L1_category: Hair"]
    texts.append("details_Brand: na L0_category: na L1_category: na")
    assert format_fields(rows, PREFIXES) == format_fields(rows, list(PREFIXES.items())) == texts
    assert format_fields(rows[:1], ["shelf", ("brand", "by")]) == ["shelf: Hair by: Wella"]
    assert parse_fields(texts[0], PREFIXES) == rows[0]
    assert parse_fields(texts[1], PREFIXES) == dict.fromkeys(PREFIXES)
    assert format_fields([], ["a"]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [None, None]),
        ("nothing of the kind", [None, None]),
        ("b: y a: x", ["x", "y"]),
        ("well, a: x", ["x", None]),
        ("a: x a: z b: y", ["x", "y"]),
        ("a: b: y", [None, "y"]),
        ("a:", [None, None]),
        ("a: Dr. X: the 3:2 b:y xa: 1", ["Dr. X: the 3:2 b:y xa: 1", None]),
        ("a: two  spaces  b:  y ", ["two  spaces", "y"]),
        ("a: na b: NA", [None, "NA"]),
    ],
)
def test_parsing_by_hand(text, expected):
    assert list(parse_fields(text, ["a", "b"]).values()) == expected


def test_parsing_takes_the_longest_prefix():
    fields = {"short": "brand", "long": "my brand"}
    row = {"short": "x", "long": "y"}
    assert parse_fields(format_fields([row], fields)[0], fields) == row
    with pytest.raises(ValueError, match=r"Row 0 of the table has the .*'it is my'"):
        format_fields([{"long": "it is my", "short": "x"}], {"long": "my brand", "short": "brand"})


@pytest.mark.parametrize("value", ["see L1_category: Hair", "L0_category: ", "the details_Brand:"])
def test_formatting_rejects_values_that_hold_a_prefix(value):
    rows = [{"brand": "a", "category": "b", "shelf": "c"}, {"brand": "a", "category": value, "shelf": "c"}]
    with pytest.raises(ValueError, match=r"Row 1 of the table has the \w+ .* would be read back as .*Choose other"):
        format_fields(rows, PREFIXES)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ("brand", TypeError, "fields is the string 'brand'"),
        ([], ValueError, "name at least one field"),
        ({"brand": ""}, ValueError, "a prefix that is not empty"),
        ({"brand": "x", "shelf": "x"}, ValueError, "The prefixes of fields names 'x' twice"),
        (["brand", "brand"], ValueError, "fields names 'brand' twice"),
        ({"brand": 3}, TypeError, "The prefixes of fields is"),
    ],
)
def test_prefixes_that_are_bad_are_rejected(fields, error, message):
    for use in (lambda: format_fields([{"brand": "a", "shelf": "b"}], fields), lambda: parse_fields("x", fields)):
        with pytest.raises(error, match=message):
            use()


def test_parsing_takes_one_text_alone():
    with pytest.raises(TypeError, match="text is a list; pass one text at a time"):
        parse_fields(["a: x"], ["a"])
    with pytest.raises(TypeError, match=r"table\['a'\]\[0\] is 3 of type int"):
        format_fields([{"a": 3}], ["a"])


def present(value):
    """Return a value as it is read back: blanks around it do not count."""
    return None if value is None or value.strip() in ("", "na") else value.strip()


ANYTHING = st.one_of(st.none(), st.text(alphabet="ab: \tn", max_size=8), st.text(max_size=8))


@given(
    st.lists(st.tuples(ANYTHING, ANYTHING, ANYTHING), max_size=4),
    st.sampled_from([("a", "b", "ab"), ("a", "b a", "n")]),
)
def test_parsing_is_the_inverse_of_formatting(rows, prefixes):
    fields = dict(zip(("x", "y", "z"), prefixes, strict=True))
    records = [dict(zip(fields, row, strict=True)) for row in rows]
    try:
        texts = format_fields(records, fields)
    except ValueError as error:
        assert "would be read back as" in str(error)  # noqa: PT017
        assert any(value and ("a" in value or "b" in value or "n" in value) for row in rows for value in row)
        return
    for text, record in zip(texts, records, strict=True):
        assert parse_fields(text, fields) == {key: present(value) for key, value in record.items()}


@given(
    st.lists(st.text(alphabet="abc \té,.", min_size=1, max_size=9).filter(lambda v: v != "na"), min_size=3, max_size=3)
)
def test_formatting_never_rejects_values_without_a_colon(values):
    record = dict(zip(PREFIXES, values, strict=True))
    expected = {field: present(value) for field, value in record.items()}
    assert parse_fields(format_fields([record], PREFIXES)[0], PREFIXES) == expected


def test_what_is_not_probable_enough_is_left_empty():
    X, table = features()
    sure = small(Calibrated(OneVsRestLeastSquares(), cv=2)).fit(X, table)
    assert sure.predict(X, min_probability=0.0)[0].keys() == {*PATH, *FIELDS}
    nothing = sure.predict(X, min_probability=1.0)
    assert all(value is None for record in nothing for value in record.values())
    paths = predict_topk(sure.path_estimator_, X, 100)
    for record, node in zip(sure.predict(X, min_probability=0.2), sure.hierarchy_.deepest(paths, 0.2), strict=True):
        names = [] if node in (None, "na") else node.split(" > ")
        assert [record[level] for level in PATH] == [*names, None, None][:2]
    with pytest.raises(ValueError, match=r"not probabilities; wrap it as Calibrated\(OneVsRestLeastSquares"):
        small().fit(X, table).predict(X, min_probability=0.5)
    with pytest.raises(ValueError, match="min_probability is -1"):
        sure.predict(X, min_probability=-1)
