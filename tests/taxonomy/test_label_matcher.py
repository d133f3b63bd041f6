"""Names of labels in texts: what is found, what it is worth, and what is refused."""

import pickle
import warnings

import numpy as np
import pytest
from joblib import parallel_config
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import xclassic
from tests.helpers.models import bits
from tests.helpers.naive import label_names as naive
from xclassic import Blend, DiSMEC, LabelMatcher
from xclassic.features import TextFeatures
from xclassic.taxonomy import match_features, name_finding
from xclassic.taxonomy.match_features import GENERAL, find_matches, rarity_of_stems
from xclassic.taxonomy.name_finding import NameFinder, words_of

pytest.importorskip("ahocorasick_rs")

NAMES = {"art": "art history", "bank": "bank (finance)", "city": "cities", "tree": "tree", "xeno": "xenon lamp"}
SYNONYMS = {"city": ["town", "urban areas"], "tree": ["wood"]}


def corpus(n_rows=200, seed=0):
    """Return texts, half of whose labels stand in them, and the labels."""
    rng = np.random.default_rng(seed)
    words = {"art": "history of art", "bank": "bank", "city": "town", "tree": "trees"}
    texts, lists = [], []
    for _ in range(n_rows):
        labels = sorted(rng.choice(list(words), rng.integers(1, 3), replace=False).tolist())
        filler = rng.choice(["on the", "about", "new", "a study of"], 2).tolist()
        said = [words[label] for label in labels if rng.random() < 0.7]
        misleading = ["tree"] if rng.random() < 0.2 else []
        texts.append(" ".join([filler[0], *said, filler[1], *misleading]))
        lists.append(labels)
    return texts, lists


@pytest.fixture(scope="module")
def fitted():
    return LabelMatcher(NAMES, synonyms=SYNONYMS).fit(*corpus())


# What is found


