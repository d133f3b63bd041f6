"""Settings of texts that are chosen by the rows: what is sampled, what wins, and what is kept of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from xclassic import DiSMEC, encode_labels, load, save
from xclassic.features import TextFeatures, choosing_text
from xclassic.features.choosing_text import Trial, best_of, sample, split
from xclassic.features.text_parameters import PRESETS, Preset

NARROW, WIDE = PRESETS["abstract"], PRESETS["title"]
WORDS = ["tea", "cup", "red", "mug", "lid", "pot", "jar", "tin"]


def ordered(n_rows=400, seed=0):
    """Return texts whose label is which of two words comes first, between others: only pairs of words tell."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(n_rows):
        first, second = WORDS[i % 4], WORDS[4 + i // 4 % 4]
        forth = i // 16 % 2
        pair = (first, second) if forth else (second, first)
        noise = rng.choice(["oak", "elm", "ash", "fir", "yew"], 2).tolist()
        texts.append(" ".join([noise[0], *pair, noise[1]]))
        labels.append(["forth" if forth else "back"])
    return texts, labels


def trial(settings, n_features, tree, linear):
    rows = {"tree": tree, "linear": linear}
    return Trial(settings, n_features, {name: np.repeat(np.array(row)[:, None], 3, 1) for name, row in rows.items()})


# Sampling and splitting


def test_sample_is_all_labeled_rows_within_the_budget():
    Y, _ = encode_labels([["a"], [], ["b", "a"]])
    rows, labels = sample(Y, np.array([5, 5, 5]), np.random.RandomState(0))
    assert rows.tolist() == [0, 2]
    assert labels.tolist() == [0, 1]


@pytest.mark.parametrize("budget", [{"MOST_ROWS": 60}, {"MOST_LETTERS": 600}])
def test_sample_takes_all_rows_of_the_labels_that_it_draws(monkeypatch, budget):
    for name, value in budget.items():
        monkeypatch.setattr(choosing_text, name, value)
    Y, _ = encode_labels([[i % 40, 40 + i % 7] for i in range(200)])
    rows, labels = sample(Y, np.full(200, 10), np.random.RandomState(0))
    assert 30 <= rows.size <= 60
    carried = np.flatnonzero(np.diff(csr_array(Y[:, labels]).indptr))
    assert rows.tolist() == carried.tolist()


def test_sample_of_labels_larger_than_the_budget_is_one_of_rows(monkeypatch):
    monkeypatch.setattr(choosing_text, "MOST_ROWS", 50)
    Y, _ = encode_labels([[i % 2] for i in range(400)])
    rows, labels = sample(Y, np.full(400, 10), np.random.RandomState(0))
    assert rows.size == 50
    assert labels.tolist() == [0, 1]


@pytest.mark.parametrize(("n_rows", "n_letters", "n_folds"), [(100, 1000, 4), (8000, 1000, 2), (20_000, 3_000_000, 1)])
def test_split_holds_out_a_fourth_at_a_time(n_rows, n_letters, n_folds):
    Y, _ = encode_labels([[i % 10] for i in range(n_rows)])
    folds = split(Y, n_letters, np.random.RandomState(0))
    assert len(folds) == n_folds
    for fold in folds:
        assert np.array_equal(np.sort(np.r_[fold.train, fold.held_out]), np.arange(n_rows))
        assert fold.held_out.size == n_rows // 4
        assert fold.Y.shape == (fold.train.size, 10)
        assert fold.truth.shape == (fold.held_out.size, 10)
    held_out = np.concatenate([fold.held_out for fold in folds])
    assert np.unique(held_out).size == held_out.size


def test_split_judges_by_labels_with_a_training_row():
    Y, _ = encode_labels([[i] for i in range(40)])
    (fold, *_) = split(Y, 10, np.random.RandomState(0))
    assert fold.Y.shape == (30, 30)
    assert fold.truth.nnz == 0


# What wins


def test_the_worst_loss_over_both_models_decides():
    right, half = [1.0] * 400, [1.0, 0.0] * 200
    trials = [
        trial(NARROW, 10, right, half),
        trial(WIDE, 99, half, right),
        trial(WIDE._replace(min_df=5), 50, *[[1.0, 1, 1, 0] * 100] * 2),
    ]
    assert best_of(trials, ["tree", "linear"], NARROW)[0].min_df == 5
    assert best_of(trials, ["tree"], WIDE)[0] == NARROW
    assert best_of(trials, ["linear"], NARROW)[0] == WIDE


def test_narrower_settings_win_where_they_lose_nothing_beyond_chance():
    wide = [1.0] * 2000
    trials = [trial(NARROW, 10, [0.0, *wide[1:]], wide), trial(WIDE, 99, wide, wide)]
    chosen, why = best_of(trials, ["tree", "linear"], WIDE)
    assert chosen == NARROW
    assert why.startswith("of 2 settings, these lose at most 0.05 points")
    lost = [trial(NARROW, 10, [0.0] * 100 + wide[100:], wide), trial(WIDE, 99, wide, wide)]
    assert best_of(lost, ["tree", "linear"], NARROW)[0] == WIDE


def test_nothing_to_try_leaves_the_settings_as_they_were():
    assert best_of([], ["tree"], WIDE)[0] == WIDE
    nobody = Trial(NARROW, 3, {"linear": np.empty((0, 3))})
    assert best_of([nobody], ["linear"], WIDE)[0] == WIDE


# Choosing in fit


def test_pairs_of_words_are_chosen_where_only_they_tell():
    texts, labels = ordered()
    encoder = TextFeatures(random_state=0).fit(texts, labels)
    settings = encoder.settings_["text"]
    assert settings.ngram_range == (1, 2)
    report = encoder.report_["text"]
    assert report["n_train"] + report["n_held_out"] // 4 == 400
    assert len(report["tried"]) == len(choosing_text.CANDIDATES)
    words = next(tried for tried in report["tried"] if tried["settings"]["ngram_range"] == [1, 1])
    chosen = next(tried for tried in report["tried"] if tried["settings"] == report["chosen"])
    assert min(chosen["tree"][0], chosen["linear"][0]) > 90 > words["tree"][0]
    explicit = {name: getattr(settings, name) for name in Preset._fields}
    expected = TextFeatures(preset="title", **explicit).fit_transform(texts)
    np.testing.assert_array_equal(encoder.transform(texts).toarray(), expected.toarray())


def test_words_suffice_where_they_tell():
    rng = np.random.default_rng(0)
    texts = [f"{WORDS[i % 8]} {' '.join(rng.choice(['oak', 'elm', 'ash'], 3))}" for i in range(400)]
    encoder = TextFeatures().fit(texts, [WORDS[i % 8] for i in range(400)])
    assert encoder.settings_["text"] == PRESETS["abstract"]


@pytest.mark.parametrize("form", ["lists", "matrix", "dense", "vector"])
def test_labels_in_every_form_choose_the_same(form):
    texts, labels = ordered()
    Y, _ = encode_labels(labels)
    y = {"lists": labels, "matrix": Y, "dense": Y.toarray(), "vector": np.array(labels)[:, 0]}[form]
    assert TextFeatures().fit(texts, y).report_ == TextFeatures().fit(texts, labels).report_


def test_choice_is_the_same_for_the_same_seed_and_any_number_of_threads():
    texts, labels = ordered(seed=1)
    first = TextFeatures(n_jobs=1, random_state=3).fit(texts, labels)
    assert TextFeatures(n_jobs=2, random_state=3).fit(texts, labels).report_ == first.report_


def test_fields_are_chosen_one_by_one_and_presets_stay():
    texts, labels = ordered()
    rows = [{"name": text, "note": "one of many", "code": text} for text in texts]
    encoder = TextFeatures(["name", "note", "code"], preset=["auto", "auto", "abstract"]).fit(rows, labels)
    assert set(encoder.report_) == {"name", "note"}
    assert encoder.settings_["name"].ngram_range == (1, 2)
    assert encoder.settings_["note"] == PRESETS["abstract"]
    assert encoder.settings_["code"] == PRESETS["abstract"]


def test_given_parameters_are_not_chosen():
    texts, labels = ordered()
    encoder = TextFeatures(char_ngrams=(), min_df=3, sublinear_tf=True).fit(texts, labels)
    tried = [tried["settings"] for tried in encoder.report_["text"]["tried"]]
    assert [settings["ngram_range"] for settings in tried] == [[1, 1], [1, 2]]
    assert {(settings["min_df"], settings["sublinear_tf"]) for settings in tried} == {(3, True)}
    assert encoder.settings_["text"].char_ngrams == ()


@pytest.mark.parametrize(("length", "preset"), [(5, "title"), (40, "abstract")])
@pytest.mark.parametrize("y", [None, "few", "no labels"])
def test_lengths_decide_where_rows_cannot(length, preset, y):
    texts = [" ".join(WORDS * 9)[: 4 * length - 1]] * 30
    target = {"few": ["a", "b"] * 15, "no labels": np.linspace(0, 1, 30)}.get(y)
    encoder = TextFeatures().fit(texts, target)
    assert encoder.settings_["text"] == PRESETS[preset]
    assert encoder.report_["text"]["tried"] == []
    expected = {None: "fit got no y", "few": "30 rows with labels are too few", "no labels": "y holds no labels"}[y]
    assert expected in encoder.report_["text"]["why"]


def test_lengths_decide_within_given_parameters():
    encoder = TextFeatures(ngram_range=()).fit([" ".join(WORDS * 4)] * 2)
    assert encoder.settings_["text"].char_ngrams == (4, 4)


# What is kept


def test_choice_survives_saving_and_not_cloning(tmp_path):
    texts, labels = ordered()
    pipe = make_pipeline(TextFeatures(), DiSMEC()).fit(texts, labels)
    assert pipe[0].report_["text"]["tried"]
    save(pipe, tmp_path / "model")
    loaded = load(tmp_path / "model", verify="full")
    assert loaded[0].settings_ == pipe[0].settings_
    assert loaded[0].report_ == pipe[0].report_ == json.loads(json.dumps(pipe[0].report_))
    assert loaded[0].preset == clone(loaded[0]).preset == "auto"
    np.testing.assert_array_equal(loaded[0].transform(texts).toarray(), pipe[0].transform(texts).toarray())
    assert not hasattr(clone(pipe[0]), "settings_")


def test_models_from_before_settings_were_stored_have_those_of_their_preset():
    encoder = TextFeatures(preset="title").fit(["tea cup", "tea pot"])
    arrays, metadata = encoder._get_arrays()
    for parameters in ({"preset": "title"}, {}):  # The latter if the default was not stored.
        earlier = TextFeatures(**parameters)
        earlier._set_arrays(arrays, {"blocks": metadata["blocks"]}, "full")
        np.testing.assert_array_equal(earlier.transform(["tea"]).toarray(), encoder.transform(["tea"]).toarray())


@pytest.mark.parametrize(
    "wrong",
    [{}, {"text": [[1, 2], [], 1]}, {"text": [[2, 1], [], 1, True, 1.0]}, {"text": [[1, 2], [], 1, True, -1.0]}],
)
def test_stored_settings_that_cannot_be_are_refused(wrong):
    encoder = TextFeatures(preset="title").fit(["tea cup", "tea pot"])
    arrays, metadata = encoder._get_arrays()
    with pytest.raises(ValueError, match=r"settings of the field 'text'|ngram_range|char_weight"):
        TextFeatures()._set_arrays(arrays, metadata | {"settings": wrong}, "full")


def test_pieces_choose_as_all_at_once(tmp_path):
    texts, labels = ordered()
    expected = TextFeatures().fit(texts, labels)
    found = TextFeatures().fit_to_matrix([texts[:150], texts[150:]], tmp_path / "X", labels)
    assert found.report_ == expected.report_
    np.testing.assert_array_equal(found.get_feature_names_out(), expected.get_feature_names_out())


def test_characters_weigh_what_is_said():
    X = TextFeatures(preset="title", char_weight=0.5).fit_transform(["tea cup", "tea pot"]).toarray()
    names = TextFeatures(preset="title").fit(["tea cup", "tea pot"]).get_feature_names_out()
    characters = np.array([name.startswith("'") for name in names])
    np.testing.assert_allclose(np.square(X[:, characters]).sum(axis=1), 0.2, rtol=1e-5)
    np.testing.assert_allclose(np.square(X).sum(axis=1), 1, rtol=1e-5)


def test_which_models_choose_is_checked():
    with pytest.raises(ValueError, match="choose_for is 'forest'; it must be one of 'both', 'tree', 'linear'"):
        TextFeatures(choose_for="forest").fit(["tea"])
    with pytest.raises(ValueError, match="char_weight"):
        TextFeatures(char_weight=0).fit(["tea"])
