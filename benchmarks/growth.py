"""How the cost of a training step grows: with rows, inputs, hidden units and threads.

python -m benchmarks.growth                             all four sweeps, in float64
python -m benchmarks.growth --sweep rows --dtype float32
python -m benchmarks.growth --quick --plot growth.png   a look, and the same as a picture

A step is the table's (README.md, "What a row is"), and so is the limit.  The points of a sweep are
read in turn, round after round, so that a noisy minute does not hit one point alone.  No peer runs
here, no result is checked and no goal is judged: that is ``python -m benchmarks``.
"""

import argparse
import importlib.util
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import limit, machine, rows
from benchmarks.peers.ours import Ours, available_threads
from benchmarks.report import number
from benchmarks.rows import Row
from benchmarks.run import say
from benchmarks.timing import Time

# Rows of an epoch, at least: the fixed cost of a call and of its first epoch is then small.
EPOCH_ROWS = 2048
# From this much work in a batch on the core starts a team (core/gradient/batch.pyx: 60 us at
# 20 GFLOP/s), a sigmoid counted as 40.
WORTH_FLOPS, WORTH_UNIT = 60e-6 * 20e9, 40
THREAD_ROWS = ("64-128-10 b20000", "784-100-10 b128", "784-1024-10 b512")

# ------------------------------------------------------------------------------------- the sweeps


@dataclass(frozen=True)
class Point:
    """One place of a sweep: ``x`` is what grows."""

    series: str
    x: int
    row: Row
    n_threads: int | None = None  # None: the package's default


@dataclass(frozen=True)
class Sweep:
    name: str
    grows: str  # what x counts
    points: tuple[Point, ...]

    @property
    def series(self):
        return list(dict.fromkeys(point.series for point in self.points))


def powers(most, quick=False):
    """1, 2, 4 ... most; 1, 4, 16 ... most for a quick look."""
    return [2**k for k in range(0, most.bit_length(), 2 if quick else 1)]


def thread_counts(most):
    """1, 2, 3 ... 8, then 16, 32 ..., and the most."""
    return [n for n in range(1, most + 1) if n <= 8 or n & (n - 1) == 0 or n == most]


def rows_sweep(quick):
    points = []
    for sizes in ((8, 16, 1), (64, 128, 10)):
        name = "-".join(map(str, sizes))
        for batch in powers(65_536, quick):
            points.append(Point(name, batch, Row(sizes, batch, max(batch, EPOCH_ROWS))))
    return Sweep("rows", "rows of the batch", tuple(points))


def inputs_sweep(quick):
    counts = powers(4096, quick)
    points = [Point("n-32-1 b64", n, Row((n, 32, 1), 64, EPOCH_ROWS)) for n in counts]
    return Sweep("inputs", "inputs", tuple(points))


def hidden_sweep(quick):
    counts = powers(4096, quick)
    points = [Point("32-n-1 b64", n, Row((32, n, 1), 64, EPOCH_ROWS)) for n in counts]
    return Sweep("hidden", "hidden units", tuple(points))


def threads_sweep(quick):
    """The table's own rows; a quick look has no fewer points."""
    counts = thread_counts(available_threads())
    chosen = rows.select(THREAD_ROWS)
    chosen.sort(key=lambda row: THREAD_ROWS.index(row.name))
    return Sweep("threads", "threads", tuple(
        Point(row.name, n, row, n_threads=n) for row in chosen for n in counts
    ))  # fmt: skip


SWEEPS = {
    "rows": rows_sweep,
    "inputs": inputs_sweep,
    "hidden": hidden_sweep,
    "threads": threads_sweep,
}


# ---------------------------------------------------------------------------- threads of the limit


def worthwhile(row):
    """Whether the core starts a team for a batch of the row."""
    return limit.flops(row) + WORTH_UNIT * limit.units(row) >= WORTH_FLOPS


def threads_used(row, dtype, n_threads):
    """How many of ``n_threads`` threads a step can keep busy: no more than its batch has pieces."""
    from cbackprop.core.gradient.plan import Plan

    if not worthwhile(row):
        return 1
    plan = Plan(row.sizes, (0,) * (len(row.sizes) - 1), row.bias, dtype)  # any activation
    if plan.partition == "leaves":
        pieces = math.ceil(row.batch / plan.leaf_rows)
    else:
        pieces = max(len(plan.tiles), math.ceil(min(row.batch, plan.super_rows) / plan.block_rows))
    return min(n_threads, pieces)


# --------------------------------------------------------------------------------------- the clock


class Fit(Ours):
    """A point's fit: called as the table calls it, but for the number of threads."""

    def __init__(self, point, dtype):
        super().__init__(point.row, dtype, "all")
        self.n_threads = point.n_threads


