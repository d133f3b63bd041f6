"""Fits that are taken apart, killed and put together again: always the model of a plain fit, bit for bit."""

import os
import random
from unittest.mock import patch

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import xclassic
from tests.helpers.contract import noisy, quick
from tests.helpers.models import bits
from tests.helpers.weights import weights_of
from xclassic import Blend, DiSMEC, FastXML, ModelFileError, Parabel, encode_labels
from xclassic._versions import versions_that_count
from xclassic.distributed import fit_shard, join_shards, resume
from xclassic.storage import pieces, registry
from xclassic.storage.pieces import write_piece

X, Y = noisy()
WHOLE = {  # of one task, or of none
    "CPLST", "CompressedSensing", "KNN", "LEML", "M3L", "NearestCentroid", "PDSparse", "PLST", "Popularity",
    "RandomOrder", "Rembrandt", "TreeEmbedding",
}  # fmt: skip
ROUNDS = {"PPDSparse": 2, "REML": 2}  # times that all shards run, where some pieces need others


def shards_of(name):
    """Run the shards of a fit in turn, the last first."""

    def run(folder, n_shards=3, **options):
        for _ in range(ROUNDS.get(name, 1)):
            for shard in range(n_shards, 0, -1):
                missing = fit_shard(quick(name), X, Y, folder, shard=shard, n_shards=n_shards, **options)
        return missing

    return run


@pytest.mark.parametrize("name", sorted(set(registry.ESTIMATORS) - WHOLE))
def test_shards_give_the_model_of_one_fit(name, tmp_path):
    expected = bits(quick(name).fit(X, Y))
    assert shards_of(name)(tmp_path) == []
    clf = quick(name).set_params(n_jobs=2)
    assert join_shards(clf, X, Y, tmp_path) is clf
    assert bits(clf) == expected
    assert bits(join_shards(quick(name), X, Y, tmp_path)) == expected  # once more


def test_pieces_of_a_blend_are_those_of_its_members(tmp_path):
    def blend():
        return Blend([("linear", DiSMEC()), ("tree", Parabel(n_trees=1))])

    missing = [2]
    for _ in range(20):  # In rounds: a member begins when the one before is complete.
        if missing:
            missing = fit_shard(blend(), X, Y, tmp_path, shard=missing[0], n_shards=2)
    assert missing == []
    assert bits(join_shards(blend(), X, Y, tmp_path)) == bits(blend().fit(X, Y))


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_what_has_no_independent_pieces_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name} has no pieces .* fit it as a whole"):
        fit_shard(quick(name), X, Y, tmp_path / "pieces", shard=1, n_shards=2)
    assert not (tmp_path / "pieces").exists()


@pytest.mark.parametrize("name", sorted(registry.ESTIMATORS))
def test_resumed_fit_is_the_plain_one(name, tmp_path):
    assert bits(resume(quick(name), X, Y, tmp_path / "pieces")) == bits(quick(name).fit(X, Y))
    assert not (tmp_path / "pieces").exists()


def test_shard_leaves_its_estimator_unfitted_and_names_the_missing(tmp_path):
    clf = Parabel()
    assert fit_shard(clf, X, Y, tmp_path, shard=2, n_shards=3) == [1, 3]
    with pytest.raises(NotFittedError):
        clf.predict_topk(X)
    with pytest.raises(ValueError, match=r"shards 1, 3 of 3 are not complete"):
        join_shards(Parabel(), X, Y, tmp_path)
    assert fit_shard(clf, X, Y, tmp_path, shard=1, n_shards=3) == [3]
    with pytest.raises(ValueError, match=r"shard 3 of 3 is not complete"):
        join_shards(Parabel(), X, Y, tmp_path)


def test_lists_of_names_and_further_arguments_of_fit_are_part_of_the_fit(tmp_path):
    lists = [[f"label {j}" for j in Y.indices[a:b]] for a, b in zip(Y.indptr[:-1], Y.indptr[1:], strict=True)]
    relevance = Y * 0.5
    relevance.data[::3] = 1
    expected = bits(xclassic.XReg(max_leaf=5).fit(X, Y, relevance=relevance))
    for shard in (1, 2):
        fit_shard(DiSMEC(), X, lists, tmp_path / "lists", shard=shard, n_shards=2)
        fit_shard(xclassic.XReg(max_leaf=5), X, Y, tmp_path / "x", shard=shard, n_shards=2, relevance=relevance)
    assert join_shards(DiSMEC(), X, lists, tmp_path / "lists").classes_[0] == "label 0"
    found = join_shards(xclassic.XReg(max_leaf=5), X, Y, tmp_path / "x", relevance=relevance)
    assert bits(found) == expected
    with pytest.raises(ValueError, match="another fit"):
        join_shards(xclassic.XReg(max_leaf=5), X, Y, tmp_path / "x")


