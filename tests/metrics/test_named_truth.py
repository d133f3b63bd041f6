"""Labels by name in every metric: what the classes of a model number, and what they do not know."""

import numpy as np
import pytest

from xclassic import DiSMEC, TopK, datasets, encode_labels, metrics
from xclassic.html_report import write_report

CLASSES = np.array(["apple", "bread", "cheese", "dates"])
RIGHT = TopK(np.arange(4, dtype=np.int32)[:, None], np.ones((4, 1), np.float32), np.ones(4, np.int32))
TRUTH = [["apple"], ["bread"], ["cheese"], ["dates", "aioli"]]  # one label more than the model knows
MATRIX = np.eye(4, 5) + np.eye(4, 5, 1) * [[0], [0], [0], [1]]  # the same, numbered by hand
PROPENSITIES = np.array([0.5, 0.4, 0.3, 0.2])


@pytest.mark.parametrize("name", ["precision_at_k", "recall_at_k", "ndcg_at_k", "hit_at_k", "coverage_at_k"])
def test_ranking_metric_of_names_is_that_of_the_matrix(name):
    metric = getattr(metrics, name)
    assert metric(TRUTH, RIGHT, 1, classes=CLASSES) == metric(MATRIX, RIGHT, 1)


@pytest.mark.parametrize("name", ["psp_at_k", "psndcg_at_k"])
def test_propensity_of_an_unknown_label_is_the_least(name):
    metric = getattr(metrics, name)
    named = metric(TRUTH, RIGHT, 1, PROPENSITIES, classes=CLASSES)
    assert named == metric(MATRIX, RIGHT, 1, [*PROPENSITIES, 0.2])


def test_prefix_credit_of_an_unknown_label_is_0():
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    only_unknown = [["apple"], ["bread"], ["cheese"], ["aioli"]]
    assert metrics.prefix_credit(only_unknown, RIGHT, codes, classes=CLASSES) == 0.75


@pytest.mark.parametrize("name", ["precision", "recall", "f1", "accuracy", "subset_accuracy"])
def test_set_metric_of_names_is_that_of_the_matrix(name):
    metric = getattr(metrics, name)
    predicted = [["apple"], ["bread", "apple"], [], ["dates"]]
    matrix = np.array([[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 1, 0]])
    expected = metric(MATRIX, matrix)
    assert metric(TRUTH, predicted, classes=CLASSES) == expected
    assert metric(TRUTH, matrix[:, :4], classes=CLASSES) == expected


def test_evaluate_takes_names_and_counts_of_the_classes():
    found = metrics.evaluate(
        TRUTH, RIGHT, ks=[1], propensities=PROPENSITIES, train_counts=[200, 50, 3, 3], classes=CLASSES
    )
    expected = metrics.evaluate(
        MATRIX, RIGHT, ks=[1], propensities=[*PROPENSITIES, 0.2], train_counts=[200, 50, 3, 3, 0]
    )
    assert found == expected
    sets = metrics.evaluate_sets(TRUTH, RIGHT, train_counts=[200, 50, 3, 3], classes=CLASSES)
    assert sets == metrics.evaluate_sets(MATRIX, RIGHT, train_counts=[200, 50, 3, 3, 0])


def test_estimator_and_class_vectors_are_taken():
    clf = DiSMEC().fit(np.eye(4), CLASSES)
    top = clf.predict_topk(np.eye(4), 1)
    assert metrics.precision_at_k(CLASSES, top, 1, classes=clf) == 1
    assert metrics.precision_at_k(CLASSES[::-1], top, 1, classes=clf) == 0
    assert metrics.r_precision(CLASSES, top, classes=clf) == 1


def test_encode_labels_numbers_known_classes_first():
    Y, classes = encode_labels(TRUTH, CLASSES)
    assert classes.tolist() == [*CLASSES, "aioli"]
    np.testing.assert_array_equal(Y.toarray(), MATRIX)
    assert metrics.precision_at_k(Y, RIGHT, 1) == 1
    backwards, classes = encode_labels(TRUTH, CLASSES[::-1])  # classes need not be sorted
    assert classes.tolist() == [*CLASSES[::-1], "aioli"]
    np.testing.assert_array_equal(backwards.toarray()[:, [3, 2, 1, 0, 4]], MATRIX)


def test_labels_of_which_none_is_known_are_missed_with_a_warning():
    strangers = [["xylitol"], ["yeast"], [], []]
    with pytest.warns(UserWarning, match="Not one of the 2 labels of Y_true is among the 4 classes"):
        assert metrics.precision_at_k(strangers, RIGHT, 1, classes=CLASSES) == 0
    clf = DiSMEC().fit(np.eye(4), TRUTH)
    with pytest.warns(UserWarning, match="is among the 5 classes"):
        assert clf.score(np.eye(4), strangers) == 0


@pytest.mark.parametrize(
    ("trained", "truth"),
    [([[1], [2], [3]], [["1"], ["2"], ["3"]]), (["1", "2", "3"], [1, 2, 3]), ([1, 2, 3], ["1", "2", "3"])],
)
def test_labels_of_the_other_type_are_rejected(trained, truth):
    clf = DiSMEC().fit(np.eye(3), trained)
    top = clf.predict_topk(np.eye(3), 1)
    for score in (
        lambda: clf.score(np.eye(3), truth),
        lambda: metrics.precision_at_1(clf, np.eye(3), truth),
        lambda: metrics.precision_at_k(truth, top, 1, classes=clf),
    ):
        with pytest.raises(ValueError, match="Make both strings or both integers"):
            score()


@pytest.mark.parametrize("classes", [np.eye(2), ["a", "a"], [None, "a"], 3])
def test_classes_that_number_nothing_are_rejected(classes):
    with pytest.raises(ValueError, match="pass a fitted estimator, or its classes_"):
        metrics.precision_at_k([["a"]], RIGHT.head(1), 1, classes=classes)


def test_matrix_of_another_width_than_the_classes_is_rejected():
    with pytest.raises(ValueError, match="Y_true has 5 columns but the estimator was fitted with 4 labels"):
        metrics.precision_at_k(MATRIX, RIGHT, 1, classes=CLASSES)


def test_report_takes_names(tmp_path):
    pytest.importorskip("matplotlib")
    data = datasets.load_bibtex()
    names = [[data.label_names[j] for j in data.Y_test[[i]].indices] for i in range(50)]
    train = [[data.label_names[j] for j in data.Y[[i]].indices] for i in range(500)]
    clf = DiSMEC(max_passes=2).fit(data.X[:500], train)
    top = clf.predict_topk(data.X_test[:50])
    write_report(tmp_path / "named.html", names, top, classes=clf)
    matrix, _ = encode_labels(names, clf)
    write_report(tmp_path / "matrix.html", matrix, top, label_names=clf.classes_)
    assert (tmp_path / "named.html").read_bytes() == (tmp_path / "matrix.html").read_bytes()
    with pytest.raises(TypeError, match="needs label_names, or classes"):
        write_report(tmp_path / "no.html", matrix, top)
