"""The options of the command line: names, checks of single values, help texts."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from ..activations import ACTIVATIONS, HIDDEN, canonical
from ..errors import InputError
from ..losses import LOSSES
from ..network.initialization import INITIALIZATIONS
from ..solvers import BY_SHORT_NAME
from ..version import __version__


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors and without abbreviations of options.

    An abbreviation that works today becomes ambiguous when an option is added.
    """

    def __init__(self, **settings: object) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raise an error that `main` prints as one line, instead of printing usage and exiting."""
        raise InputError(f"{message} (see {self.prog} --help)")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The checked options; raises InputError if one is wrong, SystemExit after --help."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "train":
        _give_back_data(arguments)
        if arguments.nesterov and not arguments.momentum:
            raise InputError("--nesterov needs a --momentum above 0, such as 0.9")
        if arguments.patience is not None and not arguments.validation:
            raise InputError("--patience needs --validation, such as 0.2")
        if arguments.resume and arguments.checkpoint is None:
            raise InputError("--resume needs --checkpoint FILE, from which it continues")
        if arguments.restarts is not None:
            _check_restarts(arguments)
        if arguments.error_bars and arguments.solver != "br":
            raise InputError(
                f"--error-bars goes with --solver br, not with {arguments.solver}: the others "
                "know no posterior"
            )
    return arguments


def _check_restarts(arguments: argparse.Namespace) -> None:
    """Check which options --restarts excludes."""
    if arguments.checkpoint is not None:
        raise InputError(
            "--restarts goes without --checkpoint, which holds one training; --save keeps the best"
        )
    if arguments.init is not None:
        raise InputError(
            f"--restarts goes without --init {arguments.init}: each draws the initial weights as "
            "its solver prefers"
        )


def _parser() -> Parser:
    module = sys.argv[0].endswith(os.path.join("cbackprop", "__main__.py"))
    parser = Parser(
        prog="python -m cbackprop" if module else "cbackprop",
        description="Train small feed-forward networks, fast, on the CPU.",
        epilog="example:\n"
        "  cbackprop train digits --save digits.safetensors\n"
        "  cbackprop predict digits.safetensors digits\n"
        "  cbackprop info digits.safetensors",
    )
    parser.add_argument("--version", action="version", version=f"cbackprop {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=Parser
    )
    _train(commands)
    _predict(commands)
    info = commands.add_parser(
        "info",
        help="show what a model file holds",
        description="Check a model file and show what it holds.",
        epilog="example:\n  cbackprop info model.safetensors",
    )
    info.add_argument("model", metavar="MODEL", help="a file written by train --save")
    commands.add_parser(
        "config",
        help="show version, instruction set, BLAS and threads",
        description="Show the version, the instruction set, the BLAS and the threads in use.",
        epilog="example:\n  cbackprop config",
    )
    return parser


def _train(commands: argparse._SubParsersAction[Parser]) -> None:
    train = commands.add_parser(
        "train",
        help="train a network and report its error on rows it has not seen",
        description="Train a network and report its quality on the training rows and on test rows "
        "it has not seen.",
        epilog="examples:\n"
        "  cbackprop train digits\n"
        "  cbackprop train iris.csv --target species --hidden 8 --save iris.safetensors\n"
        "  cbackprop train gene.train --test gene.test --hidden 16 --solver rprop \\\n"
        "      --validation 0.2 --patience 20 --plot gene.png",
    )
    _data(train.add_argument_group("data"))
    _network(train.add_argument_group("network"))
    _training(train.add_argument_group("training"))
    _solver(train.add_argument_group("solver"))
    _output(train.add_argument_group("output"))


def _data(data: argparse._ArgumentGroup) -> None:
    data.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="digits (handwritten digits, comes with scikit-learn; the default), a .csv file "
        "(first line: column names; comma, semicolon or tab), a .npz file (arrays X and Y), or "
        'FANN\'s text format (first line: "rows inputs outputs")',
    )
    data.add_argument(
        "--target",
        metavar="COLUMN",
        nargs="+",
        help="target columns of a .csv (default: the last column); one column of text holds class "
        "labels",
    )
    data.add_argument(
        "--ignore", metavar="COLUMN", nargs="+", default=[], help="columns of a .csv to leave out"
    )
    data.add_argument(
        "--classify",
        action="store_true",
        help="whole numbers in the target are class labels as well",
    )
    data.add_argument("--test", metavar="FILE", help="test rows, a file of the same kind as DATA")
    data.add_argument(
        "--test-fraction",
        metavar="F",
        type=_fraction,
        default=0.25,
        help="without --test: this part of the rows, drawn by the seed, each class in proportion, "
        "is kept for the test; 0 for no test (default: 0.25). Trainer.fit(test_data=F) draws the "
        "same rows, but knows classes only with cross_entropy",
    )
    data.add_argument(
        "--validation",
        metavar="F",
        type=_fraction,
        default=0.0,
        help="keep this part of the rows out of the training, drawn in the same way, and "
        "report on them too, to choose settings by or for --patience (default: 0)",
    )
    data.add_argument(
        "--scale",
        choices=("none", "standard", "minmax"),
        help="scale each input to mean 0 and deviation 1 (standard, the default) or to -1..1 "
        "(minmax, the default of --solver lm and br), as in the training rows; the scaling is "
        "saved with the model",
    )


def _network(net: argparse._ArgumentGroup) -> None:
    net.add_argument(
        "--hidden",
        metavar="SIZE",
        nargs="+",
        default=["30"],
        help='units of each hidden layer: "30", "30 20" or "30,20"; 0 for none (default: 30)',
    )
    net.add_argument(
        "--activation",
        metavar="NAME",
        type=_activations,
        default=("sigmoid",),
        help=f"{', '.join(HIDDEN)}; or one for each hidden layer, separated by commas "
        "(default: sigmoid)",
    )
    net.add_argument(
        "--output-activation",
        metavar="NAME",
        type=_output_activation,
        help=f"one of the same, {' or '.join(n for n in ACTIVATIONS if n not in HIDDEN)} "
        "(default: as --loss requires, else sigmoid for classes and where all targets lie in 0..1, "
        "else identity). With identity the training sees the targets with mean 0 and "
        "deviation 1 (unless --scale none), and the model answers in their own units",
    )
    net.add_argument(
        "--init",
        choices=INITIALIZATIONS,
        help="initial weights (default: nguyen_widrow with --solver lm and br, else auto)",
    )
    net.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="default: float64"
    )


def _training(training: argparse._ArgumentGroup) -> None:
    training.add_argument(
        "--loss",
        choices=tuple(LOSSES),
        default="squared_error",
        help="default: squared_error. Some need an output of their own: "
        + "; ".join(
            f"{name} {' or '.join(spec.outputs)}"
            for name, spec in LOSSES.items()
            if "identity" not in spec.outputs
        ),
    )
    training.add_argument(
        "--epochs",
        metavar="N",
        type=_positive_int,
        default=100,
        help="passes over the training rows, those before --resume included (default: 100)",
    )
    training.add_argument(
        "--patience",
        metavar="N",
        type=_positive_int,
        help="stop when the loss on the rows of --validation has not become smaller for N epochs, "
        "and keep the network of the best epoch",
    )
    for norm, penalty in (("l2", "half the sum of squares"), ("l1", "the sum of magnitudes")):
        training.add_argument(
            f"--{norm}",
            metavar="S",
            type=_number(lambda value: value >= 0, "a number of at least 0"),
            default=0.0,
            help=f"add S times {penalty} of the weights to the loss (default: 0)",
        )
    training.add_argument(
        "--restarts",
        metavar="K",
        type=_positive_int,
        help="train K times from initial weights drawn anew, side by side, and keep the network "
        "that is the best on the rows of --validation, or on the training rows without",
    )
    training.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="save the training to FILE every minute, at its end and on Ctrl-C; the one before "
        "stays as FILE.previous",
    )
    training.add_argument(
        "--resume",
        action="store_true",
        help="go on from the file of --checkpoint, with the same data and options, to the same "
        "network as without the interruption",
    )
    training.add_argument(
        "--seed",
        metavar="N",
        type=_seed,
        default=0,
        help="draws the split, the initial weights and the order of the rows: the same seed gives "
        "the same network (default: 0)",
    )
    training.add_argument(
        "--threads",
        metavar="N",
        type=_positive_int,
        help="default: as many as the process may use; the result is the same with any number",
    )


def _solver(solver: argparse._ArgumentGroup) -> None:
    solver.add_argument(
        "--solver",
        choices=tuple(BY_SHORT_NAME),
        default="sgd",
        help="rprop, lbfgs, lm (Levenberg-Marquardt) and br (Bayesian regularisation) step after "
        "each epoch, with nothing to tune, the others after each batch; lm and br are for networks "
        "of up to some thousand parameters (default: sgd)",
    )
    solver.add_argument(
        "--batch-size",
        metavar="N",
        type=_positive_int,
        help="rows of a step, of the solvers that step after each batch (default: 10)",
    )
    solver.add_argument(
        "--learning-rate",
        metavar="R",
        type=_number(lambda value: value > 0, "a number above 0"),
        help="of the solvers that step after each batch; default: 0.01; of sgd: 0.1, or 1 for a "
        "sigmoid output without cross_entropy; where the widest hidden layer has more than 50 "
        "units, 50 / units of that; times 1 - momentum",
    )
    solver.add_argument(
        "--momentum",
        metavar="M",
        type=_number(lambda value: 0 <= value < 1, "a number from 0 to below 1"),
        default=0.0,
        help="of sgd (default: 0)",
    )
    solver.add_argument("--nesterov", action="store_true", help="Nesterov's momentum, of sgd")
    solver.add_argument(
        "--error-bars",
        action="store_true",
        help="of br: keep in the model what Network.predict(X, return_std=True) needs, 8 P^2 bytes "
        "for P parameters",
    )


def _output(output: argparse._ArgumentGroup) -> None:
    output.add_argument(
        "--save",
        metavar="FILE",
        help="write the model, with scaling, column names and class labels, to FILE (its name "
        "commonly ends in .safetensors) when the training is complete; an interrupted one writes "
        "nothing",
    )
    output.add_argument(
        "--history", metavar="FILE", help="write the numbers of each epoch to FILE as JSON"
    )
    output.add_argument(
        "--plot",
        metavar="FILE",
        help="draw the losses over the epochs to FILE, a .png, .pdf or .svg (by matplotlib)",
    )
    output.add_argument("--json", action="store_true", help="print the report as JSON")
    output.add_argument("--no-progress", action="store_true", help="show no progress bar")
    output.add_argument("--quiet", action="store_true", help="show neither progress nor report")


def _predict(commands: argparse._SubParsersAction[Parser]) -> None:
    predict = commands.add_parser(
        "predict",
        help="apply a saved model to data",
        description="Apply a saved model to data and print CSV, one line a row: the class, or the "
        "outputs.\nIf the data holds targets as well, a report on them goes to standard error.",
        epilog="example:\n  cbackprop predict iris.safetensors new.csv --output answers.csv",
    )
    predict.add_argument("model", metavar="MODEL", help="a file written by train --save")
    predict.add_argument(
        "data",
        metavar="DATA",
        help="as for train; targets may be missing; columns of a .csv are found by the names the "
        "model was trained with, in any order, others are passed over",
    )
    predict.add_argument("--output", metavar="FILE", help="write the CSV to FILE")
    predict.add_argument(
        "--outputs",
        action="store_true",
        help="for classes: add the network's outputs, one column for each class",
    )
    predict.add_argument("--quiet", action="store_true", help="no report on standard error")


def hidden_sizes(words: Sequence[str]) -> tuple[int, ...]:
    """("30,20",) or ("30", "20") -> (30, 20); ("0",) or ("none",) -> ()."""
    parts = [part.strip() for word in words for part in word.split(",") if part.strip()]
    if parts in (["0"], ["none"]):
        return ()
    if not parts or not all(_is_size(part) for part in parts):
        raise InputError(
            f"argument --hidden: {' '.join(words)!r} is not a list of layer sizes, such as 30 or "
            "30,20 (0 for no hidden layer)"
        )
    return tuple(int(part) for part in parts)


def _give_back_data(arguments: argparse.Namespace) -> None:
    """``train --hidden 16 gene.train``: undo that an option with several values took DATA too."""
    if arguments.data is None:
        last_words = (
            (arguments.hidden, lambda word: not _is_size(word.replace(",", "")) and word != "none"),
            (arguments.target, os.path.exists),
            (arguments.ignore, os.path.exists),
        )
        for words, is_data in last_words:
            if words and len(words) > 1 and is_data(words[-1]):
                arguments.data = words.pop()
                break
        else:
            arguments.data = "digits"
    arguments.hidden = hidden_sizes(arguments.hidden)


def _is_size(word: str) -> bool:
    return word.isascii() and word.isdigit() and 0 < len(word.lstrip("0")) < 19


def _number(accept: Callable[[float], bool], expected: str) -> Callable[[str], float]:
    def parse_number(word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and accept(value)):
            raise argparse.ArgumentTypeError(f"{word!r} is not {expected}")
        return value

    return parse_number


_fraction = _number(lambda value: 0 <= value < 1, "a fraction from 0 to below 1")


def _positive_int(word: str) -> int:
    if not _is_size(word):
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number of at least 1")
    return int(word)


def _seed(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 19):
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number of at least 0")
    return int(word)


def _activations(word: str) -> tuple[str, ...]:
    return tuple(_activation(name, hidden=True) for name in word.split(","))


def _output_activation(word: str) -> str:
    return _activation(word, hidden=False)


def _activation(name: str, *, hidden: bool) -> str:
    try:
        return canonical("activation", name, hidden=hidden)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
