"""Checkpoints: the state of a training in a file, from which it resumes bitwise identically.

A checkpoint holds what a model file holds and also the trainer's settings, state
(core/fit/state.pyx) and history; docs/modelfile.md describes it.  Functions cannot be stored and
are passed again on loading.  This file promises not to interpret the state of solvers and early
stopping.
"""

import copy
import json
import os
import time
from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from types import NoneType
from typing import Any

from .. import checks, solvers
from ..core.fit.early_stopping import N_REMEMBERED
from ..core.fit.setup import COLUMNS
from ..core.fit.state import State, restore_state
from ..errors import InputError, InputTypeError, ModelFormatError
from ..files.atomic import PREVIOUS
from ..files.tensors import FlawError, TensorFile, opened
from ..files.tensors import write as write_tensors
from ..losses import SETTINGS as LOSS_SETTINGS
from ..losses import spec_of
from ..network import model_file
from ..network.model_file import Description
from .history import History
from .trainer import Trainer

__all__ = ["Checkpoint", "Saver", "read", "write"]

Kinds = dict[str, tuple[type, ...]]

FORMAT = "cbackprop checkpoint"

# What is stored as JSON, with its types: attributes of the trainer and of its history, and those of
# its state that are not arrays; the state's floats in hexadecimal.
SETTINGS: Kinds = {
    "solver": (dict,),
    "loss": (str, dict),
    "batch_size": (int, NoneType),
    "shuffle": (bool, str, dict),
    "l1": (float,),
    "l2": (float,),
    "seed": (int,),
}
RECORD: Kinds = {
    "first_epoch": (int,),
    "stop_reason": (str, NoneType),
    "best_epoch": (int, NoneType),
}
FRESH = State().as_dict()
PLACE: Kinds = {
    name: (str if type(value) is float else type(value),)
    for name, value in FRESH.items()
    if value is not None
}
ARRAYS = [name for name, value in FRESH.items() if value is None]

# The losses that are objects with settings, by their class names.
LOSSES = {cls.__name__: cls for cls in LOSS_SETTINGS}


