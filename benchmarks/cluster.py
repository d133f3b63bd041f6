"""Fits on one and on two worker processes of a Dask cluster on this machine: speed, traffic, and what kills change.

    python benchmarks/cluster.py --data tibkat_en --data-dir data --methods DiSMEC Bonsai --kills 20

Each worker has one thread. Seconds are those of whole fits, in turn on one worker and on two, the best of the rounds.
Traffic is what the loopback device carried, which Dask's connections to itself go through; the bound beside it is 1.2
times the data for each worker and the model once. With ``--kills`` workers, and then whole processes that fit, are
killed at random moments of fits that keep their pieces. Needs Linux.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import problems
from distributed import Client

import xclassic
from xclassic.distributed import resume
from xclassic.storage.pieces import read_piece


def loopback_bytes():
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    raise RuntimeError("there is no loopback device")


def bits(clf):
    arrays, metadata = clf._get_arrays()
    return {name: array.tobytes() for name, array in arrays.items()}, metadata


@contextmanager
def workers(n):
    """Start a scheduler and workers, whose tasks may lose their worker as often as it takes."""
    environment = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "100"}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        address = ["--scheduler-file", str(Path(folder, "scheduler.json")), "--no-dashboard"]
        roles = [["scheduler", "--host", "127.0.0.1", "--port", "0"], *n * [["worker", "--nthreads", "1"]]]
        for role in roles:
            command = [sys.executable, "-m", "dask", *role, *address]
            program = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
            ending.callback(program.wait)
            ending.callback(program.terminate)
        with Client(scheduler_file=address[1]) as client:
            client.wait_for_workers(n)
            yield client


def worker_pids(client):
    return client.run_on_scheduler(lambda dask_scheduler: [worker.pid for worker in dask_scheduler.workers.values()])


def timed_fit(client, make, problem, rounds):
    """Return the least seconds of a fit, the bytes of traffic of the last one, and its model."""
    seconds = []
    with xclassic.use_cluster(client):  # Workers load code at their first tasks.
        make().fit(problem.X[:500], problem.Y[:500])
    for _ in range(rounds):
        with xclassic.use_cluster(client):
            before, start = loopback_bytes(), time.perf_counter()
            clf = make().fit(problem.X, problem.Y)
            seconds.append(time.perf_counter() - start)
            traffic = loopback_bytes() - before
    return min(seconds), traffic, clf


def killed_workers(make, problem, n_kills, expected, seconds, moments):
    """Kill workers at random moments of fits until there were as many as asked for; return the number of fits."""
    kills, n_fits = 0, 0
    with workers(2) as client, tempfile.TemporaryDirectory() as folder:

        def kill_until(ended):
            nonlocal kills
            while kills < n_kills and not ended.wait(moments.uniform(0, seconds)):
                alive = worker_pids(client)
                if len(alive) == 2:
                    with suppress(ProcessLookupError):
                        os.kill(moments.choice(alive), signal.SIGKILL)
                        kills += 1

        while kills < n_kills:
            ended = threading.Event()
            killer = threading.Thread(target=kill_until, args=(ended,))
            with xclassic.use_cluster(client, shared_folder=Path(folder, "data")):
                killer.start()
                clf = resume(make(), problem.X, problem.Y, Path(folder, "pieces"))
            ended.set()
            killer.join()
            assert bits(clf) == expected
            n_fits += 1
            client.wait_for_workers(2)
    return n_fits


def killed_fits(make, problem, n_kills, expected, seconds, moments):
    """Kill a process that fits at random moments, go on from its pieces each time; return how many were left whole."""
    context, n_whole = multiprocessing.get_context("fork"), 0
    with tempfile.TemporaryDirectory() as folder:
        pieces = Path(folder, "pieces")
        for _ in range(n_kills):
            process = context.Process(target=lambda: resume(make(), problem.X, problem.Y, pieces))
            process.start()
            process.join(moments.uniform(0.02, 0.8 * seconds))
            n_whole += not process.is_alive()
            process.kill()
            process.join()
            for file in pieces.glob("*.npz"):
                read_piece(file)
        assert bits(resume(make(), problem.X, problem.Y, pieces)) == expected
    return n_whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["bibtex"])
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--methods", nargs="+", default=["DiSMEC", "Bonsai"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0)
    args = parser.parse_args()
    for data_name in args.data:
        problem = problems.prepare(data_name, args.data_dir)
        data = sum(part.nbytes for m in (problem.X, problem.Y) for part in (m.data, m.indices, m.indptr))
        for name in args.methods:
            make = getattr(xclassic, name)
            plain = make().fit(problem.X, problem.Y)
            scores = problem.scores(plain.predict_topk(problem.X_test, 5).ids)
            expected = bits(plain)
            model = sum(array.nbytes for array in plain._get_arrays()[0].values())
            results = {}
            for n in (1, 2):
                with workers(n) as client:
                    results[n] = timed_fit(client, make, problem, args.rounds)
                    assert bits(results[n][2]) == expected
            (one, _, _), (two, traffic, _) = results[1], results[2]
            bound = 2 * 1.2 * data + model
            print(
                f"{problem.name} {name}: {one:.2f} s on one worker, {two:.2f} s on two, {one / two:.2f} times as fast; "
                f"traffic {traffic / 2**20:.1f} MiB, bound {bound / 2**20:.1f}; the same bits; P@1 {scores['P@1']:.1f}",
                flush=True,
            )
            if args.kills:
                moments = random.Random(0)
                n_fits = killed_workers(make, problem, args.kills, expected, two, moments)
                n_whole = killed_fits(make, problem, args.kills, expected, one, moments)
                print(
                    f"{problem.name} {name}: {args.kills} workers killed in {n_fits} fits, {args.kills - n_whole} of "
                    f"{args.kills} processes killed in a fit and gone on: the same bits",
                    flush=True,
                )


if __name__ == "__main__":
    main()
