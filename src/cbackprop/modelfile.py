"""A network in a file: safetensors, whole or not at all, read without trusting it.

The tensors are W1, b1, W2, b2, ... and, where the network has one, input_shift and input_scale
(float64).  The metadata, all strings: format "cbackprop", format_version "1", sizes, activations
(names), bias and annotations as JSON, dtype, and sha256, the checksum of the tensors' bytes
(little-endian, in the order just given).

It promises never to evaluate or to look up anything that a file names, and to allocate nothing by a
file's word alone: what is read is first compared with what is there.
"""

import contextlib
import copy
import hashlib
import json
import os
import secrets
import stat
from typing import Any

import numpy as np

from . import checks
from .errors import InputError, InputTypeError, ModelFormatError
from .network import ACTIVATIONS, Network
from .scaling import Scaling

__all__ = ["FORMAT", "FORMAT_VERSION", "read", "write"]

FORMAT = "cbackprop"
FORMAT_VERSION = 1


def write(path: str | os.PathLike[str], network: Network) -> None:
    """Save a network: written beside `path` under another name, then renamed.

    Raises
    ------
    InputError, InputTypeError
        If a parameter is not finite (a file that predicts NaN helps nobody), or `annotations` is
        not a dict that JSON gives back unchanged.
    OSError
        If the file cannot be written; a file that was there before stays as it was.
    """
    import safetensors.numpy

    annotations = _annotations_text(network.annotations)
    network = copy.copy(network)  # with the parameters of a whole step, should a fit be running
    tensors = dict(
        zip(
            _tensor_names(len(network.weights), network.bias, False),
            _in_order(network.weights, network.biases),
            strict=True,
        )
    )
    for name, A in tensors.items():
        if not np.isfinite(A).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(A))[0])
            raise InputError(
                f"{name}{list(index)} is {A[index]}; expected finite parameters: a network that "
                "holds NaN or infinity is not saved"
            )
    if network.input_scaling is not None:
        tensors["input_shift"] = network.input_scaling.shift
        tensors["input_scale"] = network.input_scaling.scale
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "sizes": json.dumps(network.sizes),
        "activations": json.dumps(network.activations),
        "bias": json.dumps(network.bias),
        "dtype": network.dtype.name,
        "annotations": annotations,
        "sha256": _checksum(tensors),
    }
    _write_whole(path, safetensors.numpy.save(tensors, metadata))


def read(path: str | os.PathLike[str]) -> Network:
    """Load a network that `write` saved.

    Raises
    ------
    ModelFormatError
        If the file is not such a file, is damaged, or is of a newer version.
    OSError
        If the file cannot be read.
    """
    import safetensors

    path = os.fspath(path)
    with open(path, "rb"):
        pass  # a missing or forbidden file is an OSError with its name, not the library's
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return _network(file)
    except _FlawError as flaw:
        raise ModelFormatError(f"{path}: {flaw}") from flaw.__cause__
    except safetensors.SafetensorError as error:
        raise ModelFormatError(f"{path}: not a safetensors file, or cut short ({error})") from error


class _FlawError(Exception):
    """What is wrong with a file."""