@pytest.mark.parametrize("name", ["DiSMEC", "OneVsRestLeastSquares", "Parabel", "FastXML", "AnnexML"])
def test_weights_are_part_of_the_fit(name, tmp_path):
    given = np.random.default_rng(0).uniform(0.5, 2, Y.shape[0])
    weights = weights_of(name, {"sample_weight": given, "label_weight": {3: 2.0}, "relevance": Y * 0.5})
    expected = bits(quick(name).fit(X, Y, **weights))
    assert shards_of(name)(tmp_path / "shards", **weights) == []
    assert bits(join_shards(quick(name), X, Y, tmp_path / "shards", **weights)) == expected
    assert bits(resume(quick(name), X, Y, tmp_path / "resumed", **weights)) == expected
    for other in (weights | {"sample_weight": given * 2}, {}):
        with pytest.raises(ValueError, match="another fit"):
            join_shards(quick(name), X, Y, tmp_path / "shards", **other)


@pytest.mark.parametrize(
    ("clf", "rows", "truth", "n_shards", "differs"),
    [
        (Parabel(C=2.0), X, Y, 2, "parameter C is 1.0, here it is 2.0"),
        (DiSMEC(), X, Y, 2, "estimator is Parabel, here it is DiSMEC"),
        (Parabel(), X * 2, Y, 2, "data is"),
        (Parabel(), X, Y[:, ::-1], 2, "data is"),
        (Parabel(), X, Y, 3, "shards is 2, here it is 3"),
        (Parabel(random_state=1), X, Y, 2, "parameter random_state is 0, here it is 1"),
    ],
)
def test_pieces_of_another_fit_are_refused(clf, rows, truth, n_shards, differs, tmp_path):
    fit_shard(Parabel(), X, Y, tmp_path, shard=1, n_shards=2)
    with pytest.raises(ValueError, match="are of another fit") as raised:
        fit_shard(clf, rows, truth, tmp_path, shard=2, n_shards=n_shards)
    assert differs in str(raised.value) or (type(clf) is DiSMEC)


@pytest.mark.parametrize("kept", [0, 1], ids=["plan of the first", "plan of the second"])
def test_pieces_of_two_fits_copied_into_one_folder_are_refused(kept, tmp_path):
    folders = [tmp_path / "first", tmp_path / "second"]
    for shard, folder in enumerate(folders, 1):
        fit_shard(DiSMEC(C=shard), X, Y, folder, shard=shard, n_shards=2)
    for file in folders[1 - kept].glob("*.npz"):
        file.rename(folders[kept] / file.name)
    with pytest.raises(ValueError, match=r"piece of another fit: its parameter C is"):
        join_shards(DiSMEC(C=kept + 1), X, Y, folders[kept])


def test_other_versions_and_instruction_sets_are_refused(tmp_path):
    fit_shard(Parabel(), X, Y, tmp_path, shard=1, n_shards=2)
    with (
        patch("xclassic.distributed.pieces.versions_that_count", lambda: versions_that_count() | {"numpy": "1.0"}),
        pytest.raises(ValueError, match=r"version of numpy is .* here it is 1\.0"),
    ):
        fit_shard(Parabel(), X, Y, tmp_path, shard=2, n_shards=2)
    with (
        patch("xclassic.distributed.pieces.kernels.simd_level", lambda: "abacus"),
        pytest.raises(ValueError, match=r"instruction set is .* here it is abacus"),
    ):
        fit_shard(Parabel(), X, Y, tmp_path, shard=2, n_shards=2)


def test_how_a_fit_runs_is_no_difference(tmp_path):
    fit_shard(Parabel(n_jobs=2, verbose=0), X, Y, tmp_path, shard=1, n_shards=2)
    assert fit_shard(Parabel(n_jobs=1, verbose=1), X, Y, tmp_path, shard=2, n_shards=2) == []


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)])
def test_seeds_that_differ_from_call_to_call_are_refused(seed, tmp_path):
    with pytest.raises(ValueError, match=r"random_state is .* pass an int"):
        fit_shard(Parabel(random_state=seed), X, Y, tmp_path, shard=1, n_shards=2)


