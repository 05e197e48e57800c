"""The benchmark's own rules: the limit, the rows, the check that comes before a time.  No clock."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmarks import check, goals, limit, machine, peers, report, rows, run, timing, worker
from benchmarks.peers.base import Skip
from benchmarks.rows import Row

TINY = Row((3, 4, 2), 2, 8)
TABLE = [row for row in rows.ROWS if row.group == "table"]


# The limits that the rule gives at 54.5 and 108 GFLOP/s a core on two cores, in microseconds.
@pytest.mark.parametrize(
    ("name", "us64", "us32"),
    [
        ("2-4-1 b4", 0.0222, 0.00800),
        ("8-16-1 b32", 0.852, 0.341),
        ("24-8-2 b200", 4.96, 2.19),
        ("64-32-10 b32", 7.18, 3.40),
        ("784-30-10 b10", 17.96, 9.00),
        ("784-30-10 b10 shuffled", 17.96, 9.00),
        ("784-100-10 b128", 381.7, 190.5),
        ("784-1024-10 b512", 15_600, 7_830),
        ("784-1024-10 b4096", 124_800, 62_600),
        ("64-128-10 b20000", 8_660, 4_150),
        ("8-16-1 b100000", 1_330, 536),
    ],
)
def test_limit_of_the_table(name, us64, us32):
    (row,) = (row for row in TABLE if row.name == name)
    assert limit.limit_us(row, "float64", 54.5e9, 2) == pytest.approx(us64, rel=0.01)
    assert limit.limit_us(row, "float32", 108e9, 2) == pytest.approx(us32, rel=0.01)


def test_the_rule_counts_each_product_once():
    row = Row((5, 7, 3), 11, 22)
    assert limit.flops(row) == 11 * (4 * 5 * 7 + 6 * 7 * 3)
    assert limit.units(row) == 11 * (7 + 3)
    deep = Row((5, 7, 6, 3), 11, 22, activation="relu")
    assert limit.flops(deep) == 11 * (4 * 5 * 7 + 6 * 7 * 6 + 6 * 6 * 3)
    assert limit.units(deep) == 11 * 3  # a rectifier costs no exponential
    once = replace(row, task="predict")
    assert limit.flops(once) == 22 * 2 * (5 * 7 + 7 * 3)
    assert limit.units(once) == 22 * (7 + 3)
    assert limit.flops(replace(row, copies=9)) == 9 * limit.flops(row)


def test_the_gemm_rate_keeps_the_best_reading(dtype):
    rate = limit.GemmRate(dtype, n=16)
    first = rate.read(1)
    assert 0 < first <= rate.read(3) == rate.best
    two = limit.GemmRate(dtype, 2, n=16)
    assert 0 < two.now() <= two.best
    for A, B, C in (*rate.operands, *two.operands):
        np.testing.assert_allclose(C, A @ B, rtol=1e-5)


def test_rows_are_those_of_the_design():
    shapes = [(row.sizes, row.batch, row.n_rows) for row in TABLE if not row.shuffle]
    assert shapes == [
        ((2, 4, 1), 4, 4),
        ((8, 16, 1), 32, 2048),
        ((24, 8, 2), 200, 2000),
        ((64, 32, 10), 32, 2048),
        ((784, 30, 10), 10, 2000),
        ((784, 100, 10), 128, 6400),
        ((784, 1024, 10), 512, 5120),
        ((784, 1024, 10), 4096, 8192),
        ((64, 128, 10), 20_000, 20_000),
        ((8, 16, 1), 100_000, 100_000),
    ]
    assert TABLE[0].epochs == 500
    assert [row.threads for row in TABLE] == ["one"] * 6 + ["all"] * 5
    for row in TABLE:
        assert (row.bias, row.activation, row.output_activation) == (False, "sigmoid", "sigmoid")
        assert row.momentum == 0


def test_names_are_unique_and_goals_name_rows():
    names = [row.name for row in rows.ROWS]
    assert len(set(names)) == len(names)
    assert set(goals.FLOORS) == {row.name for row in TABLE}
    assert set(goals.TARGETS) <= set(names)
    assert {n for name, (base, _) in goals.TARGET_RELATIVE.items() for n in (name, base)} <= set(
        names
    )


def test_floors():
    percents = [g.percent64 for g in goals.FLOORS.values() if g.percent64]
    assert percents == [55, 60, 75, 60, 70, 80, 80, 80, 60]
    for goal in goals.FLOORS.values():
        assert goal.times_peers == 1.0
        assert goal.percent64 is None or goal.percent32 == goal.percent64 - 15


def test_whole_batches_only():
    with pytest.raises(ValueError, match="whole batches"):
        Row((3, 4, 2), 3, 8)


def test_select():
    assert rows.select(["table"]) == TABLE
    assert rows.select(["784-30-10 b10"]) == [TABLE[4]]  # a full name beats a part of one
    assert [row.name for row in rows.select(["shuffled", "2-4-1 b4"])] == [
        "2-4-1 b4",
        "784-30-10 b10 shuffled",
    ]
    assert rows.select(["all"]) == list(rows.ROWS)
    with pytest.raises(ValueError, match="no row matches 'nonsense'"):
        rows.select(["nonsense"])


def test_data_and_start(dtype):
    X, Y = rows.data(TINY, dtype)
    assert X.shape == (8, 3)
    assert Y.shape == (8, 2)
    assert X.dtype == Y.dtype == dtype
    np.testing.assert_array_equal(X, rows.data(TINY, dtype)[0])
    biased = replace(TINY, bias=True)
    flat = rows.start(biased, dtype)
    (W1, b1), (W2, b2) = rows.layers(biased, flat)
    assert [a.shape for a in (W1, b1, W2, b2)] == [(3, 4), (4,), (4, 2), (2,)]
    np.testing.assert_array_equal(np.concatenate([a.ravel() for a in (W1, b1, W2, b2)]), flat)
    assert np.shares_memory(flat, W2)
    assert rows.layers(TINY, rows.start(TINY, dtype))[1][1] is None
    several = replace(TINY, copies=3)
    starts = [rows.start(several, dtype, copy) for copy in range(3)]
    assert not np.array_equal(starts[0], starts[2])
    np.testing.assert_array_equal(starts[2], rows.start(replace(TINY, first_copy=2), dtype))


VARIANTS = {
    "plain": TINY,
    "shuffled": replace(TINY, shuffle=True, name="shuffled"),
    "deep": Row((3, 4, 5, 2), 2, 8, activation="tanh", bias=True),
    "momentum": Row((3, 4, 2), 4, 8, momentum=0.9, activation="relu", bias=True),
    "predict": replace(TINY, task="predict", name="predict"),
    "gradient": replace(TINY, task="gradient", name="gradient", bias=True),
    "many": replace(TINY, copies=3, name="many"),
}


@pytest.mark.parametrize("row", VARIANTS.values(), ids=VARIANTS)
def test_ours_is_checked_against_numpy(row, dtype):
    got = worker.Child("cbackprop", "all").result(row, dtype)
    assert check.equal(got, timing._numpy_result(row, dtype), dtype)


def check_peer(name, setting, cases):
    cls = peers.get(name)
    if reason := cls.missing():
        pytest.skip(reason)
    done = 0
    with worker.Worker(name, setting) as process:
        for row, dtype in cases:
            try:
                got = process.call("result", row, dtype)
            except Skip:
                continue
            expected = timing._numpy_result(cls.checked_as(row), dtype)
            assert check.difference(got, expected) <= check.TOLERANCE[dtype], (row, dtype)
            done += 1
    assert done > 0


CASES = [(row, "float64") for row in VARIANTS.values()] + [(TINY, "float32")]
CASES += [(replace(TINY, batch=1, name="single"), "float64")]


@pytest.mark.parametrize("name", ["numpy", "sklearn", "fann", "genann"])
def test_peers_results_are_equal(name):
    check_peer(name, "one", CASES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "torch.compile", "jax", "jax by hand"])
def test_large_peers_results_are_equal(name):
    # Each case costs torch.compile ten seconds of its compiler.
    check_peer(name, "one", CASES[-4:] if name == "torch.compile" else CASES)


def test_the_check_bites(dtype):
    right = timing._numpy_result(TINY, dtype)
    assert check.equal(right, right, dtype)
    W1, W2 = right
    assert not check.equal([W1, W2 * 1.01], right, dtype)
    assert not check.equal([W1 * 1.01, W2], right, dtype)
    assert not check.equal([W1], right, dtype)
    assert not check.equal([W1.T, W2], right, dtype)
    assert not check.equal([W1, np.full_like(W2, np.nan)], right, dtype)
    nothing = [np.zeros_like(W1), W2]
    assert check.difference(nothing, nothing) == math.inf  # a peer that stood still proves nothing


def test_sklearn_is_held_to_a_regressor():
    same = peers.get("sklearn").checked_as(TINY)
    assert (same.bias, same.output_activation) == (True, "identity")
    assert not check.equal(
        timing._numpy_result(replace(same, bias=False), "float64"),
        timing._numpy_result(TINY, "float64"),
        "float64",
    )


class Stopwatch:
    """A peer's process whose readings are given beforehand."""

    def __init__(self, name, us, wrong=False):
        self.peer, self.setting, self.us, self.wrong = peers.get(name), "all", us, wrong
        self.process = self
        self.calls = []

    def poll(self):
        return None

    def close(self):
        pass

    def call(self, method, *args):
        self.calls.append(method)
        if method == "result":
            return [part * (1 + 0.01 * self.wrong) for part in timing._numpy_result(*args)]
        took = 1e-6 * self.us * args[0] * TINY.steps if method.startswith("run") else None
        if method == "run":
            return took
        if method == "run_beside":
            assert args[1] == 1  # TINY's limit is that of one core
            return took, 2e9 * self.calls.count("run_beside")
        return "1.0" if method == "prepare" else None


