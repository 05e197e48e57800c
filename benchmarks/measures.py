"""What the table cannot hold: two fits at a time, a hundred fits, memory.

They run inside cbackprop's own process (``worker.Child.measure``) and return plain values.
"""

import gc
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import rows
from benchmarks.peers.ours import Ours

NAMES = ("two_trainers", "hundred_fits")
MEMORY_ROWS, MEMORY_COLUMNS = 2_000_000, 64


@dataclass
class Measure:
    name: str
    value: float
    unit: str
    readings: list[float]


def _clock(call, *args):
    begin = time.perf_counter()
    call(*args)
    return time.perf_counter() - begin


def _in_two_threads(calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def two_trainers(repeat, seconds):
    """How many times as fast two trainers in two Python threads are as one after the other."""
    found = []
    for name in ("8-16-1 b32", "64-32-10 b32"):
        (row,) = rows.select([name])
        ours = [Ours(row, "float64", "all") for _ in range(2)]
        for one in ours:
            one.reset()
        epochs = 1
        while _clock(ours[0].train, epochs) < seconds:
            epochs *= 2
        calls = [partial(one.train, epochs) for one in ours]
        ratios = []
        for _ in range(repeat):
            one_after_other = sum(_clock(call) for call in calls)
            ratios.append(one_after_other / _clock(_in_two_threads, calls))
        found.append(Measure(f"two trainers, {name}", median(ratios), "x", ratios))
    return found


def hundred_fits(repeat, seconds):
    """How many times as fast a hundred small fits are in two threads as in one."""
    (row,) = rows.select(["many"])
    ours = Ours(row, "float64", "all")
    ours.reset()
    epochs = 1
    while _clock(ours.many, epochs, 1) < seconds:
        epochs *= 2
    ratios = []
    for _ in range(repeat):
        ratios.append(_clock(ours.many, epochs, 1) / _clock(ours.many, epochs, 2))
    return [Measure(f"hundred fits, {row.name}, two threads", median(ratios), "x", ratios)]


def write_memory_file(folder, n_rows=MEMORY_ROWS):
    """The rows of the memory measure as two .npy files, written a part at a time."""
    generator = np.random.default_rng(0)
    paths = []
    for name, columns in (("X", MEMORY_COLUMNS), ("Y", 10)):
        paths.append(Path(folder) / f"{name}.npy")
        shape = (n_rows, columns)
        file = np.lib.format.open_memmap(paths[-1], mode="w+", dtype="float32", shape=shape)
        for part in np.array_split(file, max(1, n_rows // 100_000)):
            part[:] = generator.random(part.shape, dtype="float32")
        file.flush()
    return [str(path) for path in paths]


def _anonymous_bytes():
    """Memory of this process that is no file's: what a fit can be blamed for (Linux)."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
    raise OSError("no RssAnon in /proc/self/status")


def most_added(call):
    """Most bytes of anonymous pages that a call adds to the process, sampled every 2 ms."""
    gc.collect()
    before = _anonymous_bytes()
    most, done = [before], threading.Event()

    def watch():
        while not done.wait(0.002):
            most.append(max(most.pop(), _anonymous_bytes()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return max(most[-1], _anonymous_bytes()) - before


def memory(X_path, Y_path, batch_size):
    """Most MB a fit adds to the process, rows read from a read-only memmap; call it once a process.

    Pages of the file are the system's cache and do not count.
    """
    import cbackprop

    X, Y = (np.load(path, mmap_mode="r") for path in (X_path, Y_path))
    net = cbackprop.Network((X.shape[1], 128, Y.shape[1]), dtype="float32", seed=0)
    trainer = cbackprop.Trainer(net, batch_size=batch_size or len(X), seed=0)
    added = most_added(lambda: trainer.fit(X, Y, epochs=2)) / 1e6
    name = f"memory, {len(X)} x {X.shape[1]} float32 memmap, batch {batch_size or 'full'}"
    return [Measure(name, added, "MB", [added])]


def run_memory(new_worker, n_rows=MEMORY_ROWS, folder=None):
    """Both memory measures, each in a fresh process; the files are removed again."""
    with tempfile.TemporaryDirectory(dir=folder or os.environ.get("TMPDIR")) as place:
        paths = write_memory_file(place, n_rows)
        found = []
        for batch_size in (200, None):
            with new_worker() as worker:
                found += worker.call("measure", "memory", *paths, batch_size)
        return found
