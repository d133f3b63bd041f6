"""Values copied from records: brands that no training row has."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

import xclassic
from xclassic import DiSMEC, FieldsClassifier
from xclassic.features import TextFeatures
from xclassic.taxonomy.copied_values import NEVER, ValueCopier

SYLLABLES = ["ka", "lo", "mi", "ru", "te", "vo", "na", "si"]
THINGS = ["green tea", "black tea", "desk lamp", "floor lamp", "wool socks", "rye bread"]


def catalog(n_rows, seed=0, shown=1.0):
    """Return records whose titles begin with the brand; half of the brands are in one row alone."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n_rows):
        known = ["Karu", "Lomi", "Tevo"][i % 3]
        brand = known if rng.random() < 0.5 else "".join(rng.choice(SYLLABLES, 3)).title()
        thing = str(rng.choice(THINGS)).capitalize()
        title = f"{brand} - {thing}" if rng.random() < shown else thing
        rows.append({"title": title, "brand": brand, "kind": thing.split()[-1]})
    return rows


def fields(**options):
    pipe = make_pipeline(TextFeatures("title", min_df=1), DiSMEC())
    return FieldsClassifier(pipe, path=("kind",), fields=("brand",), **options)


def test_brands_that_no_training_row_has_are_copied(tmp_path):
    train, test = catalog(300), catalog(200, seed=1)
    known = {row["brand"] for row in train}
    new = [i for i, row in enumerate(test) if row["brand"] not in known]
    plain, copying = fields().fit(train, train), fields(copy={"brand": "title"}).fit(train, train)
    found, usual = copying.predict(test), plain.predict(test)
    assert len(new) > 50
    assert sum(found[i]["brand"] == test[i]["brand"] for i in new) > 0.9 * len(new)
    seen = np.setdiff1d(np.arange(200), new)
    right = [[rows[i]["brand"] == test[i]["brand"] for i in seen] for rows in (usual, found)]
    assert np.mean(right[1]) >= np.mean(right[0])
    assert [row["kind"] for row in found] == [row["kind"] for row in usual]
    copying.save(tmp_path / "model")
    loaded = xclassic.load(tmp_path / "model", verify="full")
    assert loaded.predict(test) == found
    assert loaded.copy == {"brand": "title"}


def test_nothing_is_copied_where_values_do_not_stand():
    train, test = catalog(300, shown=0.0), catalog(100, seed=1, shown=0.0)
    copying = fields(copy={"brand": "title"}).fit(train, train)
    assert copying.copiers_["brand"].threshold == NEVER
    assert copying.predict(test) == fields().fit(train, train).predict(test)


def test_texts_are_copied_from_as_they_are():
    rows = catalog(300)
    titles = [row["title"] for row in rows]
    clf = FieldsClassifier(make_pipeline(TextFeatures(min_df=1), DiSMEC()), path=(), copy={"brand": "text"})
    clf.fit(titles, rows)
    assert clf.predict(["Novosi - Green tea"]) == [{"brand": "Novosi"}]


def test_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    texts, values = [row["title"] for row in catalog(200)], [row["brand"] for row in catalog(200)]
    copier = ValueCopier.fit(texts, values)
    predicted = [value if rng.random() < 0.7 else None for value in values]
    tuned = copier.tuned(texts, values, predicted, set())
    best = copier.best(texts, set())

    def gain(threshold):
        changed = [i for i, (chance, _) in enumerate(best) if chance >= threshold]
        right = sum((best[i][1] == values[i]) - (predicted[i] == values[i]) for i in changed)
        return right - np.sqrt(len(changed))

    # A threshold between equal probabilities does not exist.
    assert gain(tuned.threshold) == max(0, *(gain(chance) for chance, _ in best))


def test_texts_without_words_have_nothing_to_copy():
    copier = ValueCopier.fit(["Karu tea", ""], ["Karu", None])
    assert copier.best(["", "?!", "a" * 1_000_000], set())[:2] == [(0.0, ""), (0.0, "")]


@pytest.mark.parametrize(
    ("copy", "error", "message"),
    [
        ({"maker": "title"}, ValueError, "copy names 'maker', which is not among fields"),
        (["brand"], TypeError, "copy is"),
        ({"brand": "name"}, ValueError, "X has no field 'name'; found are"),
    ],
)
def test_bad_copies_are_refused(copy, error, message):
    rows = catalog(20)
    with pytest.raises(error, match=message):
        fields(copy=copy).fit(rows, rows)


def test_features_are_refused():
    rows = catalog(20)
    clf = FieldsClassifier(DiSMEC(), path=(), copy={"brand": "title"})
    with pytest.raises((TypeError, ValueError), match="copy reads texts or records, so a vectorizer belongs into"):
        clf.fit(np.eye(20), rows)