@pytest.fixture
def bench():
    def make(**stopwatches):
        found = timing.Bench([], repeat=3, seconds=1e-6)
        found.rates = {"float64": limit.GemmRate("float64", n=8)}
        found.workers = {name: [watch] for name, watch in stopwatches.items()}
        found.n_threads = 2
        return found

    return make


def test_a_row_is_timed_in_pairs(bench):
    ours, numpy = Stopwatch("cbackprop", 5.0), Stopwatch("numpy", 15.0)
    result = bench(cbackprop=ours, numpy=numpy).measure(TINY, "float64")
    assert result.ours.us == pytest.approx(5.0)
    (peer,) = result.peers
    assert peer.us == pytest.approx(15.0)
    assert peer.ratios == pytest.approx([3.0] * 3)
    assert result.fastest is peer
    result.gemm_rate = 1e9
    assert result.percent == pytest.approx(100 * limit.limit_us(TINY, "float64", 1e9, 2) / 5.0)
    # Three readings beside 2, 4 and 6 GFLOP/s.
    assert result.percent_beside == pytest.approx(result.percent / 4)


def test_a_wrong_result_is_not_timed(bench):
    ours, numpy = Stopwatch("cbackprop", 5.0), Stopwatch("numpy", 1.0, wrong=True)
    result = bench(cbackprop=ours, numpy=numpy).measure(TINY, "float64")
    (peer,) = result.peers
    assert peer.us is None
    assert "differs by 1.0e-02" in peer.skipped
    assert "run" not in numpy.calls
    wrong = Stopwatch("cbackprop", 5.0, wrong=True)
    with pytest.raises(worker.Failed, match="cbackprop itself"):
        bench(cbackprop=wrong).measure(TINY, "float64")


