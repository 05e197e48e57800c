"""Checkpoints: each field to the bit, resumed equal to uninterrupted, nothing lost by a kill."""

import contextlib
import errno
import json
import math
import multiprocessing
import os
import random
import time
import warnings
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from cbackprop import (
    CBackpropError,
    Checkpoint,
    EarlyStopping,
    Network,
    Posterior,
    Trainer,
    losses,
    solvers,
)
from cbackprop.errors import BusyError, InputError, InputTypeError, ModelFormatError
from cbackprop.network.scaling import Scaling
from cbackprop.solvers import schedules
from cbackprop.training import checkpoint
from tensor_bytes import (
    checksum,
    edited,
    edited_number,
    edited_text,
    laid_out,
    mutated,
    parts,
    put,
    sealed,
)

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(50, 3)), rng.uniform(0.1, 0.9, size=(50, 2))

SOLVERS = [
    solvers.SGD(learning_rate=0.5),
    solvers.SGD(learning_rate=0.1, momentum=0.9),
    solvers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
    solvers.Adam(learning_rate=0.01),
    solvers.Adam(learning_rate=0.01, amsgrad=True),
    solvers.AdamW(learning_rate=0.01),
    solvers.NAdam(learning_rate=0.01),
    solvers.RProp(),
    solvers.LBFGS(),
]


def trainer_of(solver=SOLVERS[1], *, dtype="float64", **settings):
    net = Network((3, 5, 2), activation="tanh", dtype=dtype, seed=1)
    settings = {"batch_size": None if solver.full_batch else 8, "seed": 3} | settings
    return Trainer(net, solver=solver, **settings)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.checkpoint"


def value_of(trainer, *, seconds=True):
    """All of a trainer that training depends on or makes, to the bit."""
    state = {
        name: value.tobytes() if isinstance(value, np.ndarray) else value
        for name, value in trainer._state.as_dict().items()
    }
    history = {
        name: column.tobytes()
        for name, column in trainer.history.items()
        if seconds or name != "seconds"
    }
    record = [getattr(trainer.history, name) for name in checkpoint.RECORD]
    settings = [getattr(trainer, name) for name in checkpoint.SETTINGS]
    return (
        repr(trainer.network),
        trainer.network.parameters.tobytes(),
        state,
        history,
        record,
        settings,
    )


# ------------------------------------------------------------------------------------- round trip


def test_every_field_to_the_bit(path, dtype):
    trainer = trainer_of(dtype=dtype, l1=1e-300, l2=0.1, loss=losses.Huber(threshold=1 / 3))
    net, state = trainer.network, trainer._state
    net.input_scaling, net.output_scaling = Scaling([1, 2, 3], [4, 5, 6]), Scaling([7, 8], [9, 1])
    net.annotations = {"a": [1, "ü"]}
    P = net.n_parameters
    odd = np.array([np.nan, np.inf, -0.0, 5e-324, 1 / 3])
    state.epoch, state.position, state.n_rows, state.batch_rows = 1 << 40, 16, 50, 8
    state.loss_sum, state.unit_sum, state.kind = 0.1 + 0.2, math.inf, "momentum"
    state.vectors = np.resize(odd, (3, P)).astype(dtype)
    state.numbers = np.arange(7) / 7
    state.stopping = np.resize(odd, 16)
    state.best_parameters = np.resize(odd, P).astype(dtype)
    trainer.history._extend(loss=odd, learning_rate=odd / 3, seconds=odd, test_metric=odd[::-1])
    trainer.history.first_epoch, trainer.history.best_epoch = 12, 14
    trainer.history.stop_reason = "early_stopping"
    trainer.save(path)
    got = Trainer.load(str(path))
    assert value_of(got) == value_of(trainer)
    assert got.network.annotations == net.annotations
    assert got.network.output_scaling.scale.tolist() == [9, 1]
    assert list(got.history) == list(trainer.history)


def test_a_posterior_goes_along(path):
    trainer = trainer_of()
    net = trainer.network
    P = net.n_parameters
    net.posterior = Posterior(np.eye(P), 0.1, 3.0, 5.5, net.parameters)
    trainer.save(path)
    assert parts(path.read_bytes())[0]["__metadata__"]["format_version"] == "2"
    got = Trainer.load(path)
    assert value_of(got) == value_of(trainer)
    known = got.network.posterior
    assert known.factor.tobytes() == np.eye(P).tobytes()
    assert (known.alpha, known.beta, known.effective_parameters) == (0.1, 3.0, 5.5)
    trainer.fit(X, Y, epochs=1)  # which moves the parameters away from it
    trainer.save(path)
    assert Trainer.load(path).network.posterior is None