def random_texts(rng, n, longest):
    return [" ".join(rng.choice(["a", "b", "c", "d", "bs"], rng.integers(0, longest)).tolist()) for _ in range(n)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("window", [0, 2, 4, 9])
def test_matches_are_those_of_the_obvious_search(seed, window, monkeypatch):
    monkeypatch.setattr(name_finding, "stemmed", lambda language, word: word.rstrip("s"))
    rng = np.random.default_rng(seed)
    names = [
        [name, *others] for name, others in zip(random_texts(rng, 9, 4), [random_texts(rng, 2, 5)] * 9, strict=True)
    ]
    names[3] = ["a b (c)", "C", "bs (d)"]
    texts = random_texts(rng, 40, 12)
    finder = NameFinder(names, "none", window)
    tokens = finder.tokens(texts)
    found = find_matches(finder, tokens, rarity_of_stems([tokens], finder.n_stems))
    expected = naive.matches(names, texts, words_of, lambda word: word.rstrip("s"), window)
    assert list(zip(found.row.tolist(), found.label.tolist(), strict=True)) == list(expected)
    for i, known in enumerate(expected.values()):
        assert finder.words_of_entry(int(found.entry[i])) == known.pop("name")
        assert found.start[i] - tokens.ends[found.row[i]] == known.pop("start")
        np.testing.assert_allclose([found.features[i, GENERAL.index(name)] for name in known], list(known.values()))


def test_rarity_counts_the_texts_of_each_stem():
    finder = NameFinder([["red tea"], ["pot"]], None, 0)
    parts = [finder.tokens(["tea tea for two", "red"]), finder.tokens(["tea"])]
    by_stem = rarity_of_stems(parts, finder.n_stems)
    expected = {"red": np.log(4 / 2), "tea": np.log(4 / 3), "pot": np.log(4)}
    np.testing.assert_allclose([by_stem[finder._stem_ids[word]] for word in expected], list(expected.values()))


@pytest.mark.parametrize(
    ("text", "label", "kind", "role"),
    [
        ("Art  History", "art", "exact", "preferred"),
        ("a history of arts", "art", "set", "preferred"),
        ("Town planning", "city", "exact", "other"),
        ("the CITY", "city", "stem", "preferred"),
        ("an urban area", "city", "stem", "other"),
        ("BANK", "bank", "exact", "bare"),
        ("Bank: finance", "bank", "exact", "preferred"),
    ],
)
def test_kinds_and_roles(fitted, text, label, kind, role):
    (match,) = fitted.matches([text])[0]
    assert (match.label, match.kind, match.role, match.position) == (label, kind, role, match.position)
    assert 0 < match.probability < 1


def test_words_are_compared_without_case_and_forms_of_unicode():
    assert words_of("\uff23ode in C++, C#, Ⅳ-Straße 9,5") == ["code", "in", "c++", "c#", "iv", "strasse", "9", "5"]


def test_words_too_long_for_a_language_have_no_stem():
    clf = LabelMatcher(NAMES, synonyms=SYNONYMS).fit(*corpus(20))
    assert clf.predict_topk(["trees" * 100_000, "a" * 1_000_000, "trees"], 1).ids[:, 0].tolist() == [-1, -1, 3]


# What it is worth


def test_probabilities_are_those_of_the_rows():
    texts, lists = corpus(4000)
    clf = LabelMatcher(NAMES, synonyms=SYNONYMS).fit(texts, lists)
    texts, lists = corpus(4000, seed=1)
    top = clf.predict_topk(texts, 4)
    hits = xclassic.encode_labels(lists, clf)[0].toarray()[np.arange(4000)[:, None], top.ids][top.filled()]
    scores = top.scores[top.filled()]
    for low, high in [(0, 0.7), (0.7, 1)]:
        within = (scores >= low) & (scores < high)
        assert within.sum() > 100
        assert abs(hits[within].mean() - scores[within].mean()) < 0.05
    assert scores.min() < 0.6 < 0.9 < scores.max()


def test_rows_do_not_count_themselves():
    """Labels that are right at random get about the same probability, whatever their own rows say."""
    rng = np.random.default_rng(0)
    names = [f"w{label}" for label in range(1000)]
    found = rng.integers(0, 1000, 3000)
    Y = csr_array((rng.random(3000) < 0.5).astype(np.float32) * np.eye(1000, dtype=np.float32)[found].T).T
    clf = LabelMatcher(names, language=None).fit([names[label] for label in found], csr_array(Y))
    scores = clf.predict_topk(names, 1).scores
    assert 0.4 < np.quantile(scores, 0.05) < np.quantile(scores, 0.95) < 0.6


def test_labels_without_rows_are_found(fitted):
    assert "xeno" in fitted.classes_
    top = fitted.predict_topk(["a xenon lamp", "nothing"], 2)
    assert top.named(fitted.classes_)[0][0][0] == "xeno"
    assert top.counts.tolist() == [1, 0]
    vector = LabelMatcher(NAMES).fit(["a tree", "a bank"], ["tree", "bank"])
    assert vector.predict(["xenon lamp", "trees"]).tolist() == ["xeno", "tree"]
    assert vector.predict_proba(["xenon lamp"]).shape == (1, 5)


def test_labels_are_names_by_default():
    clf = LabelMatcher().fit(["tea with milk", "black coffee"], [["tea", "milk"], ["coffee"]])
    assert clf.predict_topk(["coffee"], 1).named(clf.classes_)[0][0][0] == "coffee"
    with pytest.raises(ValueError, match="Labels are numbers such as 0, and names is None"):
        LabelMatcher().fit(["tea"], csr_array([[1, 0]]))


def test_only_hits_or_only_misses_make_a_model():
    for lists in ([["tea"]] * 3, [["milk"]] * 3):
        clf = LabelMatcher({"tea": "tea", "milk": "milk"}).fit(["tea", "tea", "tea"], lists)
        assert np.isfinite(clf.predict_topk(["milk tea"], 2).scores).all()


def test_a_text_does_not_depend_on_the_others(fitted):
    texts = [*corpus(1500)[0], ""]
    top = fitted.predict_topk(texts, 3)
    for row in (0, 511, 512, 1500):
        alone = fitted.predict_topk([texts[row]], 3)
        assert alone.ids.tolist() == [top.ids[row].tolist()]
        assert alone.scores.tolist() == [top.scores[row].tolist()]


def test_restrictions_keep_the_scores(fitted):
    texts = corpus(50)[0]
    top, allowed = fitted.predict_topk(texts, 5).to_csr(5), fitted.predict_topk(texts, 5, labels=["tree", "art"])
    kept = top.toarray()
    kept[:, [1, 2, 4]] = 0
    np.testing.assert_array_equal(allowed.to_csr(5).toarray(), kept)


def test_the_same_model_for_every_n_jobs():
    data = corpus(1500)
    models = [LabelMatcher(NAMES, n_jobs=n_jobs).fit(*data) for n_jobs in (1, 2)]
    assert bits(models[0]) == bits(models[1])


# Saved


@pytest.mark.parametrize("how", ["folder", "pickle"])
def test_saved_models_predict_the_same(fitted, how, tmp_path):
    if how == "folder":
        fitted.save(tmp_path / "model")
        loaded = xclassic.load(tmp_path / "model", verify="full")
    else:
        loaded = pickle.loads(pickle.dumps(fitted))
    texts = corpus(30, seed=2)[0]
    for one, other in zip(fitted.predict_topk(texts, 4), loaded.predict_topk(texts, 4), strict=True):
        np.testing.assert_array_equal(one, other)
    assert loaded.matches(texts) == fitted.matches(texts)
    assert bits(clone(loaded).fit(*corpus()))[0] == bits(fitted)[0]


def test_damaged_folders_are_refused(fitted, tmp_path):
    arrays, metadata = fitted._get_arrays()
    damages = {
        "weights": arrays["weights"][:, 1:],
        "rarity": arrays["rarity"] * np.nan,
        "name_ends": arrays["name_ends"] * 0,
        "counts.right": arrays["counts.found"] + 1,
        "counts.rows": arrays["counts.rows"][1:],
    }
    for name, damaged in damages.items():
        model = pickle.loads(pickle.dumps(fitted))
        with pytest.raises((xclassic.ModelFileError, ValueError)):
            model._set_arrays({**arrays, name: damaged}, metadata, "full")


# In a blend


def test_blend_of_raw_texts_names_labels_without_rows(tmp_path):
    texts, lists = corpus(300)
    pipe = make_pipeline(TextFeatures(min_df=1), DiSMEC())
    members = [("rows", pipe), ("names", LabelMatcher(NAMES, synonyms=SYNONYMS))]
    blend = Blend(members, weights=None, cv=2).fit(texts, lists)
    assert blend.classes_.tolist() == sorted(NAMES)
    assert blend.predict_topk(["the xenon lamp"], 5).ids[0, :5].tolist().count(4) == 1
    blend.save(tmp_path / "model")
    loaded = xclassic.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_topk(texts, 3).scores, blend.predict_topk(texts, 3).scores)