def fabricated(percent, peer_ratio, name="64-32-10 b32"):
    (row,) = rows.select([name])
    result = timing.Result(row, "float64", 2, gemm_rate=50e9)
    us = 100 * result.limit_us / percent
    result.ours = timing.Time("cbackprop", readings=[us, us], rates=[40e9, 40e9], difference=0.0)
    result.peers = [
        timing.Time("jax", readings=[us * peer_ratio], ratios=[peer_ratio], difference=0.0),
        timing.Time("torch", skipped="not today"),
    ]
    return result


@pytest.mark.parametrize(
    ("percent", "ratio", "met"),
    [(75.1, 1.01, [True, True]), (74.9, 1.01, [False, True]), (80, 0.99, [True, False])],
)
def test_floors_are_judged(percent, ratio, met):
    result = fabricated(percent, ratio)
    assert [cell[3] for cell in goals.cells([result])] == met
    lines = list(report.verdict(goals.cells([result]), "floors"))
    assert lines[0] == f"floors: {sum(met)} of 2 met"
    assert lines[1] == f"  float64: {sum(met)} of 2"
    assert len(lines) == 2 + met.count(False)
    # At 40 of 50 GFLOP/s a percentage is a quarter larger.
    beside = list(goals.cells([result], beside=True))
    assert [cell[3] for cell in beside] == [True, met[1]]
    lines = list(report.verdict(goals.cells([result]), "floors", beside))
    assert lines[1] == f"  {1 + met[1]} of 2 by the product's rate beside each reading"
    assert lines[2] == f"  float64: {sum(met)} of 2 ({1 + met[1]} of 2 by the rate beside)"


