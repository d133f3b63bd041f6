"""Worker threads, stopping, seeds and BLAS limits."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

import numpy as np
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import SequentialBackend, ThreadingBackend, get_active_backend
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from threadpoolctl import ThreadpoolController
from tqdm.auto import tqdm

from xclassic.cluster import cluster_of

Task = TypeVar("Task")
Result = TypeVar("Result")
StopByte = NDArray[np.uint8]
# A stop byte that nobody sets, for work of the main thread that is over before Ctrl-C would matter.
RUNNING: StopByte = np.zeros(1, np.uint8)
RUNNING.flags.writeable = False


def run_tasks(
    function: Callable[[Task, StopByte], Result],
    tasks: Sequence[Task],
    *,
    n_jobs: int | None = None,
    description: str | None = None,
    verbose: int = 0,
    pieces: bool = False,
) -> list[Result]:
    """Call ``function(task, stop)`` for every task through joblib and return the results in the order of the tasks.

    Threads are preferred and a surrounding ``joblib.parallel_config`` or `on_cluster` is respected, so that the same
    call can run on processes or on a cluster. Results do not depend on `n_jobs` if tasks are cut by the data alone,
    return what they compute and write into no shared array.

    Parameters
    ----------
    function : callable
        Importable by name, or a `functools.partial` of such a function, because another process may have to load it.
        It must return soon after ``stop[0]`` becomes non-zero; the result is then thrown away.
    tasks : sequence
        One argument for each call.
    n_jobs : int, optional
        Workers, as joblib counts them: None for one unless ``parallel_config`` says otherwise, -1 for all CPUs.
    description : str, optional
        Text before the progress bar.
    verbose : int, default=0
        Above 0, show a progress bar with the time left on standard error.
    pieces : bool, default=False
        The results are pieces of a model, long in the making, so that a surrounding `keeping` keeps each when it is
        ready. They are then what `xclassic.storage.pieces` can write.

    Returns
    -------
    list
        One result for each task.

    Raises
    ------
    Exception
        The first one that a task raised, after all running tasks have ended; likewise KeyboardInterrupt.

    Notes
    -----
    Python delivers Ctrl-C to the main thread only, between two instructions, so a compiled kernel that runs there
    cannot be interrupted. Tasks therefore never run in the main thread, which waits for them in short spells.
    """
    run = partial(_run, n_jobs=n_jobs, description=description, verbose=verbose)
    keeper = _surroundings.keeper
    return run(function, tasks) if keeper is None or not pieces else keeper.run(run, function, tasks)


def _run(
    function: Callable[[Task, StopByte], Result],
    tasks: Sequence[Task],
    *,
    n_jobs: int | None,
    description: str | None,
    verbose: int,
) -> list[Result]:
    stop = np.zeros(1, np.uint8)
    backend, n_configured = get_active_backend(prefer="threads")
    cluster = _surroundings.cluster or cluster_of(backend)
    with _Bar(total=len(tasks), desc=description, leave=False) if verbose else nullcontext() as bar:
        if cluster is not None and len(tasks) > 1:
            return cluster.run(function, tasks, None if bar is None else bar.update)
        if cluster is None and not isinstance(backend, (ThreadingBackend, SequentialBackend)):
            return _Parallel(bar, n_jobs=n_jobs)(delayed(_run_one)(function, task, stop) for task in tasks)
        # joblib looks for results every 10 ms, as long as a whole fit or prediction may take. So threads go without it.
        threads = backend if cluster is None else ThreadingBackend()
        workers = threads.effective_n_jobs((n_configured or 1) if n_jobs is None else n_jobs)
        return _run_in_threads(function, tasks, stop, workers, bar)


class Keeper(Protocol):
    """What keeps the pieces of a model that is in the making."""

    def run(self, run: Callable[..., list[Any]], function: Callable[..., Any], tasks: Sequence[Any]) -> list[Any]:
        """Return the results of all tasks, which ``run(function, tasks)`` computes where they are not kept yet."""


class Cluster(Protocol):
    """What runs tasks on other machines."""

    def run(self, function: Callable[..., Any], tasks: Sequence[Any], progress: Callable[[], Any] | None) -> list[Any]:
        """Return the results of all tasks; `progress` is called after each."""


class _Surroundings(threading.local):
    """What the calls of `run_tasks` in a thread find around them; calls within tasks, in other threads, find none."""

    keeper: Keeper | None = None
    cluster: Cluster | None = None


_surroundings = _Surroundings()


@contextmanager
def keeping(keeper: Keeper) -> Iterator[None]:
    """Let the fits inside the ``with`` block keep the pieces of their models."""
    before, _surroundings.keeper = _surroundings.keeper, keeper
    try:
        yield
    finally:
        _surroundings.keeper = before


@contextmanager
def on_cluster(cluster: Cluster) -> Iterator[None]:
    """Let the tasks inside the ``with`` block run on a cluster."""
    before, _surroundings.cluster = _surroundings.cluster, cluster
    try:
        yield
    finally:
        _surroundings.cluster = before


@contextmanager
def in_threads() -> Iterator[None]:
    """Let the tasks inside the ``with`` block run in threads of this process, where sending them costs more."""
    before, _surroundings.cluster = _surroundings.cluster, None
    try:
        with parallel_config(backend="threading"):
            yield
    finally:
        _surroundings.cluster = before


class _Bar(tqdm):  # type: ignore[type-arg]
    monitor_interval = 0  # tqdm needs no thread of its own here.

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> bool:
        """Show the bar. That of tqdm leaves its lock closed when Ctrl-C lands in it, for bars of all other threads."""
        if not self.disable:
            with self.get_lock():
                self.display()
        return not self.disable


_Bar.set_lock(threading.RLock())


class _Parallel(Parallel):
    """joblib's Parallel that moves a progress bar too."""

    def __init__(self, bar: _Bar | None, **options: Any) -> None:
        super().__init__(**options)
        self._bar = bar

    def print_progress(self) -> None:
        super().print_progress()
        if self._bar is not None:
            self._bar.update(self.n_completed_tasks - self._bar.n)


