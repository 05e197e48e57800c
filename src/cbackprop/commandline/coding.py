"""What the columns of a data set mean, and the conversion between labels and outputs.

A `Coding` is determined by the training data, stored in the model file (`Network.annotations`), and
used to interpret and name all later data.  It knows nothing of files and of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError, ModelFormatError


@dataclass(frozen=True)
class Coding:
    """The names of the inputs and outputs of a network.

    Attributes
    ----------
    features : tuple of str or None
        One name for each input; None if the data had none and inputs go by position.
    targets : tuple of str or None
        The target columns: one for each output, or a single column of class labels.
    classes : tuple of str or None
        The label of each output, in the order of the outputs; None if outputs are plain values.
    label_column : bool
        True if a row's class is a label; False if it is a one-hot row or there are no classes.
    """

    features: tuple[str, ...] | None
    targets: tuple[str, ...] | None
    classes: tuple[str, ...] | None = None
    label_column: bool = False

    @property
    def heading(self) -> str:
        """The name of the column for the predicted class."""
        return self.targets[0] if self.label_column and self.targets else "class"

    def output_names(self, n_out: int) -> tuple[str, ...]:
        """One name for each output; y0, y1, ... if the data had none."""
        return self.classes or self.targets or tuple(f"y{k}" for k in range(n_out))

    def encode(self, source: str, labels: Sequence[str]) -> np.ndarray:
        """One-hot rows, shape (len(labels), number of classes), for class labels."""
        assert self.classes is not None
        column = {label: k for k, label in enumerate(self.classes)}
        try:
            index = [column[label] for label in labels]
        except KeyError as error:
            row = labels.index(error.args[0]) + 1
            raise InputError(
                f"{source}: the label {error.args[0]!r} (row {row}) is none of the classes the "
                f"network knows: {shortened(self.classes)}"
            ) from None
        Y = np.zeros((len(labels), len(self.classes)))
        Y[np.arange(len(labels)), index] = 1.0
        return Y

    def decode(self, Y_hat: np.ndarray) -> list[str]:
        """The label of the largest output of each row (the first if several are equal)."""
        assert self.classes is not None
        return [self.classes[k] for k in Y_hat.argmax(axis=1)]

    def as_annotation(self) -> dict[str, Any]:
        """The coding as JSON reproduces it: with lists instead of tuples."""
        return {
            "features": None if self.features is None else list(self.features),
            "targets": None if self.targets is None else list(self.targets),
            "classes": None if self.classes is None else list(self.classes),
            "label_column": self.label_column,
        }

    @classmethod
    def from_annotation(cls, value: object, n_in: int, n_out: int) -> Coding:
        """The coding in a model file, which is untrusted, so each part is checked."""
        if value is None:  # saved by Network.save, not by this command line
            return cls(None, None)
        fields = value if isinstance(value, dict) else {}
        features, targets, classes = (
            _names(fields.get(key), key) for key in ("features", "targets", "classes")
        )
        label_column = fields.get("label_column") is True
        if (
            (features is not None and len(features) != n_in)
            or (classes is not None and len(classes) != n_out)
            or (targets is not None and len(targets) != (1 if label_column else n_out))
            or (label_column and classes is None)
            or not fields
        ):
            raise ModelFormatError(
                "the column names stored in the model do not fit its sizes; save the model anew"
            )
        return cls(features, targets, classes, label_column)


def classes_of(labels: Sequence[str]) -> tuple[str, ...]:
    """The distinct labels in the order of the outputs: whole numbers by value, else as text."""
    distinct = set(labels)
    try:
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    except ValueError:
        return tuple(sorted(distinct))


def whole_number_labels(source: str, y: np.ndarray) -> list[str]:
    """Numbers as class labels: 3.0 is the class "3"."""
    whole = np.isfinite(y) & (y == np.floor(y))
    if not whole.all():
        row = int(np.argmin(whole))
        raise InputError(
            f"{source}: the target in row {row + 1} is {y[row]}; "
            "only whole numbers and text can be taken as class labels"
        )
    return [str(int(value)) for value in y.tolist()]


def shortened(names: Sequence[str], most: int = 6) -> str:
    """Names for a message or a report, with the middle left out if there are many."""
    if len(names) <= most:
        return ", ".join(names)
    return ", ".join([*names[: most - 1], "...", names[-1]])


def _names(value: object, key: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise ModelFormatError(f"the model's {key} are not a list of names; save the model anew")
