"""The exceptions: what they derive from, and that they survive pickling."""

import pickle

import pytest

import cbackprop
from cbackprop import errors


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("InputError", ValueError),
        ("InputTypeError", TypeError),
        ("InputMemoryError", MemoryError),
        ("DivergenceError", ValueError),
        ("ModelFormatError", ValueError),
        ("BusyError", RuntimeError),
        ("MissingExtraError", ImportError),
    ],
)
def test_each_derives_from_the_builtin_that_is_expected(name, builtin):
    kind = getattr(errors, name)
    assert issubclass(kind, builtin)
    assert issubclass(kind, cbackprop.CBackpropError)


def test_no_error_is_missing_above():
    kinds = {k for k in vars(errors).values() if isinstance(k, type)} - {errors.CBackpropError}
    assert {k.__name__ for k in kinds} | {"CBackpropError"} == set(errors.__all__)
    assert len(kinds) == 7


def test_divergence_tells_where_also_after_pickling():
    error = pickle.loads(pickle.dumps(errors.DivergenceError("diverged", 3, 14, 0.5)))
    assert str(error) == "diverged"
    assert (error.epoch, error.step, error.learning_rate) == (3, 14, 0.5)