def test_a_new_trainer(path):
    trainer = trainer_of(batch_size=None, seed=(1 << 64) - 1)
    trainer.save(path)
    assert value_of(Trainer.load(path)) == value_of(trainer)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_settings(path, solver):
    for loss in ("squared_error", losses.Quantile(quantile=0.1)):
        for shuffle in (True, False):
            trainer = trainer_of(solver, loss=loss, shuffle=shuffle)
            trainer.save(path)
            assert value_of(Trainer.load(path)) == value_of(trainer)


def my_order(epoch):
    return np.random.default_rng(epoch).permutation(50)


def my_loss(Y, Y_hat):
    return float(((Y_hat - Y) ** 2).mean()), 2 * (Y_hat - Y) / Y.size


def test_functions_are_handed_over_again(path):
    trainer = trainer_of(loss=my_loss, shuffle=my_order)
    trainer.fit(X, Y, epochs=1)
    trainer.save(path)
    with pytest.raises(InputError, match=r"loss was a function, 'my_loss', .*load\(path, loss="):
        Trainer.load(path)
    with pytest.raises(InputError, match=r"shuffle was a function, 'my_order', .*shuffle="):
        Trainer.load(path, loss=my_loss)
    with pytest.raises(InputError, match="loss was a function"):
        Trainer.load(path, loss="squared_error", shuffle=my_order)
    got = Trainer.load(path, loss=my_loss, shuffle=my_order)
    assert value_of(got) == value_of(trainer)
    trainer_of().save(path)
    with pytest.raises(InputError, match=r"loss is a function; .* its own, 'squared_error'"):
        Trainer.load(path, loss=my_loss)


# -------------------------------------------------------------------------- resumed, uninterrupted


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("steps", [1, 6, 7, 10])
def test_a_resumed_training_has_the_bits_of_an_uninterrupted_one(path, solver, steps, dtype):
    """Seven steps an epoch: after the first, before and at the end of one, within the next."""
    whole, first = trainer_of(solver, dtype=dtype), trainer_of(solver, dtype=dtype)
    epochs = 12 if solver.full_batch else 4
    whole.fit(X, Y, epochs=epochs)
    first._fit(X, Y, epochs=epochs, steps=steps)
    first.save(path)
    second = Trainer.load(path)
    assert value_of(second) == value_of(first)
    second.fit(X, Y, epochs=epochs - second.epoch)
    assert value_of(second, seconds=False) == value_of(whole, seconds=False)


@pytest.mark.parametrize("steps", [3, 20, 40, 61])
def test_stopping_and_a_falling_rate_go_on_too(path, steps):
    rate = schedules.ReduceOnPlateau(0.5, patience=2, min_delta=0.02, factor=0.5)
    solver = solvers.SGD(learning_rate=rate, momentum=0.5)
    stopping = EarlyStopping(patience=9, min_delta=1e-4)
    settings = dict(validation_data=0.3, metric="r2", early_stopping=stopping)
    whole, first = trainer_of(solver), trainer_of(solver)
    whole.fit(X, Y, epochs=300, **settings)
    assert whole.epoch < 300 and len(set(whole.history["learning_rate"])) > 2
    # The end of a fit is saved before the network gets its best parameters.
    first._fit(X, Y, epochs=300, steps=steps, checkpoint=Checkpoint(path), **settings)
    assert first.epoch < whole.epoch
    second = Trainer.load(path)
    second.fit(X, Y, epochs=300 - second.epoch, **settings)
    assert value_of(second, seconds=False) == value_of(whole, seconds=False)


def test_a_fit_saves_itself(path):
    """The last checkpoint of a fit that fails goes on to the end of one that does not."""

    class Failing:
        def on_epoch_end(self, trainer, record):
            if trainer.epoch == 5:
                raise RuntimeError("power cut")

    whole, first = trainer_of(), trainer_of()
    whole.fit(X, Y, epochs=8)
    every = Checkpoint(path, every_epochs=2)
    with pytest.raises(RuntimeError, match="power cut"):
        first.fit(X, Y, epochs=8, checkpoint=every, callbacks=[Failing()])
    second = Trainer.load(path)
    assert 0 < second.epoch <= 5
    second.fit(X, Y, epochs=8 - second.epoch, checkpoint=every)
    assert value_of(second, seconds=False) == value_of(whole, seconds=False)
    saved = Trainer.load(path)  # at the end, too
    assert value_of(saved, seconds=False)[:4] == value_of(whole, seconds=False)[:4]


