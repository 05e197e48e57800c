"""The comparison of two builds bit by bit: hashes are stable, and no disturbance escapes them."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import cbackprop

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmarks import bit_cases, same_bits

STABLE = [
    "solver: SGD momentum, float32",
    "solver: Adam plateau, float64",
    "solver: LBFGS, float64",
    "LM: geodesic, more residuals, float64",
    "evidence: marquardt, float64",
    "watching: early stopping, SGD",
    "goes on: in a checkpoint",
    "few rows: 2-4-1 b4, float64",
    "restarts: SGD",
    "missing: weights and validation",
    "evaluation: leaves, float32",
    "formulas of two layers",
    "command line: adam",
]


@pytest.mark.parametrize("name", STABLE)
def test_hashes_are_stable(name):
    first, second = (same_bits.hash_of(bit_cases.CASES[name]) for _ in range(2))
    assert first == second
    assert len(first) == 64 and not same_bits.is_error(first)


@pytest.mark.parametrize(
    "name",
    [
        "solver: SGD, float64",
        "solver: SGD nesterov, float32",
        "tiles: b1, float64",
        "LM: marquardt, more parameters, float64",
        "evaluation: leaves, float64",
        "evaluation: softmax, float32",
    ],
)
def test_one_ulp_of_one_parameter_is_another_hash(name):
    case = bit_cases.CASES[name]
    training = getattr(case, "training", case)
    expected = same_bits.hash_of(case)
    assert same_bits.digest(case(training.network())) == expected
    # Of a weight into the output layer, which every output is computed with.
    network = training.network()
    W = network.weights[-1]
    W.flat[W.size // 2] = np.nextafter(W.flat[W.size // 2], np.inf, dtype=W.dtype)
    assert same_bits.digest(case(network)) != expected


def test_one_ulp_of_a_result_is_another_hash():
    X = np.linspace(-1, 1, 12).reshape(4, 3)
    network = cbackprop.Network((3, 4, 2), seed=0)
    told = list(bit_cases.told_of(network, X))
    expected = same_bits.digest(told)
    history = cbackprop.Trainer(network, seed=0).fit(X, X[:, :2] ** 2, epochs=3)
    for position, (what, A) in enumerate(told):
        for index in np.ndindex(A.shape):
            other = A.copy()
            other[index] = np.nextafter(other[index], np.inf)
            changed = [*told[:position], (what, other), *told[position + 1 :]]
            assert same_bits.digest(changed) != expected, (what, index)
    before = same_bits.digest([("history", history)])
    for column, same in (("seconds", True), ("loss", False), ("learning_rate", False)):
        plain = json.loads(history.to_json())
        plain["columns"][column][1] = np.nextafter(plain["columns"][column][1], np.inf)
        other = cbackprop.History.from_json(json.dumps(plain))
        assert (same_bits.digest([("history", other)]) == before) == same, column


def test_values_do_not_run_into_each_other():
    values = [
        [1, 2], [[1], 2], [12], ["12"], [1.0, 2.0], [True, 2], [None, 2], [np.array([1, 2])],
        [np.array([1.0, 2.0])], [np.array([[1.0, 2.0]])], [np.array([1.0, 2.0], "float32")],
        [{"a": 1, "b": 2}], ["a", 1, "b", 2], [-0.0], [0.0], [], [[]],
    ]  # fmt: skip
    assert len({same_bits.digest([("value", value)]) for value in values}) == len(values)
    order = [same_bits.digest([("d", d)]) for d in ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
    assert order[0] == order[1]
    big_endian = np.array([1.0, 2.0]).astype(">f8")
    assert same_bits.digest([("A", big_endian)]) == same_bits.digest([("A", np.array([1.0, 2.0]))])
    with pytest.raises(TypeError, match="no hash"):
        same_bits.digest([("value", object())])


def test_every_solver_loss_and_activation_has_a_case():
    names = "\n".join(bit_cases.CASES)
    for word in ("SGD", "Adam", "RProp", "LBFGS", "LM", "evidence", "poisson", "huber", "quantile",
                 "absolute_error", "cross_entropy", "softmax", "relu", "tanh", "sigmoid",
                 "identity", "exp", "tiles", "four rows", "restarts"):  # fmt: skip
        assert word in names
    assert len(bit_cases.CASES) > 500
    with pytest.raises(ValueError, match="two cases"):
        bit_cases.add("diverges", None)


def test_a_case_that_fails_is_no_match():
    def broken():
        yield "one", 1
        raise ValueError("no\nmore")

    value = same_bits.hash_of(broken)
    assert value == "error: ValueError: no more"
    assert same_bits.failures({"a": value, "b": "0" * 64}) == [("a", value)]


def test_differences_are_named():
    one, other = {"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "4", "d": "error: x"}
    assert list(same_bits.differences(one, other)) == [
        ("b", "differs"),
        ("c", "only in the first"),
        ("d", "only in the second"),
    ]
    assert same_bits.matches("solver: SGD momentum", "sgd m")
    assert same_bits.matches("solver: SGD momentum", "solver*tum")
    assert not same_bits.matches("solver: SGD momentum", "adam")


@pytest.fixture
def pinned(monkeypatch):
    """The instruction set in use, and the package of this process for those that it starts."""
    package = str(Path(cbackprop.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]))
    return cbackprop.get_config()["instruction_set"]


def test_written_and_compared(tmp_path, capsys, pinned):
    path = tmp_path / "bits.json"
    words = ["--levels", pinned, "--only", "four rows: Adam, sigmoid"]
    assert same_bits.main(["--write", str(path), *words]) == 0
    document = json.loads(path.read_text())
    found = document["hashes"][pinned]
    assert len(found) == 4
    assert document["about"]["version"] == cbackprop.__version__
    name = "four rows: Adam, sigmoid, float64"
    assert found[name] == same_bits.hash_of(bit_cases.CASES[name])
    capsys.readouterr()
    assert same_bits.main(["--against", str(path), *words]) == 0
    assert capsys.readouterr().out.endswith("4 cases, 0 differ, 0 failed: exit status 0\n")
    found[name] = "0" * 64
    path.write_text(json.dumps(document))
    assert same_bits.main(["--against", str(path), *words]) == 1
    printed = capsys.readouterr().out
    assert f"{pinned}: {name}: differs\n" in printed
    assert printed.endswith("4 cases, 1 differ, 0 failed: exit status 1\n")


def test_no_case_at_all_is_not_equality(tmp_path, capsys, pinned):
    path = tmp_path / "bits.json"
    path.write_text(json.dumps({"format": same_bits.FORMAT, "about": {}, "hashes": {}}))
    assert same_bits.main(["--against", str(path)]) == 1
    path.write_text("{}")
    assert same_bits.main(["--against", str(path)]) == 2
    assert "is not such a file" in capsys.readouterr().err


def test_a_tree_that_is_not_built_is_told(tmp_path, capsys, pinned):
    assert same_bits.main(["--trees", str(tmp_path), str(tmp_path), "--levels", pinned]) == 2
    assert f"same_bits: {tmp_path}" in capsys.readouterr().err


@pytest.mark.slow
def test_two_trees_that_are_one(capsys, pinned):
    source = Path(cbackprop.__file__).parent.parent
    if source.name != "src":
        pytest.skip("the package is installed, and not built in place")
    tree = str(source.parent)
    assert same_bits.main(["--trees", tree, tree, "--levels", pinned, "--only", "LM"]) == 0
    assert ", 0 differ, 0 failed: exit status 0\n" in capsys.readouterr().out
