"""Named arrays and texts in a safetensors file with a checksum, read strictly.

Model files and checkpoints share it; docs/modelfile.md describes the bytes.

The safetensors library writes the file.  The reader is our own because the library maps the file
into memory, where truncation during the read kills the process, and because it silently takes the
last of two entries with the same name.

This file promises to execute and import nothing that a file names, and to trust no size in it:
sizes are compared with the file's length before anything is allocated.
"""

import hashlib
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from io import BufferedReader
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, ModelFormatError
from . import atomic

__all__ = ["FlawError", "TensorFile", "opened", "write"]

# The largest header in bytes.  Parsed JSON can take some thirty times as much memory.
MOST_HEADER = 1 << 22

# The dtypes by their names in the file, where numbers are little-endian.
DTYPES: dict[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4")}
CODES = {np.dtype(np.float64): "F64", np.dtype(np.float32): "F32"}


class FlawError(Exception):
    """What is wrong with a file; `opened` adds which file it is."""


# ------------------------------------------------------------------------------------------ writing


def write(
    path: str | os.PathLike[str],
    texts: Mapping[str, str],
    tensors: Mapping[str, np.ndarray],
    *,
    keep_previous: bool = False,
) -> None:
    """Write texts, among them "format" and "format_version", and arrays of float64 or float32.

    Raises
    ------
    InputError
        If the texts are too long for a header.
    OSError
        If the file cannot be written; an existing file is unchanged.
    """
    import safetensors.numpy

    tensors = {name: np.ascontiguousarray(A) for name, A in tensors.items()}
    data = safetensors.numpy.save(tensors, {**texts, "sha256": _checksum(texts, tensors)})
    size = int.from_bytes(data[:8], "little")
    if size > MOST_HEADER:
        raise InputError(
            f"the header would have {size} bytes; expected at most {MOST_HEADER}: "
            "save shorter annotations"
        )
    atomic.write_whole(path, data, keep_previous=keep_previous)


def _checksum(texts: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the header (sorted, without offsets and checksum) and of the arrays by name."""
    header: dict[str, Any] = {
        name: {"dtype": CODES[A.dtype], "shape": A.shape} for name, A in tensors.items()
    }
    header["__metadata__"] = {key: text for key, text in texts.items() if key != "sha256"}
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode("ascii"))
    for name in sorted(tensors):
        A = tensors[name]
        digest.update(A.astype(A.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------ reading


@contextmanager
def opened(
    path: str | os.PathLike[str], format_name: str, versions: range, keys: AbstractSet[str]
) -> Iterator["TensorFile"]:
    """Open a file and check format, version and metadata; a FlawError gets the file's name added.

    Raises
    ------
    ModelFormatError
        If the file is of another format or version, or damaged.
    OSError
        If the file cannot be read.
    """
    name = os.fsdecode(path)
    try:
        mode = os.stat(name).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe would wait
            raise FlawError("a device or pipe; expected a file")
        with open(name, "rb") as file:  # OSError for a folder
            yield TensorFile(file, format_name, versions, keys)
    except FlawError as flaw:
        raise ModelFormatError(f"{name}: {flaw}") from flaw.__cause__


class TensorFile:
    """An open file whose header has been checked.

    Attributes
    ----------
    version : int
        The format's version.
    """

    def __init__(
        self, file: BufferedReader, format_name: str, versions: range, keys: AbstractSet[str]
    ) -> None:
        length = os.fstat(file.fileno()).st_size
        header = _header(file, length)
        self._file = file
        self._texts = _texts(header.pop("__metadata__", {}))
        came = self._texts.get("format")
        if came != format_name:
            raise FlawError(f"a safetensors file of format {_short(came)}, not {format_name!r}")
        came = self.parsed("format_version")
        if type(came) is not int or came not in versions:
            newer = type(came) is int and came > versions[-1]
            raise FlawError(
                f"format version {_short(came)}, and this cbackprop reads versions {versions[0]} "
                f"to {versions[-1]}" + ("; a newer cbackprop can read it" if newer else "")
            )
        self.version = came
        keys = keys | {"format", "format_version", "sha256"}
        _compare("metadata", self._texts.keys(), keys)
        self._entries = _entries(header, length - file.tell())

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays' shapes by name."""
        return {name: entry.shape for name, entry in self._entries.items()}

    def parsed(self, key: str) -> Any:
        """The metadata entry `key`, parsed as JSON."""
        if key not in self._texts:
            raise FlawError(f"no {key} in its metadata")
        return _parsed(f"{key} in its metadata", self._texts[key])

    def tensors(self, expected: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
        """The arrays, after checking their dtypes, shapes and the checksum."""
        _compare("arrays", self._entries.keys(), expected.keys())
        for name, entry in self._entries.items():
            dtype, shape = expected[name]
            if entry.shape != shape:
                raise FlawError(f"{name} has shape {_short(entry.shape)}; expected {_short(shape)}")
            if entry.code != CODES[np.dtype(dtype)]:
                raise FlawError(f"{name} has the type {entry.code}; expected {dtype}")
        tensors = {}
        for name, entry in self._entries.items():  # in the order of the file
            A = np.empty(entry.shape, DTYPES[entry.code])
            if self._file.readinto(A.reshape(-1).view(np.uint8).data) != A.nbytes:
                raise FlawError("cut short while it was read")
            tensors[name] = A.astype(A.dtype.newbyteorder("="), copy=False)
        if self._texts["sha256"] != _checksum(self._texts, tensors):
            raise FlawError("the checksum does not fit the content: the file is damaged")
        return tensors


# --------------------------------------------------------------------------------------- the header


class _Entry(NamedTuple):
    """An array's bytes within the file, its type code and its shape."""

    start: int
    stop: int
    code: str
    shape: tuple[int, ...]


def _header(file: BufferedReader, length: int) -> dict[str, Any]:
    """The JSON object with which a file of `length` bytes begins."""
    size = int.from_bytes(file.read(8), "little")
    if size > length - 8:
        raise FlawError(
            f"not a safetensors file, or cut short: {length} bytes, "
            f"expected 8 and a header of {size}"
        )
    if size > MOST_HEADER:
        raise FlawError(f"its header has {size} bytes; expected at most {MOST_HEADER}")
    try:
        text = file.read(size).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FlawError("not a safetensors file: its header is not UTF-8") from error
    header = _parsed("not a safetensors file: its header", text)
    if not isinstance(header, dict):
        raise FlawError("not a safetensors file: its header is not an object")
    return header


def _texts(metadata: Any) -> dict[str, str]:
    if not (isinstance(metadata, dict) and all(type(text) is str for text in metadata.values())):
        raise FlawError("its metadata is not an object of texts")
    return metadata


def _entries(header: dict[str, Any], room: int) -> dict[str, _Entry]:
    """The arrays in a header; they fill the `room` bytes after it without gap or overlap."""
    entries = sorted((_entry(name, value), name) for name, value in header.items())
    end = 0
    for entry, name in entries:
        if entry.start != end:
            raise FlawError(f"{_short(name)} begins at byte {entry.start}; expected {end}")
        end = entry.stop
    if end != room:
        raise FlawError(f"cut short or too long: {room} bytes of arrays; expected {end}")
    return {name: entry for entry, name in entries}


def _entry(name: str, value: Any) -> _Entry:
    if not (isinstance(value, dict) and value.keys() == {"dtype", "shape", "data_offsets"}):
        raise FlawError(f"{_short(name)} has not just dtype, shape and data_offsets")
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if type(code) is not str or code not in DTYPES:
        raise FlawError(f"{_short(name)} has the type {_short(code)}; expected F64 or F32")
    if not (_are_sizes(shape) and len(shape) in (1, 2)):
        raise FlawError(f"{_short(name)} has the shape {_short(shape)}; expected one or two sizes")
    if not (_are_sizes(offsets) and len(offsets) == 2):
        raise FlawError(f"{_short(name)} has the offsets {_short(offsets)}; expected a pair")
    n_bytes = math.prod(shape) * DTYPES[code].itemsize
    if offsets[1] - offsets[0] != n_bytes:
        raise FlawError(f"{_short(name)} lies at {offsets}; expected {n_bytes} bytes")
    return _Entry(offsets[0], offsets[1], code, tuple(shape))


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def _compare(what: str, came: AbstractSet[str], expected: AbstractSet[str]) -> None:
    for word, names in (("missing", expected - came), ("unexpected", came - expected)):
        if names:
            listed = ", ".join(map(_short, sorted(names)[:5]))
            raise FlawError(f"{word} {what}: {listed}" + ", ..." * (len(names) > 5))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# --------------------------------------------------------------------------------------------- JSON


def _parsed(what: str, text: str) -> Any:
    """JSON, with finite numbers and no name given twice."""
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite
        )
    except (ValueError, RecursionError) as error:
        raise FlawError(f"{what} is not JSON ({error})") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{_short(twice)} stands there twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not a finite number")
    return number
