"""Reads FANN's text format: a line "rows inputs outputs", then all numbers, inputs before outputs.

Like FANN itself, this reader ignores later line ends: only the count of numbers matters, and they
are parsed in one go.  Lines are examined only to locate an error.
"""

from __future__ import annotations

import warnings

import numpy as np

from ..errors import InputError


def header(content: bytes) -> tuple[int, int, int] | None:
    """Rows, inputs, outputs from the first line; None if that line is not such a header."""
    words = content.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0].split()
    if len(words) != 3 or not all(word.isdigit() and len(word) < 19 for word in words):
        return None
    rows, inputs, outputs = map(int, words)
    return rows, inputs, outputs


def read(source: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """X (rows, inputs) and Y (rows, outputs), float64.

    Raises
    ------
    InputError
        For a size of 0, a count of numbers that differs from the header, or an entry that is not a
        finite number; the message names the line.
    """
    sizes = header(content)
    assert sizes is not None
    rows, inputs, outputs = sizes
    if min(sizes) < 1:
        raise InputError(
            f"{source}: the first line says {rows} rows, {inputs} inputs, {outputs} outputs; "
            "each must be at least 1"
        )
    body = content.split(b"\n", 1)[1].strip() if b"\n" in content else b""
    wanted = rows * (inputs + outputs)
    numbers = _parse(body)
    if numbers is None or not np.isfinite(numbers).all():
        raise InputError(f"{source}, {_first_bad_word(content)}")
    if numbers.size != wanted:
        raise InputError(
            f"{source}: the first line announces {rows} rows of {inputs} inputs and {outputs} "
            f"outputs, {wanted} numbers, but {numbers.size} follow{_odd_line(content, sizes)}"
        )
    table = numbers.reshape(rows, inputs + outputs)
    return np.ascontiguousarray(table[:, :inputs]), np.ascontiguousarray(table[:, inputs:])


def _parse(body: bytes) -> np.ndarray | None:
    if not body:  # np.fromstring turns white space into -1
        return np.empty(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # NumPy before 2.3 only warns
        try:
            return np.fromstring(body, dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning):
            return None


def _first_bad_word(content: bytes) -> str:
    for number, line in enumerate(content.split(b"\n"), start=1):
        for word in line.split() if number > 1 else ():
            value = _parse(word)
            if value is None or not np.isfinite(value).all():
                text = word[:30].decode("utf-8", "backslashreplace")
                why = "not a number" if value is None else "not finite"
                return f"line {number}: {text!r} is {why}"
    return "after the first line: not only numbers"


def _odd_line(content: bytes, sizes: tuple[int, int, int]) -> str:
    """The first line that breaks the usual layout: inputs and outputs on alternating lines."""
    lines = content.rstrip().split(b"\n")
    for number, line in enumerate(lines[1:], start=2):
        expected, found = sizes[1 + number % 2], len(line.split())
        if found != expected:
            usual_so_far = number > 3
            where = f" (line {number} holds {found} where {expected} were expected)"
            return where if usual_so_far else ""
    return ""
