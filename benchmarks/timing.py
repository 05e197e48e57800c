"""Times one row: every peer checked, the better of one and all threads kept, interleaved pairs.

The machine may be shared, so nothing is compared across minutes: a round times ours and one peer
back to back, the ratio is taken pair by pair, and what is reported is the median of the ratios.
Each reading of ours stands between two of the product that the limit is taken from (limit.py).
"""

import math
import time
from dataclasses import dataclass, field, replace
from statistics import median

from benchmarks import check, limit, peers
from benchmarks.peers.base import Skip
from benchmarks.rows import Row
from benchmarks.worker import Child, Failed, Worker

# A setting slower than the better one by this much is dropped after the first readings.
DROP = 1.25

# Seconds between two readings, and before the rounds of a row: everybody has just run.
SETTLE = 0.1
SETTLE_ROW = 1.0


@dataclass
class Time:
    """Microseconds per step of one peer at one thread setting."""

    name: str
    setting: str = ""
    version: str = ""
    in_c: bool = False
    readings: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)  # its time over ours, pair by pair
    rates: list[float] = field(default_factory=list)  # one core's gemm rate beside each reading
    difference: float | None = None
    skipped: str = ""

    @property
    def us(self):
        return median(self.readings) if self.readings else None

    @property
    def ratio(self):
        return median(self.ratios) if self.ratios else None


@dataclass
class Result:
    """One row in one dtype."""

    row: Row
    dtype: str
    n_threads: int
    ours: Time | None = None
    peers: list[Time] = field(default_factory=list)
    gemm_rate: float = 0.0

    @property
    def limit_us(self):
        return limit.limit_us(self.row, self.dtype, self.gemm_rate, self.n_threads)

    @property
    def percent(self):
        return 100 * self.limit_us / self.ours.us if self.ours and self.ours.us else None

    @property
    def percent_beside(self):
        """The same with the rate that the product had beside each reading."""
        if not (self.ours and self.ours.rates):
            return None
        limits = [limit.limit_us(self.row, self.dtype, r, self.n_threads) for r in self.ours.rates]
        return median(
            100 * least / us for least, us in zip(limits, self.ours.readings, strict=True)
        )

    @property
    def fastest(self):
        """The peer closest to ours, or None."""
        timed = [p for p in self.peers if p.us is not None]
        return min(timed, key=lambda p: p.ratio or p.us, default=None)


class Contender:
    """One peer at one thread setting on the present row."""

    def __init__(self, worker):
        self.worker = worker
        self.time = Time(worker.peer.name, worker.setting, in_c=worker.peer.in_c)

    def prepare(self, row, dtype):
        self.row = row
        self.time.version = self.worker.call("prepare", row, dtype)

    def calibrate(self, seconds):
        """Choose the number of runs a reading takes; the first run also warms everything up."""
        self.count, took = 1, self.worker.call("run", 1)
        took = min(took, self.worker.call("run", 1))
        while took < seconds / 2:
            more = min(100.0, seconds / max(took, 1e-7))
            self.count = max(self.count + 1, math.ceil(self.count * more))
            took = self.worker.call("run", self.count)

    def read(self, beside=0):
        """One reading, in microseconds per step; `beside`: cores whose gemm rate is read as well.

        It begins when the last one's threads have stopped spinning: OpenMP's go on for a while.
        """
        time.sleep(SETTLE)
        if beside:
            took, rate = self.worker.call("run_beside", self.count, beside)
            self.time.rates.append(rate)
        else:
            took = self.worker.call("run", self.count)
        us = 1e6 * took / (self.count * (self.row.epochs or 1) * self.row.steps)
        self.time.readings.append(us)
        return us


