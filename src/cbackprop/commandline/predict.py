"""``cbackprop predict``: a saved model applied to data, as CSV."""

from __future__ import annotations

import argparse
import csv
import sys
from typing import TextIO

import numpy as np

from ..losses import spec_of
from ..network.network import Network
from . import report
from .coding import Coding
from .data import Part, read_matching
from .files import check_writable


def run(arguments: argparse.Namespace) -> int:
    """Predict each row of the data, and report on them if their targets are known."""
    if arguments.output is not None:
        check_writable("--output", arguments.output, [arguments.model, arguments.data])
    net = Network.load(arguments.model)
    coding = coding_of(net)
    data = read_matching(arguments.data, coding, net.sizes[0], net.sizes[-1])
    Y_hat = net.predict(data.X)
    if arguments.output is None:
        write_csv(sys.stdout, coding, Y_hat, outputs=arguments.outputs)
        sys.stdout.flush()
    else:
        with open(arguments.output, "w", newline="", encoding="utf-8") as file:
            write_csv(file, coding, Y_hat, outputs=arguments.outputs)
    if data.Y is not None and not arguments.quiet:
        quality = report.Quality.of(net, coding, Part(data), loss_of(net))
        print(report.quality_table({data.source: quality}), file=sys.stderr)
    return 0


def coding_of(net: Network) -> Coding:
    """The column names and class labels stored in the model."""
    return Coding.from_annotation(net.annotations.get("coding"), net.sizes[0], net.sizes[-1])


def loss_of(net: Network) -> str:
    """The loss it was trained on, if the model records it."""
    training = net.annotations.get("training")
    loss = training.get("loss") if isinstance(training, dict) else None
    spec = spec_of(loss)
    if spec is None or net.activations[-1] not in spec.outputs:
        return "squared_error"
    return spec.name


def write_csv(file: TextIO, coding: Coding, Y_hat: np.ndarray, *, outputs: bool) -> None:
    """A header, then a line for each row: the class or the outputs, or (`outputs`) both.

    Numbers have enough digits to reproduce the same float of the network's dtype.
    """
    writer = csv.writer(file, lineterminator="\n")
    numbers = Y_hat.astype(str).tolist()
    names = coding.output_names(Y_hat.shape[1])
    if coding.classes is None:
        writer.writerow(names)
        writer.writerows(numbers)
        return
    labels = coding.decode(Y_hat)
    if outputs:
        writer.writerow([coding.heading, *names])
        writer.writerows([label, *row] for label, row in zip(labels, numbers, strict=True))
    else:
        writer.writerow([coding.heading])
        writer.writerows([label] for label in labels)
