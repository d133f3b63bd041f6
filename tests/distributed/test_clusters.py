"""Fits and predictions on the workers of a Dask cluster of this machine."""

import io
import os
import pickle
import signal
from unittest.mock import patch

import joblib
import numpy as np
import pytest
from scipy.sparse import csr_array

import xclassic
from tests.helpers.contract import assert_same_predictions, noisy, quick
from tests.helpers.models import bits
from tests.helpers.weights import weights_of
from xclassic import Bonsai, DiSMEC, FastXML, Parabel, datasets, use_cluster
from xclassic._kernels import blocks as kernels
from xclassic.cluster import ClusterError, DaskCluster, _Pickler, _Unpickler
from xclassic.distributed import predict_partitions, resume
from xclassic.linalg.label_vectors import LabelRows

distributed = pytest.importorskip("distributed")
X, Y = noisy()
BIBTEX = datasets.load_bibtex()
METHODS = ["Bonsai", "CRAFTML", "DiSMEC", "FastXML", "MACH", "OneVsRestLeastSquares", "Parabel", "PPDSparse", "SLEEC"]


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as connected,
    ):
        yield connected


def on_workers(client):
    """Count the tasks that a client is given."""
    return patch.object(client, "submit", wraps=client.submit)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_cluster_gives_the_model_of_threads(name, shared, client, tmp_path):
    expected = quick(name).fit(X, Y)
    with use_cluster(client, shared_folder=tmp_path if shared else None) as used, on_workers(client) as submitted:
        assert used is client
        clf = quick(name).fit(X, Y)
    assert submitted.call_count > 1
    assert bits(clf) == bits(expected)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["DiSMEC", "FastXML", "OneVsRestLeastSquares", "Parabel"])
def test_weights_reach_workers(name, client):
    given = {"sample_weight": np.linspace(0.5, 2, Y.shape[0]), "label_weight": {3: 2.0}, "relevance": Y * 0.5}
    weights = weights_of(name, given)
    with use_cluster(client), on_workers(client) as submitted:
        clf = quick(name).fit(X, Y, **weights)
    assert submitted.call_count > 1
    assert bits(clf) == bits(quick(name).fit(X, Y, **weights))


def test_backend_of_joblib_takes_the_same_way(client):
    with joblib.parallel_config(backend="dask"), on_workers(client) as submitted:
        clf = Parabel().fit(BIBTEX.X, BIBTEX.Y)
    assert submitted.call_count > 1
    assert sum(len(pickle.dumps(call.args[1:3])) for call in submitted.call_args_list) < BIBTEX.X.data.nbytes
    assert bits(clf) == bits(Parabel().fit(BIBTEX.X, BIBTEX.Y))


def test_predictions_run_on_workers(client):
    clf = DiSMEC().fit(BIBTEX.X, BIBTEX.Y)
    expected = clf.predict_topk(BIBTEX.X_test, 5)
    with use_cluster(client), on_workers(client) as submitted:
        assert_same_predictions(clf.predict_topk(BIBTEX.X_test, 5), expected)
    assert submitted.call_count > 1


@pytest.mark.parametrize(
    ("clf", "share"), [(DiSMEC(), 1.05), (FastXML(n_trees=4), 1.1), (Parabel(), 1.2), (Bonsai(), 1.2)]
)
def test_data_travel_once(clf, share, client):
    sent = []
    scattered, send = DaskCluster._scattered, DaskCluster._send

    def count_array(self, array):
        sent.append(array.nbytes)
        return scattered(self, array)

    def count_content(self, value, only):
        content, keys = send(self, value, only)
        sent.append(len(content))
        return content, keys

    matrices = (BIBTEX.X, BIBTEX.Y)
    data = sum(part.nbytes for matrix in matrices for part in (matrix.data, matrix.indices, matrix.indptr))
    with (
        patch.object(DaskCluster, "_scattered", count_array),
        patch.object(DaskCluster, "_send", count_content),
        use_cluster(client),
    ):
        clf.fit(BIBTEX.X, BIBTEX.Y)
    assert 0.5 * data < sum(sent) < share * data


def test_scheduler_keeps_copies_while_a_cluster_is_used(client):
    assert client.amm.running()
    with use_cluster(client):
        assert not client.amm.running()
    assert client.amm.running()


def test_label_vectors_are_made_on_the_workers():
    rows = LabelRows.of(BIBTEX.X, BIBTEX.Y, "both")
    found = {}
    _Pickler(stream := io.BytesIO(), found, None).dump(rows)
    assert not any(array is part for array in found.values() for part in (rows.indices, rows.values))
    made = _Unpickler(io.BytesIO(stream.getvalue()), found).load()
    for name in ("indptr", "indices", "values"):
        np.testing.assert_array_equal(getattr(made, name), getattr(rows, name))


def test_workers_map_what_lies_in_a_shared_folder(client, tmp_path):
    with (
        patch.object(DaskCluster, "_scattered", side_effect=AssertionError),
        use_cluster(client, shared_folder=tmp_path),
    ):
        clf = DiSMEC().fit(BIBTEX.X, BIBTEX.Y)
        assert list(tmp_path.glob("*.npy"))
    assert bits(clf) == bits(DiSMEC().fit(BIBTEX.X, BIBTEX.Y))


def test_errors_of_tasks_reach_the_caller(client):
    with use_cluster(client), pytest.raises(ZeroDivisionError):
        xclassic.parallel.run_tasks(_divide, [1, 0])


def _divide(task, stop):
    return 1 / task