# ---------------------------------------------------------------------------------- when to save


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a fit saves its trainer.

    Parameters
    ----------
    path : path-like
        The file.  The previous one is kept, under the same name with ".previous" appended.
    every_epochs : int, optional
        Save when this many epochs have been done since the last save.
    every_seconds : float, optional
        Save when this many seconds have passed since the last save; 60 if neither is given.

    Raises
    ------
    InputError, InputTypeError
        A setting is out of range or of the wrong type.

    Notes
    -----
    Whether to save is checked some twenty times a second, so shorter epochs are not saved one by
    one.  The end of a fit is saved too.  `Trainer.load` shows how to resume.
    """

    path: str | os.PathLike[str]
    every_epochs: int | None = None
    every_seconds: float | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        if not isinstance(self.path, (str, os.PathLike)):
            raise InputTypeError(
                f"path is {checks.describe(self.path)}; expected the name of a file"
            )
        if self.every_epochs is None and self.every_seconds is None:
            set_(self, "every_seconds", 60.0)
        if self.every_epochs is not None:
            set_(self, "every_epochs", checks.positive_int("every_epochs", self.every_epochs))
        if self.every_seconds is not None:
            set_(self, "every_seconds", checks.positive_float("every_seconds", self.every_seconds))

    def _saver(self, epoch: int) -> "Saver":
        """The saver of a fit that begins after `epoch` epochs."""
        return Saver(self, epoch)


class Saver:
    """Saves a trainer during one fit.

    Parameters
    ----------
    checkpoint : Checkpoint
    epoch : int
        Complete epochs done when the fit begins.

    Raises
    ------
    InputError
        If the folder does not exist; checked here so as not to fail after an hour of training.
    """

    def __init__(self, checkpoint: Checkpoint, epoch: int) -> None:
        self._path = os.path.abspath(checkpoint.path)  # even if the current folder changes
        folder = os.path.dirname(self._path)
        if not os.path.isdir(folder):
            raise InputError(
                f"checkpoint is to be saved in {folder!r}; expected an existing folder"
            )
        self._checkpoint = checkpoint
        self._epoch, self._time = epoch, time.monotonic()

    def due(self, epoch: int, now: float) -> bool:
        """Whether to save now, after `epoch` epochs; `now` is from `time.monotonic`."""
        epochs, seconds = self._checkpoint.every_epochs, self._checkpoint.every_seconds
        return (epochs is not None and epoch - self._epoch >= epochs) or (
            seconds is not None and now - self._time >= seconds
        )

    def save(self, trainer: Trainer) -> None:
        """Save the trainer while its fit is between two steps.

        Raises
        ------
        OSError
            If the file cannot be written; the last checkpoint is unchanged.
        """
        write(self._path, trainer)
        self._epoch, self._time = trainer.epoch, time.monotonic()


# ------------------------------------------------------------------------------------------ writing


def write(path: str | os.PathLike[str], trainer: Trainer) -> None:
    """Save a trainer, completely or not at all, and keep the previous file.

    Raises
    ------
    InputError, InputTypeError
        If the network cannot be saved (`model_file.write`).
    OSError
        If the file cannot be written; an existing file is unchanged.
    """
    network = copy.copy(trainer.network)
    state, history = trainer._state.as_dict(), trainer.history
    place = {name: state[name] for name in PLACE}
    texts = {
        "format": FORMAT,
        **model_file.texts_of(network),
        "trainer": json.dumps({name: _described(getattr(trainer, name)) for name in SETTINGS}),
        "state": json.dumps({k: v.hex() if type(v) is float else v for k, v in place.items()}),
        "history": json.dumps({name: getattr(history, name) for name in RECORD}),
    }
    tensors = model_file.tensors_of(network)
    tensors |= {name: state[name] for name in ARRAYS if state[name] is not None}
    tensors |= {f"history.{name}": history[name] for name in history}
    write_tensors(path, texts, tensors, keep_previous=True)


def _described(setting: Any) -> Any:
    """A trainer's setting as JSON; for a function, only its name."""
    if isinstance(setting, solvers.SOLVERS):
        return solvers.describe(setting)
    if not isinstance(setting, str) and spec_of(setting) is not None:
        return {type(setting).__name__: asdict(setting)}
    if callable(setting):
        return {"function": getattr(setting, "__qualname__", type(setting).__name__)}
    return setting


# ------------------------------------------------------------------------------------------ reading


def read(
    path: str | os.PathLike[str],
    *,
    loss: Callable[..., Any] | None = None,
    shuffle: Callable[[int], Any] | None = None,
) -> Trainer:
    """Rebuild the trainer that `write` saved.

    Parameters
    ----------
    path : path-like
    loss, shuffle : callable
        The saved trainer's, if they were functions, which no file can hold.

    Raises
    ------
    ModelFormatError
        If the file is not a checkpoint, is damaged, or is of a newer version.
    InputError
        If a function is missing, or one is given although the trainer had none.
    OSError
        If the file cannot be read.
    """
    keys = {*Description._fields, "trainer", "state", "history"}
    try:
        with opened(path, FORMAT, model_file.VERSIONS, keys) as file:
            return _trainer(file, {"loss": loss, "shuffle": shuffle})
    except ModelFormatError as error:
        previous = os.fsdecode(path) + PREVIOUS
        if not os.path.exists(previous):
            raise
        raise ModelFormatError(f"{error}; the checkpoint before it is {previous}") from error


