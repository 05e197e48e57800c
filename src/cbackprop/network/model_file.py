"""Writing a network to a file and reading it back.

docs/modelfile.md describes the format.  This file defines what describes a network; tensors.py lays
out, checks and writes texts and arrays.
"""

import copy
import itertools
import json
import os
from typing import Any, NamedTuple

import numpy as np

from .. import checks
from ..errors import InputError, InputTypeError
from ..files.tensors import FlawError, TensorFile, opened
from ..files.tensors import write as write_tensors
from .network import Network
from .posterior import Posterior
from .scaling import Scaling

__all__ = ["FORMAT", "VERSIONS", "Description", "read", "tensors_of", "texts_of", "write"]

FORMAT = "cbackprop"

# The format's versions, here and in checkpoints.  Version 2 adds a posterior; networks without one
# are still written as version 1, which older readers know.
VERSIONS = range(1, 3)
WITH_POSTERIOR = 2


def write(path: str | os.PathLike[str], network: Network) -> None:
    """Save a network, completely or not at all.

    Raises
    ------
    InputError, InputTypeError
        If a parameter is not finite (the saved network would predict NaN), or `annotations` is not
        a dict that JSON reproduces unchanged.
    OSError
        If the file cannot be written; an existing file is unchanged.
    """
    network = copy.copy(network)  # a consistent copy of the parameters, even during a fit
    write_tensors(path, {"format": FORMAT, **texts_of(network)}, tensors_of(network))


def read(path: str | os.PathLike[str]) -> Network:
    """Load a network that `write` saved.

    Raises
    ------
    ModelFormatError
        If the file is not such a file, is damaged, or is of a newer version.
    OSError
        If the file cannot be read.
    """
    with opened(path, FORMAT, VERSIONS, set(Description._fields)) as file:
        described = Description.read(file)
        return described.network(file.tensors(described.arrays(file)))


# ------------------------------------------------------------------------------------------ writing


def texts_of(network: Network) -> dict[str, str]:
    """The format's version and the description of a network, each entry as JSON."""
    return {
        "format_version": json.dumps(WITH_POSTERIOR if _posterior(network) else VERSIONS[0]),
        "sizes": json.dumps(network.sizes),
        "activations": json.dumps(network.activations),
        "bias": json.dumps(network.bias),
        "dtype": json.dumps(network.dtype.name),
        "annotations": _annotations_text(network.annotations),
    }


def tensors_of(network: Network) -> dict[str, np.ndarray]:
    """W1, b1, ..., the scalings of inputs and outputs, if any, and the posterior's numbers."""
    tensors = {f"W{i}": W for i, W in enumerate(network.weights, 1)}
    tensors |= {f"b{i}": b for i, b in enumerate(network.biases, 1)}
    for name, A in tensors.items():
        if not np.isfinite(A).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(A))[0])
            raise InputError(
                f"{name}{list(index)} is {A[index]}; expected finite parameters: a network that "
                "holds NaN or infinity is not saved"
            )
    for end in ("input", "output"):
        scaling = getattr(network, f"{end}_scaling")
        if scaling is not None:
            tensors |= {f"{end}_shift": scaling.shift, f"{end}_scale": scaling.scale}
    posterior = _posterior(network)
    if posterior is not None:
        numbers = [getattr(posterior, name) for name in POSTERIOR_NUMBERS]
        tensors |= {"posterior_factor": posterior.factor, "posterior_numbers": np.array(numbers)}
    return tensors


# In their order in a file.
POSTERIOR_NUMBERS = ("alpha", "beta", "effective_parameters")


def _posterior(network: Network) -> Posterior | None:
    """The posterior to save; a stale one is not saved."""
    belief = network._belief
    return None if belief is None or belief.is_stale(network) else belief.posterior


