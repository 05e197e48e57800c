"""The growth benchmark's own rules: sweeps, threads of the limit, tables, text plots.  No clock."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cbackprop
from cbackprop.core.gradient.plan import Plan
from cbackprop.plotting import text

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmarks import growth, limit, rows, worker
from benchmarks.rows import Row

TABLE = rows.select(["table"])

# --- the sweeps -----------------------------------------------------------------------------------


def doublings(most):
    return [1 << k for k in range(most.bit_length())]


@pytest.fixture
def four_threads(monkeypatch):
    monkeypatch.setattr(growth, "available_threads", lambda: 4)


def test_rows_sweep():
    sweep = growth.SWEEPS["rows"](quick=False)
    assert sweep.series == ["8-16-1", "64-128-10"]
    for name, sizes in (("8-16-1", (8, 16, 1)), ("64-128-10", (64, 128, 10))):
        points = [point for point in sweep.points if point.series == name]
        assert [point.x for point in points] == doublings(65_536)
        assert {point.row.sizes for point in points} == {sizes}
        assert all(point.row.batch == point.x for point in points)


def test_inputs_sweep():
    sweep = growth.SWEEPS["inputs"](quick=False)
    assert [point.x for point in sweep.points] == doublings(4096)
    assert all((p.row.sizes, p.row.batch) == ((p.x, 32, 1), 64) for p in sweep.points)


def test_hidden_sweep():
    sweep = growth.SWEEPS["hidden"](quick=False)
    assert [point.x for point in sweep.points] == doublings(4096)
    assert all((p.row.sizes, p.row.batch) == ((32, p.x, 1), 64) for p in sweep.points)


def test_threads_sweep_runs_the_tables_rows(four_threads):
    sweep = growth.SWEEPS["threads"](quick=False)
    assert sweep.series == ["64-128-10 b20000", "784-100-10 b128", "784-1024-10 b512"]
    assert [point.n_threads for point in sweep.points] == [1, 2, 3, 4] * 3
    assert all(point.x == point.n_threads and point.row in TABLE for point in sweep.points)


@pytest.mark.parametrize("name", growth.SWEEPS)
@pytest.mark.parametrize("quick", [False, True])
def test_every_point_is_a_step_of_plain_descent(name, quick):
    for point in growth.SWEEPS[name](quick).points:
        row = point.row
        assert (row.bias, row.shuffle, row.momentum, row.task) == (False, False, 0, "train")
        assert (row.activation, row.output_activation) == ("sigmoid", "sigmoid")
        assert row.n_rows >= 2000  # many steps a call where they are short
        assert (point.n_threads is not None) == (name == "threads")


@pytest.mark.parametrize("name", ["rows", "inputs", "hidden"])
def test_a_quick_sweep_has_fewer_points_and_both_ends(name):
    whole, quick = (growth.SWEEPS[name](q).points for q in (False, True))
    assert len(quick) < len(whole)
    assert set(quick) <= set(whole)
    for end in (min, max):
        assert end(point.x for point in quick) == end(point.x for point in whole)


@pytest.mark.parametrize(
    ("most", "counts"),
    [
        (1, [1]),
        (2, [1, 2]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (24, [1, 2, 3, 4, 5, 6, 7, 8, 16, 24]),
        (64, [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64]),
    ],
)
def test_thread_counts(most, counts):
    assert growth.thread_counts(most) == counts


# --- the limit's threads --------------------------------------------------------------------------


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_the_table_assumes_the_same_threads(row, dtype):
    assert growth.threads_used(row, dtype, 2) == {"one": 1, "all": 2}[row.threads]


def test_a_batch_keeps_no_more_threads_busy_than_it_has_pieces(dtype):
    leaf = Plan((64, 128, 10), (0, 0), False, dtype, partition="leaves").leaf_rows
    for batch, used in ((leaf, 1), (leaf + 1, 2), (2 * leaf + 1, 3), (9 * leaf, 4)):
        assert growth.threads_used(Row((64, 128, 10), batch, batch), dtype, 4) == used
    tiled = Row((784, 1024, 10), 512, 512)
    n_tiles = len(Plan(tiled.sizes, (0, 0), False, dtype).tiles)
    assert growth.threads_used(tiled, dtype, n_tiles) == n_tiles
    assert growth.threads_used(tiled, dtype, n_tiles + 1) == n_tiles


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no /proc here")
@pytest.mark.parametrize("sizes", [(8, 16, 1), (64, 128, 10)])
def test_the_core_starts_a_team_for_the_same_batches(sizes):
    """As seen from the callable that orders an epoch's rows, which is called within the fit."""

    def threads_in_a_fit(batch):
        found = []

        def order(epoch):
            found.append(len(os.listdir("/proc/self/task")))
            return np.arange(2 * batch)

        X, Y = rows.data(Row(sizes, batch, 2 * batch), "float64")
        net = cbackprop.Network(sizes, bias=False, seed=0)
        cbackprop.Trainer(net, batch_size=batch, shuffle=order, n_threads=3).fit(X, Y, epochs=1)
        return found[0]

    least = next(n for n in range(1, 100_000) if growth.worthwhile(Row(sizes, n, n)))
    assert least > 1
    threads_in_a_fit(least)  # whatever else is started, once
    assert threads_in_a_fit(least) == threads_in_a_fit(least - 1) + 2


