"""Checks of arguments, which raise errors in a uniform wording.

A message names the argument, the value given and what was expected, and says how to fix it.  Valid
input takes the fastest path: a float32 or float64 array with contiguous rows is passed on uncopied
after a few comparisons.  Nothing here reads a whole data array to check it: the core looks for NaN
and infinity while it reads the rows, and `raise_non_finite` finds the place afterwards.

This file promises not to compute anything and to know no network, trainer or file.
"""

import difflib
import itertools
import math
import operator
import secrets
import sys
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

import numpy as np

from .core.data.rows import ready
from .errors import InputError, InputTypeError

__all__ = [
    "as_numbers",
    "as_output",
    "as_rows",
    "as_weights",
    "boolean",
    "choice",
    "describe",
    "float_dtype",
    "layer_sizes",
    "positive_float",
    "positive_int",
    "raise_non_finite",
    "row_numbers",
    "same_rows",
    "seed_number",
    "whole_numbers",
]

FLOAT64 = np.dtype(np.float64)
FLOAT32 = np.dtype(np.float32)

# The types that as_rows passes on directly: for the core, memmap is the same as ndarray.
PLAIN_ARRAYS = (np.ndarray, np.memmap)

# raise_non_finite reads this many numbers at a time to keep its temporaries small.
CHUNK = 1 << 17

# The parameters of a network are one array, whose size in bytes must fit a Py_ssize_t.
MOST_BYTES = sys.maxsize


def describe(value: object) -> str:
    """A short description of a value, for messages."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        text = repr(value.item() if isinstance(value, np.generic) else value)
        text = text if len(text) <= 60 else text[:57] + "..."
        return text if value is None else f"{text} ({type(value).__name__})"
    return f"a {type(value).__name__}"


# ---------------------------------------------------------------------------------- numbers, names


def positive_int(name: str, value: Any, *, at_least: int = 1) -> int:
    """`value` as an int, at least `at_least`.  Integers of any type pass; 2.0 and True do not."""
    if type(value) is int and at_least <= value <= sys.maxsize:
        return value  # fast path, since checks are part of a fit's cost
    if not isinstance(value, (bool, np.bool_)):
        try:
            number = operator.index(value)
        except TypeError:
            pass
        else:
            if at_least <= number <= sys.maxsize:
                return number
            limit = f"at least {at_least}" if number < at_least else f"at most {sys.maxsize}"
            raise InputError(f"{name} is {describe(value)}; expected an integer of {limit}")
    raise InputTypeError(f"{name} is {describe(value)}; expected an integer of at least {at_least}")


def positive_float(name: str, value: Any, *, zero: bool = False, below: float = math.inf) -> float:
    """`value` as a finite float above 0 (or 0 itself where `zero`), and below `below`."""
    if type(value) is float and (0 < value < below or (zero and value == 0)) and value < math.inf:
        return value  # fast path, since checks are part of a trainer's cost
    expected = "a finite number " + ("of at least 0" if zero else "above 0")
    if below < math.inf:
        expected += f" and below {below:g}"
    is_text = isinstance(value, (str, bytes, bool, np.bool_))
    try:
        if is_text or np.ndim(value) > 0:
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputTypeError(f"{name} is {describe(value)}; expected {expected}") from None
    except Exception as error:  # a foreign type may raise anything
        raise InputTypeError(
            f"{name} is {describe(value)} that cannot be read as a number ({error}); "
            f"expected {expected}"
        ) from error
    if not (math.isfinite(number) and (number > 0 or (zero and number == 0)) and number < below):
        raise InputError(f"{name} is {number!r}; expected {expected}")
    return number


def number(name: str, value: Any) -> float:
    """`value` as a finite float of any sign."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        result = float(value)
    except (TypeError, ValueError):
        raise InputTypeError(f"{name} is {describe(value)}; expected a number") from None
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise InputError(f"{name} is {result}; expected a finite number")
    return result


