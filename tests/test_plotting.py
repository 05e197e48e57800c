"""TrainingCurveDisplay: what is drawn, read back from matplotlib's own objects."""

import sys

import numpy as np
import pytest

import cbackprop
from cbackprop import TrainingCurveDisplay
from cbackprop.errors import InputError, InputTypeError, MissingExtraError


@pytest.fixture
def history():
    """Epochs 5 to 104; validated from 15 on, and once before."""
    rng = np.random.default_rng(0)
    history = cbackprop.History(first_epoch=5)
    t = np.arange(100)
    loss = np.exp(-t / 20) + 0.01
    validation_loss = loss + t / 2000 + 0.003 * rng.normal(size=100)
    validation_loss[:10] = np.nan
    validation_loss[3] = 1
    history._extend(
        loss=loss,
        learning_rate=[0.1] * 100,
        validation_loss=validation_loss,
        validation_metric=1 - validation_loss / 3,
    )
    history.best_epoch = 5 + int(np.nanargmin(validation_loss))
    return history


@pytest.fixture
def ax():
    """Axes without pyplot: no display is asked for, nothing is left open."""
    return pytest.importorskip("matplotlib.figure").Figure().subplots()


def test_the_losses_are_drawn_and_the_best_epoch_marked(history, ax):
    display = TrainingCurveDisplay.from_history(history, ax=ax)
    assert display.ax_ is ax and display.figure_ is ax.figure
    training, validation = display.lines_
    np.testing.assert_array_equal(training.get_xdata(), history.epochs)
    np.testing.assert_array_equal(training.get_ydata(), history["loss"])
    np.testing.assert_array_equal(validation.get_ydata(), history["validation_loss"])
    assert list(display.best_.get_xdata()) == [history.best_epoch] * 2
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["training loss", "validation loss", f"best epoch {history.best_epoch}"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("epoch", "loss", "log")


def test_an_epoch_between_gaps_is_a_point(history, ax):
    TrainingCurveDisplay.from_history(history, ax=ax)
    (point,) = (line for line in ax.lines if line.get_marker() == ".")
    assert list(point.get_xdata()) == [8] and list(point.get_ydata()) == [1]


@pytest.mark.parametrize(
    ("least", "labels"), [(0.05, {"0.05", "0.1", "0.2", "0.5", "1"}), (1e-6, set())]
)
def test_a_logarithmic_axis_of_few_decades_has_plain_numbers(ax, least, labels):
    history = cbackprop.History()
    history._extend(loss=np.geomspace(1, least, 20))
    TrainingCurveDisplay.from_history(history, ax=ax).figure_.canvas.draw()
    low, high = ax.get_ylim()
    shown = {
        label.get_text()
        for label, tick in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)
        if low <= tick <= high and "$" not in label.get_text()
    }
    assert shown == labels


def test_other_columns(history, ax):
    display = TrainingCurveDisplay.from_history(history, ax=ax, columns="validation_metric")
    assert len(display.lines_) == 1
    assert (ax.get_ylabel(), ax.get_yscale()) == ("validation metric", "linear")
    other = TrainingCurveDisplay.from_history(
        history, ax=ax.figure.add_subplot(), columns=["loss", "learning_rate"], log_scale=False
    )
    assert (other.ax_.get_ylabel(), other.ax_.get_yscale()) == ("", "linear")


def test_keywords_reach_each_line(history, ax):
    display = TrainingCurveDisplay.from_history(history, ax=ax, linewidth=3, linestyle="--")
    assert [(line.get_linewidth(), line.get_linestyle()) for line in display.lines_] == [
        (3, "--"), (3, "--"),
    ]  # fmt: skip


def test_a_plain_curve_needs_no_legend(ax):
    history = cbackprop.History()
    history._extend(loss=[3.0, 2.0, 1.0])
    display = TrainingCurveDisplay.from_history(history, ax=ax)
    assert ax.get_legend() is None and display.best_ is None
    assert all(tick == round(tick) for tick in ax.get_xticks())
    assert (ax.get_ylabel(), ax.get_yscale()) == ("training loss", "linear")


def test_plot_again_elsewhere(history, ax):
    display = TrainingCurveDisplay.from_history(history, ax=ax)
    second = ax.figure.add_subplot()
    assert display.plot(second, log_scale=False) is display
    assert display.ax_ is second and len(display.lines_) == 2
    assert second.get_yscale() == "linear" and ax.get_yscale() == "log"


def test_without_axes_pyplot_makes_them(history):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    display = TrainingCurveDisplay.from_history(history)
    try:
        assert display.figure_ is pyplot.gcf() and display.ax_ is pyplot.gca()
        display.figure_.canvas.draw()  # a warning of matplotlib's is an error here
    finally:
        pyplot.close(display.figure_)


def test_mistakes(history, ax):
    with pytest.raises(InputTypeError, match=r"history is a dict; expected a cbackprop\.History"):
        TrainingCurveDisplay.from_history(dict(history), ax=ax)
    with pytest.raises(InputError, match=r"history is empty; .*: fit first"):
        TrainingCurveDisplay.from_history(cbackprop.History(), ax=ax)
    with pytest.raises(InputError, match=r"columns is 'lost'.*did you mean 'loss'"):
        TrainingCurveDisplay.from_history(history, ax=ax, columns=["loss", "lost"])
    with pytest.raises(InputTypeError, match=r"columns is 5 \(int\)"):
        TrainingCurveDisplay.from_history(history, ax=ax, columns=5)
    with pytest.raises(InputError, match="columns is empty"):
        TrainingCurveDisplay.from_history(history, ax=ax, columns=[])


def test_a_missing_matplotlib_is_named(history, monkeypatch):
    for name in ("matplotlib", "matplotlib.ticker"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r'pip install "cbackprop\[plot\]"'):
        TrainingCurveDisplay.from_history(history)
