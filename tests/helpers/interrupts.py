"""Ctrl-C at a chosen task of a fit and the stop byte in all of its tasks, counted in tasks, not in seconds; forks."""

import gc
import itertools
import multiprocessing
import pickle
import signal
import threading
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest

from xclassic import parallel

HANG = 600  # seconds after which what should have ended is given up


@contextmanager
def sigint_heard():
    """Let SIGINT interrupt this process and those that it starts, which a background job begins without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def tasks_seen_by(see):
    """Have `run_tasks` call ``see(function, task, stop)`` in place of ``function(task, stop)``."""
    run = parallel._run_in_threads
    with patch.object(parallel, "_run_in_threads", lambda function, *rest: run(partial(see, function), *rest)):
        yield


def count_tasks(fit):
    """Return the number of tasks that a call runs."""
    begun = []

    def see(function, task, stop):
        begun.append(task)
        return function(task, stop)

    with tasks_seen_by(see):
        fit()
    return len(begun)


def press_ctrl_c(fit, moment):
    """Press Ctrl-C as the task number `moment` of a call begins; return how many tasks began from then on.

    These wait for the stop byte, so that as many begin as there are workers, however slow the machine is.
    """
    numbers, later, pause = itertools.count(), [], threading.Event()

    def see(function, task, stop):
        number = next(numbers)
        if number == moment:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        if number >= moment:
            later.append(number)
            for _ in range(HANG * 1000):
                if stop[0] or pause.wait(0.001):
                    break
            assert stop[0]
        return function(task, stop)

    gc.disable()  # An interrupt is lost while the collector runs a callback in Python, as hypothesis has one.
    try:
        with sigint_heard(), tasks_seen_by(see), pytest.raises(KeyboardInterrupt):
            fit()
    finally:
        gc.enable()
    return len(later)


def tasks_that_ignore_stop(fit):
    """Return the names of the functions whose tasks compute all the same when the stop byte is set from the start."""
    names = set()

    def see(function, task, stop):
        result = pickle.dumps(function(task, stop))
        assert pickle.dumps(function(task, stop)) == result  # or the comparison below would prove nothing
        try:
            if pickle.dumps(function(task, np.ones(1, np.uint8))) == result:
                names.add(_name(function))
        except Exception:  # of what is thrown away it does not matter how far it came
            pass
        return pickle.loads(result)

    with tasks_seen_by(see):
        fit()
    return names


def _name(function):
    while isinstance(function, partial):
        function = function.func
    return function.__name__


@contextmanager
def another_thread_inside(block):
    """Keep a thread inside a context manager meanwhile."""
    inside, leave = threading.Event(), threading.Event()

    def work():
        with block:
            inside.set()
            leave.wait(HANG)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert inside.wait(HANG)
        yield
    finally:
        leave.set()
        thread.join()


def run_forked(function):
    """Return what a function returns in a forked child; fail if the child hangs or raises."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(function()))
    child.start()
    child.join(HANG)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
    return receiver.recv()
