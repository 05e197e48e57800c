"""One peer in a process of its own, and the handle by which the benchmark drives it.

A process each, because thread pools, BLAS copies and environment variables of one library disturb
another's time.  The two ends speak pickles over the child's standard input and output.  The child
holds the clock; it knows nothing of other peers.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import limit, peers, rows
from benchmarks.peers.base import Skip

ROOT = Path(__file__).resolve().parent.parent


class Failed(Exception):
    """The child reported an error or died; the text is one line."""


class Worker:
    """A running child: ``worker.call("run", 3)`` is the child's ``Child.run(3)``."""

    def __init__(self, peer, setting, python_path=None):
        self.peer, self.setting = peers.get(peer), setting
        paths = [*([str(python_path)] if python_path else []), str(ROOT)]
        paths += [p for p in [os.environ.get("PYTHONPATH")] if p]
        env = {**os.environ, **self.peer.environment(setting), "PYTHONPATH": os.pathsep.join(paths)}
        self.log = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            # -P: the folder it is started in must not decide what is imported
            [sys.executable, "-P", "-m", "benchmarks.worker", peer, setting],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=env,
        )

    def call(self, method, *args):
        """Send one request; returns its answer, or raises Skip or Failed."""
        try:
            pickle.dump((method, args), self.process.stdin)
            self.process.stdin.flush()
            kind, value = pickle.load(self.process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            self.process.kill()
            raise Failed(f"its process ended ({self._last_words()})") from error
        if kind == "skip":
            raise Skip(value)
        if kind == "error":
            raise Failed(value)
        return value

    def _last_words(self):
        code = self.process.wait()
        self.log.seek(0)
        lines = [line for line in self.log.read().splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"exit status {code}"

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # it ends when it reads the end
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Child:
    """What the child answers."""

    def __init__(self, peer, setting):
        self.cls, self.setting = peers.get(peer), setting
        self.peer = None
        self.rates = {}

    def prepare(self, row, dtype):
        """Build the peer on one row; the previous one is dropped first."""
        self.peer = None
        self.cls.refuse(row, dtype)
        self.row, self.dtype = row, dtype
        self.peer = self.cls(row, dtype, self.setting)
        self.peer.reset()
        return self.peer.version()

    def result(self, row, dtype):
        """What this peer computes on ``row``, to be compared: a list of float64 arrays.

        For training, how far each weight matrix and bias moved in a few steps; the parameters
        themselves would hide an error behind their size.
        """
        if self.peer is None or row != self.row:
            self.prepare(row, dtype)
        peer, row = self.peer, getattr(self.peer, "row", row)
        peer.reset()
        if row.task == "predict":
            return [np.asarray(peer.predict()).astype(float)[:1000]]
        if row.task == "gradient":
            grad = peer.gradient()
            if isinstance(grad, list | tuple):
                grad = np.concatenate([np.asarray(part).ravel() for part in grad])
            return [part for layer in rows.layers(row, np.asarray(grad, float))
                    for part in layer if part is not None]  # fmt: skip
        peer.train(row.check_epochs, rows.check_order(row))
        after = np.asarray(peer.parameters(), float).reshape(row.copies, -1)
        moved = []
        for copy in sorted({0, row.copies - 1}):
            before = rows.start(row, dtype, copy).astype(float)
            moved += [part for layer in rows.layers(row, after[copy] - before)
                      for part in layer if part is not None]  # fmt: skip
        return moved

    def run(self, count):
        """Seconds of ``count`` runs of the row (epochs, when the row leaves their number open)."""
        peer, row = self.peer, self.row
        peer.reset()
        clock = time.perf_counter
        if row.task != "train":
            call = peer.predict if row.task == "predict" else peer.gradient
            begin = clock()
            for _ in range(count):
                call()
        elif row.epochs is None:
            begin = clock()
            peer.train(count)
        else:
            begin = clock()
            for _ in range(count):
                peer.train(row.epochs)
        return clock() - begin

    def run_beside(self, count, n_threads):
        """`run`, and the mean gemm rate of so many cores just before it and just after it."""
        key = self.dtype, n_threads
        if key not in self.rates:
            self.rates[key] = limit.GemmRate(*key)
            self.rates[key].now()  # the first one touches the memory
        before = self.rates[key].now()
        return self.run(count), (before + self.rates[key].now()) / 2

    def release(self):
        """Drop the row's data."""
        self.peer = None

    def describe(self):
        """What ``cbackprop.get_config()`` says (ours only)."""
        import cbackprop

        return {key: str(value) for key, value in dict(cbackprop.get_config()).items()}

    def measure(self, name, *args):
        """One of the measures beside the table (ours only)."""
        from benchmarks import measures

        return getattr(measures, name)(*args)


def serve(peer, setting):
    """Answer requests until the other end closes."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes to the log
    child = Child(peer, setting)
    while True:
        try:
            method, args = pickle.load(requests)
        except EOFError:
            return
        try:
            answer = ("ok", getattr(child, method)(*args))
        except Skip as skip:
            answer = ("skip", str(skip))
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            answer = ("error", f"{type(error).__name__}: {text}")
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    serve(*sys.argv[1:])