# --------------------------------------------------------------------------------- when it is saved


def test_settings_of_a_checkpoint(path):
    assert Checkpoint(path).every_seconds == 60
    assert Checkpoint(path, every_epochs=3).every_seconds is None
    with pytest.raises(FrozenInstanceError):
        Checkpoint(path).path = "other"
    with pytest.raises(InputTypeError, match=r"path is 3 \(int\); expected the name of a file"):
        Checkpoint(3)
    with pytest.raises(InputError, match="every_epochs is 0"):
        Checkpoint(path, every_epochs=0)
    with pytest.raises(InputError, match="every_seconds is -1"):
        Checkpoint(path, every_seconds=-1)
    with pytest.raises(
        InputError, match=r"is to be saved in '.*nowhere'; expected an existing folder"
    ):
        checkpoint.Saver(Checkpoint(path.parent / "nowhere" / "name"), 0)


def test_when_a_checkpoint_is_due(path):
    now = time.monotonic()
    trainer = trainer_of()
    by_epochs = checkpoint.Saver(Checkpoint(path, every_epochs=3), epoch=4)
    assert [by_epochs.due(epoch, now + 1e9) for epoch in (4, 6, 7, 8)] == [False, False, True, True]
    trainer._state.epoch = 8
    by_epochs.save(trainer)
    assert [by_epochs.due(epoch, now) for epoch in (8, 10, 11)] == [False, False, True]
    by_seconds = checkpoint.Saver(Checkpoint(path, every_seconds=1000), epoch=0)
    assert [by_seconds.due(10**6, now + s) for s in (0, 999, 1001)] == [False, False, True]
    either = checkpoint.Saver(Checkpoint(path, every_epochs=2, every_seconds=1000), epoch=0)
    assert [either.due(1, now), either.due(2, now), either.due(1, now + 1001)] == [
        False,
        True,
        True,
    ]


def test_the_folder_stays_though_the_current_one_changes(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    saving = checkpoint.Saver(Checkpoint(path.name), 0)
    monkeypatch.chdir("/")
    saving.save(trainer_of())
    assert path.exists()


def test_a_trainer_is_not_saved_while_another_call_trains_it(path):
    trainer, claim = trainer_of(), object()
    trainer.network._begin_fit("fit", claim)
    try:
        with pytest.raises(
            BusyError, match="cannot save the trainer: the network is being trained"
        ):
            trainer.save(path)
    finally:
        trainer.network._end_fit(claim)
    assert not path.exists()


# ------------------------------------------------------------------------------------ whole or not


def test_a_failed_save_is_told_and_leaves_the_last_checkpoint(path, monkeypatch):
    trainer = trainer_of()
    trainer.fit(X, Y, epochs=1)
    trainer.save(path)
    kept = value_of(trainer)
    trainer.fit(X, Y, epochs=1)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                trainer.save(path)
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                trainer.fit(X, Y, epochs=1, checkpoint=Checkpoint(path, every_epochs=1))
        assert value_of(Trainer.load(path)) == kept


def test_the_one_before_is_kept_and_named(path):
    trainer = trainer_of()
    trainer.save(path)
    first = value_of(trainer)
    trainer.fit(X, Y, epochs=1)
    trainer.save(path)
    previous = path.with_name(path.name + ".previous")
    assert value_of(Trainer.load(previous)) == first
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ModelFormatError, match=r"cut short .*; the checkpoint before it is .*previous"
    ):
        Trainer.load(path)
    previous.unlink()
    with pytest.raises(ModelFormatError, match=r"cut short .*expected \d+$"):
        Trainer.load(path)


def train_on(folder, epochs):
    """What a user's script does: go on from the checkpoint if there is one."""
    path = Path(folder) / "run"
    trainer = Trainer.load(path) if path.exists() else trainer_of()
    while trainer.epoch < epochs:
        trainer._fit(X, Y, epochs - trainer.epoch, steps=3)
        trainer.save(path)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no kill -9")
def test_kills_at_200_random_moments_lose_nothing(tmp_path):
    epochs, kills, runs, moments = 400, 0, 0, random.Random(0)
    whole = trainer_of()
    whole.fit(X, Y, epochs=epochs)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cbackprop"])
    while kills < 200 or runs == 0:
        process = context.Process(target=train_on, args=(str(tmp_path), epochs))
        process.start()
        process.join(moments.uniform(0, 0.3) if kills < 200 else None)
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
        assert process.exitcode in (0, -9)
        if not (tmp_path / "run").exists():  # killed before the first was written
            assert process.exitcode == -9
            continue
        got = Trainer.load(tmp_path / "run")
        if got.epoch == epochs:
            assert value_of(got, seconds=False)[:4] == value_of(whole, seconds=False)[:4]
            for file in tmp_path.iterdir():
                file.unlink()
            runs += 1