def _run_one(function: Callable[..., Result], task: Any, stop: StopByte) -> Result:
    """Run one task in another process, whose main thread also stays free for Ctrl-C."""
    return _run_in_threads(function, [task], stop, 1, None)[0]


def _run_in_threads(
    function: Callable[..., Result], tasks: Sequence[Any], stop: StopByte, workers: int, bar: _Bar | None
) -> list[Result]:
    """Run tasks in threads; see `run_tasks`.

    The main thread holds no lock while it waits, since Ctrl-C may come at any instruction of it, and a lock that an
    interrupt leaves behind is never opened again. It starts one thread, which starts and joins the others.
    """
    results: list[Any] = [None] * len(tasks)
    done: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
    crew = threading.Thread(target=_work_together, args=(function, tasks, stop, workers, done))
    try:
        crew.start()
        for _ in results:
            number, results[number], error = _next(done)
            if error is not None:
                try:
                    raise error
                finally:
                    del error  # or its frames, and all arrays in them, would live until the next collection
            if bar is not None:
                bar.update()
    except BaseException:
        stop[0] = 1
        raise
    finally:
        if crew.is_alive():
            crew.join()
    return results


def _work_together(
    function: Callable[..., Any], tasks: Sequence[Any], stop: StopByte, workers: int, done: SimpleQueue[Any]
) -> None:
    """Run the tasks in this thread and further ones. Each takes the next task when it is free."""
    upcoming, lock = iter(range(len(tasks))), threading.Lock()

    def work() -> None:
        while not stop[0]:
            with lock:
                number = next(upcoming, None)
            if number is None:
                return
            try:
                done.put((number, function(tasks[number], stop), None))
            except BaseException as error:
                done.put((number, None, error))

    others = [threading.Thread(target=work) for _ in range(min(workers, len(tasks)) - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()


def _next(queue: SimpleQueue[Any]) -> Any:
    """Wait for the next item in short spells, because Windows cannot interrupt a long wait."""
    while True:
        try:
            return queue.get(timeout=0.1)
        except Empty:
            continue


def spawn_seeds(random_state: int | np.random.RandomState | None, n: int) -> NDArray[np.uint64]:
    """Return `n` independent seeds, one for each task.

    Parameters
    ----------
    random_state : int, RandomState or None
        As in scikit-learn; the same int gives the same seeds.
    n : int
        Number of seeds. The first seeds do not depend on it.

    Returns
    -------
    ndarray of uint64, shape (n,)
    """
    entropy = check_random_state(random_state).randint(0, 2**32, size=4, dtype=np.uint32)
    return np.random.SeedSequence(entropy.tolist()).generate_state(n, np.uint64).astype(np.uint64, copy=False)


_locks: WeakSet[threading.Lock] = WeakSet()


def fork_safe_lock() -> threading.Lock:
    """Return a lock that is open in a forked child: the thread that held it does not exist there to open it.

    What is done under such a lock may not fork.
    """
    lock = threading.Lock()
    _locks.add(lock)
    return lock


_blas_lock = fork_safe_lock()
_blas_limits: list[tuple[int, int]] = []  # Limits of the open blocks, each with its thread.
_blas_before: dict[str, int] = {}  # Threads of each library before the first of them.


def _forget_other_threads() -> None:
    """Open the locks and leave the blocks of the threads that did not come along into a forked child."""
    for lock in _locks:
        if lock.locked():
            lock.release()
    _blas_limits[:] = [limit for limit in _blas_limits if limit[0] == threading.get_ident()]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


@contextmanager
def blas_threads(n: int) -> Iterator[None]:
    """Run BLAS on at most `n` threads inside the ``with`` block.

    The setting belongs to the whole process. Blocks of several Python threads may overlap in any order: the smallest
    limit holds while they do, and the setting found by the first is restored by the last. A result that must be
    the same to the bit therefore asks for the same `n` everywhere.

    Parameters
    ----------
    n : int
        Number of threads, at least 1.
    """
    limit = (threading.get_ident(), n)
    with _blas_lock:
        libraries = _blas_libraries()
        if not _blas_before:
            _blas_before.update({library.filepath: library.num_threads for library in libraries})
        _blas_limits.append(limit)
        _limit(libraries)
    try:
        yield
    finally:
        with _blas_lock:
            _blas_limits.remove(limit)
            _limit(_blas_libraries())
            if not _blas_limits:
                _blas_before.clear()


def _blas_libraries() -> list[Any]:
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _limit(libraries: list[Any]) -> None:
    """Give the libraries the smallest limit of the open blocks or, without one, the number before the first."""
    for library in libraries:
        threads = min(n for _, n in _blas_limits) if _blas_limits else _blas_before.get(library.filepath)
        if threads is not None:
            library.set_num_threads(threads)
        # Since threadpoolctl 3.8 the thread that sets a limit keeps all others from changing it, until it is cleared.
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread()


def default_workers(n_jobs: int | None) -> AbstractContextManager[Any]:
    """Let estimators that set no number of workers of their own have this one; None changes nothing."""
    return nullcontext() if n_jobs is None else parallel_config(n_jobs=n_jobs)