def _trainer(file: TensorFile, functions: dict[str, Any]) -> Trainer:
    """The trainer stored in an open checkpoint."""
    described = Description.read(file)
    settings = _settings(_members(file, "trainer", SETTINGS), functions)
    place = _members(file, "state", PLACE)
    record = _members(file, "history", RECORD)
    columns = [name for name in COLUMNS if name in History() or f"history.{name}" in file.shapes]
    tensors = file.tensors(_arrays(described, columns, file))
    try:
        trainer = Trainer(described.network(tensors), **settings)
    except (InputError, InputTypeError) as error:
        raise FlawError(str(error)) from error
    rate = getattr(trainer.solver, "learning_rate", None)
    trainer._plateau = rate if getattr(rate, "adaptive", False) else None
    trainer._state = _state(place, {name: tensors.get(name) for name in ARRAYS})
    trainer.history._extend(
        **{name: array("d", tensors[f"history.{name}"].tobytes()) for name in columns}
    )
    for name, value in record.items():
        setattr(trainer.history, name, value)
    return trainer


def _members(file: TensorFile, key: str, kinds: Kinds) -> dict[str, Any]:
    """The JSON object `key`, after checking that its members have these kinds, integers >= 0."""
    members = file.parsed(key)
    if not (isinstance(members, dict) and members.keys() == kinds.keys()):
        raise FlawError(f"{key} in its metadata does not hold just {', '.join(kinds)}")
    for name, value in members.items():
        if type(value) not in kinds[name] or (type(value) is int and value < 0):
            raise FlawError(f"{key} in its metadata has the {name} {value!r:.60}")
    return members


def _state(place: dict[str, Any], arrays: dict[str, Any]) -> State:
    try:
        place = place | {
            name: float.fromhex(place[name])
            for name, value in FRESH.items()
            if type(value) is float
        }
        state = restore_state(place | arrays)
    except (ValueError, OverflowError) as error:
        raise FlawError(f"state in its metadata is invalid: {error}") from error
    if state.position > state.n_rows:
        raise FlawError(f"position {state.position} lies behind the {state.n_rows} rows")
    return state


def _arrays(
    described: Description, columns: list[str], file: TensorFile
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """(dtype, shape) of each array; how many vectors and numbers there are is not fixed."""
    arrays, shapes, n_parameters = described.arrays(file), file.shapes, described.n_parameters
    for name in shapes.keys() & set(ARRAYS):
        length = shapes[name][0]
        arrays[name] = {
            "vectors": (described.dtype, (length, n_parameters)),
            "best_parameters": (described.dtype, (n_parameters,)),
            "watch": ("float64", (N_REMEMBERED,)),
        }.get(name, ("float64", (length,)))
    n_epochs = shapes.get("history.loss", (0,))[0]
    return arrays | {f"history.{name}": ("float64", (n_epochs,)) for name in columns}


def _settings(described: dict[str, Any], functions: dict[str, Any]) -> dict[str, Any]:
    """A trainer's settings from their descriptions, with the given functions inserted."""
    settings = dict(described)
    for name, given in functions.items():
        value = described[name]
        was_function = isinstance(value, dict) and value.keys() == {"function"}
        if was_function and not callable(given):
            raise InputError(
                f"the trainer's {name} was a function, {value['function']!r:.60}, which no file "
                f"can hold; expected it again: Trainer.load(path, {name}=...)"
            )
        if not was_function and given is not None:
            raise InputError(
                f"{name} is {checks.describe(given)}; expected none, since the checkpoint has its "
                f"own, {value!r:.60}"
            )
        if was_function:
            settings[name] = given
    try:
        settings["solver"] = solvers.restore(described["solver"])
        if isinstance(settings["loss"], dict):
            settings["loss"] = _loss(settings["loss"])
    except (InputError, InputTypeError) as error:
        raise FlawError(str(error)) from error
    return settings


def _loss(described: dict[str, Any]) -> Any:
    for name, cls in LOSSES.items():
        settings = described.get(name)
        if isinstance(settings, dict) and settings.keys() == {field.name for field in fields(cls)}:
            return cls(**settings)
    raise FlawError(f"the loss {described!r:.60} is unknown")
