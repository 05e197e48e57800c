"""Reads X and Y from NumPy's .npz; never unpickles anything."""

from __future__ import annotations

import io

import numpy as np

from ..errors import InputError


def read(source: str, content: bytes) -> tuple[np.ndarray, np.ndarray | list[str] | None]:
    """X (rows, inputs) and Y: (rows, outputs) floats, one text label a row, or None if absent.

    Raises
    ------
    InputError
        For another kind of file, a missing X, unusable shapes or dtypes, NaN or infinity.
    """
    arrays, names = _arrays(source, content)
    X = _pick(source, arrays, "X")
    if X is None:
        held = ", ".join(names) or "nothing"
        raise InputError(f"{source}: it has no array X (rows, inputs), it holds: {held}")
    if X.ndim != 2 or X.shape[0] < 1 or X.shape[1] < 1:
        raise InputError(f"{source}: X must be 2-D (rows, inputs) and not empty; it is {X.shape}")
    X = _numbers(source, "X", X)
    Y = _pick(source, arrays, "Y")
    if Y is None:
        return X, None
    if Y.ndim not in (1, 2) or Y.shape[0] != X.shape[0] or Y.size == 0:
        raise InputError(
            f"{source}: Y must have a row for each of the {X.shape[0]} rows of X; it is {Y.shape}"
        )
    if Y.dtype.kind in "US":
        if Y.ndim == 2 and Y.shape[1] > 1:
            raise InputError(f"{source}: Y holds text, so it must have one column; it is {Y.shape}")
        text = Y.reshape(-1)
        try:
            return X, [str(label) for label in text.astype("U").tolist()]
        except UnicodeDecodeError:
            raise InputError(f"{source}: Y holds bytes that are not ASCII text") from None
    return X, _numbers(source, "Y", Y.reshape(X.shape[0], -1))


def _arrays(source: str, content: bytes) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays X, Y, x and y, and the names of all arrays."""
    try:
        archive = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise InputError(f"{source}: a single array; np.savez(file, X=..., Y=...) is wanted")
        with archive:
            wanted = [name for name in archive.files if name in ("X", "x", "Y", "y")]
            return {name: archive[name] for name in wanted}, archive.files
    except (InputError, MemoryError):
        raise
    # For a damaged archive, zipfile, zlib and NumPy raise more kinds of errors than documented.
    except Exception as error:
        if "Object arrays" in str(error):
            raise InputError(
                f"{source}: an array of Python objects, which only unpickling could read; "
                "save numbers or text"
            ) from None
        raise InputError(f"{source}: not a whole .npz file") from error


def _pick(source: str, arrays: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    """The array by its upper or lower case name (y is common); both at once are ambiguous."""
    found = [arrays[key] for key in (name, name.lower()) if key in arrays]
    if len(found) > 1:
        raise InputError(f"{source}: it holds both {name} and {name.lower()}")
    return found[0] if found else None


def _numbers(source: str, name: str, values: np.ndarray) -> np.ndarray:
    """Finite floats in C order: float32 and float64 as they are, whole numbers as float64."""
    if values.dtype.kind not in "fiub":
        raise InputError(f"{source}: {name} must hold real numbers; its dtype is {values.dtype}")
    dtype = values.dtype if values.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    values = np.ascontiguousarray(values, dtype=dtype.newbyteorder("="))
    finite = np.isfinite(values)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise InputError(
            f"{source}: {name}[{row}, {column}] is {values[row, column]}; "
            "only finite numbers can be used"
        )
    return values
