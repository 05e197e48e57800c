"""How good the solvers by J'J are: each row of the table with what is asked and what was measured.

python -m benchmarks.least_squares --data FOLDER              all tasks
python -m benchmarks.least_squares --tasks iteration goal     some of them
python -m benchmarks.least_squares --quick                    a look, not a result

iteration
    y = sin(10 x) / (10 x) at 2,000 points in [-1, 1], 1-20-1, tanh and identity, float64.  The
    peers (marquardt_peers.py) have the same start, and no time counts before each has reached the
    mean squared error 1e-8.  Calls of a fixed number of iterations, ours and a peer's in turn, each
    after a rest and half a second of calls that do not count; a ratio is the median of the pairs'.
    An iteration may try several steps, so the time of a trial is given as well.  A peer runs on one
    thread or on all, whichever took less for the check.  The limit: N P^2 + P^3/3 flops and two
    passes of activations, 49 flops a unit (limit.py), at the gemm rate of this run times the
    threads: one trial, where an iteration takes more; the share of the limit with all its trials is
    given as well.
goal
    The same to the mean squared error 1e-8, from `init="nguyen_widrow"` with many seeds, whole
    calls; beside LBFGS and SciPy's L-BFGS-B (with our compiled gradient), from the same starts to
    the same value.  Where they are stopped by --cap seconds, the ratio is a lower bound.
data
    `building` and `robot` of FOLDER (accuracy.py's format), 16 hidden tanh units.  No setting was
    chosen by a test error.
    `building`: identity output, inputs and targets scaled to [-1, 1], 15 % of the rows for
    validation, patience 6, at most 1000 epochs: the defaults of MATLAB's fitnet, as they are.
    `robot`: data as they come, 0 to 1, and sigmoid outputs.  Rows held out of the training rows
    chose that for RProp, among inputs as they are and scaled, targets as they are with sigmoids
    and scaled with the identity; it was the best of those tried for BayesianRegularization, too.
    "Stopped" is accuracy.py's: by a fifth of the rows, patience 50; BayesianRegularization is
    given that as well.  Trained on all rows, as trainbr does, it has 835 parameters for 1,122
    targets, and tends to interpolate them: that is measured, too.
    Beside LevenbergMarquardt, RProp and Adam have its split and its seconds, seed by seed, and end
    with their best epoch.
memory
    One iteration on 100,000 rows in a process of its own: what it adds to the process, in
    anonymous pages, and how long it takes; with other numbers of rows and parameters, how the
    cost grows.
dual
    50 residuals, about 2,000 parameters: iterations with J J' and with J'J, whose losses must
    agree.

Errors are means over rows and outputs, in the targets' own units.
"""

import argparse
import contextlib
import json
import multiprocessing
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np

from benchmarks import accuracy, limit, machine
from benchmarks.marquardt_peers import PEERS, Failed, Process
from benchmarks.measures import most_added
from benchmarks.peers.ours import available_threads
from benchmarks.report import number
from benchmarks.run import say
from benchmarks.timing import Time

HIDDEN, POINTS, GOAL = 20, 2000, 1e-8
# Threads of OpenBLAS and OpenMP that have worked wait in a loop for more, up to 0.1 s: a turn
# begins when the last one's have gone to sleep, and by calls that are not timed, as long for each
# library, for by then the processor sleeps as well.
PAUSE, WAKING = 0.2, 0.5
TIMES_PEERS = {"scipy": 15, "torch": 15, "pyrenn": 500}
LEAST_PERCENT = 40
MOST_ITERATIONS, MOST_MS, TIMES_LBFGS = 25, 15, 20
BUILDING = 0.0062
DATA_HIDDEN, DATA_EPOCHS, BAYES_EPOCHS = 16, 1000, 300
BAYES = "BayesianRegularization"
# inputs and hidden units of about so many parameters
SIZES = {250: (10, 21), 500: (14, 31), 1000: (20, 45), 2000: (25, 74), 3000: (30, 94)}
# of the cost: an iteration is taken again while it is shorter; the least seconds count
LONG_ENOUGH = 4.0
MEMORY_SIZES, MEMORY_ROWS, MOST_POWER = (1000, 3000), 100_000, 1.1
DUAL_ROWS, DUAL_SIZES, TIMES_PRIMAL = 50, (18, 100, 1), 10


@dataclass(frozen=True)
class Line:
    """A row of the table; ``met`` is None where nothing is asked, or nothing could be measured."""

    task: str
    what: str
    asked: str
    measured: str
    met: bool | None = None