def _annotations_text(annotations: Any) -> str:
    """`annotations` as JSON that reads back identically: no tuple, no integer key."""
    advice = "expected a dict of str to what JSON holds: numbers, strings, lists, dicts, None"
    if not isinstance(annotations, dict):
        raise InputTypeError(f"annotations is {checks.describe(annotations)}; {advice}")
    try:
        text = json.dumps(annotations, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputTypeError(f"annotations cannot be saved ({error}); {advice}") from error
    if json.loads(text) != annotations:
        raise InputTypeError(f"annotations would not read back as they are; {advice}")
    return text


# ------------------------------------------------------------------------------------------ reading


class Description(NamedTuple):
    """What a file says about a network besides its arrays."""

    sizes: list[int]
    activations: list[str]
    bias: bool
    dtype: str
    annotations: dict[str, Any]

    @classmethod
    def read(cls, file: TensorFile) -> "Description":
        """The description in a file's metadata; what Network checks itself is not checked here."""
        described = cls(*(file.parsed(key) for key in cls._fields))
        for name, kind, words in (("sizes", int, "integers"), ("activations", str, "names")):
            value = getattr(described, name)
            if not (isinstance(value, list) and all(type(entry) is kind for entry in value)):
                raise FlawError(f"{name} is not a list of {words}")
        if len(described.activations) != len(described.sizes) - 1 or not described.activations:
            raise FlawError("activations does not hold one name for each layer of weights")
        if type(described.bias) is not bool:
            raise FlawError(f"bias is {described.bias!r:.20}; expected true or false")
        if described.dtype not in ("float64", "float32"):
            raise FlawError(f"dtype is {described.dtype!r:.20}; expected 'float64' or 'float32'")
        if not isinstance(described.annotations, dict):
            raise FlawError("annotations is not an object")
        return described

    def arrays(self, file: TensorFile) -> dict[str, tuple[str, tuple[int, ...]]]:
        """(dtype, shape) of each array; the names in the file show which scalings there are."""
        arrays: dict[str, tuple[str, tuple[int, ...]]] = {}
        for i, (n_in, n_out) in enumerate(itertools.pairwise(self.sizes), 1):
            arrays[f"W{i}"] = self.dtype, (n_in, n_out)
            if self.bias:
                arrays[f"b{i}"] = self.dtype, (n_out,)
        for end, n in (("input", self.sizes[0]), ("output", self.sizes[-1])):
            if f"{end}_shift" in file.shapes:
                arrays[f"{end}_shift"] = arrays[f"{end}_scale"] = "float64", (n,)
        if file.version == WITH_POSTERIOR:
            P = self.n_parameters
            arrays["posterior_factor"] = "float64", (P, P)
            arrays["posterior_numbers"] = "float64", (len(POSTERIOR_NUMBERS),)
        return arrays

    @property
    def n_parameters(self) -> int:
        """The network's number of parameters."""
        return sum((n_in + self.bias) * n_out for n_in, n_out in itertools.pairwise(self.sizes))

    def network(self, tensors: dict[str, np.ndarray]) -> Network:
        """The network with these arrays; `tensors` may hold others too."""
        try:
            network = Network(
                self.sizes,
                activation=self.activations[:-1],
                output_activation=self.activations[-1],
                bias=self.bias,
                dtype=self.dtype,
                seed=0,
            )
            for end in ("input", "output"):
                if f"{end}_shift" in tensors:
                    scaling = Scaling(tensors[f"{end}_shift"], tensors[f"{end}_scale"])
                    setattr(network, f"{end}_scaling", scaling)
        except InputError as error:
            raise FlawError(str(error)) from error
        for kind, views in (("W", network.weights), ("b", network.biases)):
            for i, A in enumerate(views, 1):
                A[...] = tensors[f"{kind}{i}"]
        if not np.isfinite(network.parameters).all():
            raise FlawError("a parameter is NaN or infinite")
        if "posterior_factor" in tensors:
            network.posterior = _restored(tensors, network.parameters)
        network.annotations = self.annotations
        return network


def _restored(tensors: dict[str, np.ndarray], parameters: np.ndarray) -> Posterior:
    """The posterior in a file."""
    factor = tensors["posterior_factor"]
    numbers = dict(zip(POSTERIOR_NUMBERS, tensors["posterior_numbers"].tolist(), strict=True))
    try:
        posterior = Posterior(factor, **numbers, parameters=parameters)
    except InputError as error:
        raise FlawError(f"its posterior is invalid: {error}") from error
    if not np.array_equal(posterior.factor, factor):
        raise FlawError("posterior_factor has numbers above its diagonal; expected zeros")
    return posterior
