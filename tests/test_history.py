"""History: columns that grow together, the way through JSON to the bit and back, data frames."""

import copy
import json
import math
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cbackprop
from cbackprop.errors import InputError, InputTypeError, MissingExtraError

ALWAYS = ["loss", "learning_rate", "seconds"]


def a_history():
    """Epochs 3 to 7, with validation from epoch 5 on."""
    history = cbackprop.History(first_epoch=3)
    history._extend(loss=[3.0, 2.5], learning_rate=[0.1, 0.1], seconds=[0.25, 0.5])
    history._extend(
        loss=[2.0, 1.5, 1.25],
        learning_rate=[0.05] * 3,
        seconds=[0.25] * 3,
        validation_loss=[2.25, 2.0, 2.125],
    )
    history.stop_reason = "early_stopping"
    history.best_epoch = 6
    return history


# --- columns --------------------------------------------------------------------------------------


def test_columns_grow_together_and_are_nan_where_there_was_no_number():
    history = a_history()
    history._extend(loss=[1.0], learning_rate=[0.05], seconds=[0.5], penalty=[7.0])
    assert list(history) == [*ALWAYS, "validation_loss", "penalty"] and len(history) == 5
    assert history.n_epochs == 6
    assert history.epochs.tolist() == [3, 4, 5, 6, 7, 8]
    np.testing.assert_array_equal(history["loss"], [3, 2.5, 2, 1.5, 1.25, 1])
    nan = math.nan
    np.testing.assert_array_equal(history["validation_loss"], [nan, nan, 2.25, 2, 2.125, nan])
    np.testing.assert_array_equal(history["penalty"], [nan] * 5 + [7])
    for column in history.values():
        assert column.dtype == np.float64 and column.shape == (6,)


def test_an_empty_column_is_no_column():
    history = cbackprop.History()
    history._extend(loss=[1.0], learning_rate=[0.1], seconds=[0.1], validation_loss=[])
    assert list(history) == ALWAYS
    history._extend(loss=[], learning_rate=[], seconds=[], validation_loss=[])
    assert list(history) == ALWAYS and history.n_epochs == 1


def test_a_column_that_is_cut_short_ends_in_nan():
    """As where a callback raises between an epoch's loss and its validation."""
    history = cbackprop.History()
    history._extend(loss=[2.0, 1.0], learning_rate=[0.1, 0.1], seconds=[1.0], validation_loss=[3.0])
    np.testing.assert_array_equal(history["seconds"], [1, math.nan])
    np.testing.assert_array_equal(history["validation_loss"], [3, math.nan])


def test_what_is_handed_out_is_a_copy():
    history = a_history()
    history["loss"][:] = 0
    assert history["loss"][0] == 3


def test_an_unknown_column_is_named_with_the_known_ones():
    assert "loss" in a_history() and "lost" not in a_history()
    with pytest.raises(KeyError, match=r"no column 'lost'.*'loss', 'learning_rate', 'seconds'"):
        a_history()["lost"]


def test_repr_tells_the_last_epoch_and_the_end():
    assert repr(a_history()) == (
        "<History of 5 epochs, loss 1.25, learning_rate 0.05, seconds 0.25, "
        "validation_loss 2.125, best epoch 6, stopped by early_stopping>"
    )
    assert repr(cbackprop.History()) == "<History of 0 epochs>"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda h: pickle.loads(pickle.dumps(h))])
def test_copies_are_equal_and_apart(copied):
    history = a_history()
    twin = copied(history)
    assert twin == history
    twin._extend(loss=[0.0])
    assert twin.n_epochs == 6 and history.n_epochs == 5


def test_equal_is_equal_in_each_bit():
    history = a_history()
    assert history == a_history() and history != dict(history)
    for name, value in (("first_epoch", 2), ("stop_reason", None), ("best_epoch", 5)):
        other = a_history()
        setattr(other, name, value)
        assert other != history
    zeros = [cbackprop.History(), cbackprop.History()]
    for zero, loss in zip(zeros, (0.0, -0.0), strict=True):
        zero._extend(loss=[loss])
    assert zeros[0] != zeros[1]


# --- JSON -----------------------------------------------------------------------------------------

columns = st.integers(0, 4).flatmap(
    lambda n: st.fixed_dictionaries(
        {name: st.lists(st.floats(), min_size=n, max_size=n) for name in ALWAYS},
        optional={"validation_loss": st.lists(st.floats(), min_size=n, max_size=n)},
    )
)
numbers = st.integers(0, 2**53 - 1)


@given(columns, numbers, st.none() | numbers, st.none() | st.text())
def test_json_round_trip_to_the_bit(columns, first_epoch, best_epoch, stop_reason):
    history = cbackprop.History(first_epoch)
    history._extend(**columns)
    history.best_epoch, history.stop_reason = best_epoch, stop_reason
    text = history.to_json()
    json.loads(text, parse_constant=pytest.fail)  # RFC 8259 knows no NaN and no Infinity
    twin = cbackprop.History.from_json(text)
    assert twin.to_json() == text
    assert (twin.first_epoch, twin.best_epoch, twin.stop_reason) == (
        first_epoch, best_epoch, stop_reason,
    )  # fmt: skip
    assert list(twin) == list(history)
    for name, column in history.items():
        column[np.isnan(column)] = np.nan  # the sign and the payload of NaN are not kept
        assert twin[name].tobytes() == column.tobytes()


