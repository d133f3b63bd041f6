"""Public functions that take matrices or rankings: the result is right, or an error says why there is none."""

import ast
import inspect
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import issparse

import xclassic
from tests.helpers.odd_matrices import BROKEN, FORMS, ODD, replaced
from tests.helpers.public_calls import COUNTED, COUNTS, MATRICES, RANKINGS, TAKE_VECTORS, TOP, X, call, linear
from xclassic import TopK, datasets, distributed, features, instance_tree, label_tree, metrics

BELONGS_TO_OTHERS = {  # their own tests cover what they take for a matrix: texts, records, tables
    "T5Classifier", "FieldPrediction", "XMLCNN", "FieldsClassifier", "BertEncoder", "TextFeatures", "write_xmc",
    "LabelMatcher", "WordVectors",
}  # fmt: skip
POINCARE = ("PoincareEmbedding.fit", "PoincareEmbedding.fit_transform")
# Parameters that hold matrices or rankings.
NAMED = {
    "X",
    "y",
    "Y",
    "Y_true",
    "Y_pred",
    "top",
    "tops",
    "vectors",
    "similarity",
    "scores",
    "revealed",
    "X_known",
    "y_known",
    "Y_new",
}


def public_functions():
    """Return (name, function) of the public functions, and of the public methods of the public classes."""
    stub = ast.parse(Path(xclassic.__file__).with_name("__init__.pyi").read_text()).body
    found = [
        getattr(xclassic, alias.asname) for node in stub if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    found += [
        getattr(module, name)
        for module in (datasets, distributed, features, instance_tree, label_tree, metrics)
        for name in module.__all__
    ]
    for thing in found:
        if inspect.isfunction(thing):
            yield thing.__name__, thing
        for owner in inspect.getmro(thing) if inspect.isclass(thing) else ():
            if owner.__module__.startswith("xclassic."):
                for name, method in vars(owner).items():
                    method = getattr(method, "__func__", method)
                    if (
                        inspect.isfunction(method)
                        and not name.startswith("_")
                        and owner.__name__ not in BELONGS_TO_OTHERS
                    ):
                        yield f"{owner.__name__}.{name}", method


def test_every_matrix_of_a_public_function_is_looked_at():
    found = {
        f"{name} {parameter}"
        for name, function in public_functions()
        for parameter in inspect.signature(function).parameters
        if parameter in NAMED and name not in BELONGS_TO_OTHERS
    }
    # They are for pipelines.
    unread = {f"{name} y" for name in ("Autoencoder.fit", "FourierFeatures.fit", *POINCARE)}
    assert found - unread - MATRICES.keys() - RANKINGS.keys() == set()


def assert_same(found, expected):
    if issparse(found) or issparse(expected):
        found, expected = (m.toarray() if issparse(m) else m for m in (found, expected))
    if isinstance(expected, (TopK, list, tuple)):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, str):
        assert found == expected
    else:
        np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def plain_result(tmp_path_factory):
    """Return what makes the result of a function for a plain matrix, once for all forms of it."""

    @cache
    def result(name):
        function, matrix = MATRICES[name]
        given = matrix.toarray() if name == "TopK.from_dense scores" else matrix
        return call(function, given, tmp_path_factory.mktemp("plain"))

    return result


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MATRICES)
def test_form_of_a_matrix_does_not_change_the_result(name, form, plain_result, tmp_path):
    function, matrix = MATRICES[name]
    given = FORMS[form](matrix, 0)
    try:
        found = call(function, given, tmp_path)
    except (ValueError, TypeError):
        assert form in ("stored twice", "objects", "stored zeros") or (name, issparse(given)) == (
            "TopK.from_dense scores",
            True,
        )
        return
    assert_same(found, plain_result(name))


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("name", [name for name in MATRICES if "estimate_memory" not in name])  # reads shapes alone
def test_what_is_no_matrix_is_refused(name, fault, tmp_path):
    function, matrix = MATRICES[name]
    if "one" in fault and name in TAKE_VECTORS:
        pytest.skip("takes a vector too")
    if fault == "nothing" and name.startswith(("RevealedLabelsForest", "predict_topk")) and name.endswith("revealed"):
        pytest.skip("is the default")
    with pytest.raises((ValueError, TypeError)):
        call(function, BROKEN[fault](matrix, 0), tmp_path)