def test_all_run_the_lowest_instruction_set(client):
    here = kernels.simd_level()
    lowest = kernels.simd_levels()[0]
    facts = {"versions": xclassic.cluster.facts()["versions"], "levels": [lowest]}
    with patch.object(client, "run", lambda function, *rest: {"worker": facts}), use_cluster(client):
        assert kernels.simd_level() == lowest
        clf = DiSMEC().fit(X, Y)
    assert kernels.simd_level() == here
    kernels.use_simd_level(lowest)
    try:
        expected = DiSMEC().fit(X, Y)
    finally:
        kernels.use_simd_level(here)
    assert bits(clf) == bits(expected)
    client.run(kernels.use_simd_level, here)


def test_workers_of_other_versions_are_named(client):
    facts = xclassic.cluster.facts()
    facts["versions"] = facts["versions"] | {"numpy": "1.0"}
    with (
        patch.object(client, "run", lambda function, *rest: {"tcp://10.0.0.7:1": facts}),
        pytest.raises(ClusterError, match=r"Worker tcp://10\.0\.0\.7:1 has numpy 1\.0"),
        use_cluster(client),
    ):
        pass


def test_folder_that_workers_do_not_see(client, tmp_path):
    with (
        patch("xclassic.cluster.os.path.exists", lambda path: False),
        patch.object(client, "run", lambda function, *rest: {"tcp://10.0.0.7:1": function(*rest)}),
        pytest.raises(ClusterError, match=r"Worker tcp://10\.0\.0\.7:1 does not see"),
    ):
        DaskCluster(client, tmp_path)


def test_scheduler_that_does_not_answer():
    with (
        patch("xclassic.distributed.clusters.TIMEOUT", 1),
        pytest.raises(ClusterError, match=r"No scheduler answers at tcp://127\.0\.0\.1:9 within 1 seconds"),
        use_cluster("tcp://127.0.0.1:9"),
    ):
        pass


def test_cluster_without_workers():
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(ClusterError, match=r"has no workers\. Start some"),
        use_cluster(client),
    ):
        pass


@pytest.mark.long
def test_what_is_no_cluster_is_named(client):
    for wrong, error, message in (
        (3, TypeError, "cluster is a int; pass a client"),
        (
            client.cluster,
            TypeError,
            r"cluster is a LocalCluster; pass a client, such as distributed\.Client\(cluster\)",
        ),
    ):
        with pytest.raises(error, match=message), use_cluster(wrong):
            pass
    with distributed.Client(client.scheduler.address) as gone:
        pass
    with pytest.raises(ClusterError, match="The client is closed"), use_cluster(gone):
        pass


def test_killed_workers_change_nothing(tmp_path):
    """Workers are killed as pieces appear on disk, whatever they are doing then."""
    expected = bits(FastXML(n_trees=16).fit(BIBTEX.X, BIBTEX.Y))
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        use_cluster(client, shared_folder=tmp_path / "data"),
    ):
        cluster.scheduler.allowed_failures = 20
        due = iter([1, 4, 8, 12])
        progress = DaskCluster.run

        def run(self, function, tasks, update):
            seen = []

            def count():
                seen.append(None)
                if len(seen) == at[0]:
                    pids = client.run(os.getpid)
                    os.kill(next(iter(pids.values())), signal.SIGKILL)
                    at[0] = next(due, None)

            at = [next(due)]
            return progress(self, function, tasks, count)

        with patch.object(DaskCluster, "run", run):
            clf = resume(FastXML(n_trees=16), BIBTEX.X, BIBTEX.Y, tmp_path / "pieces")
        assert next(due, None) is None
    assert bits(clf) == expected


TEXTS = ["stars and planets", "bread and butter", "planets and moons", "butter and cheese"]


def test_bags_and_arrays_are_ranked_where_they_lie(client, tmp_path):
    bag, array = pytest.importorskip("dask.bag"), pytest.importorskip("dask.array")
    from sklearn.pipeline import make_pipeline

    from xclassic import predict_topk, save
    from xclassic.features import TextFeatures

    pipe = make_pipeline(TextFeatures(), DiSMEC()).fit(TEXTS, [["sky"], ["food"], ["sky"], ["food"]])
    save(pipe, tmp_path / "texts")
    texts = bag.from_sequence(TEXTS, npartitions=2)
    ranked = predict_partitions(tmp_path / "texts", texts, k=2)
    assert ranked.npartitions == texts.npartitions == 2
    assert ranked.compute() == predict_topk(pipe, TEXTS, 2).named(pipe.classes_)
    rows = np.random.default_rng(0).normal(size=(20, X.shape[1])).astype(np.float32)
    clf = DiSMEC().fit(X, Y)
    clf.save(tmp_path / "rows")
    found = predict_partitions(tmp_path / "rows", array.from_array(rows, chunks=(7, -1)), k=3)
    assert found.compute() == clf.predict_topk(rows, 3).named(clf.classes_)
    sparse = array.from_array(rows, chunks=(7, -1)).map_blocks(csr_array)
    expected = clf.predict_topk(csr_array(rows), 3).named(clf.classes_)
    assert predict_partitions(tmp_path / "rows", sparse, k=3).compute() == expected
    with pytest.raises(ValueError, match=r"rechunk\(\{1: -1\}\)"):
        predict_partitions(tmp_path / "rows", array.from_array(rows, chunks=(7, 2)))
    with pytest.raises(TypeError, match="rows is a list"):
        predict_partitions(tmp_path / "rows", [1])
    with pytest.raises(xclassic.ModelFileError):
        predict_partitions(tmp_path / "none", bag.from_sequence(TEXTS))