class Bench:
    """The running peers, a process for each and each of its thread settings."""

    def __init__(self, names, *, repeat, seconds, say=lambda text: None):
        self.repeat, self.seconds, self.say = repeat, seconds, say
        self.workers, self.missing = {}, {}
        for name in names:
            cls = peers.get(name)
            if reason := cls.missing():
                self.missing[name] = reason
            else:
                self.workers[name] = [Worker(name, setting) for setting in cls.settings]
        self.n_threads = 1
        self.config = {}
        if peers.OURS in self.workers:
            self.config = self.ours.call("describe")
            self.n_threads = int(self.config["threads"])
        self.rates = {}

    @property
    def ours(self):
        return self.workers[peers.OURS][0]

    def close(self):
        for workers in self.workers.values():
            for worker in workers:
                worker.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def rate(self, dtype):
        return self.rates.setdefault(dtype, limit.GemmRate(dtype))

    def measure(self, row, dtype):
        """Check, calibrate and time everybody on one row."""
        result = Result(row, dtype, self.n_threads)
        rate = self.rate(dtype)
        rate.read()
        ours, others, expected = None, [], {}
        for name, workers in self.workers.items():
            self.say(f"{dtype} {row.name}: {name}")
            ready, skipped = [], None
            for worker in workers:
                contender = Contender(worker)
                try:
                    contender.prepare(row, dtype)
                    self._check(contender, dtype, ours, expected)
                    contender.calibrate(self.seconds)
                    ready.append(contender)
                except (Skip, Failed) as error:
                    contender.time.skipped = str(error)
                    skipped = contender.time
            if name == peers.OURS:
                if not ready:
                    raise Failed(f"{row.name} {dtype}: cbackprop itself: {skipped.skipped}")
                ours = ready[0]
                result.ours = ours.time
                expected.clear()  # the peers are held to ours, not to NumPy
            elif ready:
                others.append(self._better(ready))
            else:
                result.peers.append(skipped)
        self.say(f"{dtype} {row.name}: {self.repeat} rounds")
        time.sleep(SETTLE_ROW if others else SETTLE)
        cores = self.n_threads if row.threads == "all" else 1
        for _ in range(self.repeat):
            rate.read()
            if ours and not others:
                ours.read(cores)
            for other in others:
                base = ours.read(cores) if ours else None
                for contender in other:
                    us = contender.read()
                    if base:
                        contender.time.ratios.append(us / base)
        for other in others:
            result.peers.append(min((c.time for c in other), key=lambda t: t.ratio or t.us))
        if ours:
            rate.best = max(rate.best, *ours.time.rates)
        order = list(self.workers)
        result.peers.sort(key=lambda t: order.index(t.name))
        for name, workers in self.workers.items():
            for worker in workers:
                if worker.process.poll() is None:
                    worker.call("release")
                else:  # a child that died starts afresh for the next row
                    workers[workers.index(worker)] = Worker(name, worker.setting)
        return result

    def _better(self, ready):
        """The settings worth a place in the rounds: the faster one, and one nearly as fast."""
        if len(ready) > 1:
            best = {c: min(c.read() for _ in range(2)) for c in ready}
            ready = [c for c in ready if best[c] <= DROP * min(best.values())]
            for contender in ready:
                contender.time.readings.clear()
        return ready

    def _check(self, contender, dtype, ours, expected):
        """Raise Failed unless the contender's result equals ours (ours: NumPy's)."""
        row, worker = contender.row, contender.worker
        same = worker.peer.checked_as(row)
        if same not in expected:
            if ours is None:
                expected[same] = _numpy_result(same, dtype)
            else:
                expected[same] = ours.worker.call("result", same, dtype)
                ours.prepare(row, dtype)  # back to the row itself
        got = worker.call("result", row, dtype)
        contender.time.difference = check.difference(got, expected[same])
        if not contender.time.difference <= check.TOLERANCE[dtype]:
            raise Failed(f"its result differs by {contender.time.difference:.1e}: not timed")


def _numpy_result(row, dtype):
    """What NumPy computes, in this process."""
    child = Child("numpy", "all")
    if row.copies == 1:
        return child.result(row, dtype)
    moved = []
    for copy in (0, row.copies - 1):
        moved += child.result(replace(row, copies=1, first_copy=copy), dtype)
    return moved
