"""Tasks on the workers of a Dask cluster: what they share goes to each worker once, and only results come back.

A task function usually holds the whole training data. Dask would send it along with every task. Here its large arrays
are taken out, named by their content, and sent to each worker once, or written to a folder that all workers see, which
then map them. What remains of the function and the tasks is small.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import secrets
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from xclassic._kernels import blocks as kernels  # type: ignore[attr-defined]
from xclassic._versions import versions_that_count

LARGE = 1 << 14  # Bytes from which an array travels by itself.
ATTEMPTS = 5  # Times that tasks are sent anew after the data that they need were lost with a worker.

Sent = dict[str, NDArray[Any]]


class ClusterError(RuntimeError):
    """Error for a cluster that cannot be reached, or whose workers cannot take part."""


class DaskCluster:
    """The workers of a Dask client, as `run_tasks` uses them.

    Parameters
    ----------
    client : distributed.Client
    folder : str or path, optional
        A folder on storage that client and workers share, for arrays to pass by; they are removed by `close`.

    Raises
    ------
    ClusterError
        If there is no worker, or one has other versions of what decides on the bits of a model.

    Notes
    -----
    All workers and this process run the lowest instruction-set level among them, so that a model does not depend on
    where a piece of it was made.
    """

    def __init__(self, client: Any, folder: str | os.PathLike[str] | None = None) -> None:
        self.client = client
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None:
            _check_shared(client, self.folder)
        self.level = _common_level(client)
        self._direct = True  # Whether workers are reached without the scheduler, where the traffic would double.
        self._sent: dict[str, Any] = {}  # Of each array: its path, or the Dask future that holds it.

    def run(self, function: Callable[..., Any], tasks: Sequence[Any], progress: Callable[[], Any] | None) -> list[Any]:
        """Return ``function(task, stop)`` of all tasks, in their order.

        Raises
        ------
        ClusterError
            If the connection to the scheduler is lost, or workers die again and again.
        """
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        results: dict[int, Any] = {}
        for _ in range(ATTEMPTS):
            try:
                self._run_once(function, tasks, progress, results)
                return [results[number] for number in range(len(tasks))]
            except FutureCancelledError:  # What a task needed was on a worker that is gone.
                if self.client.status != "running" or not _is_there(self.client):
                    break
                self._forget_futures()
            except KilledWorker as error:
                raise ClusterError(
                    f"Several workers died one after another at the same task ({error}); probably it needs more memory "
                    "than a worker has. Give the workers more memory or fewer threads."
                ) from error
        raise ClusterError(
            f"The connection to the scheduler at {self.client.scheduler.address} was lost. Start it again, and go on "
            "with what is on disk if the fit kept its pieces."
        )

    def _run_once(
        self,
        function: Callable[..., Any],
        tasks: Sequence[Any],
        progress: Callable[[], Any] | None,
        results: dict[int, Any],
    ) -> None:
        from distributed import as_completed

        shared = _in_two_tasks(tasks)
        content, keys = self._send(function, None)
        futures = {}
        for number in range(len(tasks)):
            if number not in results:
                task, task_keys = self._send(tasks[number], shared)
                arrays = {key: self._sent[key] for key in {*keys, *task_keys}}
                # A task passes through the scheduler, so that it travels twice, and most of it are ascending numbers.
                future = self.client.submit(_run_sent, content, zlib.compress(task, 1), arrays, self.level, pure=False)
                futures[future] = number
        try:
            for done in as_completed(futures).batches():
                for future, result in zip(done, self.client.gather(done, direct=self._direct), strict=True):
                    results[futures[future]] = result
                    if progress is not None:
                        progress()
        except BaseException:
            self.client.cancel(list(futures))
            raise

    def _send(self, value: Any, only: set[int] | None) -> tuple[bytes, set[str]]:
        """Return a value without its large arrays, or those of `only`, and their keys; arrays that are new are sent."""
        stream, found = io.BytesIO(), dict[str, NDArray[Any]]()
        _Pickler(stream, found, only).dump(value)
        for key in found.keys() - self._sent.keys():
            self._sent[key] = self._scattered(found[key]) if self.folder is None else self._written(key, found[key])
        return stream.getvalue(), set(found)

    def _scattered(self, array: NDArray[Any]) -> Any:
        if self._direct:
            try:
                return self.client.scatter(array, broadcast=True, hash=False, direct=True)
            except OSError:  # The network lets this process talk to the scheduler only.
                self._direct = False
        return self.client.scatter(array, broadcast=True, hash=False)

    def _written(self, key: str, array: NDArray[Any]) -> str:
        folder = self.folder
        assert folder is not None
        folder.mkdir(parents=True, exist_ok=True)
        file, draft = folder / f"{key}.npy", folder / f"{key}.{secrets.token_hex(8)}"
        with open(draft, "xb") as stream:
            np.save(stream, array)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, file)
        return str(file.absolute())

    def _forget_futures(self) -> None:
        self._sent = {key: place for key, place in self._sent.items() if isinstance(place, str)}

    def close(self) -> None:
        """Release what was sent to the workers."""
        for place in self._sent.values():
            if isinstance(place, str):
                Path(place).unlink(missing_ok=True)
        self._sent = {}


_of_backends: WeakKeyDictionary[Any, DaskCluster] = WeakKeyDictionary()


def cluster_of(backend: Any) -> DaskCluster | None:
    """Return the cluster behind joblib's backend "dask"; None for other backends."""
    if type(backend).__name__ != "DaskDistributedBackend":
        return None
    if backend not in _of_backends:
        _of_backends[backend] = DaskCluster(backend.client)
    return _of_backends[backend]