# --- readings -------------------------------------------------------------------------------------


class Steady:
    """A fit whose epochs take as long as was said, with the reader that times it."""

    def __init__(self, row, epoch_seconds):
        self.row = row
        self.reader = growth.Reader(self)
        self.reader.run = lambda: self.reader.epochs * epoch_seconds


@pytest.mark.parametrize("seconds", [1e-5, 0.05, 0.3])
def test_a_reading_lasts_and_is_per_step(seconds):
    fit = Steady(Row((3, 4, 2), 2, 8), epoch_seconds=1e-3)
    fit.reader.read(seconds)
    assert seconds <= fit.reader.run() < max(2e-3, 2 * seconds)
    assert fit.reader.readings == pytest.approx([1e-3 * 1e6 / 4])


def test_points_are_read_in_turn():
    log = []

    class Logged:
        def __init__(self, name):
            self.name, self.readings = name, []

        def read(self, seconds):
            log.append(self.name)
            self.readings.append(seconds)

    readers = [Logged("a"), Logged("b"), Logged("c")]
    growth.read_in_turn(readers, 3, 0.5, lambda turn: log.append(turn))
    assert "".join(map(str, log)) == "abc" + "0abc" + "1cba" + "2abc"
    assert [reader.readings for reader in readers] == [[0.5] * 3] * 3


def test_a_fit_uses_the_points_threads(monkeypatch):
    asked = []
    real = cbackprop.Trainer

    def spy(*args, **settings):
        asked.append((settings["n_threads"], settings["shuffle"], settings["batch_size"]))
        return real(*args, **settings)

    monkeypatch.setattr(cbackprop, "Trainer", spy)
    row = Row((3, 4, 2), 2, 8)
    for n_threads in (None, 2):
        fit = growth.Fit(growth.Point("net", 1, row, n_threads), "float32")
        fit.reset()
        fit.train(2)
        assert not np.array_equal(fit.parameters(), rows.start(row, "float32"))
    assert asked == [(None, False, 2), (2, False, 2)]


# --- results --------------------------------------------------------------------------------------


def result(series, x, readings, limit_us, used=1, one_thread=None, n_threads=None):
    point = growth.Point(series, x, Row((2, 4, 1), 4, 4), n_threads)
    return growth.Result(point, readings, limit_us, used, one_thread)


def test_a_result_is_the_median():
    r = result("net", 1, [3.0, 1.0, 2.0], 0.5, one_thread=[9.0, 2.0, 5.0])
    assert (r.us, r.ns_per_row, r.percent) == (2.0, 500.0, 25.0)
    assert r.speed_up == 2.5  # of 3, 2 and 2.5: round by round
    assert result("net", 1, [1.0], 0.5).speed_up is None


def test_limits_are_at_the_rate_on_the_threads_of_each_point():
    wide, small = Row((64, 128, 10), 20_000, 20_000), Row((8, 16, 1), 32, 2048)
    cases = [(wide, None, 2), (wide, 1, 1), (wide, 3, 3), (small, None, 1), (small, 2, 1)]
    results = [
        growth.Result(growth.Point("net", 1, row, n_threads), [1.0], 0.0, 0)
        for row, n_threads, _ in cases
    ]
    growth.hold_to_limit(results, "float64", 50e9, 2)
    for r, (row, _, used) in zip(results, cases, strict=True):
        work = limit.flops(row) + 49 * limit.units(row)
        assert r.used == used
        assert r.limit_us == pytest.approx(1e6 * work / (50e9 * used))