class Reader:
    """Takes the readings of one point, in microseconds per step."""

    def __init__(self, fit):
        self.fit, self.epochs, self.readings = fit, 1, []

    def run(self):
        self.fit.reset()
        begin = time.perf_counter()
        self.fit.train(self.epochs)
        return time.perf_counter() - begin

    def read(self, seconds):
        """One reading: a single call of as many epochs as last that long."""
        took = self.run()
        while took < seconds:
            more = min(100.0, 1.2 * seconds / max(took, 1e-7))
            self.epochs = max(self.epochs + 1, math.ceil(self.epochs * more))
            took = self.run()
        self.readings.append(1e6 * took / (self.epochs * self.fit.row.steps))


def read_in_turn(readers, repeat, seconds, between=lambda turn: None):
    """``repeat`` readings of each, in rounds that go to and fro; one before them warms up."""
    for reader in readers:
        reader.read(seconds)
        reader.readings.clear()
    for turn in range(repeat):
        between(turn)
        for reader in readers if turn % 2 == 0 else readers[::-1]:
            reader.read(seconds)


# ------------------------------------------------------------------------------------- the results


@dataclass
class Result:
    """A point's readings, and the limit it is held to."""

    point: Point
    readings: list[float]
    limit_us: float
    used: int  # the limit's threads
    one_thread: list[float] | None = None  # the same fit's readings on one thread, round by round

    @property
    def us(self):
        return median(self.readings)

    @property
    def ns_per_row(self):
        return 1e3 * self.us / self.point.row.batch

    @property
    def percent(self):
        return 100 * self.limit_us / self.us

    @property
    def speed_up(self):
        if self.one_thread is None:
            return None
        pairs = zip(self.one_thread, self.readings, strict=True)
        return median(one / this for one, this in pairs)


def measure(sweep, dtype, rate, repeat, seconds):
    """Every point's readings; the limits are computed from the best gemm rate so far."""
    say(f"{sweep.name}: first readings")
    readers = [Reader(Fit(point, dtype)) for point in sweep.points]

    def between(turn):
        say(f"{sweep.name}: round {turn + 1} of {repeat}")
        rate.read()

    read_in_turn(readers, repeat, seconds, between)
    one_thread = {
        point.series: reader.readings
        for point, reader in zip(sweep.points, readers, strict=True)
        if point.n_threads == 1
    }
    return [
        Result(point, reader.readings, math.nan, 0, one_thread.get(point.series))
        for point, reader in zip(sweep.points, readers, strict=True)
    ]


def hold_to_limit(results, dtype, rate, n_threads):
    """Fill in the limits: at one rate for the whole run, on the threads each point can use."""
    for r in results:
        r.used = threads_used(r.point.row, dtype, r.point.n_threads or n_threads)
        r.limit_us = limit.limit_us(r.point.row, dtype, rate, 1) / r.used


def table(sweep, results):
    """Text lines, one a point; the threads are those of the limit."""
    threads = any(r.speed_up is not None for r in results)
    head = ["network", sweep.name, "us/step", "ns/row", "limit us", "% of limit"]
    head.append("speed-up" if threads else "threads")
    body = []
    for r in results:
        line = [r.point.series, f"{r.point.x:,}", number(r.us), number(r.ns_per_row)]
        line += [number(r.limit_us), f"{r.percent:.0f}"]
        body.append([*line, f"{r.speed_up:.2f}" if threads else str(r.used)])
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    for line in [head, *body]:
        cells = [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)]
        yield "  ".join([line[0].ljust(widths[0]), *cells])


def curves(sweep, results):
    """Each series with its limit, to be plotted."""
    from cbackprop.plotting.text import Curve

    found = []
    for name in sweep.series:
        mine = [r for r in results if r.point.series == name]
        points = [(r.point.x, r.us) for r in mine]
        found.append(Curve(name, points, [(r.point.x, r.limit_us) for r in mine]))
    return found


def records(sweep, results):
    """One flat dict a point."""
    for r in results:
        yield {
            "sweep": sweep.name,
            "network": "-".join(map(str, r.point.row.sizes)),
            "batch": r.point.row.batch,
            "n_threads": r.point.n_threads,
            "x": r.point.x,
            "us": r.us,
            "us_min": min(r.readings),
            "us_max": max(r.readings),
            "ns_per_row": r.ns_per_row,
            "limit_us": r.limit_us,
            "limit_threads": r.used,
            "percent_of_limit": r.percent,
            "speed_up": r.speed_up,
        }