def facts() -> dict[str, Any]:
    """Return what a process must have in common with others that make pieces of the same model."""
    return {"versions": versions_that_count(), "levels": kernels.simd_levels()}


def _check_shared(client: Any, folder: Path) -> None:
    """Raise unless all workers see the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f"{secrets.token_hex(16)}.npy"
    mark.touch()
    try:
        blind = [worker for worker, there in client.run(os.path.exists, str(mark.absolute())).items() if not there]
    finally:
        mark.unlink()
    if blind:
        raise ClusterError(
            f"Worker {blind[0]} does not see {folder.absolute()}; name a folder on storage that all workers share, or "
            "none."
        )


def _is_there(client: Any) -> bool:
    try:
        return bool(client.scheduler_info()["workers"])
    except (OSError, KeyError, ValueError):
        return False


def _common_level(client: Any) -> str:
    """Return the highest instruction-set level that all workers and this process run."""
    of_workers = client.run(facts)
    if not of_workers:
        raise ClusterError(
            f"The cluster at {client.scheduler.address} has no workers. Start some, for instance with: dask worker "
            f"{client.scheduler.address}"
        )
    here = facts()
    for worker, there in of_workers.items():
        for package, version in here["versions"].items():
            if there["versions"].get(package) != version:
                raise ClusterError(
                    f"Worker {worker} has {package} {there['versions'].get(package)}, this process {version}, and a "
                    "model could depend on where a piece of it was made. Install the same versions on both."
                )
    now = here["levels"].index(kernels.simd_level())
    common = [level for level in here["levels"][: now + 1] if all(level in w["levels"] for w in of_workers.values())]
    return str(common[-1])


class _Pickler(pickle.Pickler):
    """A pickler that leaves large arrays out and collects them by their content."""

    def __init__(self, stream: io.BytesIO, found: Sent, only: set[int] | None) -> None:
        super().__init__(stream, protocol=5)
        self._found, self._only = found, only

    def reducer_override(self, obj: Any) -> Any:
        """Let workers make anew what is made of arrays that travel anyway."""
        remake = getattr(type(obj), "_remake", None)
        return NotImplemented if remake is None else remake(obj)

    def persistent_id(self, obj: Any) -> str | None:
        if not isinstance(obj, np.ndarray) or obj.dtype.hasobject or obj.nbytes < LARGE:
            return None
        if self._only is not None and id(obj) not in self._only:
            return None
        array = np.asarray(obj) if obj.flags.f_contiguous else np.ascontiguousarray(obj)
        in_rows = array if array.flags.c_contiguous else array.T
        key = hashlib.blake2b(f"{array.dtype.str}{array.shape}{in_rows is array}".encode(), digest_size=16)
        key.update(in_rows.reshape(-1).view(np.uint8).data)
        self._found[key.hexdigest()] = array
        return key.hexdigest()


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, arrays: Sent) -> None:
        super().__init__(stream)
        self._arrays = arrays

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        return self._arrays[pid]


def _in_two_tasks(tasks: Sequence[Any]) -> set[int]:
    """Return the identities of the arrays that the first two tasks share, and probably all."""
    first, second = (
        {id(part) for part in task if isinstance(part, np.ndarray)} if isinstance(task, tuple) else set()
        for task in tasks[:2]
    )
    return first & second


_functions: dict[bytes, Callable[..., Any]] = {}  # The one that this worker ran last, as it may be costly to make.


def _run_sent(content: bytes, task: bytes, arrays: dict[str, Any], level: str) -> Any:
    """Run a task on a worker."""
    if kernels.simd_level() != level:
        kernels.use_simd_level(level)
    found = {key: _mapped(place) if isinstance(place, str) else place for key, place in arrays.items()}
    function = _functions.get(content)
    if function is None:
        function = _Unpickler(io.BytesIO(content), found).load()
        _functions.clear()
        _functions[content] = function
    return function(_Unpickler(io.BytesIO(zlib.decompress(task)), found).load(), np.zeros(1, np.uint8))


def _mapped(file: str) -> NDArray[Any]:
    # Copy on write: Numba compiles its functions anew for arrays that are read-only.
    return np.load(file, mmap_mode="c").view(np.ndarray)  # type: ignore[no-any-return]