# What is refused and told


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("tree", TypeError, "names is a str; pass a dict"),
        (["tree", "bank"], ValueError, "names has 2 entries, but there are 4 labels"),
        ({"tree": 3}, TypeError, "names has 3, a int, for the label 'tree'; names are strings"),
        ({"tree": "x" * 1001}, ValueError, "names has a name of 1001 characters for the label 'tree'"),
        ({"tree": "\ud800"}, ValueError, "names, label 'tree'.* half a surrogate pair"),
        ({3: "tree"}, ValueError, "The names has labels such as 3, but the classes are such as 'art'"),
        ({"art": "", "tree": None, "bank": "?", "city": float("nan")}, ValueError, "No label has a name with a word"),
    ],
)
def test_bad_names_are_refused(names, error, message):
    with pytest.raises(error, match=message):
        LabelMatcher(names).fit(*corpus())


@pytest.mark.parametrize(
    ("synonyms", "error", "message"),
    [
        ({"tree": "wood"}, TypeError, "synonyms of the label 'tree' are 'wood', a str; pass a list"),
        ({"tree": [7]}, TypeError, "synonyms has 7, a int, for the label 'tree'"),
        ({"wood": ["wood"]}, ValueError, "synonyms has the label 'wood', which is not among the 5 labels"),
    ],
)
def test_bad_synonyms_are_refused(synonyms, error, message):
    with pytest.raises(error, match=message):
        LabelMatcher(NAMES, synonyms=synonyms).fit(*corpus())