def test_table():
    results = [
        result("2-4-1", 1, [0.5], 0.0625),
        result("2-4-1", 4096, [123_456.0], 120_000.0, used=12),
    ]
    assert list(growth.table(growth.Sweep("inputs", "inputs", ()), results)) == [
        "network  inputs  us/step      ns/row  limit us  % of limit  threads",
        "2-4-1         1      0.5         125    0.0625          12        1",
        "2-4-1     4,096  123,456  30,864,000   120,000          97       12",
    ]


def test_table_of_threads():
    results = [
        result("a", 1, [8.0], 4.0, 1, [8.0], 1),
        result("a", 2, [4.1], 2.0, 2, [8.0], 2),
    ]
    assert list(growth.table(growth.Sweep("threads", "threads", ()), results)) == [
        "network  threads  us/step  ns/row  limit us  % of limit  speed-up",
        "a              1        8   2,000         4          50      1.00",
        "a              2      4.1   1,025         2          49      1.95",
    ]


# --- text plots -----------------------------------------------------------------------------------

ONE = text.Curve("one", [(1, 1), (2, 10), (4, 100)], [(1, 0.1), (4, 10)])
TWO = text.Curve("two", [(1, 100), (4, 100)], [(1, 2.0), (4, 2.0)])


def test_plot():
    assert list(text.plot([ONE, TWO], "things", "us", width=30, height=8)) == [
        "us",
        "100 + B                     *",
        "    |",
        " 10 +            A        ...",
        "    | .......................",
        "  1 + A        .....",
        "    |    ......",
        "0.1 + ...",
        "    +-+----------+----------+",
        "      1          2          4",
        "               things",
        "      A one   B two   . the limit   * several",
    ]


def test_several_is_explained_only_where_it_is():
    lines = list(text.plot([ONE], "things", "us"))
    assert "A one   . the limit" in lines[-1]
    assert "*" not in "".join(lines)


def power_curve(slope, xs, scale=1.0):
    points = [(x, scale * x**slope) for x in xs]
    return text.Curve(f"x^{slope:g}", points, [(x, y / 2) for x, y in points])