EXTREMES = [5e-324, -0.0, 1.7976931348623157e308, 0.1, 1 / 3, 2**53 + 2.0, 1e22, 1e23]


def test_json_keeps_extreme_numbers():
    history = cbackprop.History()
    history._extend(loss=[*EXTREMES, math.inf, -math.inf, math.nan])
    text = history.to_json()
    assert '"inf", "-inf", null]' in text
    twin = cbackprop.History.from_json(text)
    assert twin["loss"][:-1].tobytes() == np.array([*EXTREMES, math.inf, -math.inf]).tobytes()
    assert math.isnan(twin["loss"][-1])


def test_whole_numbers_of_other_writers_are_read():
    text = a_history().to_json().replace("3.0", "3")
    assert cbackprop.History.from_json(text) == a_history()


def document(**changes):
    found = json.loads(a_history().to_json())
    for key, value in changes.items():
        (found if key in found else found["columns"])[key] = value
    return json.dumps(found)


GOOD = a_history().to_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        (GOOD[:-1], "not JSON"),
        (GOOD.replace("3.0", "NaN"), "NaN is no number of JSON"),
        (GOOD.replace("3.0", "-Infinity"), "-Infinity is no number of JSON"),
        (GOOD.replace('"seconds"', '"loss"'), "the key 'loss' stands twice"),
        ("[" * 100_000, "not JSON"),
        ("1" * 5000, "not JSON"),
        ("[]", 'without "format": "cbackprop history"'),
        ("{}", 'without "format": "cbackprop history"'),
        (document(format="cbackprop"), 'without "format": "cbackprop history"'),
        (document(format_version=2), r"format_version is 2 \(int\).*reads version 1"),
        (document(format_version=True), r"format_version is True \(bool\)"),
        (GOOD.replace("stop_reason", "reason"), "the keys are .*'reason'.*; expected .*'stop_reas"),
        (GOOD[:-1] + ', "more": 1}', "the keys are .*'more'; expected"),
        (document(first_epoch=None), "first_epoch is None; expected an integer"),
        (document(first_epoch=-1), r"first_epoch is -1 \(int\)"),
        (document(first_epoch=2**53), "first_epoch is 9007199254740992"),
        (document(best_epoch=1.0), r"best_epoch is 1.0 \(float\)"),
        (document(best_epoch=True), r"best_epoch is True \(bool\)"),
        (document(stop_reason=5), r"stop_reason is 5 \(int\); expected a string or null"),
        (document(columns=[]), "columns is a list; expected an object"),
        (document(columns={}), "columns is empty; expected an object with at least 'loss'"),
        (GOOD.replace('"loss"', '"lost"'), "columns is 'lost', .*'validation_loss'; expected"),
        (document(loss="3.0"), r"columns\['loss'\] is '3.0' \(str\); expected an array"),
        (document(columns={"seconds": [], "learning_rate": [], "loss": 0}), r"\['loss'\] is 0"),
        (document(seconds=[1.0]), r"\['seconds'\] has 1 numbers and columns\['loss'\] has 5"),
        (document(loss=[1, 2, "x", 3, 4]), r"columns\['loss'\]\[2\] is 'x' \(str\); expected a"),
        (document(loss=[1, True, 2, 3, 4]), r"columns\['loss'\]\[1\] is True \(bool\)"),
        (document(loss=[[], 1, 2, 3, 4]), r"columns\['loss'\]\[0\] is a list"),
        (document(loss=[10**400, 1, 2, 3, 4]), r"columns\['loss'\]\[0\] is 1000.*float64 can hold"),
        (GOOD.replace("3.0", "1e999"), r"columns\['loss'\]\[0\] is inf \(float\)"),
    ],
)
def test_other_text_is_refused(text, message):
    with pytest.raises(InputError, match=message) as caught:
        cbackprop.History.from_json(text)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", [None, GOOD.encode(), json.loads(GOOD)])
def test_json_is_text(value):
    with pytest.raises(InputTypeError, match=r"expected the str that History\.to_json\(\)"):
        cbackprop.History.from_json(value)


# --- data frames ----------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_to_frame(library):
    module = pytest.importorskip(library)
    history = a_history()
    frame = history.to_frame(library)
    assert isinstance(frame, module.DataFrame)
    assert list(frame.columns) == ["epoch", *history]
    assert frame["epoch"].to_numpy().dtype == np.int64
    np.testing.assert_array_equal(frame["epoch"].to_numpy(), [3, 4, 5, 6, 7])
    for name, column in history.items():
        np.testing.assert_array_equal(frame[name].to_numpy(), column)


def test_to_frame_takes_what_is_installed(monkeypatch):
    class DataFrame(dict):
        pass

    module = type(sys)("polars")
    module.DataFrame = DataFrame
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", module)
    assert type(a_history().to_frame()) is DataFrame
    with pytest.raises(MissingExtraError, match=r'pandas, which is not.*"cbackprop\[pandas\]"'):
        a_history().to_frame("pandas")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtraError, match=r'pandas or polars.*"cbackprop\[pandas\]"'):
        a_history().to_frame()
    with pytest.raises(MissingExtraError, match=r'polars, which is not.*"cbackprop\[polars\]"'):
        a_history().to_frame("polars")


def test_to_frame_knows_two_libraries():
    with pytest.raises(InputError, match=r"did you mean 'pandas'\?"):
        a_history().to_frame("panda")
