"""How well training does that nobody tuned: errors on the test rows of real data.

python -m benchmarks.accuracy --data FOLDER              candidates for the default solver
python -m benchmarks.accuracy --data FOLDER --patience   RProp, stopped by a fifth of the rows

FOLDER holds pairs of files NAME.train and NAME.test in FANN's text format.  A network has 16 hidden
units and all else by default; so has its trainer, but for the solver (--hidden, --activation and
--batch-size: how it goes with others).  Nothing is chosen by a test error here: they are printed,
and a default is a decision of people.  One-hot targets are classes, whose error is the percentage
of wrong rows; other targets' is the mean squared error over rows and outputs.  No time is measured.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.report import number
from benchmarks.run import say

EPOCHS = (30, 100, 300)
SEEDS = 5

# --patience: what RProp has to reach with the median of its seeds.
PATIENCE_EPOCHS, PATIENCE, PATIENCE_SEEDS = 5000, 50, 10
AT_MOST = {"gene": 11.0, "building": 0.0072}


def candidates():
    """{name: solver}: what might be the default."""
    from cbackprop import SGD, Adam, RProp

    found = {}
    for momentum in (0.0, 0.9):
        for rate in (0.1, 0.5):
            name = f"SGD {rate:g}" + (f" mu {momentum:g}" if momentum else "")
            found[name] = SGD(learning_rate=rate, momentum=momentum)
    for rate in (0.001, 0.003, 0.01, 0.03, 0.1):
        found[f"Adam {rate:g}"] = Adam(learning_rate=rate)
    found["RProp"] = RProp()
    return found


# ----------------------------------------------------------------------------------------- the data


@dataclass(frozen=True)
class Model:
    """What is trained."""

    hidden: int = 16
    activation: str = "sigmoid"
    batch_size: int | None = None

    def trainer(self, data, solver, seed):
        import cbackprop

        sizes = data.X.shape[1], self.hidden, data.Y.shape[1]
        net = cbackprop.Network(sizes, activation=self.activation, seed=seed)
        batch_size = None if solver.full_batch else self.batch_size
        return cbackprop.Trainer(net, solver=solver, batch_size=batch_size, seed=seed)


@dataclass(frozen=True, eq=False)
class DataSet:
    name: str
    X: np.ndarray
    Y: np.ndarray
    X_test: np.ndarray
    Y_test: np.ndarray

    @property
    def classes(self):
        from cbackprop.training.splits import is_one_hot

        return is_one_hot(self.Y)

    def error(self, net):
        """Percent of wrong test rows, or their mean squared error."""
        Y_hat = net.predict(self.X_test)
        if self.classes:
            return 100 * float(np.mean(Y_hat.argmax(axis=1) != self.Y_test.argmax(axis=1)))
        return float(np.mean((Y_hat - self.Y_test) ** 2))

    def ratio(self, error, best):
        """How many times the best error it is; of classes, with one more wrong row for both."""
        one = 100 / len(self.X_test) if self.classes else 0.0
        return (error + one) / (best + one)


def read(folder):
    """The data sets of a folder, by name."""
    from cbackprop.commandline import fann_file

    sets = []
    for path in sorted(folder.glob("*.train")):
        parts = []
        for part in (path, path.with_suffix(".test")):
            content = part.read_bytes()
            if fann_file.header(content) is None:
                raise SystemExit(f"{part}: the first line is not 'rows inputs outputs'")
            parts += fann_file.read(str(part), content)
        sets.append(DataSet(path.stem, *parts))
    if not sets:
        raise SystemExit(f"{folder}: no NAME.train beside NAME.test")
    return sets


# --------------------------------------------------------------------------------------- the trials


def course(model, data, solver, epochs, seed):
    """The test error after each of ``epochs``, ascending; infinite from a divergence on."""
    import cbackprop

    trainer = model.trainer(data, solver, seed)
    errors = []
    try:
        for n in epochs:
            trainer.fit(data.X, data.Y, epochs=n - trainer.epoch)
            errors.append(data.error(trainer.network))
    except cbackprop.DivergenceError:
        pass
    return errors + [math.inf] * (len(epochs) - len(errors))


def compare(model, sets, solvers, epochs, seeds):
    """{(set, epochs, solver's name): median error over the seeds}."""
    found = {}
    for data in sets:
        for name, solver in solvers.items():
            courses = [course(model, data, solver, epochs, seed) for seed in range(seeds)]
            for n, errors in zip(epochs, zip(*courses, strict=True), strict=True):
                found[data, n, name] = median(errors)
            say(f"{data.name}, {name}: done")
    say("")
    return found


def ratios(found, names):
    """{solver's name: how many times the best error, for each set and number of epochs}."""
    cases = dict.fromkeys((data, n) for data, n, _ in found)
    best = {case: min(found[*case, name] for name in names) for case in cases}
    return {
        name: [case[0].ratio(found[*case, name], best[case]) for case in cases] for name in names
    }


def table(found, names):
    """Text lines: an error a cell, then each solver's ratios to the best."""
    rows = [["median test error", "", "epochs", *names]]
    for data, n in dict.fromkeys((data, n) for data, n, _ in found):
        unit = "% wrong" if data.classes else "MSE"
        rows.append([data.name, unit, str(n), *(number(found[data, n, name]) for name in names)])
    by_name = ratios(found, names)
    for heading, of in (("geometric mean", geometric_mean), ("worst", max)):
        cells = [f"{of(by_name[name]):.2f}" for name in names]
        rows.append([f"times the best, {heading}", "", "", *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *cells])


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def stopped(model, data, seed):
    """RProp until the loss on a fifth of the rows stands still: (test error, epochs run)."""
    import cbackprop

    trainer = model.trainer(data, cbackprop.RProp(), seed)
    trainer.fit(
        data.X,
        data.Y,
        epochs=PATIENCE_EPOCHS,
        validation_data=0.2,
        early_stopping=cbackprop.EarlyStopping(patience=PATIENCE),
    )
    return data.error(trainer.network), trainer.epoch


def patience(model, sets, seeds):
    """Text lines, and whether every set of AT_MOST that is there did as well."""
    lines, good = [], True
    for data in sets:
        errors, epochs = zip(*(stopped(model, data, seed) for seed in range(seeds)), strict=True)
        line = (
            f"{data.name}: median {number(median(errors))} {'% wrong' if data.classes else 'MSE'} "
            f"({number(min(errors))}..{number(max(errors))}), {median(epochs):.0f} epochs"
        )
        if data.name in AT_MOST:
            met = median(errors) <= AT_MOST[data.name]
            good = good and met
            line += f"; {'' if met else 'NOT '}at most {AT_MOST[data.name]:g}"
        lines.append(line)
    return lines, good


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--patience", action="store_true", help="RProp with early stopping")
    parser.add_argument("--seeds", type=int, metavar="N", help=f"{SEEDS}; {PATIENCE_SEEDS}")
    parser.add_argument("--hidden", type=int, default=Model.hidden, metavar="N")
    parser.add_argument("--activation", default=Model.activation, metavar="NAME")
    parser.add_argument("--batch-size", type=int, metavar="N")
    given = parser.parse_args(arguments)
    model = Model(given.hidden, given.activation, given.batch_size)
    sets = read(given.data)
    if given.patience:
        lines, good = patience(model, sets, given.seeds or PATIENCE_SEEDS)
        print("\n".join(lines))
        return 0 if good else 1
    solvers = candidates()
    found = compare(model, sets, solvers, EPOCHS, given.seeds or SEEDS)
    print("\n".join(table(found, list(solvers))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
