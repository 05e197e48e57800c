"""Loss against seconds for every solver, on one task: the figure of docs/training.md.

python -m benchmarks.solvers                      as text
python -m benchmarks.solvers --plot solvers.png   a picture too

y = sin(10 x) / (10 x) at 2,000 points in [-1, 1], 1-20-1, tanh and identity, float64: smooth, free
of noise and with few parameters, where solvers differ most.  Every solver has the same start
(`init="nguyen_widrow"`, seed 0) and the same time.  The learning rates are tuned on this very task:
of 1, 0.3, 0.1, 0.03, ... those with the lowest error after a second; all else is by default.  A
curve is the lowest mean squared error by then; it ends where the solver stops or reaches 1e-9.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.least_squares import fresh, sinc_data
from benchmarks.peers.ours import available_threads
from benchmarks.run import say

TIMES_MS = [2**k for k in range(14)]
GOAL = 1e-9


def candidates():
    """{name in the figure: solver}."""
    from cbackprop import LBFGS, SGD, Adam, BayesianRegularization, LevenbergMarquardt, RProp

    return {
        "SGD": SGD(learning_rate=0.1),
        "SGD, momentum 0.9": SGD(learning_rate=0.3, momentum=0.9),
        "Adam": Adam(learning_rate=0.03),
        "RProp": RProp(),
        "LBFGS": LBFGS(gradient_tolerance=0.0),
        "LevenbergMarquardt": LevenbergMarquardt(),
        "BayesianRegularization": BayesianRegularization(),
    }


def lowest_by(losses, seconds, times_ms):
    """(ms, lowest loss of the epochs that ended by then), from the first that has one on."""
    ends = 1e3 * np.cumsum(seconds) * (1 - 1e-9)  # sums of equal parts
    lowest = np.minimum.accumulate(losses)
    counts = np.searchsorted(ends, times_ms, side="right")
    found = [(t, float(lowest[n - 1])) for t, n in zip(times_ms, counts, strict=True) if n]
    # Nothing happens after the last epoch.
    done = sum(t < ends[-1] for t, _ in found)
    return found[: done + 1]


def curve(name, solver, times_ms):
    import cbackprop
    from cbackprop.plotting.text import Curve

    X, Y = sinc_data()
    trainer = cbackprop.Trainer(fresh(0), solver=solver, seed=0)
    history = trainer.fit(X, Y, epochs=10**7, target_loss=GOAL / 2, max_seconds=times_ms[-1] / 1e3)
    found = lowest_by(2 * history["loss"], history["seconds"], times_ms)
    return Curve(name, found, []), history.stop_reason


def write_plot(path, curves, title):
    from matplotlib.figure import Figure  # no pyplot: no display is asked for

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    for one in curves:
        x, y = zip(*one.points, strict=True)
        axes.loglog(np.array(x) / 1e3, y, "o-", markersize=3.5, linewidth=1.3, label=one.name)
    axes.set_xlabel("seconds")
    axes.set_ylabel("mean squared error of the training rows")
    axes.grid(which="major", alpha=0.3)
    axes.legend(fontsize="small")
    figure.suptitle(title, fontsize="medium")
    figure.savefig(path, dpi=110)


def main(argv=None):
    import cbackprop
    from cbackprop.plotting.text import plot

    p = argparse.ArgumentParser(
        prog="python -m benchmarks.solvers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--plot", type=Path, metavar="FILE.png", help="a picture too")
    options = p.parse_args(argv)
    curves = []
    for name, solver in candidates().items():
        say(name)
        found, reason = curve(name, solver, TIMES_MS)
        curves.append(found)
        say("")
        print(f"{name}: mean squared error {found.points[-1][1]:.1e}, {reason}")
    config = {key: str(value) for key, value in dict(cbackprop.get_config()).items()}
    about = machine.describe(config, [])
    print("", *plot(curves, "milliseconds", "mean squared error", height=34), sep="\n")
    if options.plot:
        title = (
            f"sin(10 x) / (10 x), 1-20-1, float64; {about['cpu']}, {available_threads()} threads"
        )
        write_plot(options.plot, curves, title)
    return 0


if __name__ == "__main__":
    sys.exit(main())
