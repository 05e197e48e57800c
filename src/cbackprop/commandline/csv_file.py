"""Reads .csv: a header of column names, then one record per line; columns are selected by name.

The separator is comma, semicolon or tab, whichever splits the header into most fields; quoted
fields, a byte order mark and either line end are accepted; empty records are skipped.  Only numbers
and labels are read, never dates, decimal commas or blanks for missing values, since a wrong guess
would go unnoticed.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputError

DELIMITERS = ",;\t"


class Sheet:
    """The records of a file, as text.

    Attributes
    ----------
    source : str
        The file's name, for messages.
    names : list of str
        The header; a column without a name is called "column 3", by its position.
    """

    def __init__(self, source: str, content: bytes) -> None:
        self.source = source
        text = _decoded(source, content)
        stream = io.StringIO(text, newline="")
        delimiter = max(DELIMITERS, key=lambda d: _header_fields(stream, d))
        reader = _reader(stream, delimiter)
        records, lines = [], []
        try:
            for record in reader:
                if any(map(str.strip, record)):
                    records.append(record)
                    lines.append(reader.line_num)
        except csv.Error as error:
            raise InputError(f"{source}, line {reader.line_num}: {error}") from None
        self.names = self._header(records[0] if records else [])
        self._records, self._lines = records[1:], lines[1:]
        self._underscores = "_" in text
        if not self._records:
            raise InputError(f"{source}: there are no rows after the header")
        for record, line in zip(self._records, self._lines, strict=True):
            if len(record) != len(self.names):
                raise InputError(
                    f"{source}, line {line}: number of fields {len(record)}, in the header "
                    f"{len(self.names)} (delimiter {delimiter!r})"
                )

    def __len__(self) -> int:
        return len(self._records)

    def _header(self, record: list[str]) -> list[str]:
        names = [name.strip() or f"column {k}" for k, name in enumerate(record, start=1)]
        if names and all(_number(name) is not None for name in names):
            raise InputError(
                f"{self.source}: the first line must name the columns; it holds only numbers"
            )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{self.source}: two columns are named {twice!r}")
        return names

    def position(self, name: str) -> int:
        """The index of a column; raises InputError if there is none of that name."""
        if name not in self.names:
            shown = ", ".join(self.names[:12]) + (", ..." if len(self.names) > 12 else "")
            raise InputError(
                f"{self.source}: there is no column {name!r}; the columns are: {shown}"
            )
        return self.names.index(name)

    def cells(self, name: str) -> list[str]:
        """The text of one column, without surrounding blanks."""
        k = self.position(name)
        return [record[k].strip() for record in self._records]

    def is_numeric(self, name: str) -> bool:
        """True if a column holds only finite numbers, False if it holds no numbers.

        Raises
        ------
        InputError
            If it holds both, or an empty cell: most likely a mistake in a single row.
        """
        cells = self.cells(name)
        numeric = [_number(cell) is not None for cell in cells]
        if "" in cells:
            row = cells.index("")
            raise InputError(f"{self._place(row, name)}: the target is missing")
        if any(numeric) and not all(numeric):
            row = numeric.index(False)
            raise InputError(
                f"{self._place(row, name)}: {cells[row]!r} is not a finite number, "
                "others in the column are; if they are all class labels, say --classify"
            )
        return numeric[0]

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """The columns of these names as an array, shape (rows, len(names)), float64.

        Raises
        ------
        InputError
            For an unknown column, or a cell that is empty, not a number, or not finite.
        """
        places = [self.position(name) for name in names]
        values = np.empty((len(self), len(places)))
        try:
            for row, record in enumerate(self._records):
                values[row] = [float(record[k]) for k in places]
        except ValueError:
            self._raise_bad_cell(names)
        # float() reads 12_34 as 1234, numpy and other readers do not.
        if not np.isfinite(values).all() or self._underscores:
            self._raise_bad_cell(names)
        return values

    def _raise_bad_cell(self, names: Sequence[str]) -> None:
        """Raise for the first cell that is not a finite number; return if there is none."""
        places = [(self.position(name), name) for name in names]
        for row, record in enumerate(self._records):
            for k, name in places:
                if _number(record[k]) is None:
                    cell = record[k].strip()
                    what = f"{cell[:40]!r} is not a finite number" if cell else "the cell is empty"
                    raise InputError(
                        f"{self._place(row, name)}: {what} "
                        "(--ignore leaves a column out of the training)"
                    )

    def _place(self, row: int, name: str) -> str:
        return f"{self.source}, line {self._lines[row]}, column {name!r}"


def _number(cell: str) -> float | None:
    """The cell's value; None if it is not a finite number."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def _reader(stream: io.StringIO, delimiter: str) -> Any:
    """Records from the beginning; an unclosed quote is an error, not one large cell."""
    stream.seek(0)
    return csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)


def _header_fields(stream: io.StringIO, delimiter: str) -> int:
    try:
        return len(next(filter(None, _reader(stream, delimiter)), []))
    except csv.Error:
        return 0


def _decoded(source: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{source}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8 text; "
            "save the file as CSV in UTF-8"
        ) from None
    if "\0" in text:
        raise InputError(f"{source}: it holds zero bytes, so it is not a text file")
    return text