def table(lines):
    words = {True: "met", False: "MISSED", None: ""}
    rows = [("task", "", "asked", "measured", "")]
    rows += [(a.task, a.what, a.asked, a.measured, words[a.met]) for a in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(cell.ljust(width) for cell, width in cells).rstrip()
    judged = [line.met for line in lines if line.met is not None]
    yield f"{sum(judged)} of {len(judged)} met"


# ------------------------------------------------------------------------------------- an iteration


def sinc_data():
    X = np.linspace(-1, 1, POINTS)[:, None]
    return X, np.sinc(10 * X / np.pi)


def fresh(seed, sizes=(1, HIDDEN, 1)):
    import cbackprop

    return cbackprop.Network(
        sizes, activation="tanh", output_activation="identity", init="nguyen_widrow", seed=seed
    )


def iteration_flops(n_rows, n_parameters, n_hidden, trials=1):
    """The limit's: J'J by half of a product and a pass; of each trial Cholesky and a pass."""
    products = n_rows * n_parameters**2 + trials * n_parameters**3 / 3
    return products + (1 + trials) * limit.FLOPS_PER_UNIT["float64"] * n_rows * n_hidden


@dataclass
class Pairs:
    """Ours and a peer's seconds, in turn: (an iteration, a trial) each."""

    ours: list
    peer: list

    def ratio(self, which):
        return median(p[which] / o[which] for p, o in zip(self.peer, self.ours, strict=True))

    def us(self, whose, which=0):
        return 1e6 * median(pair[which] for pair in getattr(self, whose))


def reading(process, iterations, times):
    time.sleep(PAUSE)
    begin = time.perf_counter()
    while time.perf_counter() - begin < WAKING:
        process.call("clock", iterations, times)
    seconds, n, trials, _ = process.call("clock", iterations, times)
    return seconds / n, seconds / trials


def faster_setting(name, arguments, goal):
    """A running peer that has reached the goal, on one thread or on all."""
    kept, best, n_threads = None, np.inf, available_threads()
    for n in dict.fromkeys((1, n_threads)):
        process = Process(name, n, *arguments)
        most = 400 if name == "scipy" else 60  # SciPy's are evaluations of the loss
        seconds, _, _, error = process.call("clock", most, 1, goal)
        if not error <= goal:
            raise Failed(f"{name} does not fit: mean squared error {error:.1e}, asked {goal:g}")
        slower = process
        if seconds < best:
            slower, kept, best = kept, process, seconds
        if slower is not None:
            slower.close()
    return kept


def iteration(options):
    X, Y = sinc_data()
    arguments = X, Y, fresh(0).parameters.copy(), HIDDEN
    goal, rounds = (1e-4, 3) if options.quick else (GOAL, 9)
    rate = limit.GemmRate("float64")
    n_threads, every = available_threads(), []
    lines = []
    with Process("cbackprop", None, *arguments) as ours:
        *_, error = ours.call("clock", 60, 1, goal)
        if not error <= goal:
            raise Failed(f"cbackprop does not fit: mean squared error {error:.1e}")
        for name, least in TIMES_PEERS.items():
            what = f"times as fast as {name}, an iteration"
            asked = f">= {least}"
            if reason := PEERS[name].missing():
                lines.append(Line("iteration", what, asked, reason))
                continue
            say(f"iteration: {name}")
            peer = faster_setting(name, arguments, goal)
            iterations, found = (4 if name == "pyrenn" else 20), Pairs([], [])
            for _ in range(rounds):
                rate.read()
                found.ours.append(reading(ours, iterations, 80 // iterations))
                found.peer.append(reading(peer, iterations, 1))
            peer.close()
            every += found.ours if iterations == 20 else []
            ratio, of_trial = found.ratio(0), found.ratio(1)
            text = (
                f"{number(ratio)} ({number(found.us('peer'))} us; of a trial {number(of_trial)}, "
                f"{number(found.us('peer', 1))} us)"
            )
            lines.append(Line("iteration", what, asked, text, ratio >= least))
        for _ in range(rounds):
            rate.read()
            every.append(reading(ours, 20, 4))
    us, us_trial = (1e6 * median(pair[k] for pair in every) for k in (0, 1))
    per_us = rate.best * n_threads / 1e6
    shape = POINTS, len(arguments[2]), HIDDEN
    limit_us, trials = iteration_flops(*shape) / per_us, us / us_trial
    percent = 100 * limit_us / us
    with_trials = 100 * iteration_flops(*shape, trials) / per_us / us
    text = (
        f"{percent:.0f} % ({number(us)} us, limit {number(limit_us)}; with the work of its "
        f"{trials:.2f} trials {with_trials:.0f} %; {rate.best / 1e9:.1f} GFLOP/s a core, "
        f"{n_threads} threads)"
    )
    asked = f">= {LEAST_PERCENT} %"
    return [*lines, Line("iteration", "of the limit", asked, text, percent >= LEAST_PERCENT)]


# -------------------------------------------------------------------------------------- to the goal


def to_goal(solver, net, X, Y, cap=None):
    """(seconds of the whole call, epochs, did it arrive)."""
    import cbackprop

    begin = time.perf_counter()
    trainer = cbackprop.Trainer(net, solver=solver, seed=0)
    history = trainer.fit(X, Y, epochs=10**7, target_loss=GOAL / 2, max_seconds=cap)
    seconds = time.perf_counter() - begin
    return seconds, history.n_epochs, history.stop_reason == "target_loss"


def scipy_to_goal(net, X, Y, cap):
    """The same with SciPy's L-BFGS-B on the loss and gradient of the network."""
    from scipy.optimize import minimize

    begin, arrived = time.perf_counter(), False

    def loss(W):
        net.parameters[:] = W
        return net.gradient(X, Y)

    def callback(intermediate_result):
        nonlocal arrived
        arrived = intermediate_result.fun <= GOAL / 2
        if arrived or time.perf_counter() - begin > cap:
            raise StopIteration

    settings = {"ftol": 0.0, "gtol": 0.0, "maxiter": 10**9, "maxfun": 10**9}
    found = minimize(loss, net.parameters.copy(), jac=True, method="L-BFGS-B", callback=callback,
                     options=settings)  # fmt: skip
    return time.perf_counter() - begin, found.nit, arrived


def goal(options):
    from cbackprop import LBFGS, LevenbergMarquardt

    X, Y = sinc_data()
    seeds, few = (5, 1) if options.quick else (50, 10)
    cap = min(options.cap, 2.0) if options.quick else options.cap
    found = [to_goal(LevenbergMarquardt(), fresh(seed), X, Y, 60.0) for seed in range(seeds)]
    arrived = sum(one[2] for one in found)
    epochs, ms = (median(one[k] for one in found) for k in (1, 0))
    ms *= 1e3
    lines = [
        Line("goal", "seeds that arrive", f"{seeds} of {seeds}", f"{arrived}", arrived == seeds),
        Line("goal", "median iterations", f"<= {MOST_ITERATIONS}",
             f"{epochs:.0f} (at most {max(one[1] for one in found)})", epochs <= MOST_ITERATIONS),
        Line("goal", "median ms", f"<= {MOST_MS}", number(ms), ms <= MOST_MS),
    ]  # fmt: skip
    exact = LBFGS(gradient_tolerance=0.0)
    rivals = {
        "LBFGS": lambda net: to_goal(exact, net, X, Y, cap),
        "SciPy's L-BFGS-B": lambda net: scipy_to_goal(net, X, Y, cap),
    }
    for name, rival in rivals.items():
        theirs = []
        for seed in range(few):
            say(f"goal: {name}, seed {seed}")
            theirs.append(rival(fresh(seed)))
        lines.append(beside(name, found[:few], theirs, cap))
    return lines


def beside(name, ours, theirs, cap):
    """How many times as fast; one that was stopped by the cap would have taken longer."""
    ratio = median(b[0] / a[0] for a, b in zip(ours, theirs, strict=True))
    stopped = [not one[2] for one in theirs]
    text = f"{'at least ' if any(stopped) else ''}{number(ratio)}"
    text += f" ({number(median(one[0] for one in theirs))} s, {len(theirs)} seeds"
    text += f"; {sum(stopped)} not there after {number(cap)} s)" if any(stopped) else ")"
    met = ratio >= TIMES_LBFGS or (None if any(stopped) else False)
    return Line("goal", f"times as fast as {name}", f">= {TIMES_LBFGS}", text, met)


# ------------------------------------------------------------------------------------- on real data


@dataclass(frozen=True)
class Run:
    error: float
    seconds: float
    epochs: int
    reason: str


def data_network(data, seed, init):
    """A network for the data; ``init`` where the data are scaled, without that Glorot's."""
    import cbackprop

    sizes = data.X.shape[1], DATA_HIDDEN, data.Y.shape[1]
    if data.name == "robot":
        return cbackprop.Network(sizes, activation="tanh", output_activation="sigmoid", seed=seed)
    net = cbackprop.Network(
        sizes, activation="tanh", output_activation="identity", init=init, seed=seed
    )
    net.fit_scaling(data.X, data.Y, inputs="minmax", targets="minmax")
    return net


def data_run(data, solver, seed, *, init="nguyen_widrow", **settings):
    """One training, and its error on the test rows."""
    import cbackprop

    net = data_network(data, seed, init)
    trainer = cbackprop.Trainer(net, solver=solver, seed=seed)
    begin = time.perf_counter()
    history = trainer.fit(data.X, data.Y, **settings)
    seconds = time.perf_counter() - begin
    return Run(data.error(net), seconds, history.n_epochs, history.stop_reason)


def with_validation(fraction, patience, **more):
    import cbackprop

    stopping = cbackprop.EarlyStopping(patience=patience)
    return {"validation_data": fraction, "early_stopping": stopping, **more}


def data_runs(data, seeds, quick):
    """{what was trained: a Run for each seed}."""
    from cbackprop import Adam, BayesianRegularization, LevenbergMarquardt, RProp

    epochs, bayes = (30, 30) if quick else (DATA_EPOCHS, BAYES_EPOCHS)
    fitnet = with_validation(0.15, 6, epochs=epochs)
    best = with_validation(0.15, 10**6, epochs=10**7)
    # First-order solvers begin at Glorot's parameters; Adam's rate is the package's default.
    first = {"init": "auto"}
    runs = {"LevenbergMarquardt": [], "RProp, as long": [], "Adam, as long": []}
    for seed in seeds:
        say(f"data: {data.name}, seed {seed}")
        run = data_run(data, LevenbergMarquardt(), seed, **fitnet)
        runs["LevenbergMarquardt"].append(run)
        for name, solver in (("RProp", RProp()), ("Adam", Adam(learning_rate=0.01))):
            as_long = {**best, "max_seconds": run.seconds}
            runs[f"{name}, as long"].append(data_run(data, solver, seed, **first, **as_long))
    stopped = with_validation(0.2, accuracy.PATIENCE, epochs=accuracy.PATIENCE_EPOCHS)
    runs["RProp, stopped"] = [data_run(data, RProp(), seed, **first, **stopped) for seed in seeds]
    if data.name == "robot":
        bayesian = BayesianRegularization()
        for name, settings in (("stopped", stopped), ("all rows", {"epochs": bayes})):
            say(f"data: {data.name}, BayesianRegularization, {name}")
            runs[f"{BAYES}, {name}"] = [data_run(data, bayesian, s, **settings) for s in seeds]
    return runs


def real_data(options):
    sets = {data.name: data for data in accuracy.read(options.data)}
    seeds = range(2 if options.quick else 10)
    lines = []
    for name in ("building", "robot"):
        runs = data_runs(sets[name], seeds, options.quick)
        errors = {label: median(run.error for run in found) for label, found in runs.items()}
        for label, found in runs.items():
            asked, met = "", None
            if (name, label) == ("building", "LevenbergMarquardt"):
                asked, met = f"< {BUILDING}", errors[label] < BUILDING
            elif label.startswith(BAYES):
                asked, met = "<= RProp, stopped", errors[label] <= errors["RProp, stopped"]
            lines.append(Line(name, f"{label}: test error", asked, spread(found), met))
    return lines


def spread(runs):
    errors = [run.error for run in runs]
    reasons = sorted({run.reason for run in runs})
    return (
        f"{median(errors):.5f} ({min(errors):.5f}..{max(errors):.5f}); "
        f"{number(median(run.seconds for run in runs))} s, "
        f"{median(run.epochs for run in runs):.0f} epochs, {' '.join(reasons)}"
    )


# ----------------------------------------------------------------------------------------- memory


def one_iteration(pipe, n_rows, n_in, n_hidden, watched):
    """In a process of its own: parameters, bytes added, the core's estimate, seconds, trials."""
    import cbackprop
    from cbackprop.core.gauss_newton import assemble

    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (n_rows, n_in))
    Y = np.sin(X @ rng.normal(size=(n_in, 1)))
    net = fresh(0, (n_in, n_hidden, 1))
    solver = cbackprop.LevenbergMarquardt()
    cbackprop.Trainer(net, solver=solver).fit(X[:9], Y[:9], epochs=0)
    start, found = net.parameters.copy(), {"seconds": np.inf}

    def fit():
        net.parameters[:] = start
        begin = time.perf_counter()
        history = cbackprop.Trainer(net, solver=solver, seed=0).fit(X, Y, epochs=1)
        found["seconds"] = min(found["seconds"], time.perf_counter() - begin)
        found["trials"] = 1 + int(history["rejected"].sum())

    found["added"] = most_added(fit) if watched else fit()
    for _ in range(min(4, int(LONG_ENOUGH / found["seconds"]))):
        fit()
    found["parameters"] = net.n_parameters
    found["needed"] = assemble.memory_needed(net._plan, n_rows, False)
    pipe.send(found)


def in_a_process(target, *arguments):
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        return pipe.recv()
    except EOFError:
        raise Failed("a process ended without an answer") from None
    finally:
        process.join(10)


# What a fit may take beside 3 P^2 doubles: a super-block of J, and a block for each worker.
BLOCKS = 16e6


def memory(options):
    most_rows = MEMORY_ROWS // 20 if options.quick else MEMORY_ROWS
    rows = [most_rows // 8, most_rows // 4, most_rows // 2, most_rows]
    points = [("by rows, P about 1000", 1000, n) for n in rows]
    points += [(f"by parameters, {most_rows:,} rows", P, most_rows) for P in SIZES]
    if options.quick:
        points = [point for point in points if point[1] <= 1000]
    curves, lines, found = {}, [], {}
    for series, P, n in points:
        if (P, n) not in found:
            say(f"memory: {P} parameters, {n} rows")
            found[P, n] = in_a_process(one_iteration, n, *SIZES[P], P in MEMORY_SIZES)
        one = found[P, n]
        curves.setdefault(series, []).append((n, one["parameters"], one["seconds"], one["trials"]))
    for P in MEMORY_SIZES:
        if (P, most_rows) not in found:
            continue
        one = found[P, most_rows]
        matrices = 24 * one["parameters"] ** 2
        text = (
            f"{one['added'] / 1e6:.0f} MB (3 P^2 doubles {matrices / 1e6:.0f}, J would be "
            f"{8 * most_rows * one['parameters'] / 1e6:.0f}; the core asks for "
            f"{one['needed'] / 1e6:.0f})"
        )
        asked = f"<= {(matrices + BLOCKS) / 1e6:.0f} MB"
        met = one["added"] <= matrices + BLOCKS
        what = f"added by a fit, {one['parameters']:,} parameters"
        lines.append(Line("memory", what, asked, text, met))
    for series, curve in curves.items():
        power = exponent(curve)
        text = f"its power {power:.2f} (" + ", ".join(
            f"{n * P**2 / seconds / 1e9:.1f}" for n, P, seconds, _ in curve
        )
        text += " GFLOP/s by N P^2)"
        what = f"cost, {series}"
        lines.append(Line("memory", what, f"<= {MOST_POWER}", text, power <= MOST_POWER))
    options.curves = curves
    return lines


def exponent(points):
    """The power of N P^2 with which the seconds grow: the slope between the logarithms."""
    work, seconds = zip(*((n * P**2, seconds) for n, P, seconds, _ in points), strict=True)
    return float(np.polyfit(np.log(work), np.log(seconds), 1)[0])


def growth_curves(curves):
    """Seconds over N P^2; dotted: in proportion to the largest."""
    from cbackprop.plotting.text import Curve

    for series, points in curves.items():
        xy = [(float(f"{n * P**2 / 1e9:.2g}"), 1e3 * seconds) for n, P, seconds, _ in points]
        x1, y1 = xy[-1]
        yield Curve(series, xy, [(x, y1 * x / x1) for x, _ in xy])


def write_plot(path, curves, title):
    """Seconds of an iteration over N P^2, both axes logarithmic; dashed: in proportion."""
    from matplotlib.figure import Figure  # no pyplot: no display is asked for

    figure = Figure(figsize=(6.5, 4.6), layout="constrained")
    axes = figure.subplots()
    for curve in growth_curves(curves):
        x, y = (np.array(part) for part in zip(*curve.points, strict=True))
        (line,) = axes.loglog(x * 1e9, y / 1e3, "o-", markersize=4, label=curve.name)
        limits = np.array([part[1] for part in curve.limits]) / 1e3
        axes.loglog(x * 1e9, limits, "--", linewidth=1, color=line.get_color())
    axes.plot([], [], "k--", linewidth=1, label="in proportion to N P²")
    axes.set_xlabel("N P²")
    axes.set_ylabel("seconds of an iteration")
    axes.grid(which="major", alpha=0.3)
    axes.legend(fontsize="small")
    figure.suptitle(title, fontsize="medium")
    figure.savefig(path, dpi=110)


# ------------------------------------------------------------------------------------------- dual


def primal_only():
    """A context in which a fit never solves the dual system."""
    from cbackprop import LevenbergMarquardt

    given = LevenbergMarquardt.core_options
    return mock.patch.object(
        LevenbergMarquardt,
        "core_options",
        lambda solver, loss: {**given(solver, loss), "dual": False},
    )


def small_fit(sizes, n_rows, epochs, *, dual):
    """(seconds, losses) of a fit with fewer residuals than parameters."""
    import cbackprop

    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (n_rows, sizes[0]))
    Y = np.sin(3 * X[:, :1]) + 0.1 * rng.normal(size=(n_rows, 1))
    net = fresh(0, sizes)
    with contextlib.nullcontext() if dual else primal_only():
        trainer = cbackprop.Trainer(net, solver=cbackprop.LevenbergMarquardt(), seed=0)
        begin = time.perf_counter()
        history = trainer.fit(X, Y, epochs=epochs)
        return time.perf_counter() - begin, history["loss"]


def dual(options):
    sizes = (18, 20, 1) if options.quick else DUAL_SIZES
    epochs, rounds = 2, (2 if options.quick else 5)
    pairs = []
    for _ in range(rounds):
        say("dual")
        with_dual, losses = small_fit(sizes, DUAL_ROWS, epochs, dual=True)
        without, same = small_fit(sizes, DUAL_ROWS, epochs, dual=False)
        if not np.allclose(losses, same, rtol=1e-4):
            raise Failed(f"the dual system has other steps: losses {losses} and {same}")
        pairs.append((with_dual / epochs, without / epochs))
    ratio = median(b / a for a, b in pairs)
    P = fresh(0, sizes).n_parameters
    ms = [1e3 * median(column) for column in zip(*pairs, strict=True)]
    text = f"{number(ratio)} ({number(ms[0])} and {number(ms[1])} ms an iteration)"
    what = f"times as fast as primal, N = {DUAL_ROWS}, P = {P:,}"
    met = ratio >= TIMES_PRIMAL
    return [Line("dual", what, f">= {TIMES_PRIMAL}", text, None if options.quick else met)]


# --------------------------------------------------------------------------------- the command line

TASKS = {"iteration": iteration, "goal": goal, "data": real_data, "memory": memory, "dual": dual}


def parser():
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.least_squares",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = p.add_argument
    add("--data", type=Path, metavar="FOLDER", help="with building.train, building.test, ...")
    add("--tasks", nargs="+", choices=TASKS, help="default: all; data where --data is given")
    add("--cap", type=float, default=10.0, help="seconds of an L-BFGS run (default 10)")
    add("--quick", action="store_true", help="few seeds and rounds, small sizes: a look")
    add("--json", metavar="FILE")
    add("--plot", metavar="FILE.png", help="the cost of an iteration as a picture")
    return p


def main(argv=None):
    import cbackprop
    from cbackprop.plotting.text import plot

    p = parser()
    options = p.parse_args(argv)
    tasks = options.tasks or [name for name in TASKS if name != "data" or options.data]
    if "data" in tasks and not options.data:
        p.error("the task data wants --data FOLDER")
    options.curves = {}
    lines = []
    for name in tasks:
        try:
            lines += TASKS[name](options)
        except Failed as failure:
            lines.append(Line(name, "failed", "", str(failure), False))
    say("")
    config = {key: str(value) for key, value in dict(cbackprop.get_config()).items()}
    versions = [Time(n, version=q.version()) for n, q in PEERS.items() if not q.missing()]
    about = machine.describe(config, versions)
    print("\n".join(machine.lines(about)))
    if options.quick:
        print("a quick look: small, few and short readings")
    print("", *table(lines), sep="\n")
    if options.curves:
        drawn = list(growth_curves(options.curves))
        in_proportion = plot(drawn, "N P^2, 1e9", "ms", dotted="in proportion to N P^2")
        print("", *in_proportion, sep="\n")
    if options.json:
        content = {"machine": about, "quick": options.quick}
        content["lines"] = [asdict(line) for line in lines]
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n")
    if options.plot and options.curves:
        write_plot(options.plot, options.curves, f"{about['cpu']}, {available_threads()} threads")
    return 0


if __name__ == "__main__":
    sys.exit(main())
