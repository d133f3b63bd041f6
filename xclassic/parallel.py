"""Worker threads, stopping, seeds and BLAS limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from threadpoolctl import ThreadpoolController
from tqdm.auto import tqdm

Task = TypeVar("Task")
Result = TypeVar("Result")
StopByte = NDArray[np.uint8]


def run_tasks(
    function: Callable[[Task, StopByte], Result],
    tasks: Sequence[Task],
    *,
    n_jobs: int | None = None,
    description: str | None = None,
    verbose: int = 0,
) -> list[Result]:
    """Call ``function(task, stop)`` for every task through joblib and return the results in the order of the tasks.

    Threads are preferred and a surrounding ``joblib.parallel_config`` is respected, so that the same call can run on
    processes or on a cluster. Results do not depend on `n_jobs` if tasks are cut by the data alone, return what they
    compute and write into no shared array.

    Parameters
    ----------
    function : callable
        Importable by name, or a `functools.partial` of such a function, because another process may have to load it.
        It must return soon after ``stop[0]`` becomes non-zero; what it returns then is thrown away.
    tasks : sequence
        One argument for each call.
    n_jobs : int, optional
        Workers, as joblib counts them: None for one unless ``parallel_config`` says otherwise, -1 for all CPUs.
    description : str, optional
        Shown before the progress bar.
    verbose : int, default=0
        Above 0, show a progress bar with the time left on standard error.

    Returns
    -------
    list
        One result for each task.

    Raises
    ------
    Exception
        The first one that a task raised, after all running tasks have left; likewise KeyboardInterrupt.

    Notes
    -----
    Python delivers Ctrl-C to the main thread only, between two instructions, so a compiled kernel that runs there
    cannot be interrupted. Tasks therefore never run in the main thread: joblib's pools keep it free, and the single
    worker of ``n_jobs=1`` is given a thread of its own.
    """
    stop = np.zeros(1, np.uint8)
    running: set[int] = set()
    with _Bar(total=len(tasks), desc=description, leave=False) if verbose else nullcontext() as bar:
        try:
            return _Parallel(bar, n_jobs=n_jobs, prefer="threads")(
                delayed(_call)(function, i, task, stop, running) for i, task in enumerate(tasks)
            )
        except BaseException:
            stop[0] = 1
            while running:
                time.sleep(0.001)
            raise


class _Bar(tqdm):  # type: ignore[type-arg]
    monitor_interval = 0  # no thread of its own


class _Parallel(Parallel):
    """joblib's Parallel that moves a progress bar too."""

    def __init__(self, bar: _Bar | None, **options: Any) -> None:
        super().__init__(**options)
        self._bar = bar

    def print_progress(self) -> None:
        super().print_progress()
        if self._bar is not None:
            self._bar.update(self.n_completed_tasks - self._bar.n)


def _call(function: Callable[..., Result], i: int, task: Any, stop: StopByte, running: set[int]) -> Result | None:
    """Run one task, listed in `running` meanwhile. (In another process `stop` and `running` are copies.)"""
    running.add(i)
    try:
        if stop[0]:  # a batch that the pool had handed out before it was closed
            return None
        if threading.current_thread() is threading.main_thread():
            return _call_in_thread(function, task, stop)
        return function(task, stop)
    finally:
        running.discard(i)


def _call_in_thread(function: Callable[..., Result], task: Any, stop: StopByte) -> Result:
    """Run one task in a thread while this one waits for it or for Ctrl-C."""
    with ThreadPoolExecutor(1) as executor:
        try:
            future = executor.submit(function, task, stop)
            while not wait([future], timeout=0.1).done:  # short, because Windows cannot interrupt a long wait
                pass
        except BaseException:
            stop[0] = 1
            raise
    return future.result()


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


_blas_lock = threading.Lock()
_blas_limits: list[int] = []  # of the blocks that are open
_blas_before: dict[str, int] = {}  # by library, before the first of them


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
    with _blas_lock:
        libraries = _blas_libraries()
        if not _blas_limits:
            _blas_before.update({library.filepath: library.num_threads for library in libraries})
        _blas_limits.append(n)
        _limit(libraries)
    try:
        yield
    finally:
        with _blas_lock:
            _blas_limits.remove(n)
            _limit(_blas_libraries())
            if not _blas_limits:
                _blas_before.clear()


def _blas_libraries() -> list[Any]:
    return ThreadpoolController().select(user_api="blas").lib_controllers


def _limit(libraries: list[Any]) -> None:
    """Give the libraries the smallest limit of the open blocks, or what they had before the first."""
    for library in libraries:
        threads = min(_blas_limits) if _blas_limits else _blas_before.get(library.filepath)
        if threads is not None:
            library.set_num_threads(threads)
        # Since threadpoolctl 3.8 the thread that sets a limit keeps all others from changing it, until it lets go.
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread()
