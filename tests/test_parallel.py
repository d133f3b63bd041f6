"""Worker threads, stopping, seeds and BLAS limits."""

import os
import signal
import sys
import threading
from functools import partial

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tests.helpers.centroid import endless
from tests.helpers.interrupts import another_thread_inside, press_ctrl_c, run_forked
from xclassic import parallel
from xclassic.parallel import blas_threads, fork_safe_lock, run_tasks, spawn_seeds


def square(task, stop):
    return task * task


def thread_of(task, stop):
    return threading.get_ident()


def add(offset, task, stop):
    return offset + task


def fail_at_three(task, stop):
    if task == 3:
        raise ZeroDivisionError("three")
    return task


def process_of(task, stop):
    return os.getpid()


@pytest.mark.parametrize("n_jobs", [None, 1, 2, 4, -1])
def test_run_tasks_returns_results_in_the_order_of_the_tasks(n_jobs):
    assert run_tasks(square, range(50), n_jobs=n_jobs) == [i * i for i in range(50)]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_tasks_leave_the_main_thread_free(n_jobs):
    assert threading.main_thread().ident not in run_tasks(thread_of, range(4), n_jobs=n_jobs)


def test_run_tasks_without_tasks():
    assert run_tasks(square, [], n_jobs=2) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_error_of_a_task_is_raised_and_the_others_are_told_to_stop(n_jobs):
    running = []

    def run(task, stop):
        if task == 1:
            raise ZeroDivisionError("one")
        running.append(task)
        if n_jobs > 1:
            endless(task, stop)
        running.remove(task)

    with pytest.raises(ZeroDivisionError, match="one"):
        run_tasks(run, range(4), n_jobs=n_jobs)
    assert running == []


needs_signals = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@needs_signals
@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_ctrl_c_stops_tasks_without_end(n_jobs):
    threads = set(threading.enumerate())
    assert press_ctrl_c(lambda: run_tasks(endless, range(20), n_jobs=n_jobs), 0) <= n_jobs
    assert set(threading.enumerate()) <= threads


@needs_signals
@pytest.mark.usefixtures("ctrl_c")
def test_interrupt_at_any_moment_ends_many_small_tasks():
    """Where Ctrl-C lands is left to chance here; whatever it interrupts, the call returns and no thread stays."""
    threads = set(threading.enumerate())
    main = threading.main_thread().ident
    for moment in range(0, 3000, 60):

        def press(task, stop, moment=moment):
            if task == moment:
                signal.pthread_kill(main, signal.SIGINT)
            return task

        def run(press=press):
            run_tasks(press, range(3000), n_jobs=2)
            signal.pause()  # for an interrupt that comes after the last task

        with pytest.raises(KeyboardInterrupt):
            run()
        assert set(threading.enumerate()) <= threads


def test_tasks_are_taken_as_workers_come_free():
    """A million tasks are not queued: the first that fails ends the call."""
    begun = []

    def run(task, stop):
        begun.append(task)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_tasks(run, range(10**6), n_jobs=2)
    assert len(begun) < 10**5


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_backend_of_the_caller_is_respected(backend):
    with joblib.parallel_config(backend, n_jobs=2):
        assert run_tasks(partial(add, 10), range(20)) == list(range(10, 30))
        with pytest.raises(ZeroDivisionError, match="three"):
            run_tasks(fail_at_three, range(20))


def test_processes_are_used_if_asked_for():
    here = run_tasks(process_of, range(4), n_jobs=2)
    assert len(set(here)) == 1
    with joblib.parallel_config("loky", n_jobs=2):
        assert not set(here) & set(run_tasks(process_of, range(4)))


