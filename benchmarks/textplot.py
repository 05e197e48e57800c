"""Curves on logarithmic axes as lines of text that can be pasted into a document.

Letters, dots and frame are ASCII, one column each.  It plots what it is given: nothing is measured
or named here.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

WIDTH, HEIGHT = 78, 16
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# No unit of the axes is drawn larger than this, in columns an octave and lines a decade.
MOST_COLUMNS, MOST_LINES = 24, 20


@dataclass(frozen=True)
class Curve:
    name: str
    points: list[tuple[float, float]]  # each a letter
    limits: list[tuple[float, float]]  # joined by dots


class Axis:
    """Where a value stands: ``per_unit`` cells for each factor of ``base``, from the least on."""

    def __init__(self, values, base, cells, most):
        low, high = (math.log(f(values), base) for f in (min, max))
        self.base = base
        self.per_unit = max(1, min(most, int((cells - 1) / (high - low)))) if high > low else 1
        self.first = round(low * self.per_unit)
        self.length = round(high * self.per_unit) - self.first + 1

    def __call__(self, value):
        return round(math.log(value, self.base) * self.per_unit) - self.first


def label(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def heights(curves):
    """The least and the greatest; within a decade, the 1, 2 or 5 around them, to have a tick."""
    values = [y for curve in curves for _, y in curve.points + curve.limits]
    low, high = min(values), max(values)
    if high < 10 * low:
        power = math.floor(math.log10(low))
        near = [digit * 10.0**k for k in range(power - 1, power + 3) for digit in (1, 2, 5)]
        low = max(value for value in near if value <= low)
        high = min(value for value in near if value >= high)
    return low, high


def between(points, x_axis):
    """Each column from the first point to the last, with the height of the line through them."""
    for (x0, y0), (x1, y1) in pairwise(points):
        first, last = x_axis(x0), x_axis(x1)
        for column in range(first, last + 1):
            part = (column - first) / max(1, last - first)
            yield column, y1 if column == last else y0 * (y1 / y0) ** part
    if len(points) == 1:
        yield x_axis(points[0][0]), points[0][1]


def y_ticks(axis):
    """{line: label}: the powers of ten, and 2 and 5 between them where they have lines enough."""
    found = {}
    low = math.floor(axis.first / axis.per_unit)
    high = math.ceil((axis.first + axis.length) / axis.per_unit)
    for power in range(low, high + 1):
        for digit in (1, 2, 5) if axis.per_unit >= 6 else (1,):
            line = axis(digit * 10.0**power)
            if 0 <= line < axis.length:
                found[line] = label(digit * 10.0**power)
    return found


def x_ticks(values, axis):
    """The marks below the plot and their labels: every value, or every second, third, ..."""
    for every in range(1, len(values) + 1):
        marks, labels = ["-"] * axis.length, ""
        for value in values[::every]:
            text = label(value)
            start = max(0, axis(value) - (len(text) - 1) // 2)
            if labels and start < len(labels) + 2:
                break
            marks[axis(value)] = "+"
            labels = labels.ljust(start) + text
        else:
            break
    return "".join(marks), labels


def plot(curves, x_label, y_label, width=WIDTH, height=HEIGHT, dotted="the limit"):
    """Text lines, no wider than ``width`` but for the one that names the curves.

    dotted : what the curves' ``limits`` are
    """
    y_axis = Axis(heights(curves), 10, height, MOST_LINES)
    ticks = y_ticks(y_axis)
    margin = max((len(text) for text in ticks.values()), default=0)
    xs = sorted({x for curve in curves for x, _ in curve.points})
    # The last label is centred below its mark, and may stand out by half.
    x_axis = Axis(xs, 2, width - margin - 3 - len(label(xs[-1])) // 2, MOST_COLUMNS)

    cells = [[" "] * x_axis.length for _ in range(y_axis.length)]
    for curve in curves:
        for column, y in between(curve.limits, x_axis):
            cells[y_axis(y)][column] = "."
    shared = False
    for letter, curve in zip(LETTERS, curves, strict=False):
        for x, y in curve.points:
            line, column = y_axis(y), x_axis(x)
            shared |= (taken := cells[line][column] not in " .")
            cells[line][column] = "*" if taken else letter

    yield y_label
    for line in range(y_axis.length - 1, -1, -1):
        tick = ticks.get(line, "")
        row = "".join(cells[line]).rstrip()
        yield f"{tick:>{margin}} {'+' if tick else '|'} {row}".rstrip()
    marks, labels = x_ticks(xs, x_axis)
    notes = [f"{letter} {curve.name}" for letter, curve in zip(LETTERS, curves, strict=False)]
    notes += [f". {dotted}"] if any(curve.limits for curve in curves) else []
    notes += ["* several"] if shared else []
    yield f"{'':{margin}} +-{marks}"
    for text in (labels, x_label.center(x_axis.length).rstrip(), "   ".join(notes)):
        yield f"{'':{margin}}   {text}"
