"""``cbackprop info`` and ``config``: the content of a model file, and the configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..machine.config import get_config
from ..network.model_file import VERSIONS, WITH_POSTERIOR
from ..network.network import Network
from . import report
from .predict import coding_of


def run(arguments: argparse.Namespace) -> int:
    """Check a model file and print what it holds."""
    net = Network.load(arguments.model)  # checks format, sizes and checksum
    coding = coding_of(net)
    size = Path(arguments.model).stat().st_size
    version = VERSIONS[0] if net.posterior is None else WITH_POSTERIOR
    lines = [
        ("file", f"{arguments.model}, {size} bytes, format {version}, checksum right"),
        *report.network_facts(net),
        ("bias", "yes" if net.bias else "no"),
        ("inputs", _names(coding.features, net.sizes[0])),
        ("outputs", report.outputs_line(coding, net.sizes[-1])),
        ("scaling", _scalings(net)),
        *([] if net.posterior is None else [("error bars", repr(net.posterior))]),
    ]
    training = net.annotations.get("training")
    if isinstance(training, dict):
        lines.append(("made by", ", ".join(f"{k} {v}" for k, v in training.items())))
    print(report.facts(lines))
    return 0


def run_config(arguments: argparse.Namespace) -> int:
    """Print `get_config`."""
    print(report.facts((name, str(value)) for name, value in get_config().items()))
    return 0


def _scalings(net: Network) -> str:
    there = {"input": net.input_scaling, "output": net.output_scaling}
    scaled = " and ".join(f"each {name}" for name, scaling in there.items() if scaling is not None)
    return f"shift and scale of {scaled}" if scaled else "none"


def _names(names: tuple[str, ...] | None, count: int) -> str:
    return f"{count} ({report.listed(names)})" if names else str(count)