def test_tasks_of_several_python_threads_at_once():
    results = {}

    def call(i):
        results[i] = run_tasks(partial(add, i), range(30), n_jobs=2)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: list(range(i, i + 30)) for i in range(6)}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_progress_shows_the_time_left(n_jobs, capsys):
    run_tasks(square, range(7), n_jobs=n_jobs, description="squares", verbose=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "squares" in shown.err
    assert "/7" in shown.err
    assert "<" in shown.err  # tqdm writes "elapsed<remaining"
    run_tasks(square, range(7), n_jobs=n_jobs, description="squares")
    assert capsys.readouterr().err == ""


def test_interrupted_progress_leaves_its_lock_open(monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel._Bar, "display", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_tasks(square, range(3), verbose=1)
    found = []

    def look():
        if parallel._Bar.get_lock().acquire(blocking=False):
            found.append("open")
            parallel._Bar.get_lock().release()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == ["open"]


def test_progress_costs_the_same_for_each_task(monkeypatch):
    """Calls of Python in the main thread, which shows the bar, are counted."""
    monkeypatch.setattr(parallel._Bar, "display", lambda *args, **options: True)  # is called as often as time allows
    counts = []
    for n in (1000, 4000):
        calls = []
        sys.setprofile(lambda frame, event, argument, calls=calls: calls.append(event))
        try:
            run_tasks(square, range(n), verbose=1)
        finally:
            sys.setprofile(None)
        counts.append(len(calls))
    assert counts[1] < 6 * counts[0]


def test_seeds():
    seeds = spawn_seeds(0, 100)
    assert seeds.dtype == np.uint64
    assert np.unique(seeds).size == 100
    np.testing.assert_array_equal(seeds, spawn_seeds(0, 100))
    np.testing.assert_array_equal(seeds[:10], spawn_seeds(0, 10))
    np.testing.assert_array_equal(seeds, spawn_seeds(np.random.RandomState(0), 100))
    assert not set(seeds) & set(spawn_seeds(1, 100))
    assert not set(spawn_seeds(None, 10)) & set(spawn_seeds(None, 10))
    assert spawn_seeds(0, 0).size == 0


# BLAS


def blas_thread_counts():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


needs_two_blas_threads = pytest.mark.skipif(
    not blas_thread_counts() or max(blas_thread_counts()) < 2, reason="BLAS has one thread here"
)


@needs_two_blas_threads
def test_blas_is_limited_and_restored():
    before = blas_thread_counts()
    with blas_threads(1):
        assert blas_thread_counts() == {1}
        with blas_threads(2):
            assert blas_thread_counts() == {1}
        assert blas_thread_counts() == {1}
    assert blas_thread_counts() == before
    with pytest.raises(ZeroDivisionError), blas_threads(1):
        raise ZeroDivisionError
    assert blas_thread_counts() == before


@needs_two_blas_threads
def test_blas_limits_overlap_in_any_order():
    before = blas_thread_counts()
    first, second = blas_threads(1), blas_threads(2)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas_thread_counts() == {2}
    second.__exit__(None, None, None)
    assert blas_thread_counts() == before


@needs_two_blas_threads
def test_blas_limits_of_many_threads():
    before = blas_thread_counts()
    seen = []

    def work():
        for _ in range(5):
            with blas_threads(1):
                seen.append(blas_thread_counts())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [{1}] * 20
    assert blas_thread_counts() == before


# Forks


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def take(lock):
    with lock:
        return lock.locked()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_lock_of_another_thread_is_open_in_a_forked_child():
    lock = fork_safe_lock()
    with another_thread_inside(lock):
        assert run_forked(partial(take, lock))
        assert lock.locked()
    assert not lock.locked()


def blas_counts_around_a_limit():
    with blas_threads(1):
        inside = blas_thread_counts()
    return inside, blas_thread_counts()


@needs_fork
@needs_two_blas_threads
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("place", ["inside a block", "in the lock"])
def test_forked_child_leaves_the_blas_limits_of_other_threads(place):
    before = blas_thread_counts()
    with another_thread_inside(parallel._blas_lock if place == "in the lock" else blas_threads(1)):
        assert run_forked(blas_counts_around_a_limit) == ({1}, before)
    assert blas_thread_counts() == before


@needs_fork
@needs_two_blas_threads
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_forked_child_keeps_the_blas_limit_of_its_own_thread():
    before = blas_thread_counts()
    with blas_threads(1):
        assert run_forked(blas_counts_around_a_limit) == ({1}, {1})
    assert blas_thread_counts() == before
