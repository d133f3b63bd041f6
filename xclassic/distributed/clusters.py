"""Fits and predictions on a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any

from xclassic._kernels import blocks as kernels  # type: ignore[attr-defined]
from xclassic.cluster import ClusterError, DaskCluster
from xclassic.parallel import on_cluster

TIMEOUT = 10  # Seconds within which a scheduler must answer.


@contextmanager
def use_cluster(cluster: Any = None, *, shared_folder: str | PathLike[str] | None = None) -> Iterator[Any]:
    """Run the tasks of fits and predictions inside the ``with`` block on the workers of a Dask cluster.

    A model is the same as on one machine, bit for bit, also if workers die meanwhile.

    Parameters
    ----------
    cluster : distributed.Client, str or None, default=None
        A client, or the address of a scheduler such as ``"tcp://10.0.0.1:8786"``. None starts a
        `distributed.LocalCluster` of one worker process for each CPU, and stops it at the end of the block.
    shared_folder : str or path, optional
        A folder that this process and all workers see. Data then pass by it, and each worker maps them. Without one
        they are sent to each worker once.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        If the scheduler cannot be reached, there is no worker, or the versions of a worker differ.
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
            with on_cluster(workers):
                yield client
        finally:
            kernels.use_simd_level(level)
            workers.close()
    finally:
        for part in owned:
            part.close()


def _connected(cluster: Any) -> tuple[Any, list[Any]]:
    """Return a client, and what is to be closed at the end."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError('Clusters need Dask; install it with pip install "xclassic[cluster]".') from error
    if cluster is None:
        local = LocalCluster(threads_per_worker=1, dashboard_address=None)
        client = Client(local)
        return client, [client, local]
    if not isinstance(cluster, str):
        return cluster, []
    try:
        client = Client(cluster, timeout=TIMEOUT)
    except (OSError, ValueError) as error:
        raise ClusterError(f"No scheduler answers at {cluster} within {TIMEOUT} seconds: {error}.") from error
    return client, [client]