@pytest.mark.parametrize("oddity", ODD)
@pytest.mark.parametrize("name", MATRICES)
def test_odd_matrix_is_read_or_refused(name, oddity, tmp_path):
    function, matrix = MATRICES[name]
    with suppress(ValueError, TypeError):
        call(function, ODD[oddity](matrix, 0), tmp_path)


BAD_RANKINGS = {
    "too many": {"counts": replaced(TOP.counts, 0, 4)},
    "far too many": {"counts": replaced(TOP.counts, 0, 10**9)},
    "fewer than none": {"counts": replaced(TOP.counts, 0, -1)},
    "right in sum": {"counts": np.r_[10**9, 6 - 10**9, TOP.counts[2:]].astype(np.int32)},
    "counts for fewer rows": {"counts": TOP.counts[:-1]},
    "no counts": {"counts": None},
    "fractions": {"counts": TOP.counts.astype(np.float32)},
    "unknown label": {"ids": replaced(TOP.ids, (0, 0), 5)},
    "far from any label": {"ids": replaced(TOP.ids, (0, 0), 2**31 - 1)},
    "no label": {"ids": replaced(TOP.ids, (0, 0), -1)},
    "far below any label": {"ids": replaced(TOP.ids, (0, 0), -2_000_000_000)},
    "a label twice": {"ids": replaced(TOP.ids, 0, [2, 1, 2])},
    "ids of fewer slots": {"ids": TOP.ids[:, :-1]},
    "ids that are scores": {"ids": TOP.scores},
    "ids that are texts": {"ids": TOP.ids.astype(str)},
    "scores of fewer rows": {"scores": TOP.scores[:-1]},
    "complex scores": {"scores": TOP.scores * 1j},
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_RANKINGS)
@pytest.mark.parametrize("name", RANKINGS)
def test_ranking_that_is_none_is_refused(name, fault, tmp_path):
    if fault == "a label twice" and name == "TopK.named":
        pytest.skip("shows what is there")
    with pytest.raises((ValueError, TypeError)):
        call(RANKINGS[name], TOP._replace(**BAD_RANKINGS[fault]), tmp_path)


@pytest.mark.parametrize("name", RANKINGS)
def test_ranking_of_wider_integers_is_read(name, tmp_path):
    scored = TOP.above(0.1)
    wide = TopK(
        np.where(scored.filled(), scored.ids, 10**12), scored.scores.astype(np.float64), scored.counts.astype(np.int64)
    )
    assert_same(call(RANKINGS[name], wide, tmp_path), call(RANKINGS[name], scored, tmp_path))


NO_COUNTS = {
    "complex": COUNTS * (1 + 1j),
    "dates": COUNTS.astype("M8[s]"),
    "texts": np.array(list("abcde")),
    "objects": np.array([1, None, 2, 3, 4], object),
    "NaN": replaced(COUNTS.astype(float), 1, np.nan),
    "infinite": replaced(COUNTS.astype(float), 1, np.inf),
    "negative": replaced(COUNTS, 1, -1),
    "two dimensions": np.ones((5, 5)),
    "a number": 3,
    "a text": "abc",
}  # fmt: skip


@pytest.mark.parametrize("fault", NO_COUNTS)
@pytest.mark.parametrize("name", COUNTED)
def test_what_is_no_count_of_labels_is_refused(name, fault):
    with pytest.raises((ValueError, TypeError)):
        COUNTED[name](NO_COUNTS[fault])


def test_a_mask_is_no_restriction():
    with pytest.raises(ValueError, match=r"labels is a mask of 5 booleans; pass labels, as in classes_\[mask\]"):
        linear().predict_topk(X, 2, labels=np.array([True] * 5))