def _network(file: Any) -> Network:
    """The network in an open file; _FlawError tells what is wrong with it."""
    metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise _FlawError("a safetensors file of something else, not a cbackprop model")
    version = _entry(metadata, "format_version")
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        raise _FlawError(
            f"format version {version}, and this cbackprop reads version {FORMAT_VERSION}"
            + ("; a newer cbackprop can read it" if newer else "")
        )
    dtype = metadata.get("dtype")
    if dtype not in ("float64", "float32"):
        raise _FlawError(f"dtype is {dtype!r}; expected 'float64' or 'float32'")
    sizes, names, bias = (_entry(metadata, key) for key in ("sizes", "activations", "bias"))
    annotations = _entry(metadata, "annotations")
    if not isinstance(annotations, dict):
        raise _FlawError("annotations is not an object")
    if type(bias) is not bool:
        raise _FlawError(f"bias is {bias!r}; expected true or false")
    if not (isinstance(sizes, list) and all(type(size) is int for size in sizes)):
        raise _FlawError("sizes is not a list of integers")
    if not (isinstance(names, list) and all(n in ACTIVATIONS for n in names if type(n) is str)):
        raise _FlawError(f"activations is {names!r}; expected names among {', '.join(ACTIVATIONS)}")
    if len(names) != len(sizes) - 1 or not all(type(name) is str for name in names):
        raise _FlawError("activations does not hold one name for each layer of weights")
    tensors = _tensors(file, sizes, bias, dtype)
    if metadata.get("sha256") != _checksum(tensors):
        raise _FlawError("the checksum does not fit the parameters: the file is damaged")
    if not all(np.isfinite(A).all() for A in tensors.values()):
        raise _FlawError("a parameter is NaN or infinite")
    try:
        network = Network(
            sizes,
            activation=names[:-1],
            output_activation=names[-1],
            bias=bias,
            dtype=dtype,
            seed=0,
        )
        if "input_shift" in tensors:
            network.input_scaling = Scaling(tensors["input_shift"], tensors["input_scale"])
    except InputError as error:
        raise _FlawError(str(error)) from error
    for name, A in zip(
        _tensor_names(len(names), bias, False),
        _in_order(network.weights, network.biases),
        strict=True,
    ):
        A[...] = tensors[name]
    network.annotations = annotations
    return network


def _tensors(file: Any, sizes: list[int], bias: bool, dtype: str) -> dict[str, np.ndarray]:
    """The tensors that the sizes promise, and no others, in the order of the checksum."""
    there = set(file.keys())
    expected = _tensor_names(len(sizes) - 1, bias, "input_shift" in there)
    if there != set(expected):
        odd = ", ".join(sorted(there ^ set(expected)))
        raise _FlawError(f"the tensors do not fit the sizes {sizes}: {odd} missing or too many")
    tensors = {}
    for name in expected:
        if name.startswith("input"):
            shape, kind = [sizes[0]], "float64"
        else:
            i = int(name[1:])
            shape, kind = sizes[i - 1 : i + 1] if name[0] == "W" else [sizes[i]], dtype
        came = file.get_slice(name).get_shape()
        if came != shape:
            raise _FlawError(f"{name} has shape {came}; expected {shape}")
        try:
            tensors[name] = file.get_tensor(name)
        except (TypeError, ValueError) as error:  # bfloat16 and the like
            raise _FlawError(f"{name} is of a type that NumPy has not ({error})") from error
        if tensors[name].dtype != kind:
            raise _FlawError(f"{name} is {tensors[name].dtype}; expected {kind}")
    return tensors


def _tensor_names(n_layers: int, bias: bool, scaled: bool) -> list[str]:
    kinds = "Wb" if bias else "W"
    names = [f"{kind}{i}" for i in range(1, n_layers + 1) for kind in kinds]
    return names + ["input_shift", "input_scale"] * scaled


def _in_order(weights: tuple[np.ndarray, ...], biases: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """W1, b1, W2, b2, ..."""
    if not biases:
        return list(weights)
    return [A for pair in zip(weights, biases, strict=True) for A in pair]


def _checksum(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for A in tensors.values():
        digest.update(A.astype(A.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _entry(metadata: dict[str, str], key: str) -> Any:
    """A metadata entry parsed as JSON."""
    try:
        return json.loads(metadata[key], parse_constant=_refuse_constant)
    except KeyError:
        raise _FlawError(f"no {key} in its metadata") from None
    except (ValueError, RecursionError) as error:
        raise _FlawError(f"{key} in its metadata is not JSON") from error


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


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


def _write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that at every moment the old or the new one is there, complete."""
    target = os.path.realpath(os.fspath(path))  # through a link, not over it
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
    if mode is not None and not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "device or pipe"
        raise InputError(f"path is {target!r}, a {kind}; expected the name of a file")
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(8)}.tmp")
    # Made by os.open, unlike tempfile's files it has the mode that the umask asks for.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        with open(descriptor, "wb") as file:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    """The new name reaches the disk, too, where folders can be opened."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(OSError):  # some file systems cannot; the file itself is there
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