@pytest.mark.parametrize("slope", [-1.0, 0.01, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("most", [1, 2, 24, 4096, 65_536])
@pytest.mark.parametrize("scale", [1e-3, 0.45, 40.0])
def test_every_plot_fits(slope, most, scale):
    xs = growth.thread_counts(most) if most < 100 else doublings(most)
    lines = list(text.plot([power_curve(slope, xs, scale)], "x", "us"))
    assert max(map(len, lines)) <= 78
    assert all(line.isascii() and line == line.rstrip() for line in lines)
    assert len(lines) <= 17 + 5  # y's name; axis, numbers, x's name, curves
    assert "".join(lines[1:-4]).count("A") == len(xs)
    assert any(re.match(r" *[\d.,]+ \+", line) for line in lines)  # some height is named


def test_letters_stand_at_their_numbers():
    """A line through the decades: each letter in its tick's line, above its own label."""
    curve = text.Curve("c", [(1, 0.1), (8, 10), (64, 1000)], [(1, 0.1), (64, 0.1)])
    lines = list(text.plot([curve], "x", "us"))
    marks, numbers = lines[-4], lines[-3]
    for tick, number in (("0.1 +", "1"), ("10 +", "8"), ("1,000 +", "64")):
        (line,) = (line for line in lines if line.lstrip().startswith(tick))
        column = line.index("A")
        assert marks[column] == "+"
        start = numbers.index(f" {number}") + 1
        assert start <= column < start + len(number)


def test_dots_join_the_limits():
    """Where the letters are far above, a dot in each column from the first mark to the last."""
    curve = text.Curve("c", [(1, 1e3), (16, 1e3)], [(1, 1), (4, 5), (16, 1)])
    body = [line[8:] for line in text.plot([curve], "x", "us") if " + " in line or " | " in line]
    columns = {i for line in body for i, c in enumerate(line) if c == "."}
    assert columns == set(range(min(columns), max(columns) + 1))
    assert max(columns) == max(line.rindex("A") for line in body if "A" in line)


@pytest.mark.parametrize("cells", range(20, 90, 3))
def test_numbers_below_the_axis_keep_apart(cells):
    xs = doublings(65_536)
    _, numbers = text.x_ticks(xs, text.Axis(xs, 2, cells, 24))
    assert re.fullmatch(r"\S+(  +\S+)*", numbers)
    named = [f"{x:,}" for x in xs]
    assert numbers.split() in [named[::every] for every in range(1, len(xs) + 1)]


def test_as_many_numbers_as_there_is_room_for():
    xs = doublings(65_536)
    _, numbers = text.x_ticks(xs, text.Axis(xs, 2, 68, 24))
    assert numbers.split() == [f"{4**k:,}" for k in range(9)]
    _, numbers = text.x_ticks([1, 2, 3], text.Axis([1, 2, 3], 2, 68, 24))
    assert numbers.split() == ["1", "2", "3"]


def test_heights_between_decades_are_named_where_there_is_room():
    narrow = text.Axis([1, 80], 10, 16, 20)
    assert sorted(text.y_ticks(narrow).values(), key=int) == ["1", "2", "5", "10", "20", "50"]
    wide = text.Axis([0.01, 20_000], 10, 16, 20)
    labels = text.y_ticks(wide)
    assert [labels[line] for line in sorted(labels)] == [f"{10.0**k:,.12g}" for k in range(-2, 5)]


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--sweep columns", "invalid choice: 'columns'"),
        ("--dtype float16", "invalid choice: 'float16'"),
        ("--dtype float32 float64", "unrecognized arguments: float64"),
        ("--repeat 0", "invalid positive int value: '0'"),
        ("--repeat 1.5", "invalid positive int value: '1.5'"),
        ("--seconds -1", "invalid positive float value: '-1'"),
        ("--seconds nan", "invalid positive float value: 'nan'"),
        ("--seconds inf", "invalid positive float value: 'inf'"),
        ("--json no/such/folder/g.json", "no folder for no/such/folder/g.json"),
    ],
)
def test_argument_errors(words, message, capsys, monkeypatch):
    monkeypatch.setattr(growth, "measure", None)  # an error comes before any measuring
    with pytest.raises(SystemExit) as ended:
        growth.main(words.split())
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_matplotlib_is_said_before_measuring(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(growth, "measure", None)
    with pytest.raises(SystemExit) as ended:
        growth.main(["--plot", "growth.png"])
    assert ended.value.code == 2
    assert "--plot needs matplotlib: pip install matplotlib" in capsys.readouterr().err


def test_matplotlib_is_imported_for_a_picture_only():
    code = "import sys, benchmarks.growth; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=worker.ROOT).returncode == 0


def test_picture(tmp_path, four_threads):
    pytest.importorskip("matplotlib")
    found = []
    for make in growth.SWEEPS.values():
        sweep = make(True)
        results = [growth.Result(point, [2.0 * point.x], 1.0, 1) for point in sweep.points]
        found.append((sweep, results))
    for some in (found, found[:3], found[:1]):
        path = tmp_path / f"{len(some)}.png"
        growth.write_plot(path, some, "a machine")
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_end_to_end(tmp_path, capsys):
    path = tmp_path / "growth.json"
    words = "--sweep hidden threads --dtype float32 --quick --repeat 1 --seconds 1e-6 --json"
    assert growth.main([*words.split(), str(path)]) == 0
    out = capsys.readouterr().out
    assert "one core multiplies at" in out
    assert "A 32-n-1 b64   . the limit" in out
    assert "speed-up" in out
    content = json.loads(path.read_text())
    assert content["dtype"] == "float32"
    assert content["gemm_gflops"] > 0
    hidden = [p for p in content["points"] if p["sweep"] == "hidden"]
    assert [p["x"] for p in hidden] == [1, 4, 16, 64, 256, 1024, 4096]
    assert all(p["speed_up"] is None and p["us"] > 0 and p["limit_us"] > 0 for p in hidden)
    threads = [p for p in content["points"] if p["sweep"] == "threads"]
    assert [p["speed_up"] for p in threads if p["n_threads"] == 1] == [1.0] * 3
    assert {p["network"] for p in threads} == {"64-128-10", "784-100-10", "784-1024-10"}