def test_names_of_a_matrix_are_by_column():
    Y = csr_array(np.eye(3, dtype=np.float32))
    clf = LabelMatcher({0: "tea", 2: "milk"})
    with pytest.warns(UserWarning, match="1 of 3 labels have no name"):
        clf.fit(["tea", "coffee", "milk"], Y)
    assert clf.predict_topk(["milk"], 1).ids.tolist() == [[2]]
    with pytest.raises(ValueError, match=r"names has the label 3, which is not among the 3 labels \(\[0, 1, 2\]"):
        LabelMatcher({3: "tea"}).fit(["tea", "coffee", "milk"], Y)


def test_shared_names_are_told_and_matched():
    names = {"a": "Mercury", "b": "mercury", "c": "tin"}
    with pytest.warns(UserWarning, match=r"1 names belong to several labels, the first is 'mercury' of \['a', 'b'\]"):
        clf = LabelMatcher(names).fit(["mercury", "tin"], [["a"], ["c"]])
    assert clf.shared_names_ == {"mercury": ["a", "b"]}
    assert clf.predict_topk(["mercury"], 3).counts.tolist() == [2]


def test_what_is_complete_is_not_told():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LabelMatcher(NAMES).fit(*corpus(20))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"language": "klingon"}, ValueError, "language is 'klingon'"),
        ({"language": 3}, TypeError, "language is 3"),
        ({"window": -1}, ValueError, "window is -1"),
    ],
)
def test_bad_parameters_are_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        LabelMatcher(NAMES, **parameters).fit(*corpus(5))


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ahocorasick_rs", None)
    with pytest.raises(ImportError, match=r"ahocorasick-rs, which is not installed: pip install \"xclassic\[text\]\""):
        LabelMatcher(NAMES).fit(*corpus(5))


@pytest.mark.parametrize("method", ["add_labels", "remove_labels", "rename_labels", "partial_fit"])
def test_labels_that_come_and_go_are_refused_in_words(method):
    with pytest.raises(AttributeError) as raised:
        getattr(LabelMatcher(NAMES), method)
    assert str(raised.value.__cause__).startswith("LabelMatcher ")
    assert "fit it anew" in str(raised.value.__cause__)


def test_logistic_regression_is_scikit_learns():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 3)) * [1, 10, 100]
    hits = features @ [1, 0.1, -0.02] + rng.normal(size=500) > 0
    weights = match_features.fit_logistic(features, hits)
    assert ((match_features.probabilities(features, weights) > 0.5) == hits).mean() > 0.8
    assert match_features.probabilities(features, weights).mean() == pytest.approx(hits.mean(), abs=1e-3)


def test_backends_give_the_same_model():
    texts, lists = corpus(1200)
    with parallel_config("loky", n_jobs=2):
        model = LabelMatcher(NAMES).fit(texts, lists)
        top = model.predict_topk(texts, 2)
    here = LabelMatcher(NAMES).fit(texts, lists)
    assert bits(model) == bits(here)
    np.testing.assert_array_equal(top.scores, here.predict_topk(texts, 2).scores)


def test_memory_is_estimated_by_words():
    texts, lists = corpus(20)
    small, large = (LabelMatcher(NAMES).estimate_memory(texts * n, lists * n) for n in (1, 50))
    assert 0 < small < large
