"""A network in a file, and out of it.

docs/modelfile.md describes the format.  This file says what describes a network; how texts and
arrays are laid out, checked and written whole is tensorfile.py's.
"""

import copy
import itertools
import json
import os
from collections.abc import Container
from typing import Any, NamedTuple

import numpy as np

from . import checks, tensorfile
from .errors import InputError, InputTypeError
from .network import Network
from .scaling import Scaling
from .tensorfile import FlawError, TensorFile

__all__ = ["FORMAT", "FORMAT_VERSION", "Description", "read", "tensors_of", "texts_of", "write"]

FORMAT = "cbackprop"
FORMAT_VERSION = 1


def write(path: str | os.PathLike[str], network: Network) -> None:
    """Save a network, whole or not at all.

    Raises
    ------
    InputError, InputTypeError
        If a parameter is not finite (a file that predicts NaN helps nobody), or `annotations` is
        not a dict that JSON gives back unchanged.
    OSError
        If the file cannot be written; a file that was there before stays as it was.
    """
    network = copy.copy(network)  # with the parameters of a whole step, should a fit be running
    texts = {"format": FORMAT, "format_version": str(FORMAT_VERSION), **texts_of(network)}
    tensorfile.write(path, texts, tensors_of(network))


def read(path: str | os.PathLike[str]) -> Network:
    """Load a network that `write` saved.

    Raises
    ------
    ModelFormatError
        If the file is not such a file, is damaged, or is of a newer version.
    OSError
        If the file cannot be read.
    """
    with tensorfile.opened(path, FORMAT, FORMAT_VERSION, set(Description._fields)) as file:
        described = Description.read(file)
        return described.network(file.tensors(described.arrays(file.shapes)))


# ------------------------------------------------------------------------------------------ writing


def texts_of(network: Network) -> dict[str, str]:
    """The description of a network, each entry as JSON."""
    return {
        "sizes": json.dumps(network.sizes),
        "activations": json.dumps(network.activations),
        "bias": json.dumps(network.bias),
        "dtype": json.dumps(network.dtype.name),
        "annotations": _annotations_text(network.annotations),
    }


def tensors_of(network: Network) -> dict[str, np.ndarray]:
    """W1, b1, ... and the shift and scale of each end that has them."""
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
    return tensors


def _annotations_text(annotations: Any) -> str:
    """`annotations` as JSON that reads back the same: no tuple, no integer key."""
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
    """What a file says of a network besides its numbers."""

    sizes: list[int]
    activations: list[str]
    bias: bool
    dtype: str
    annotations: dict[str, Any]

    @classmethod
    def read(cls, file: TensorFile) -> "Description":
        """From a file's metadata; what Network itself checks is left to it."""
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

    def arrays(self, names: Container[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
        """(dtype, shape) of each array; whether an end is scaled shows in the names there are."""
        arrays: dict[str, tuple[str, tuple[int, ...]]] = {}
        for i, (n_in, n_out) in enumerate(itertools.pairwise(self.sizes), 1):
            arrays[f"W{i}"] = self.dtype, (n_in, n_out)
            if self.bias:
                arrays[f"b{i}"] = self.dtype, (n_out,)
        for end, n in (("input", self.sizes[0]), ("output", self.sizes[-1])):
            if f"{end}_shift" in names:
                arrays[f"{end}_shift"] = arrays[f"{end}_scale"] = "float64", (n,)
        return arrays

    def network(self, tensors: dict[str, np.ndarray]) -> Network:
        """The network whose arrays, among others, these are."""
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
        network.annotations = self.annotations
        return network
