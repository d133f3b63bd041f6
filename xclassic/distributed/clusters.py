"""Fits and predictions on a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from os import PathLike
from typing import Any

import numpy as np
from scipy.sparse import issparse

from xclassic._kernels import blocks as kernels  # type: ignore[attr-defined]
from xclassic.cluster import ClusterError, DaskCluster
from xclassic.parallel import on_cluster
from xclassic.pipelines import predict_topk
from xclassic.storage.folder import HEADER
from xclassic.storage.models import read
from xclassic.validation.parameters import check_k

TIMEOUT = 10  # Seconds within which a scheduler must answer.
MISSING = 'Clusters need Dask; install it with pip install "xclassic[cluster]".'


@contextmanager
def use_cluster(cluster: Any = None, *, shared_folder: str | PathLike[str] | None = None) -> Iterator[Any]:
    """Run the tasks of fits and predictions inside the ``with`` block on the workers of a Dask cluster.

    A model is the same as on one machine, bit for bit, also if workers die meanwhile.

    Parameters
    ----------
    cluster : distributed.Client, str or None, default=None
        A client, or the address of a scheduler such as ``"tcp://10.0.0.1:8786"``. None starts a
        `distributed.LocalCluster` of one worker process for each CPU, and stops it at the end of the block; as with
        all processes of Python, a script keeps its code under ``if __name__ == "__main__":`` then.
    shared_folder : str or path, optional
        A folder that this process and all workers see. Data then pass by it, and each worker maps them. Without one
        they are sent to each worker once.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        If the scheduler cannot be reached, the client is closed, there is no worker, or the versions of a worker
        differ.
    TypeError
        If `cluster` is something else.
    ImportError
        If Dask is missing.

    Notes
    -----
    Network traffic of a fit: the data that its tasks share once for each worker, and the model. Calls with a single
    task run in this process. Workers that join the cluster later take part in what is still to do. After Ctrl-C the
    workers finish the tasks that they have begun.

    Examples
    --------
    >>> from xclassic import DiSMEC, datasets
    >>> from xclassic.distributed import use_cluster
    >>> bibtex = datasets.load_bibtex()
    >>> with use_cluster("tcp://10.0.0.1:8786"):  # doctest: +SKIP
    ...     clf = DiSMEC().fit(bibtex.X, bibtex.Y)
    """
    client, owned = _connected(cluster)
    try:
        workers = DaskCluster(client, shared_folder)
        level = kernels.simd_level()
        kernels.use_simd_level(workers.level)
        try:
            with on_cluster(workers), _keeping_copies(client):
                yield client
        finally:
            kernels.use_simd_level(level)
            workers.close()
    finally:
        for part in owned:
            part.close()


@contextmanager
def _keeping_copies(client: Any) -> Iterator[None]:
    """Keep the scheduler from dropping copies of data in the spells in which no task needs them."""
    running = client.amm.running()
    if running:
        client.amm.stop()
    try:
        yield
    finally:
        if running and client.status == "running":
            client.amm.start()


def _connected(cluster: Any) -> tuple[Any, list[Any]]:
    """Return a client, and what is to be closed at the end."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError(MISSING) from error
    if cluster is None:
        local = LocalCluster(threads_per_worker=1, dashboard_address=None)
        client = Client(local)
        return client, [client, local]
    if isinstance(cluster, Client):
        if cluster.status != "running":
            raise ClusterError(f"The client is {cluster.status}; pass one that is connected, or an address.")
        return cluster, []
    if not isinstance(cluster, str):
        raise TypeError(
            f"cluster is a {type(cluster).__name__}; pass a client, such as distributed.Client(cluster), the address "
            "of a scheduler, or None for processes of this machine."
        )
    try:
        client = Client(cluster, timeout=TIMEOUT)
    except (OSError, ValueError) as error:
        raise ClusterError(f"No scheduler answers at {cluster} within {TIMEOUT} seconds: {error}.") from error
    return client, [client]


def predict_partitions(model: str | PathLike[str], rows: Any, k: int = 5) -> Any:
    """Rank labels for the rows of a Dask collection, where its partitions lie.

    Parameters
    ----------
    model : str or path
        A model folder on storage that all workers see; each maps it once.
    rows : dask.bag.Bag or dask.array.Array
        Texts or records, as the model takes them, or features in chunks of whole rows, which may be sparse matrices. Of
        a data frame, such as one of Parquet files, take a column: ``frame["title"].to_bag()``.
    k : int, default=5
        Number of predictions per row, at least 1.

    Returns
    -------
    dask.bag.Bag
        For each row a list of (label, score) pairs, best first, in the partitions of `rows`. It is computed when Dask
        is asked, by ``compute()`` or a writer such as ``to_textfiles``.

    Raises
    ------
    TypeError
        If `rows` is something else.
    ValueError
        If the columns of an array are in several chunks, or `k` is below 1.
    ModelFileError
        If there is no model in the folder.
    ImportError
        If Dask is missing.

    Examples
    --------
    >>> import dask.bag
    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import DiSMEC, save
    >>> from xclassic.distributed import predict_partitions
    >>> from xclassic.features import TextFeatures
    >>> texts = ["stars and planets", "bread and butter", "planets and moons"]
    >>> pipe = make_pipeline(TextFeatures(), DiSMEC()).fit(texts, [["astronomy"], ["food"], ["astronomy"]])
    >>> save(pipe, "tagger.model")
    >>> bag = dask.bag.from_sequence(["a planet of bread", "moons"], npartitions=2)
    >>> [row[0][0] for row in predict_partitions("tagger.model", bag, k=1).compute(scheduler="threads")]
    ['food', 'astronomy']
    """
    try:
        import dask.array
        import dask.bag
    except ImportError as error:
        raise ImportError(MISSING) from error
    k, path = check_k(k), os.path.abspath(model)
    read(path)  # A folder without a model is refused here, and not by a worker.
    if isinstance(rows, dask.bag.Bag):
        return rows.map_partitions(_ranked, path, k)
    if not isinstance(rows, dask.array.Array):
        raise TypeError(
            f"rows is a {type(rows).__name__}; pass a bag or an array of Dask, or a column of a data frame: "
            'frame["title"].to_bag().'
        )
    if rows.ndim != 2 or rows.numblocks[1] != 1:
        raise ValueError(
            f"rows is an array of chunks {rows.chunks}; pass two dimensions, with all columns of a row in one chunk: "
            "rows.rechunk({1: -1})."
        )
    ranked = dask.delayed(_ranked, pure=True)
    return dask.bag.from_delayed([ranked(block, path, k) for block in rows.to_delayed().ravel()])


def _ranked(rows: Any, path: str, k: int) -> list[list[tuple[Any, float]]]:
    """Rank the labels of one partition, on a worker."""
    rows = rows if isinstance(rows, np.ndarray) or issparse(rows) else list(rows)
    if not (rows.shape[0] if issparse(rows) else len(rows)):
        return []
    model = _mapped_model(path, os.stat(os.path.join(path, HEADER)).st_mtime_ns)
    return predict_topk(model, rows, k).named(model.classes_)


@lru_cache(maxsize=2)
def _mapped_model(path: str, changed: int) -> Any:
    return read(path)[0]