def write_json(path, found, dtype, rate, about):
    content = {"machine": about, "dtype": dtype, "gemm_gflops": rate / 1e9}
    content["points"] = [record for sweep, results in found for record in records(sweep, results)]
    with open(path, "w") as file:
        json.dump(content, file, indent=1)
        file.write("\n")


def write_plot(path, found, title):
    """A panel a sweep, both axes logarithmic; dashed: the limit."""
    from matplotlib.figure import Figure  # no pyplot: no display is asked for
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    from cbackprop.plotting.text import label

    thousands = FuncFormatter(lambda value, _: label(value))
    columns = min(2, len(found))
    lines = math.ceil(len(found) / columns)
    figure = Figure(figsize=(5.5 * columns, 4 * lines + 0.4), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, (sweep, results) in zip(panels, found, strict=False):
        for curve in curves(sweep, results):
            (line,) = panel.plot(*zip(*curve.points, strict=True), marker="o", markersize=3.5,
                                 linewidth=1.2, label=curve.name)  # fmt: skip
            panel.plot(*zip(*curve.limits, strict=True), linestyle="--", linewidth=1,
                       color=line.get_color())  # fmt: skip
        panel.plot([], [], "k--", linewidth=1, label="the limit")
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        xs = sorted({point.x for point in sweep.points})
        panel.xaxis.set_major_locator(FixedLocator(xs if len(xs) < 9 else xs[:: len(xs) // 6]))
        panel.xaxis.set_minor_locator(NullLocator())
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(thousands)
        panel.tick_params(labelsize="small")
        panel.set_xlabel(sweep.grows)
        panel.set_ylabel("microseconds per step")
        panel.grid(which="major", alpha=0.3)
        panel.legend(fontsize="small")
    for panel in panels[len(found) :]:
        panel.set_axis_off()
    figure.suptitle(title, fontsize="medium")
    figure.savefig(path, dpi=110)


# -------------------------------------------------------------------------------- the command line


def above_zero(kind):
    def read(text):
        value = kind(text)
        if not 0 < value < math.inf:
            raise ValueError
        return value

    read.__name__ = f"positive {kind.__name__}"  # argparse's message names it
    return read


def parser():
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description="How the time of a training step grows with rows, inputs, hidden units and "
        "threads, beside the machine's limit.",
    )
    add = p.add_argument
    add("--sweep", nargs="+", default=list(SWEEPS), choices=SWEEPS, help="default: all four")
    add("--dtype", default="float64", choices=rows.DTYPES, help="default: float64")
    add("--repeat", type=above_zero(int), help="rounds of interleaved readings (default 5)")
    add("--seconds", type=above_zero(float), help="least length of a reading (default 0.1)")
    add("--quick", action="store_true",
        help="3 rounds of 0.03 s at every second point: a look, not a result")  # fmt: skip
    add("--plot", metavar="FILE.png", help="a picture too (needs matplotlib)")
    add("--json", metavar="FILE")
    return p


def main(argv=None):
    import cbackprop
    from cbackprop.plotting.text import plot

    p = parser()
    options = p.parse_args(argv)
    # Said now, not after minutes of measuring.
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        p.error("--plot needs matplotlib: pip install matplotlib")
    for path in filter(None, (options.plot, options.json)):
        if not Path(path).absolute().parent.is_dir():
            p.error(f"no folder for {path}")
    repeat = options.repeat or (3 if options.quick else 5)
    seconds = options.seconds or (0.03 if options.quick else 0.1)
    dtype, n_threads = options.dtype, available_threads()

    rate = limit.GemmRate(dtype)
    found = []
    for name in dict.fromkeys(options.sweep):
        sweep = SWEEPS[name](options.quick)
        found.append((sweep, measure(sweep, dtype, rate, repeat, seconds)))
    for _, results in found:
        hold_to_limit(results, dtype, rate.best, n_threads)
    say("")

    config = {key: str(value) for key, value in dict(cbackprop.get_config()).items()}
    about = machine.describe(config, [Time("cbackprop", version=cbackprop.__version__)])
    multiplies = f"one core multiplies at {rate.best / 1e9:.1f} GFLOP/s"
    print("\n".join(machine.lines(about)))
    print(f"{dtype}, {n_threads} threads: {multiplies}; medians of {repeat} rounds")
    print("(threads: those of the limit, one where the core would use one)")
    for sweep, results in found:
        print("", *table(sweep, results), "", sep="\n")
        print(*plot(curves(sweep, results), sweep.grows, "us per step"), sep="\n")
    if options.json:
        write_json(options.json, found, dtype, rate.best, about)
    if options.plot:
        write_plot(options.plot, found, f"{about['cpu']}, {n_threads} threads, {dtype}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