# ---------------------------------------------------------------------------------- refused to read


def refused(path, raw, words):
    put(path, raw)
    with pytest.raises(ModelFormatError, match=words) as caught:
        Trainer.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def trained(path):
    """The bytes of a checkpoint within an epoch."""
    trainer = trainer_of()
    trainer._fit(X, Y, epochs=3, steps=10)
    trainer.save(path)
    return path.read_bytes()


def test_a_model_file_is_no_checkpoint_and_no_checkpoint_a_model_file(path, trained):
    with pytest.raises(ModelFormatError, match="of format 'cbackprop checkpoint', not 'cbackprop'"):
        Network.load(path)
    Network((1, 1)).save(path)
    refused(path, path.read_bytes(), "of format 'cbackprop', not 'cbackprop checkpoint'")


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("trainer", {"seed": None}, "trainer in its metadata has the seed None"),
        ("trainer", {"seed": -1}, "has the seed -1"),
        ("trainer", {"seed": 1 << 64}, "seed is 18446744073709551616"),
        ("trainer", {"batch_size": 0}, "batch_size is 0"),
        ("trainer", {"batch_size": "8"}, "has the batch_size '8'"),
        ("trainer", {"shuffle": 1}, "has the shuffle 1"),
        ("trainer", {"shuffle": "widow"}, "shuffle is 'widow'"),
        ("trainer", {"loss": "nonsense"}, "loss is 'nonsense'"),
        ("trainer", {"loss": {"Huber": {"threshold": -1}}}, "threshold is -1"),
        ("trainer", {"loss": {"Huber": {"depth": 1}}}, "the loss .* is unknown"),
        ("trainer", {"loss": {"eval": {}}}, "the loss .* is unknown"),
        ("trainer", {"solver": {"solver": "os.system"}}, "solver is 'os.system'"),
        ("trainer", {"solver": "SGD"}, "has the solver 'SGD'"),
        ("trainer", {"n_threads": 1}, "trainer in its metadata does not hold just solver, loss"),
        ("trainer", {"l1": -1.0}, "l1 is -1"),
        ("state", {"epoch": -1}, "state in its metadata has the epoch -1"),
        ("state", {"epoch": 1 << 63}, "state in its metadata is invalid"),
        ("state", {"epoch": 1.0}, "has the epoch 1.0"),
        ("state", {"epoch": True}, "has the epoch True"),
        ("state", {"position": 51}, "position 51 lies behind the 50 rows"),
        ("state", {"loss_sum": 0.5}, "has the loss_sum 0.5"),
        ("state", {"loss_sum": "x"}, "state in its metadata is invalid"),
        ("state", {"loss_sum": "0x1p99999"}, "state in its metadata is invalid"),
        ("state", {"kind": 3}, "has the kind 3"),
        ("state", {"velocity": 3}, "state in its metadata does not hold just epoch, position"),
        ("history", {"first_epoch": None}, "has the first_epoch None"),
        ("history", {"best_epoch": "1"}, "has the best_epoch '1'"),
        ("history", {"stop_reason": 1}, "has the stop_reason 1"),
    ],
)
def test_false_metadata(path, trained, key, change, words):
    header, data = parts(trained)
    texts = header["__metadata__"]
    texts[key] = json.dumps(json.loads(texts[key]) | change)
    refused(path, sealed(header, data), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vectors": ("F64", [1, 31], bytes(248))}, "vectors has shape .1, 31.; expected .1, 32."),
        ({"vectors": ("F64", [32], bytes(256))}, "vectors has shape .32,.; expected .32, 32."),
        ({"vectors": ("F32", [1, 32], bytes(128))}, "vectors has the type F32; expected float64"),
        ({"watch": ("F64", [4, 4], bytes(128))}, "watch has shape .4, 4.; expected .16,."),
        ({"watch": ("F64", [15], bytes(120))}, "watch has shape .15,.; expected .16,."),
        (
            {"best_parameters": ("F64", [31], bytes(248))},
            "best_parameters has shape .31,.; expected",
        ),
        ({"history.loss": None}, "missing arrays: 'history.loss'"),
        ({"history.loss": ("F64", [2], bytes(16))}, r"history.\w+ has shape .1,.; expected .2,."),
        ({"history.self": ("F64", [1], bytes(8))}, "unexpected arrays: 'history.self'"),
        ({"velocity": ("F64", [32], bytes(256))}, "unexpected arrays: 'velocity'"),
        ({"b2": ("F64", [2], b"\xff" * 16)}, "a parameter is NaN or infinite"),
    ],
)
def test_false_arrays(path, trained, change, words):
    header, data = parts(trained)
    arrays = {
        name: (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
        for name, entry in header.items()
        if name != "__metadata__"
    } | change
    arrays = [(name, *rest) for name, rest in arrays.items() if rest is not None]
    refused(path, laid_out(header["__metadata__"], arrays), words)


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_a_memory_that_does_not_fit_the_solver_is_made_anew(solver):
    """As one of another solver is: the core is never given too little."""
    new = trainer_of(solver)
    new.fit(X, Y, epochs=1)
    for name in ("vectors", "numbers"):
        for false in (None, np.zeros(0), getattr(new._state, name)):
            if false is not None and len(false):
                false = np.concatenate([false, false])
            trainer = trainer_of(solver)
            trainer._state.kind = new._state.kind
            setattr(trainer._state, name, false)
            trainer.fit(X, Y, epochs=1)
            assert value_of(trainer, seconds=False) == value_of(new, seconds=False)


def test_the_format(path, trained):
    """The final format, spelled out: whoever changes it adds to modelfile.VERSIONS."""
    header, data = parts(trained)
    texts = header.pop("__metadata__")
    assert texts.pop("sha256") == checksum({"__metadata__": texts, **header}, data)
    assert (texts["format"], texts["format_version"]) == ("cbackprop checkpoint", "1")
    assert json.loads(texts["history"]) == {
        "first_epoch": 0,
        "stop_reason": "steps",
        "best_epoch": None,
    }
    state = json.loads(texts["state"])
    assert float.fromhex(state.pop("loss_sum")) > 0
    assert state == {
        "epoch": 1,
        "position": 24,
        "unit_sum": "0x0.0p+0",
        "n_rows": 50,
        "batch_rows": 8,
        "kind": "momentum",
    }
    assert json.loads(texts["trainer"]) == {
        "solver": solvers.describe(SOLVERS[1]),
        "loss": "squared_error",
        "batch_size": 8,
        "shuffle": True,
        "l1": 0.0,
        "l2": 0.0,
        "seed": 3,
    }
    shapes = {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()}
    assert shapes == {
        "W1": ("F64", [3, 5]),
        "b1": ("F64", [5]),
        "W2": ("F64", [5, 2]),
        "b2": ("F64", [2]),
        "vectors": ("F64", [1, 32]),
        "history.loss": ("F64", [1]),
        "history.learning_rate": ("F64", [1]),
        "history.seconds": ("F64", [1]),
    }


FEW_AND_MANY = [300, pytest.param(10_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("count", FEW_AND_MANY)
def test_a_damaged_checkpoint_is_refused_or_loads_unchanged(path, trained, count):
    value, rng = value_of(Trainer.load(path)), np.random.default_rng(count)
    for _ in range(count):
        put(path, mutated(trained, rng))
        try:
            assert value_of(Trainer.load(path)) == value
        except ModelFormatError:
            continue


@pytest.mark.parametrize("count", FEW_AND_MANY)
@pytest.mark.parametrize("solver", SOLVERS[-4:], ids=repr)
def test_a_false_checkpoint_with_the_right_checksum_is_refused_or_goes_on(path, solver, count):
    """Whatever its state says: training with it may fail, not crash."""
    trainer, rng, loads = trainer_of(solver), np.random.default_rng(count), 0
    stopping = dict(validation_data=0.3, early_stopping=EarlyStopping())
    trainer._fit(X, Y, epochs=3, steps=6, checkpoint=Checkpoint(path), **stopping)
    saved = path.read_bytes()
    for _ in range(count // 3):
        edit = rng.choice([edited, edited_text, edited_text, edited_number])
        put(path, edit(saved, rng))
        try:
            got = Trainer.load(path)
        except (ModelFormatError, InputError):  # the latter where a function would be missing
            continue
        loads += 1
        # From the core, which looks through the memory of L-BFGS itself, and of epochs of NaN.
        with (
            contextlib.suppress(CBackpropError, ValueError, OverflowError),
            warnings.catch_warnings(action="ignore"),
        ):
            got.fit(X, Y, epochs=1, **stopping)
    assert 0 < loads < count
