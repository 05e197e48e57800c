"""What a feature of training costs: solvers beside plain SGD, validation beside its forward pass.

python -m benchmarks.features
python -m benchmarks.features --dtype float32 --seconds 0.5

784-30-10 in batches of 10, as in the table.  A solver's step is compared with the plain step and
with one vectorised pass of its rule over the parameters (core/simd/updates, the function that the
step calls, on the network's own vectors in turn with them).  RProp takes all rows a step, so its
rows are ten.  Validation on as many rows again is compared with ``predict`` on them.  All readings
are taken in turn; medians of their differences.
"""

import argparse
import time
from statistics import median

import numpy as np

SIZES, BATCH, N_ROWS = (784, 30, 10), 10, 2000


def fitting(dtype, solver, *, batch_size=BATCH, n_rows=N_ROWS, validation=None):
    """A function of epochs that trains, and returns microseconds a step."""
    import cbackprop

    rng = np.random.default_rng(0)
    X = rng.uniform(size=(n_rows, SIZES[0])).astype(dtype)
    Y = rng.uniform(0.1, 0.9, size=(n_rows, SIZES[-1])).astype(dtype)
    net = cbackprop.Network(SIZES, bias=False, dtype=dtype, seed=0)
    trainer = cbackprop.Trainer(net, solver=solver, batch_size=batch_size, shuffle=False, seed=0)
    held = None if validation is None else (X[:validation].copy(), Y[:validation].copy())

    def run(epochs):
        steps = epochs * (n_rows // (batch_size or n_rows))
        begin = time.perf_counter()
        trainer.fit(X, Y, epochs=epochs, validation_data=held)
        return 1e6 * (time.perf_counter() - begin) / steps

    return run, net


def rule_pass(kind, net):
    """A function that applies the rule once to as many parameters, in microseconds."""
    from cbackprop.core.simd import dispatch
    from cbackprop.core.testing import kernels

    level, n = dispatch.level(), net.n_parameters
    rng = np.random.default_rng(1)
    g, a, b, c = (rng.uniform(0.1, 1, n).astype(net.dtype) for _ in range(4))
    W = net.parameters.copy()

    def run(times):
        begin = time.perf_counter()
        for _ in range(times):
            if kind == "adam":
                kernels.run_adam(level, 1e-9, 1.0, 1e-8, 0.9, 0.999, g, a, b, W)
            else:
                kernels.run_rprop(level, 1.2, 0.5, 1e-9, 1e-8, False, g, a, b, c, W)
        return 1e6 * (time.perf_counter() - begin) / times

    return run


def predicting(dtype, n_rows):
    """A function that predicts the validation's rows some times, in microseconds a call."""
    import cbackprop

    X = np.random.default_rng(0).uniform(size=(n_rows, SIZES[0])).astype(dtype)
    net = cbackprop.Network(SIZES, bias=False, dtype=dtype, seed=0)

    def run(times):
        begin = time.perf_counter()
        for _ in range(times):
            net.predict(X)
        return 1e6 * (time.perf_counter() - begin) / times

    return run


def rounds(functions, seconds, n_rounds):
    """Readings of each function, taken in turn, each long enough to last ``seconds``."""
    times = []
    for run in functions:
        n = 1
        while True:
            begin = time.perf_counter()
            run(n)
            took = time.perf_counter() - begin
            if took > seconds / 4:
                break
            n *= 2
        times.append(max(1, int(n * seconds / took)))
    return [[run(n) for run, n in zip(functions, times, strict=True)] for _ in range(n_rounds)]


def solver_rows(dtype, seconds, n_rounds):
    """(name, plain step, its step, a pass of its rule, passes that the step costs more)."""
    from cbackprop import SGD, Adam, RProp

    for name, solver, kind, shape in (
        ("Adam", Adam(learning_rate=1e-4), "adam", {}),
        ("RProp", RProp(max_step=1e-4, initial_step=1e-5), "rprop",
         {"batch_size": None, "n_rows": BATCH}),
    ):  # fmt: skip
        n_rows = shape.get("n_rows", N_ROWS)
        plain, _ = fitting(dtype, SGD(learning_rate=0.01), n_rows=n_rows)
        its, net = fitting(dtype, solver, **shape)
        readings = rounds([plain, its, rule_pass(kind, net)], seconds, n_rounds)
        more = median((b - a) / c for a, b, c in readings)
        yield (name, *(median(column) for column in zip(*readings, strict=True)), more)


def validation_row(dtype, seconds, n_rounds):
    """(an epoch, the same with validation, predict of its rows, forward passes it costs)."""
    from cbackprop import SGD

    steps = N_ROWS // BATCH
    plain, _ = fitting(dtype, SGD(learning_rate=0.01))
    with_it, _ = fitting(dtype, SGD(learning_rate=0.01), validation=N_ROWS)
    readings = rounds([plain, with_it, predicting(dtype, N_ROWS)], seconds, n_rounds)
    more = median((b - a) * steps / c for a, b, c in readings)
    a, b, c = (median(column) for column in zip(*readings, strict=True))
    return a * steps, b * steps, c, more


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features",
                                     description=__doc__.split("\n", 1)[0])  # fmt: skip
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a reading (default 0.2)")
    parser.add_argument("--rounds", type=int, default=15, help="default 15")
    options = parser.parse_args(arguments)
    print(f"784-30-10 b10, {options.dtype}, us")
    print(
        f"{'solver':8}{'SGD step':>10}{'its step':>10}{'rule pass':>11}{'passes more':>13}   asked"
    )
    for name, plain, its, rule, more in solver_rows(options.dtype, options.seconds, options.rounds):
        print(f"{name:8}{plain:10.2f}{its:10.2f}{rule:11.2f}{more:13.2f}   <= 1.2")
    a, b, c, more = validation_row(options.dtype, options.seconds, options.rounds)
    print(f"validation on {N_ROWS} rows: an epoch {a:.0f}, with it {b:.0f}, predict {c:.0f}: "
        f"{more:.2f} forward passes")  # fmt: skip


if __name__ == "__main__":
    main()