def whole_numbers(name: str, value: Any) -> np.ndarray:
    """`value` as an int64 array of numbers of at least 0, of any shape."""
    try:
        numbers = np.asarray(value)
    except Exception as error:  # a foreign type may raise anything
        raise InputTypeError(
            f"{name} is {describe(value)} that cannot be read as an array ({error}); "
            "expected integers of at least 0"
        ) from error
    if numbers.size and numbers.dtype.kind not in "iu":
        raise InputTypeError(
            f"{name} is {describe(value)} (dtype {numbers.dtype}); expected integers of at least 0"
        )
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) <= np.iinfo(np.int64).max:
        raise InputError(
            f"{name} holds {numbers.min()} to {numbers.max()}; expected integers of at least 0"
        )
    return numbers.astype(np.int64)


def boolean(name: str, value: Any) -> bool:
    """`value` as a bool; 0, 1 and "yes" are refused, since they are mostly misplaced arguments."""
    if value is True or value is False or isinstance(value, np.bool_):
        return bool(value)
    raise InputTypeError(f"{name} is {describe(value)}; expected True or False")


def choice(name: str, value: Any, allowed: Collection[str]) -> str:
    """`value` if it is one of the `allowed` names; else an error that suggests the nearest."""
    if isinstance(value, str) and value in allowed:
        return value
    allowed = tuple(allowed)
    listed = ", ".join(repr(a) for a in allowed)
    if not isinstance(value, str):
        raise InputTypeError(f"{name} is {describe(value)}; expected one of {listed}")
    close = difflib.get_close_matches(value.lower(), allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise InputError(f"{name} is {value!r}; expected one of {listed}{hint}")


def float_dtype(name: str, value: Any) -> np.dtype:
    """float64 or float32, from a name, a NumPy type or a dtype."""
    try:
        dtype = None if value is None else np.dtype(value)
    except (TypeError, ValueError):
        dtype = None
    for good in (FLOAT64, FLOAT32):
        if dtype is not None and dtype == good:  # NumPy takes None for float64
            return good
    came = repr(value) if isinstance(value, (str, type, np.dtype)) else describe(value)
    kind = InputError if isinstance(value, str) or dtype is not None else InputTypeError
    raise kind(f"{name} is {came}; expected 'float64' or 'float32'")


def seed_number(name: str, value: Any) -> int:
    """A seed as a 64-bit integer, the key of counter-based generators.

    None takes fresh entropy from the system, an integer of 0..2**64 - 1 is used as it is, a
    `numpy.random.SeedSequence` gives its state, and a `numpy.random.Generator` gives (and advances
    by) two raw numbers.
    """
    if value is None:
        return secrets.randbits(64)
    if isinstance(value, np.random.SeedSequence):
        return int(value.generate_state(1, np.uint64)[0])
    if isinstance(value, np.random.Generator):
        # Some bit generators' raw numbers have only 32 random bits: take 32 of each.
        low, high = (int(raw) & 0xFFFFFFFF for raw in value.bit_generator.random_raw(2))
        return low | high << 32
    if not isinstance(value, (bool, np.bool_)):
        try:
            number = operator.index(value)
        except TypeError:
            pass
        else:
            if 0 <= number < 1 << 64:
                return number
            raise InputError(f"{name} is {describe(value)}; expected an integer of 0..2**64 - 1")
    raise InputTypeError(
        f"{name} is {describe(value)}; expected None, an integer of at least 0, a "
        "numpy.random.SeedSequence or a numpy.random.Generator"
    )


def layer_sizes(sizes: Any, *, bias: bool, itemsize: int) -> tuple[int, ...]:
    """The layer sizes (n_in, hidden..., n_out) as ints, checked against addressable memory."""
    try:
        if isinstance(sizes, (str, bytes, Mapping)):
            raise TypeError
        entries = tuple(sizes)
    except TypeError:
        raise InputTypeError(
            f"sizes is {describe(sizes)}; expected at least two layer sizes, for example (4, 10, 1)"
        ) from None
    if len(entries) < 2:
        raise InputError(
            f"sizes has {len(entries)} entries; expected at least two, the number of inputs and "
            "the number of outputs, for example (4, 10, 1)"
        )
    good = tuple(positive_int(f"sizes[{i}]", size) for i, size in enumerate(entries))
    n_parameters = sum((a + bias) * b for a, b in itertools.pairwise(good))
    if n_parameters * itemsize > MOST_BYTES:
        raise InputError(
            f"sizes is {good}: {n_parameters} parameters are more than memory can address; "
            "expected smaller layers"
        )
    return good


# ------------------------------------------------------------------------------------------- arrays


def as_numbers(name: str, value: Any, dtype: Any) -> np.ndarray:
    """`value` as a native float32 or float64 array of any shape; not copied if it is one.

    Integers, booleans, float16 and longdouble are cast to `dtype`.
    """
    if type(value) is np.ndarray and (value.dtype == FLOAT64 or value.dtype == FLOAT32):
        return value
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise InputError(
                f"{name} is a masked array with {int(value.mask.sum())} masked entries; "
                f"expected numbers everywhere: {name}.filled(0) or np.ma.compress_rows({name})"
            )
        value = value.data
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(value):
        raise InputTypeError(
            f"{name} is a sparse {value.format} matrix of shape {value.shape}; expected a dense "
            f"array: {name}.toarray() makes one"
        )
    try:
        X = np.asarray(value)
    except Exception as error:  # a foreign type may raise anything
        raise _unreadable(name, value, error) from error
    kind = X.dtype.kind
    if kind == "f":
        good = FLOAT32 if X.dtype.itemsize == 4 else FLOAT64
        if X.dtype.itemsize not in (4, 8):
            good = np.dtype(dtype)
        if X.dtype != good:  # float16, longdouble, foreign byte order
            with np.errstate(over="ignore"):
                X = X.astype(good)
        return X
    if kind in "biu":
        return X.astype(dtype)
    raise _not_numbers(name, value, X)


def as_rows(
    name: str,
    value: Any,
    n_columns: int | None,
    dtype: Any = FLOAT64,
    *,
    allow_1d: bool = False,
) -> np.ndarray:
    """`value` as the 2-D float array that the core reads.

    Parameters
    ----------
    name : str
        The argument's name, for messages.
    value : array-like, (n_rows, n_columns)
        Arrays of float32 or float64 with contiguous rows (or one column) are returned as they are,
        whatever the row stride, read-only or not, aligned or not.  Others are copied:
        integers, booleans, float16 and longdouble are cast to `dtype`.
    n_columns : int or None
        The expected width; None accepts any.
    allow_1d : bool
        Whether one-dimensional input is accepted as one column.

    Raises
    ------
    InputError, InputTypeError
        On anything else.  NaN and infinity are not looked for.
    """
    if type(value) in PLAIN_ARRAYS and ready(value, n_columns):
        return value  # type: ignore[no-any-return]
    X = as_numbers(name, value, dtype)
    if X.ndim == 1 and allow_1d and n_columns in (1, None):
        X = X.reshape(-1, 1)
    if X.ndim != 2:
        raise InputError(_about_dimensions(name, X, n_columns, allow_1d))
    if n_columns is not None and X.shape[1] != n_columns:
        raise InputError(
            f"{name} has {X.shape[1]} columns (shape {X.shape}); expected {n_columns}"
            + _about_transposing(name, X, n_columns)
        )
    if X.size == 0:
        raise InputError(f"{name} is empty (shape {X.shape}); expected at least one row and column")
    if X.strides[1] != X.itemsize and X.shape[1] > 1:
        X = np.ascontiguousarray(X)
    return X


def as_output(out: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A new array, or `out` if it can take the result."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise InputTypeError(f"out is {describe(out)}; expected an array of {dtype}")
    if out.shape != shape:
        raise InputError(f"out has shape {out.shape}; expected {shape}")
    if out.dtype != dtype:
        raise InputTypeError(f"out has dtype {out.dtype}; expected {dtype}, the result's")
    if not out.flags.c_contiguous:
        raise InputError("out is not C-contiguous; expected rows one after the other in memory")
    if not out.flags.aligned:
        raise InputError("out is not aligned in memory; expected an ordinary array, as of np.empty")
    if not out.flags.writeable:
        raise InputError("out is read-only; expected an array that can be written")
    return out


def same_rows(name: str, X: np.ndarray, other_name: str, other: np.ndarray) -> None:
    """Check that both arrays have the same number of rows."""
    if len(X) != len(other):
        raise InputError(
            f"{name} has {len(X)} rows and {other_name} has {len(other)}; "
            "expected one row for each example in both"
        )


def as_weights(name: str, value: Any, n_rows: int, *, what: str = "a row") -> np.ndarray | None:
    """Weights of rows, or of `what`, as a contiguous float64 array (n_rows,), or None.

    Each is finite and at least 0, and their sum is finite and above 0.
    """
    if value is None:
        return None
    weights = as_numbers(name, value, FLOAT64).astype(FLOAT64, copy=False)
    if weights.shape != (n_rows,):
        hint = "" if weights.size != n_rows else f". {name}.ravel() would do"
        raise InputError(
            f"{name} has shape {weights.shape}; expected one weight {what}, ({n_rows},){hint}"
        )
    weights = np.ascontiguousarray(weights)
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if not (math.isfinite(total) and total > 0 and weights.min() >= 0):
        bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if bad.size:
            raise InputError(
                f"{name}[{bad[0]}] is {weights[bad[0]]}; expected finite weights of at least 0"
            )
        raise InputError(f"{name} sums to {total}; expected a finite sum above 0")
    return weights


def row_numbers(
    name: str, value: Any, n_rows: int, *, expected: str = "the numbers of some rows"
) -> np.ndarray:
    """`value`, row numbers or a mask of rows, as distinct numbers (int64) of 0 .. n_rows - 1."""
    try:
        rows = np.asarray(value)
    except Exception as error:  # a foreign type may raise anything; also a list [X, Y]
        raise InputTypeError(
            f"{name} is {describe(value)} that cannot be read as an array ({error}); "
            f"expected {expected}"
        ) from error
    if rows.dtype == bool and rows.shape == (n_rows,):
        rows = np.flatnonzero(rows)
    if rows.dtype.kind not in "iu" or rows.ndim != 1 or not rows.size:
        raise InputTypeError(f"{name} is {describe(value)}; expected {expected}")
    if rows.min() < 0 or rows.max() >= n_rows:
        worst = rows.min() if rows.min() < 0 else rows.max()
        raise InputError(f"{name} holds row {worst}; expected row numbers of 0 .. {n_rows - 1}")
    rows = rows.astype(np.int64)
    if np.unique(rows).size != rows.size:
        raise InputError(f"{name} holds a row twice; expected each once")
    return rows


def raise_non_finite(
    X: np.ndarray,
    Y: np.ndarray | None = None,
    dtype: Any = None,
    *,
    names: tuple[str, str] = ("X", "Y"),
    missing: bool = False,
    rows: np.ndarray | None = None,
) -> NoReturn:
    """Find the first row that holds NaN or infinity and raise InputError about it.

    `dtype` is the network's: a float64 number too large for a float32 network is found too.  With
    `missing`, NaN in the second array is no error.  With `rows`, only the rows of these numbers are
    looked at, in this order.  Called after the core has found such a number, it reads a chunk of
    rows at a time and always raises.
    """
    arrays = [(names[0], X)] if Y is None else [(names[0], X), (names[1], Y)]
    widest = max(A.shape[1] for _, A in arrays)
    step = max(1, CHUNK // widest)
    for start in range(0, len(X) if rows is None else len(rows), step):
        found = []
        part = slice(start, start + step) if rows is None else rows[start : start + step]
        for name, A in arrays:
            chunk = A[part]
            with np.errstate(over="ignore"):
                cast = chunk if dtype is None else chunk.astype(dtype, copy=False)
            bad = np.isinf(cast) if missing and name == names[1] else ~np.isfinite(cast)
            if bad.any():
                row, column = divmod(int(bad.argmax()), A.shape[1])
                found.append((row, name, column, chunk[row, column]))
        if found:
            row, name, column, value = min(found, key=operator.itemgetter(0))
            at = start + row if rows is None else rows[start + row]
            place = f"{name} holds {value!s} at row {at}, column {column} (from 0)"
            if np.isfinite(value):
                raise InputError(
                    f"{place}, which float32 cannot hold; scale the data or use dtype='float64'"
                )
            raise InputError(
                f"{place}; expected finite numbers. "
                f"np.isfinite({name}).all(axis=1) marks the rows to keep"
            )
    which = " or ".join(name for name, _ in arrays)
    raise InputError(
        f"{which} held NaN or infinity while it was read and was changed since; expected finite "
        "numbers, and no writing during the call"
    )


def _unreadable(name: str, value: Any, error: Exception) -> Exception:
    """The error for something NumPy cannot turn into an array."""
    if isinstance(value, (list, tuple)):
        kinds = [f"has length {len(r)}" if hasattr(r, "__len__") else "is a number" for r in value]
        for i, kind in enumerate(kinds):
            if kind != kinds[0]:
                return InputError(
                    f"{name}[0] {kinds[0]} and {name}[{i}] {kind}; expected rows of one length"
                )
    return InputTypeError(
        f"{name} is {describe(value)} that cannot be read as an array ({error}); "
        "expected a 2-D array of numbers"
    )


def _not_numbers(name: str, value: Any, X: np.ndarray) -> Exception:
    """The error for an array whose entries are not real numbers."""
    expected = "expected a 2-D array of real numbers"
    if X.dtype.kind == "c":
        return InputTypeError(
            f"{name} is complex ({X.dtype}); {expected}: np.hstack([{name}.real, {name}.imag]) "
            "keeps both parts as columns"
        )
    if X.ndim == 0:
        return InputTypeError(f"{name} is {describe(value)}; {expected}")
    if hasattr(value, "columns") and hasattr(value, "dtypes"):  # a data frame with mixed columns
        columns = [
            f"{column!r} ({dtype})"
            for column, dtype in zip(value.columns, value.dtypes, strict=False)
            if getattr(dtype, "kind", "O") not in "biuf" or not isinstance(dtype, np.dtype)
        ]
        which = ", ".join(columns[:5]) + (", ..." if len(columns) > 5 else "")
        return InputTypeError(
            f"{name} is a {type(value).__name__} with columns that are not plain numbers: "
            f"{which or 'mixed types'}; {expected}: encode them, or {name}.astype(float)"
        )
    if X.dtype.kind == "O":
        for index in np.ndindex(X.shape):
            entry: Any = X[index]
            if not isinstance(entry, (int, float, np.number)):
                where = "".join(f"[{i}]" for i in index)
                return InputTypeError(
                    f"{name}{where} is {describe(entry)} (dtype object); {expected}: "
                    "encode it as a number"
                )
        return InputTypeError(
            f"{name} has dtype object; {expected}: np.asarray({name}, dtype=float)"
        )
    if X.dtype.kind in "US":
        hint = f": encode categories as numbers, or {name}.astype(float) if the text is numbers"
        return InputTypeError(f"{name} holds text (dtype {X.dtype}); {expected}{hint}")
    return InputTypeError(f"{name} has dtype {X.dtype}; {expected}")


def _about_dimensions(name: str, X: np.ndarray, n_columns: int | None, allow_1d: bool) -> str:
    width = "n_columns" if n_columns is None else str(n_columns)
    message = f"{name} has {X.ndim} dimensions (shape {X.shape}); expected 2, (n_rows, {width})"
    message = message.replace("has 1 dimensions", "has 1 dimension")
    if X.ndim > 2:
        return message + f": {name}.reshape(len({name}), -1) makes each example one row"
    if X.ndim == 0:
        return message + f": [[{name}]] is one row of one column"
    if n_columns == 1:
        return message + f": {name}.reshape(-1, 1) is one column"
    if allow_1d:  # targets
        return message + f": labels become columns by np.eye({width})[{name}]"
    if len(X) == n_columns:
        return message + f": {name}.reshape(1, -1) is one row"
    return message + f": {name}.reshape(1, -1) is one row, {name}.reshape(-1, 1) one column"


def _about_transposing(name: str, X: np.ndarray, n_columns: int) -> str:
    return f": {name}.T has, if examples stand in columns" if X.shape[0] == n_columns else ""
