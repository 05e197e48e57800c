"""Where the time of a step goes: each product and pass by itself, with its percent of the limit.

python -m benchmarks.passes                            the rows of the table, in float64
python -m benchmarks.passes 784-1024-10 --dtype float32

A step is measured as in the table, then every product and pass of it alone, repeated on warm
operands by the same compiled functions, shapes, blocks and tiles (core/passes.pyx).  What the
passes do not account for is calls, waiting for each other's results, cold memory, threads that
wait.  Steps on few rows are made whole (core/simd/step.h): they are one pass.  It compares nothing
with any peer.
"""

import argparse
import sys
import time
from statistics import median

import numpy as np

from benchmarks import growth, limit, rows
from benchmarks.peers.ours import available_threads
from benchmarks.report import number
from benchmarks.run import say


def passes(fit, seconds):
    """(formula, microseconds a step on one thread, flops, units) of each pass of a step."""
    from cbackprop.core.testing.passes import passes as measure
    from cbackprop.machine.blas_threads import single_threaded

    plan, batch = fit.net._plan, fit.row.batch
    if batch <= plan.few_rows and not fit.row.momentum:
        return [("whole steps", whole_step(fit, seconds), limit.flops(fit.row),
                 limit.units(fit.row))]  # fmt: skip
    n = min(batch, plan.super_rows) if plan.partition == "tiles" else batch
    times = batch / n  # a larger batch repeats the super-block
    with single_threaded():  # as in a fit
        found = measure(plan, fit.net.parameters, fit.X[:n], fit.Y[:n], seconds)
    return [(name, 1e6 * took * times, flops * times, units * times)
            for name, took, flops, units in found]  # fmt: skip


def whole_step(fit, seconds):
    """Microseconds of a step in step.h, called for all rows again and again."""
    from cbackprop.core.simd import dispatch
    from cbackprop.core.testing import kernels

    row, net, level = fit.row, fit.net, dispatch.level()
    codes = net._plan.activations
    parameters = net.parameters.copy()
    scratch = np.zeros(
        kernels.steps_scratch(level, net.dtype == np.float64, *row.sizes[1:], row.batch), net.dtype
    )
    X, Y = fit.X.ravel(), fit.Y.ravel()

    def run(times):
        order = np.tile(np.arange(row.n_rows), times)
        begin = time.perf_counter()
        kernels.run_steps(level, *row.sizes, *codes, net.bias, X, Y, order, row.batch,
                           -row.learning_rate / row.batch, parameters, scratch)  # fmt: skip
        return time.perf_counter() - begin

    times = max(1, int(min(seconds / run(1), 1e6 / row.n_rows)))
    return 1e6 * median(run(times) for _ in range(5)) / (times * row.steps)


def lines(row, dtype, step, parts, rate, used):
    """The profile as text."""
    per_unit = limit.FLOPS_PER_UNIT[dtype]
    least = 1e6 * (limit.flops(row) + per_unit * limit.units(row)) / (rate * used)
    threads = "one thread" if used == 1 else f"{used} threads"
    yield (
        f"{row.name} {dtype}, {threads}: {number(step)} us a step, "
        f"{100 * least / step:.0f} % of the limit ({number(least)} us)"
    )
    width = max(len(name) for name, *_ in parts)
    yield f"  {'pass':{width}}       us  % of step  % of limit"
    total = 0.0
    for name, us, flops, units in parts:
        total += us / used
        at_best = 1e6 * (flops + per_unit * units) / (rate * used)
        percent = f"{100 * at_best / (us / used):10.0f}" if at_best else f"{'-':>10}"
        yield f"  {name:{width}} {number(us / used):>8} {100 * us / used / step:10.1f}  {percent}"
    rest = step - total
    yield f"  {'the rest':{width}} {number(rest):>8} {100 * rest / step:10.1f}"


def parser():
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.passes",
        description="Where the time of a training step goes, pass by pass.",
    )
    add = p.add_argument
    add("rows", nargs="*", default=["table"], metavar="ROW", help="groups or parts of row names")
    add("--dtype", choices=rows.DTYPES, default="float64")
    add("--repeat", type=int, default=5, help="readings of a step (default 5)")
    add("--seconds", type=float, default=0.2, help="of a reading, and of a pass (default 0.2)")
    return p


def main(argv=None):
    p = parser()
    options = p.parse_args(argv)
    if options.repeat < 1 or not 0 < options.seconds < 60:
        p.error("--repeat is at least 1, and --seconds between 0 and 60")
    try:
        chosen = rows.select(options.rows)
    except ValueError as error:
        p.error(str(error))
    chosen = [row for row in chosen if row.task == "train" and row.copies == 1]
    rate = limit.GemmRate(options.dtype)
    measured = []
    for row in chosen:
        say(f"{row.name} {options.dtype}")
        rate.read()
        fit = growth.Fit(growth.Point(row.name, 0, row), options.dtype)
        reader = growth.Reader(fit)
        growth.read_in_turn([reader], options.repeat, options.seconds)
        measured.append((row, median(reader.readings), passes(fit, options.seconds)))
        rate.read()
    say("")
    print(f"{options.dtype}: one core multiplies at {rate.best / 1e9:.1f} GFLOP/s")
    for row, step, parts in measured:
        used = growth.threads_used(row, options.dtype, available_threads())
        print()
        print("\n".join(lines(row, options.dtype, step, parts, rate.best, used)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