@pytest.mark.parametrize(("shard", "n_shards"), [(0, 2), (3, 2), (1, 0), (1.5, 2), ("1", 2)])
def test_numbers_of_shards_are_checked(shard, n_shards, tmp_path):
    with pytest.raises((ValueError, TypeError), match="shard"):
        fit_shard(Parabel(), X, Y, tmp_path, shard=shard, n_shards=n_shards)


def test_nothing_to_join(tmp_path):
    with pytest.raises(ModelFileError, match="There are no pieces"):
        join_shards(Parabel(), X, Y, tmp_path)


def test_damaged_piece_is_named(tmp_path):
    for shard in (1, 2):
        fit_shard(Parabel(), X, Y, tmp_path, shard=shard, n_shards=2)
    victim = sorted(tmp_path.glob("*.npz"))[1]
    victim.write_bytes(victim.read_bytes()[:-30])
    with pytest.raises(ModelFileError, match=victim.name):
        join_shards(Parabel(), X, Y, tmp_path)
    victim.unlink()
    number = int(victim.stem.split("-")[1])
    assert fit_shard(Parabel(), X, Y, tmp_path, shard=number % 2 + 1, n_shards=2) == []
    assert bits(join_shards(Parabel(), X, Y, tmp_path)) == bits(Parabel().fit(X, Y))


@pytest.mark.parametrize(("name", "field"), [("DiSMEC", "features"), ("DiSMEC", "values"), ("FastXML", "labels")])
def test_pieces_with_content_of_another_model_are_refused(name, field, tmp_path):
    for shard in (1, 2):
        fit_shard(quick(name), X, Y, tmp_path, shard=shard, n_shards=2)
    file = sorted(tmp_path.glob("*.npz"))[0]
    piece = pieces.read_piece(file)
    if name == "DiSMEC":
        getattr(piece[0], field)[0] = np.full_like(getattr(piece[0], field)[0], 10**6)[
            : -1 if field == "values" else None
        ]
    else:
        piece[field] = piece[field] + 10**6
    write_piece(file, piece, pieces.read_plan(tmp_path))
    with pytest.raises(ModelFileError):
        join_shards(quick(name), X, Y, tmp_path)


def test_errors_of_a_fit_are_raised_as_they_are(tmp_path):
    with pytest.raises(ValueError, match="X has"):
        fit_shard(Parabel(), X[:5], Y, tmp_path, shard=1, n_shards=2)


def die_at(moment, fit):
    """Run a fit in a forked process that ends as it is about to write, flush or rename for the time `moment`."""
    events = iter(range(moment + 1))

    def counted(call):
        def run(*arguments, **options):
            if next(events, None) in (moment, None):
                os._exit(9)
            return call(*arguments, **options)

        return run

    with (
        patch.object(pieces.os, "replace", counted(os.replace)),
        patch.object(pieces.os, "fsync", counted(os.fsync)),
        patch.object(pieces.os, "link", counted(os.link)),
        patch.object(pieces.os, "unlink", counted(os.unlink)),
    ):
        fit()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "make", [lambda: DiSMEC(), lambda: FastXML(n_trees=12, max_leaf=30)], ids=["DiSMEC", "FastXML"]
)
def test_fit_killed_at_twenty_moments_loses_nothing_that_was_finished(make, tmp_path):
    expected, n_pieces = bits(make().fit(X, Y)), None
    folder = tmp_path / "pieces"
    for moment in random.Random(3).sample(range(1, 27), 20):
        before = set(folder.glob("*.npz"))
        process = os.fork()
        if process == 0:
            die_at(moment, lambda: resume(make(), X, Y, folder))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if code == 0:  # It came to its end, and the next one begins anew.
            assert not folder.exists()
            continue
        kept = set(folder.glob("*.npz"))
        assert before <= kept or not (folder / "plan.json").exists()
        for file in kept:
            pieces.read_piece(file)
        n_pieces = len(kept) if n_pieces is None else n_pieces
    assert n_pieces is not None
    assert bits(resume(make(), X, Y, folder)) == expected


def test_encoded_labels_can_be_shared_out(tmp_path):
    truth, names = encode_labels([["a"], ["b", "a"], ["c"]] * 10)
    rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    for shard in (1, 2):
        fit_shard(DiSMEC(), rows, truth, tmp_path, shard=shard, n_shards=2)
    assert join_shards(DiSMEC(), rows, truth, tmp_path).classes_.size == len(names)
