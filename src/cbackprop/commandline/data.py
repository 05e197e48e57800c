"""A data set and its sources: digits, .csv, .npz, or FANN's text format.

`read_training` determines what the columns mean (a `Coding`); `read_matching` reads a further file
with that coding.  A `Part` is some rows of a data set, by number.  Nothing here scales, splits or
trains, and rows are copied only block by block.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError, MissingExtraError
from ..training.splits import is_one_hot
from . import csv_file, fann_file, npz_file
from .coding import Coding, classes_of, whole_number_labels

DIGITS = "digits"

# The numbers in a block of a part's rows: 16 MB of X and Y.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class Data:
    """Rows of inputs and, if known, of targets.

    Attributes
    ----------
    source : str
        The name given by the user.
    kind : str
        ``digits``, ``csv``, ``npz`` or ``fann``.
    X : ndarray, shape (rows, inputs)
    Y : ndarray, shape (rows, outputs), or None
        Targets in the form of the network's outputs: values, or one-hot rows.
    """

    source: str
    kind: str
    X: np.ndarray
    Y: np.ndarray | None

    def __len__(self) -> int:
        return len(self.X)


@dataclass(frozen=True)
class Part:
    """Some rows of a data set with targets.

    Attributes
    ----------
    data : Data
    rows : ndarray of int, or None
        Their numbers; None is all.
    """

    data: Data
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.data) if self.rows is None else len(self.rows)

    @property
    def targets(self) -> np.ndarray:
        """Y of these rows; a copy unless they are all rows."""
        assert self.data.Y is not None
        return self.data.Y if self.rows is None else self.data.Y[self.rows]

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield X and Y block by block."""
        X, Y = self.data.X, self.data.Y
        assert Y is not None
        step = max(1, _BLOCK // (X.shape[1] + Y.shape[1]))
        for start in range(0, len(self), step):
            which = slice(start, start + step)
            index = which if self.rows is None else self.rows[which]
            yield X[index], Y[index]


def read_training(
    source: str,
    *,
    targets: Sequence[str] | None = None,
    ignore: Collection[str] = (),
    classify: bool = False,
) -> tuple[Data, Coding]:
    """Read a data set to train on and determine the meaning of its columns.

    Parameters
    ----------
    source : str
        ``digits`` or a file.
    targets : sequence of str, optional
        The target columns of a .csv; by default the last one.
    ignore : collection of str
        Columns of a .csv that are neither inputs nor targets.
    classify : bool
        Whether numbers in the single target column are class labels, too.
    """
    content, kind = _open(source)
    if kind != "csv" and (targets or ignore):
        raise InputError(f"{source}: --target and --ignore name columns of a .csv file")
    names: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None
    found: np.ndarray | list[str] | None
    if kind == "csv":
        sheet = csv_file.Sheet(source, content)
        for name in ignore:
            sheet.position(name)
        candidates = [name for name in sheet.names if name not in ignore]
        names = tuple(targets or candidates[-1:])
        features = tuple(name for name in candidates if name not in names)
        if not features:
            raise InputError(f"{source}: besides the target it has no column to learn from")
        found = _csv_targets(sheet, names, classify)
        X = sheet.numbers(features)
    else:
        X, found, features = _read_unnamed(source, content, kind)
        names = ("digit",) if kind == DIGITS else None
    if found is None:
        raise InputError(f"{source}: it has no array Y (rows, outputs) to learn")
    if isinstance(found, np.ndarray) and classify and not is_one_hot(found):
        if found.shape[1] != 1:
            raise InputError(
                f"{source}: --classify wants one target column or one-hot rows; "
                f"there are {found.shape[1]} columns"
            )
        found = whole_number_labels(source, found[:, 0])
    if isinstance(found, np.ndarray):
        n_out = found.shape[1]
        classes = (names or tuple(map(str, range(n_out)))) if is_one_hot(found) else None
        return Data(source, kind, X, found), Coding(features, names, classes)
    classes = classes_of(found)
    if len(classes) < 2:
        raise InputError(f"{source}: all rows have the same class, {classes[0]!r}")
    if len(classes) > max(20, len(found) // 2):
        raise InputError(
            f"{source}: the target holds {len(classes)} different labels in {len(found)} rows; "
            "that is no set of classes"
        )
    coding = Coding(features, names or ("class",), classes, label_column=True)
    return Data(source, kind, X, coding.encode(source, found)), coding


def read_matching(
    source: str, coding: Coding, n_in: int, n_out: int, *, kind: str | None = None
) -> Data:
    """Read a data set for an existing network; Y is None if the file has no targets.

    Raises
    ------
    InputError
        If it is not of the given `kind`, or its columns or sizes do not fit the network.
    """
    content, own_kind = _open(source)
    if kind not in (None, own_kind):
        raise InputError(f"{source}: its kind is {own_kind}, that of the training data {kind}")
    kind = own_kind
    found: np.ndarray | list[str] | None
    if kind == "csv":
        sheet = csv_file.Sheet(source, content)
        names = coding.targets
        present = names is not None and all(
            name in sheet.names and any(sheet.cells(name)) for name in names
        )
        # A model trained on unnamed inputs takes all columns that are not its targets, in order.
        features = coding.features or [n for n in sheet.names if n not in (names or ())]
        X = sheet.numbers(features)
        found = None
        if present and names is not None:
            found = sheet.cells(names[0]) if coding.label_column else sheet.numbers(names)
    else:
        X, found, _ = _read_unnamed(source, content, kind)
    if X.shape[1] != n_in:
        raise InputError(f"{source}: {X.shape[1]} inputs a row where the network takes {n_in}")
    if isinstance(found, np.ndarray) and coding.label_column and found.shape[1] == 1:
        found = whole_number_labels(source, found[:, 0])
    if isinstance(found, list):
        if not coding.label_column:
            raise InputError(f"{source}: its targets are labels, the network's are numbers")
        found = coding.encode(source, found)
    if found is not None and found.shape[1] != n_out:
        raise InputError(f"{source}: {found.shape[1]} outputs a row where the network has {n_out}")
    return Data(source, kind, X, found)


def _open(source: str) -> tuple[bytes, str]:
    """The bytes of a file, and the kind of data: ``digits``, ``csv``, ``npz`` or ``fann``."""
    if source == DIGITS:
        return b"", DIGITS
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{source}: it is a folder, not a file")
    content = path.read_bytes()  # an OSError names the file and the reason
    if not content.strip():
        raise InputError(f"{source}: the file is empty")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return content, "csv"
    if suffix == ".npz":
        return content, "npz"
    if fann_file.header(content) is not None:
        return content, "fann"
    raise InputError(
        f"{source}: unknown kind of data; expected the name digits, a .csv or .npz file, or FANN's "
        'text format (first line: three whole numbers, "rows inputs outputs")'
    )


def _read_unnamed(
    source: str, content: bytes, kind: str
) -> tuple[np.ndarray, np.ndarray | list[str] | None, tuple[str, ...] | None]:
    """X, targets and the inputs' names for data whose columns are identified by position."""
    if kind == "npz":
        return *npz_file.read(source, content), None
    if kind == "fann":
        return *fann_file.read(source, content), None
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError(
            "the digits data set comes with scikit-learn: "
            'pip install "cbackprop[sklearn]", or name a file'
        ) from None
    digits = load_digits()
    return digits.data, [str(k) for k in digits.target.tolist()], tuple(digits.feature_names)


def _csv_targets(
    sheet: csv_file.Sheet, names: Sequence[str], classify: bool
) -> np.ndarray | list[str]:
    for name in names:
        sheet.position(name)
    if len(names) == 1 and (classify or not sheet.is_numeric(names[0])):
        cells = sheet.cells(names[0])
        if "" in cells:
            sheet.is_numeric(names[0])  # raises an error with the line
        return cells
    for name in names:
        if not sheet.is_numeric(name):
            raise InputError(
                f"{sheet.source}, column {name!r}: one column of labels, or several of numbers, "
                "can be the target"
            )
    return sheet.numbers(names)