def test_targets_are_judged():
    plain, shuffled = (
        fabricated(85, 2.0, name) for name in ("784-30-10 b10", "784-30-10 b10 shuffled")
    )
    assert all(cell[3] for cell in goals.cells([plain, shuffled], "targets"))
    shuffled.ours.readings = [1.3 * plain.ours.us]
    missed = [cell[0] for cell in goals.cells([plain, shuffled], "targets") if not cell[3]]
    assert any("times the time of 784-30-10 b10" in what for what in missed)


def test_a_target_speaks_of_the_fastest_peer_and_of_each_rival_in_c():
    result = fabricated(85, 2.0, "784-30-10 b10")
    ratios = {"jax": 2.0, "numpy": 1.8, "fann": 4.0, "genann": 2.9}
    result.peers = [
        timing.Time(name, readings=[1.0], ratios=[ratio], in_c=name in ("fann", "genann"))
        for name, ratio in ratios.items()
    ]
    cells = {what.split()[-1]: met for what, _, _, met in goals.cells([result], "targets")}
    assert cells == {"limit": True, "numpy": False, "fann": True, "genann": False}
    result.peers = result.peers[2:]
    cells = [what.split()[-1] for what, _, _, _ in goals.cells([result], "targets")]
    assert cells == ["limit", "fann", "genann"]


def test_report(tmp_path):
    result = fabricated(80, 2.0)
    text = "\n".join(report.table([result]))
    assert "80" in text
    assert ">=75%" in text
    assert "2.00 (2.00..2.00) jax" in text
    assert list(report.skipped([result], {"numpy": "gone"})) == [
        "numpy: not run: gone",
        "torch: not today (64-32-10 b32 float64)",
    ]
    report.write_csv(tmp_path / "r.csv", [result])
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 4
    pytest.importorskip("matplotlib")
    report.write_plot(tmp_path / "r.png", [result])
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("instructions", "kernel", "narrow"),
    [
        ("avx512f+avx2+fma", "Haswell", True),
        ("avx512f+avx2+fma", "Zen", True),
        ("avx512f+avx2+fma", "SkylakeX", False),
        ("avx2+fma", "Haswell", False),
    ],
)
def test_a_limit_below_the_processors_is_told(instructions, kernel, narrow):
    described = machine.describe({}, []) | {"instructions": instructions}
    described["blas"] = [f"scipy.libs openblas 0.3.30 {kernel}"]
    assert ("OPENBLAS_CORETYPE" in "\n".join(machine.lines(described))) == narrow


def test_a_dead_process_is_a_reason():
    with worker.Worker("numpy", "one") as process:
        process.process.kill()
        with pytest.raises(worker.Failed, match="process ended"):
            process.call("prepare", TINY, "float64")


def test_an_error_in_the_process_comes_back():
    with worker.Worker("numpy", "one") as process:
        with pytest.raises(worker.Failed, match="TypeError"):
            process.call("prepare", TINY, "no dtype")
        with pytest.raises(Skip, match="one fit at a time"):
            process.call("prepare", VARIANTS["many"], "float64")
        assert process.call("prepare", TINY, "float64") == np.__version__


@pytest.mark.slow
def test_end_to_end(tmp_path, capsys):
    path = tmp_path / "results.json"
    words = "--rows 8-16-2 --peers numpy --dtype float64 --repeat 1 --seconds 1e-4 --measures"
    assert run.main([*words.split(), "--json", str(path)]) == 0
    assert "8-16-2 b1" in capsys.readouterr().out
    ours, numpy = json.loads(path.read_text())["results"]
    assert [ours["who"], numpy["who"]] == ["cbackprop", "numpy"]
    assert ours["us"] > 0
    assert numpy["difference"] <= check.TOLERANCE["float64"]
