"""The accuracy benchmark's own rules: data sets, errors, ratios to the best."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

import cbackprop

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmarks import accuracy


def write(path, X, Y):
    lines = [f"{len(X)} {X.shape[1]} {Y.shape[1]}"]
    for x, y in zip(X, Y, strict=True):
        lines += [" ".join(map(str, x)), " ".join(map(str, y))]
    path.write_text("\n".join(lines))


@pytest.fixture
def folder(tmp_path):
    """Two sets: which side of 0.5 a number is on, and half that number."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        x = rng.random((30, 1)).round(3)
        write(tmp_path / f"half.{part}", x, x / 2)
        write(tmp_path / f"side.{part}", x, np.hstack([x < 0.5, x >= 0.5]).astype(int))
    return tmp_path


class Answers:
    def __init__(self, Y_hat):
        self.Y_hat = Y_hat

    def predict(self, X):
        return self.Y_hat


def test_errors_are_percentages_of_classes_and_mean_squares_of_numbers(folder):
    half, side = accuracy.read(folder)
    assert (half.name, half.classes) == ("half", False)
    assert (side.name, side.classes) == ("side", True)
    assert half.error(Answers(half.Y_test + 0.1)) == pytest.approx(0.01)
    wrong = side.Y_test.copy()
    wrong[:3] = 1 - wrong[:3]
    assert side.error(Answers(wrong)) == pytest.approx(10)


def test_ratios_to_the_best(folder):
    half, side = accuracy.read(folder)
    found = {
        (half, 9, "a"): 0.02,
        (half, 9, "b"): 0.01,
        (side, 9, "a"): 0.0,
        (side, 9, "b"): 10.0,
    }
    by_name = accuracy.ratios(found, ["a", "b"])
    assert by_name["a"] == pytest.approx([2, 1])
    assert by_name["b"] == pytest.approx([1, 4])  # three wrong rows and one, to none and one
    lines = list(accuracy.table(found, ["a", "b"]))
    assert lines[-1].split() == ["times", "the", "best,", "worst", "2.00", "4.00"]
    assert lines[-2].split()[-2:] == [f"{math.sqrt(2):.2f}", "2.00"]


def test_a_divergence_is_infinitely_bad(folder, monkeypatch):
    fit = cbackprop.Trainer.fit

    def fit_once(self, *args, **kwargs):
        if self.epoch:
            raise cbackprop.DivergenceError("as it were", 1, 0, 0.1)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(cbackprop.Trainer, "fit", fit_once)
    half, _ = accuracy.read(folder)
    first, second = accuracy.course(accuracy.Model(), half, cbackprop.SGD(), (1, 2), seed=0)
    assert first < math.inf and second == math.inf


def test_a_course_is_one_training(folder):
    half, _ = accuracy.read(folder)
    solver = cbackprop.SGD(learning_rate=0.5)
    (_, in_two), (at_once,) = (
        accuracy.course(accuracy.Model(), half, solver, epochs, seed=1)
        for epochs in ((3, 10), (10,))
    )
    assert in_two == at_once


def test_the_model_is_the_default_but_for_what_is_asked(folder):
    _, side = accuracy.read(folder)
    plain = accuracy.Model().trainer(side, cbackprop.SGD(), 3)
    assert plain.network.sizes == (1, 16, 2) and plain.batch_size is None
    assert plain.network.activations == cbackprop.Network((1, 16, 2)).activations
    model = accuracy.Model(hidden=5, activation="tanh", batch_size=7)
    other = model.trainer(side, cbackprop.Adam(), 3)
    assert (other.network.sizes[1], other.network.activations[0], other.batch_size) == (
        5,
        "tanh",
        7,
    )
    assert model.trainer(side, cbackprop.RProp(), 3).batch_size is None


def test_both_tables_are_printed(folder, monkeypatch, capsys):
    monkeypatch.setattr(accuracy, "EPOCHS", (1, 3))
    monkeypatch.setattr(accuracy, "PATIENCE_EPOCHS", 20)
    monkeypatch.setattr(accuracy, "AT_MOST", {"half": 1e-9, "side": 100.0})
    assert accuracy.main(["--data", str(folder), "--seeds", "1"]) == 0
    out = capsys.readouterr().out
    assert "Adam 0.01" in out and out.count("half") == 2
    assert accuracy.main(["--data", str(folder), "--patience", "--seeds", "1"]) == 1
    out = capsys.readouterr().out
    assert "NOT at most 1e-09" in out and "; at most 100" in out


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"no NAME\.train"):
        accuracy.read(tmp_path)
    (tmp_path / "bad.train").write_text("1,2,3\n")
    with pytest.raises(SystemExit, match="the first line is not"):
        accuracy.read(tmp_path)
