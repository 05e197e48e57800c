"""The command line as a user meets it: reports, files, exit statuses, and one line for a mistake.

The readers have tests of their own; here a mistake's way to the terminal counts.
"""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import cbackprop
from cbackprop.commandline import data, main, outcome, settings
from cbackprop.commandline import train as train_command
from cbackprop.training import splits

FAST = ["--epochs", "2", "--no-progress"]


@pytest.fixture
def run(capsys):
    """main([...]) -> (status, standard output, standard error)."""

    def run(*words):
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def flowers(tmp_path):
    """60 rows of three classes that differ in `length`; in the file first b, then c, then a."""
    rng = np.random.default_rng(0)
    path = tmp_path / "flowers.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "width", "kind"])
        for k in range(60):
            kind = k % 3
            values = [10 * kind + rng.normal(), 100 * rng.normal()]
            writer.writerow([*values, ["b", "c", "a, x"][kind]])
    return path


@pytest.fixture
def prices(tmp_path):
    """80 rows with two targets far from 0 and 1."""
    X = np.random.default_rng(0).uniform(-1, 1, (80, 2)) * [1, 1000]
    Y = np.c_[50_000 + 9_000 * X[:, 0], -3 + X[:, 1] / 1000]
    path = tmp_path / "prices.csv"
    np.savetxt(path, np.c_[X, Y], delimiter=";", header="a;b;price;loss", comments="", fmt="%.17g")
    return path


@pytest.fixture
def fann(tmp_path):
    """FANN's XOR, with targets in 0..1."""
    path = tmp_path / "xor.data"
    path.write_text("4 2 1\n0 0\n0\n0 1\n1\n1 0\n1\n1 1\n0\n")
    return path


def records(text):
    return list(csv.DictReader(io.StringIO(text)))


def column(text, name):
    return [record[name] for record in records(text)]


# ------------------------------------------------------------------------------------------ train


def test_defaults_are_good_on_digits(run):
    pytest.importorskip("sklearn")
    status, out, err = run("train")
    assert (status, err) == (0, "")
    assert "digits: 1348 train + 449 test rows, 64 inputs, 10 classes" in out
    accuracy = re.search(r"^test .* ([\d.]+) %$", out, re.MULTILINE)
    assert float(accuracy[1]) > 95


def test_report(run, flowers):
    status, out, err = run("train", flowers, "--hidden", "4,3", "--activation", "tanh,relu", *FAST)
    assert (status, err) == (0, "")
    facts = dict(line.split("   ", 1) for line in out.split("\n\n")[0].splitlines())
    facts = {key: value.strip() for key, value in facts.items()}
    assert facts["data"] == (
        f"{flowers}: 45 train + 15 test rows, 2 inputs, 3 classes (a, x, b, c)"
    )
    assert facts["scaling"] == "standard"
    assert facts["network"] == "2 - 4 - 3 - 3, 39 parameters, float64"
    assert facts["activation"] == "hidden tanh, relu; output sigmoid"
    assert facts["training"] == "squared error, sgd, batch 10, learning rate 1, seed 0"
    assert facts["epochs"] == "2 of 2"
    assert cbackprop.get_config()["instruction_set"] in facts["time"]
    lines = out.split("\n\n")[1].splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["train", "45"], ["test", "15"]]
    assert len({len(line) for line in lines}) == 1  # aligned


def test_json_report_says_what_the_saved_network_does(run, flowers, tmp_path):
    model = tmp_path / "m.safetensors"
    words = ["--test", flowers, "--validation", "0.2", "--save", model, "--json"]
    status, out, _ = run("train", flowers, "--batch-size", 7, "--seed", 3, *words, *FAST)
    assert status == 0
    report = json.loads(out)
    assert report["train"]["rows"] == 48 and report["validation"]["rows"] == 12
    assert report["network"] == {
        "sizes": [2, 30, 3], "activations": ["sigmoid", "sigmoid"], "dtype": "float64",
    }  # fmt: skip
    net = cbackprop.Network.load(model)
    rows = records(flowers.read_text())
    X = np.array([[float(row["length"]), float(row["width"])] for row in rows])
    Y = np.array([[row["kind"] == name for name in report["classes"]] for row in rows], float)
    Y_hat = net.predict(X)
    assert_allclose(report["test"]["mean_squared_error"], ((Y - Y_hat) ** 2).mean(), rtol=1e-12)
    assert_allclose(report["test"]["loss"], net.loss(X, Y), rtol=1e-12)
    assert report["test"]["accuracy"] == (Y.argmax(1) == Y_hat.argmax(1)).mean()


@pytest.mark.parametrize(
    "sizes, output_activation, momentum, rate",
    [
        ((3, 30, 2), "sigmoid", 0, 1),
        ((300, 50, 2), "sigmoid", 0.9, 0.1),
        ((3, 200, 10, 2), "sigmoid", 0, 0.25),
        ((3, 100, 2), "identity", 0, 0.05),
        ((3, 10, 2), "tanh", 0.5, 0.05),
        ((500, 2), "identity", 0, 0.01),
    ],
)
def test_default_learning_rate(sizes, output_activation, momentum, rate):
    net = cbackprop.Network(sizes, output_activation=output_activation)
    assert settings.default_learning_rate(net, momentum) == pytest.approx(rate)


def test_classes_of_one_row_each_can_be_split(run, tmp_path):
    (tmp_path / "single.csv").write_text("size,kind\n1,b\n3,c\n")
    status, out, err = run("train", tmp_path / "single.csv", "--json", *FAST)
    assert (status, err) == (0, "")
    assert [json.loads(out)[part]["rows"] for part in ("train", "test")] == [1, 1]


@pytest.mark.parametrize("words", [[], ["--test-fraction", "0"]])
def test_the_seed_settles_everything(run, flowers, tmp_path, words):
    models = [tmp_path / f"{k}.safetensors" for k in range(4)]
    for model, seed, threads in zip(models, (5, 5, 5, 6), (1, 1, 2, 1), strict=True):
        options = ["--seed", seed, "--threads", threads, "--save", model, "--quiet"]
        assert run("train", flowers, *words, *options, *FAST) == (0, "", "")
    nets = [cbackprop.Network.load(model) for model in models]
    assert_array_equal(nets[0].parameters, nets[1].parameters)
    assert_array_equal(nets[0].parameters, nets[2].parameters)
    assert (nets[0].parameters != nets[3].parameters).any()


def test_saved_network_is_what_python_trains(run, fann, tmp_path):
    """Without scaling, the options are those of Network, SGD and Trainer."""
    model = tmp_path / "m.safetensors"
    words = ["--hidden", 4, "--scale", "none", "--learning-rate", 0.5, "--momentum", 0.9]
    words += ["--nesterov", "--batch-size", 3, "--epochs", 20, "--seed", 1, "--init", "normal"]
    words += ["--dtype", "float32", "--activation", "tanh", "--quiet", "--test-fraction", 0]
    assert run("train", fann, *words, "--save", model)[0] == 0
    net = cbackprop.Network((2, 4, 1), activation="tanh", dtype="float32", init="normal", seed=1)
    X = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    solver = cbackprop.SGD(learning_rate=0.5, momentum=0.9, nesterov=True)
    cbackprop.Trainer(net, solver=solver, batch_size=3, seed=1).fit(X, X.sum(1) % 2, epochs=20)
    assert_array_equal(cbackprop.Network.load(model).parameters, net.parameters)


def as_the_library_holds_out(arguments, X, Y, *, activation, **settings):
    """The parameters that Trainer.fit makes with fractions where the command line has options."""
    net = cbackprop.Network((X.shape[1], 5, Y.shape[1]), output_activation=activation, seed=3)
    classes = splits.classes_of(Y) if settings.get("loss") == "cross_entropy" else None
    fractions = [arguments.get("validation_data"), arguments.get("test_data")]
    train, held_out = splits.split(fractions, len(X), 3, classes)
    net.fit_scaling(X, rows=train)
    if activation == "identity":
        net.fit_scaling(Y=Y[train])
    solver = cbackprop.Adam(learning_rate=0.05)
    trainer = cbackprop.Trainer(net, solver=solver, batch_size=10, seed=3, **settings)
    history = trainer.fit(X, Y, epochs=7, **arguments)
    return net, history, [train, *held_out]


@pytest.mark.parametrize(
    "arguments",
    [
        {"validation_data": 0.3},
        {"test_data": 0.25},
        {"validation_data": 0.15, "test_data": 0.25},
    ],
)
@pytest.mark.parametrize("kind", ["values", "classes", "yes or no", "probabilities"])
def test_the_same_rows_are_held_out_as_by_fit(run, tmp_path, monkeypatch, arguments, kind):
    """The same seed, fractions and settings: the same rows and, to the bit, the same fit."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(90, 3)) * [1, 10, 100]
    if kind == "values":
        Y, words, options = 50 + X[:, :1] ** 2, [], {"activation": "identity"}
    else:
        labels = rng.permutation(np.repeat([0, 1, 2], [50, 30, 10]))
        Y = np.eye(3)[labels] if kind == "classes" else (labels[:, None] > 0).astype(float)
        if kind == "probabilities":
            Y = 0.2 + 0.6 * Y
        options = {"activation": "softmax" if kind == "classes" else "sigmoid"}
        options["loss"] = "cross_entropy"
        words = ["--loss", "cross_entropy"]
    seen = {}

    class Seen(cbackprop.Trainer):
        def fit(self, X, Y, **settings):
            seen.update(settings, X=X)
            return super().fit(X, Y, **settings)

    monkeypatch.setattr(train_command, "Trainer", Seen)
    np.savez(tmp_path / "data.npz", X=X, Y=Y)
    words += ["--hidden", 5, "--solver", "adam", "--learning-rate", 0.05, "--epochs", 7]
    words += ["--seed", 3, "--validation", arguments.get("validation_data", 0)]
    words += ["--test-fraction", arguments.get("test_data", 0), "--history", tmp_path / "h.json"]
    words += ["--save", tmp_path / "model", "--json", "--no-progress"]
    status, out, err = run("train", tmp_path / "data.npz", *words)
    assert (status, err) == (0, "")

    monkeypatch.undo()
    net, history, rows = as_the_library_holds_out(arguments, X, Y, **options)
    assert len(seen["X"]) == 90  # the whole of it: nothing was cut out
    for name, expected in zip(("validation_data", "test_data"), rows[1:], strict=True):
        assert_array_equal(seen[name], expected)
    assert_array_equal(cbackprop.Network.load(tmp_path / "model").parameters, net.parameters)
    record = cbackprop.History.from_json((tmp_path / "h.json").read_text())
    assert set(record) == set(history)
    for name in set(history) - {"seconds"}:
        assert_array_equal(record[name], history[name])
    report = json.loads(out)
    for name, index in zip(("train", "validation", "test"), rows, strict=True):
        assert (name in report) == (index is not None)
        if index is not None:
            assert report[name]["rows"] == len(index)
            loss = net.loss(X[index], Y[index], loss=options.get("loss", "squared_error"))
            assert report[name]["loss"] == loss


def test_the_report_of_many_blocks_is_that_of_one(run, flowers, monkeypatch):
    reports = []
    for block in (1 << 21, 8):
        monkeypatch.setattr(data, "_BLOCK", block)
        reports.append(json.loads(run("train", flowers, "--json", "--validation", 0.2, *FAST)[1]))
    for name in ("train", "validation", "test"):
        assert reports[1][name] == pytest.approx(reports[0][name], rel=1e-14)
        assert reports[1][name]["accuracy"] == reports[0][name]["accuracy"]


@pytest.mark.parametrize("scale", ["standard", "minmax"])
@pytest.mark.parametrize("hidden", ["0", "8"])
def test_targets_in_units_of_their_own(run, prices, tmp_path, scale, hidden):
    """An identity output learns targets of any size, and predicts them in their units."""
    model = tmp_path / "m.safetensors"
    words = ["--target", "price", "loss", "--scale", scale, "--hidden", hidden, "--epochs", 300]
    status, out, err = run("train", prices, *words, "--no-progress", "--json", "--save", model)
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert report["network"]["activations"][-1] == "identity"
    table = np.loadtxt(prices, delimiter=";", skiprows=1)
    Y_hat = cbackprop.Network.load(model).predict(table[:, :2])
    error = ((table[:, 2:] - Y_hat) ** 2).mean(axis=0) / table[:, 2:].var(axis=0)
    assert (error < 0.02).all()


def test_sigmoid_where_targets_lie_in_0_to_1(run, fann):
    _, out, _ = run("train", fann, "--hidden", 3, 2, "--test", fann, "--json", *FAST)
    report = json.loads(out)
    assert report["network"]["sizes"] == [2, 3, 2, 1]
    assert report["network"]["activations"] == ["sigmoid"] * 3
    assert "accuracy" not in report["test"]


def test_options_that_take_several_words_leave_data_alone(run, flowers, fann):
    assert json.loads(run("train", "--hidden", 4, fann, "--json", *FAST)[1])["train"]["rows"] == 3
    assert json.loads(run("train", "--target", "kind", flowers, "--json", *FAST)[1])["classes"]


def test_npz(run, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    np.savez(tmp_path / "data.npz", X=X, y=np.where(X[:, 0] > 0, 7, 12))
    model = tmp_path / "m.safetensors"
    words = ["--classify", "--save", model, "--epochs", 50, "--no-progress"]
    status, out, _ = run("train", tmp_path / "data.npz", *words)
    assert status == 0 and "2 classes (7, 12)" in out
    np.savez(tmp_path / "new.npz", X=[[5.0, 0, 0], [-5, 0, 0]])
    assert run("predict", model, tmp_path / "new.npz") == (0, "class\n7\n12\n", "")


# ------------------------------------------------------------------------------- predict and info


def test_train_save_predict_info(run, flowers, tmp_path):
    model = tmp_path / "m.safetensors"
    run("train", flowers, "--epochs", 200, "--hidden", 5, "--quiet", "--save", model)
    status, out, err = run("predict", model, flowers)
    truth = column(flowers.read_text(), "kind")
    assert status == 0
    assert np.mean(np.array(column(out, "kind")) == truth) > 0.95
    assert re.search(r"^" + re.escape(str(flowers)) + r" +60 .* \d+\.\d+ %$", err, re.MULTILINE)

    # New data: other columns, another order, no targets.
    new = tmp_path / "new.csv"
    new.write_text("width,note,length\n0,x,-1\n0,y,21\n0,z,9\n")
    assert run("predict", model, new) == (0, 'kind\nb\n"a, x"\nc\n', "")
    status, out, err = run("predict", model, new, "--outputs", "--output", tmp_path / "out.csv")
    assert (status, out, err) == (0, "", "")
    rows = records((tmp_path / "out.csv").read_text())
    assert list(rows[0]) == ["kind", "a, x", "b", "c"]
    Y_hat = cbackprop.Network.load(model).predict([[-1, 0], [21, 0], [9, 0]])
    assert_array_equal([[float(r[name]) for name in ("a, x", "b", "c")] for r in rows], Y_hat)

    status, out, err = run("info", model)
    assert (status, err) == (0, "")
    for expected in (
        "format 1, checksum right",
        "2 - 5 - 3, 33 parameters, float64",
        "hidden sigmoid; output sigmoid",
        "2 (length, width)",
        "3 classes (a, x, b, c)",
        f"cbackprop {cbackprop.__version__}",
        "epochs 200",
    ):
        assert expected in out


def test_info_tells_of_a_posterior(run, tmp_path):
    net = cbackprop.Network((1, 1), seed=0)
    net.posterior = cbackprop.Posterior(np.eye(2), 0.1, 9.0, 1.5, net.parameters)
    net.save(tmp_path / "model")
    _, out, _ = run("info", tmp_path / "model")
    assert "format 2, checksum right" in out
    assert "error bars   Posterior of 2 parameters, 1.5 effective; alpha 0.1, beta 9" in out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predicted_numbers_read_back_exactly(run, prices, tmp_path, dtype):
    model = tmp_path / "m.safetensors"
    run("train", prices, "--target", "price", "--dtype", dtype, "--quiet", "--save", model, *FAST)
    _, out, _ = run("predict", model, prices)
    X = np.loadtxt(prices, delimiter=";", skiprows=1)[:, [0, 1, 3]]
    Y_hat = cbackprop.Network.load(model).predict(X)
    assert_array_equal(np.array(column(out, "price"), dtype), Y_hat[:, 0])


def test_network_saved_from_python(run, fann, tmp_path):
    model = tmp_path / "m.safetensors"
    net = cbackprop.Network((2, 3, 1), seed=0, bias=False)
    net.save(model)
    status, out, err = run("predict", model, fann)
    assert status == 0 and "4" in err
    assert_array_equal(
        np.array(column(out, "y0"), float), net.predict([[0, 0], [0, 1], [1, 0], [1, 1]])[:, 0]
    )
    assert run("info", model)[0] == 0


def test_config(run):
    status, out, err = run("config")
    assert (status, err) == (0, "")
    assert "instruction_set " in out and cbackprop.__version__ in out


# --------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "missing.csv"], "missing.csv: No such file or directory"),
        (["train", "."], ".: it is a folder"),
        (["train", "FANN", "--test", "missing"], "missing: No such file or directory"),
        (["train", "FANN", "--test", "CSV"], "its kind is csv, that of the training data fann"),
        (["train", "CSV", "--test", "digits"], "its kind is digits, that of the training data csv"),
        (["train", "digits", "--test", "CSV"], "--test FILE goes with a file as DATA"),
        (["train", "CSV", "--test", "OTHER"], "there is no column 'length'"),
        (["train", "CSV", "--test", "UNLABELLED"], "it holds no targets"),
        (["train", "FANN", "--test", "WIDE"], "3 inputs a row where the network takes 2"),
        (["train", "CSV", "--target", "colour"], "there is no column 'colour'"),
        (["train", "FANN", "--target", "y"], "--target and --ignore name columns of a .csv"),
        (["train", "CSV", "--hidden", "x"], "argument --hidden: 'x' is not a list of layer sizes"),
        (["train", "CSV", "--hidden", "3,-1"], "argument --hidden"),
        (["train", "CSV", "--hidden", "3", "0"], "argument --hidden: '3 0'"),
        (["train", "CSV", "--hidden", "9" * 18], "sizes"),
        (
            ["train", "CSV", "--activation", "step"],
            "activation is 'step'; expected",
        ),
        (["train", "CSV", "--activation", "tanh,relu"], "2 activations for 1 hidden layer"),
        (["train", "CSV", "--output-activation", "step"], "activation is 'step'; expected"),
        (
            ["train", "CSV", "--activation", "softmax"],
            "activation is 'softmax'; expected",
        ),
        (["train", "CSV", "--loss", "hinge"], "invalid choice: 'hinge'"),
        (["train", "CSV", "--solver", "newton"], "invalid choice: 'newton'"),
        (
            ["train", "CSV", "--loss", "poisson", "--output-activation", "sigmoid"],
            "expected 'exp' with this loss",
        ),
        (
            ["train", "CSV", "--solver", "adam", "--momentum", "0.9"],
            "--momentum goes with --solver sgd, not with adam",
        ),
        (
            ["train", "CSV", "--solver", "lbfgs", "--batch-size", "10"],
            "--batch-size goes with --solver sgd, adam, adamw and nadam, not with lbfgs",
        ),
        (["train", "CSV", "--solver", "lm", "--error-bars"], "--error-bars goes with --solver br"),
        (["train", "CSV", "--l2", "-1"], "'-1' is not a number of at least 0"),
        (["train", "CSV", "--patience", "3"], "--patience needs --validation, such as 0.2"),
        (["train", "CSV", "--resume"], "--resume needs --checkpoint FILE"),
        (["train", "CSV", "--resume", "--checkpoint", "m"], "m: No such file or directory"),
        (["train", "CSV", "--resume", "--checkpoint", "MODEL"], "checkpoint"),
        (["train", "CSV", "--checkpoint", "MODEL"], "MODEL: there is one already; add --resume"),
        (["train", "CSV", "--save", "m", "--history", "./m"], "./m: --save names the same file"),
        (["train", "CSV", "--init", "zero"], "invalid choice: 'zero'"),
        (["train", "CSV", "--dtype", "float16"], "invalid choice: 'float16'"),
        (["train", "CSV", "--scale", "log"], "invalid choice: 'log'"),
        (["train", "CSV", "--epochs", "0"], "'0' is not a whole number of at least 1"),
        (["train", "CSV", "--epochs", "1.5"], "'1.5' is not a whole number of at least 1"),
        (["train", "CSV", "--batch-size", "-3"], "'-3' is not a whole number of at least 1"),
        (["train", "CSV", "--threads", "0"], "'0' is not a whole number of at least 1"),
        (["train", "CSV", "--seed", "-1"], "'-1' is not a whole number of at least 0"),
        (["train", "CSV", "--learning-rate", "0"], "'0' is not a number above 0"),
        (["train", "CSV", "--learning-rate", "nan"], "'nan' is not a number above 0"),
        (["train", "CSV", "--momentum", "1"], "'1' is not a number from 0 to below 1"),
        (["train", "CSV", "--nesterov"], "--nesterov needs a --momentum above 0"),
        (["train", "CSV", "--test-fraction", "1"], "'1' is not a fraction from 0 to below 1"),
        (["train", "CSV", "--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["train", "CSV", "CSV"], "unrecognized arguments"),
        (
            ["train", "ONE ROW"],
            "ONE ROW.csv: --test-fraction takes 0.25 of 1 rows, which leaves none to train on",
        ),
        (["train", "ONE ROW"], "or more rows; --test-fraction 0 holds none out"),
        (["train", "FANN", "--validation", "0.9"], "--validation takes 0.9 of 4 rows"),
        (["train", "FANN", "--validation", "0.9"], "--validation 0 or --test-fraction 0 holds"),
        (["predict", "CSV", "CSV"], "not a safetensors file"),
        (["predict", "missing", "CSV"], "missing: No such file or directory"),
        (["predict", "MODEL", "missing"], "missing: No such file or directory"),
        (["predict", "MODEL", "OTHER"], "there is no column 'length'"),
        (["predict", "MODEL"], "the following arguments are required: DATA"),
        (["predict", "TRUNCATED", "CSV"], "cut short"),
        (["predict", "MODEL", "FANN"], "none of the classes the network knows: a, x, b, c"),
        (["predict", "MODEL", "WIDE"], "WIDE: 3 inputs a row where the network takes 2"),
        (["info", "TRUNCATED"], "cut short"),
        (["info", "DAMAGED"], "damaged"),
        (["info", "."], ".: "),
        (["info", "CSV"], "not a safetensors file"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    run, tmp_path, monkeypatch, flowers, fann, model_of_flowers, words, message
):
    monkeypatch.chdir(tmp_path)
    flowers.rename("CSV.csv")
    fann.rename("FANN")
    content = model_of_flowers.read_bytes()
    (tmp_path / "MODEL").write_bytes(content)
    (tmp_path / "TRUNCATED").write_bytes(content[:-100])
    (tmp_path / "DAMAGED").write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    (tmp_path / "OTHER.csv").write_text("size,width,kind\n1,2,b\n3,4,c\n")
    (tmp_path / "UNLABELLED.csv").write_text("length,width\n1,2\n3,4\n")
    (tmp_path / "ONE ROW.csv").write_text("a,b\n1,2\n")
    (tmp_path / "WIDE").write_text("1 3 1\n1 2 3\n1\n")
    words = [f"{word}.csv" if os.path.exists(f"{word}.csv") else word for word in words]
    before = sorted(os.listdir())
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"cbackprop: error: [^\n]+\n", err)
    assert message in err
    assert sorted(os.listdir()) == before


@pytest.fixture(scope="module")
def model_of_flowers(tmp_path_factory):
    """A model with the columns of `flowers`, untrained."""
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    net = cbackprop.Network((2, 4, 3), seed=0)
    net.annotations["coding"] = {
        "features": ["length", "width"],
        "targets": ["kind"],
        "classes": ["a, x", "b", "c"],
        "label_column": True,
    }
    net.save(path)
    return path


@pytest.mark.parametrize(
    "name, message",
    [
        ("no folder/m.safetensors", "there is no folder no folder"),
        (".", "it is a folder"),
        ("flowers.csv", "this file is being read; choose another name"),
        ("protected", "the file is write-protected"),
        ("/proc/m.safetensors", "cannot write there"),
    ],
)
def test_where_nothing_can_be_saved_nothing_is_trained(
    run, tmp_path, monkeypatch, flowers, model_of_flowers, name, message
):
    if name == "/proc/m.safetensors" and not os.path.isdir("/proc/self"):
        pytest.skip("there is no folder in which nobody can write")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_command, "Trainer", None)
    (tmp_path / "protected").write_text("keep")
    monkeypatch.setattr(os, "access", lambda path, mode: os.path.basename(path) != "protected")
    status, out, err = run("train", flowers, "--save", name)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"cbackprop: error: --save [^\n]+\n", err) and message in err
    status, out, err = run("predict", model_of_flowers, flowers, "--output", name)
    assert (status, out) == (2, "") and message in err


def test_divergence_is_one_line_and_status_1(run, prices):
    words = ["--learning-rate", 1e6, "--scale", "none", "--output-activation", "identity"]
    status, out, err = run("train", prices, *words, "--epochs", 50)
    assert (status, out) == (1, "")
    assert re.fullmatch(r"cbackprop: error: training diverged[^\n]+\n", err)


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line(run, prices):
    status, _, err = run("train", prices, "--output-activation", "sigmoid", *FAST)
    assert status == 0
    assert re.fullmatch(r"cbackprop: warning: Y lies in [^\n]+\n", err)


def test_not_enough_memory(run, flowers, monkeypatch):
    def fail(*arguments, **settings):
        raise MemoryError

    monkeypatch.setattr(settings, "Network", fail)
    assert run("train", flowers) == (1, "", "cbackprop: error: not enough memory\n")


def test_interrupted_training_saves_nothing(run, flowers, tmp_path, monkeypatch):
    class Interrupted(cbackprop.Trainer):
        def fit(self, *arguments, **settings):
            threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
            return super().fit(*arguments, **settings)

    monkeypatch.setattr(train_command, "Trainer", Interrupted)
    model = tmp_path / "m.safetensors"
    status, out, err = run("train", flowers, "--epochs", 10**9, "--save", model)
    assert (status, out) == (130, "")
    pattern = r"cbackprop: interrupted in epoch \d+ of 1000000000; nothing was written to (.*)\n"
    assert re.fullmatch(pattern, err)[1] == str(model)
    assert not model.exists()


@pytest.mark.parametrize("solver", ["sgd", "adam", "rprop", "lbfgs", "lm", "br"])
def test_an_interrupted_training_goes_on_from_its_checkpoint(
    run, flowers, tmp_path, monkeypatch, solver
):
    """Ctrl-C in epoch 8 of 20; the network is the one that nobody interrupted."""
    whole, resumed, checkpoint = (tmp_path / name for name in ("whole", "resumed", "checkpoint"))
    words = ["train", flowers, "--solver", solver, "--epochs", 20, "--validation", 0.2, "--seed", 1]
    assert run(*words, "--quiet", "--save", whole)[0] == 0

    class Interrupted(cbackprop.Trainer):
        def fit(self, *arguments, **settings):
            super().fit(*arguments, **{**settings, "epochs": 8, "checkpoint": None})
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train_command, "Trainer", Interrupted)
        status, _, err = run(*words, "--checkpoint", checkpoint)
    assert status == 130
    assert err.endswith(f"; the same command with --resume goes on from {checkpoint}\n")

    status, out, err = run(*words, "--checkpoint", checkpoint, "--resume", "--save", resumed)
    assert (status, err) == (0, "") and re.search(r"^epochs +\d+ of 20", out, re.MULTILINE)
    nets = [cbackprop.Network.load(path) for path in (whole, resumed)]
    assert_array_equal(nets[0].parameters, nets[1].parameters)


def test_only_the_same_training_is_resumed(run, flowers, prices, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    words = ["--checkpoint", checkpoint, "--quiet"]
    assert run("train", flowers, *words, *FAST)[0] == 0
    for other, expected in (
        ((flowers, "--hidden", 4), "sizes (2, 30, 3), and this command has (2, 4, 3)"),
        ((flowers, "--dtype", "float32"), "dtype float64, and this command has float32"),
        ((flowers, "--l2", 0.1), "l2 None, and this command has 0.1"),
        ((flowers, "--seed", 1), "seed 0, and this command has 1"),
        ((flowers, "--test-fraction", 0), "rows 45, and this command has 60"),
    ):
        status, _, err = run("train", *other, *words, "--resume", *FAST)
        assert status == 2 and f"{checkpoint} was made with {expected}" in err
    # Version 0.1.0 held out other rows for the same seed.
    trainer = cbackprop.Trainer.load(checkpoint)
    del trainer.network.annotations["training"]["split"]
    trainer.save(checkpoint)
    status, _, err = run("train", flowers, *words, "--resume", *FAST)
    assert status == 2 and "was made by an older version, which held out other rows" in err
    net = cbackprop.Network((2, 30, 3))
    cbackprop.Trainer(net).save(checkpoint)
    status, _, err = run("train", flowers, *words, "--resume", *FAST)
    assert status == 2 and "was not made by cbackprop train --checkpoint" in err


# --------------------------------------------------------------------- solvers, losses, stopping


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--solver", "adam", "--learning-rate", 0.01], ["adam, batch 10, learning rate 0.01"]),
        (["--solver", "adamw"], ["adamw, batch 10, learning rate 0.01"]),
        (["--solver", "nadam", "--batch-size", 5], ["nadam, batch 5, learning rate 0.01"]),
        (["--solver", "rprop", "--l2", 0.5, "--l1", 0.25], ["rprop, l2 0.5, l1 0.25, seed 0"]),
        (["--solver", "lm"], ["minmax", "squared error, lm, seed 0"]),
        (["--solver", "br", "--error-bars"], ["minmax", "squared error, br, seed 0"]),
        (
            ["--solver", "lbfgs", "--loss", "cross_entropy"],
            ["cross entropy, lbfgs", "softmax"],
        ),
        (["--loss", "huber", "--momentum", 0.5], ["huber, sgd, batch 10, learning rate 0.5, mom"]),
    ],
)
def test_solvers_and_losses(run, flowers, words, expected):
    status, out, err = run("train", flowers, *words, *FAST)
    assert (status, err) == (0, "")
    assert all(part in out for part in expected)


def test_the_loss_reported_is_the_one_trained_on(run, fann, tmp_path):
    """Cross-entropy with sigmoids on a single column of 0 and 1, and its penalties left out."""
    model = tmp_path / "m.safetensors"
    words = ["--loss", "cross_entropy", "--l2", 0.01, "--l1", 0.001, "--solver", "adam"]
    words += ["--scale", "none", "--test-fraction", 0, "--hidden", 3, "--save", model, "--json"]
    report = json.loads(run("train", fann, *words, *FAST)[1])
    X = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    net = cbackprop.Network((2, 3, 1), seed=0)
    cbackprop.Trainer(
        net,
        loss="cross_entropy",
        solver=cbackprop.Adam(learning_rate=0.01),
        batch_size=10,
        l2=0.01,
        l1=0.001,
        seed=0,
    ).fit(X, X.sum(1) % 2, epochs=2)
    assert_array_equal(cbackprop.Network.load(model).parameters, net.parameters)
    assert report["train"]["loss"] == net.loss(X, X.sum(1) % 2, loss="cross_entropy")
    _, _, err = run("predict", model, fann)
    assert f" {report['train']['loss']:.6g} " in err


def test_poisson_takes_an_exponential_output(run, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (200, 2))
    np.savez(tmp_path / "counts.npz", X=X, Y=rng.poisson(np.exp(1 + X[:, 0])))
    words = ["--loss", "poisson", "--solver", "rprop", "--json", "--no-progress"]
    report = json.loads(run("train", tmp_path / "counts.npz", *words)[1])
    assert report["network"]["activations"][-1] == "exp"
    assert report["train"]["loss"] < 0.7  # half the deviance of true Poisson counts is about 0.5


def test_patience_keeps_the_best_network(run, flowers, tmp_path):
    """Written down in the history; the report is of the best epoch's network."""
    history, model = tmp_path / "h.json", tmp_path / "m.safetensors"
    words = ["--validation", 0.3, "--patience", 5, "--epochs", 500, "--learning-rate", 20]
    words += ["--history", history, "--save", model, "--no-progress"]
    report = json.loads(run("train", flowers, *words, "--json")[1])
    record = cbackprop.History.from_json(history.read_text())
    assert record.n_epochs == report["epochs"] < 500
    assert record.stop_reason == report["stop_reason"] == "early_stopping"
    assert record.best_epoch == report["best_epoch"] == record["validation_loss"].argmin()
    assert report["validation"]["loss"] == record["validation_loss"].min()
    _, out, _ = run("train", flowers, *words)
    assert re.search(rf"^epochs +{record.n_epochs} of 500, no better for 5$", out, re.MULTILINE)
    assert re.search(rf"^best epoch +{record.best_epoch} ", out, re.MULTILINE)


# ------------------------------------------------------------------------------ history and picture


def test_the_plot_is_a_picture(run, flowers, tmp_path):
    pytest.importorskip("matplotlib")
    plot = tmp_path / "p.PNG"
    status, out, err = run("train", flowers, "--plot", plot, *FAST)
    assert (status, err) == (0, "") and str(plot) in out
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_no_known_kind_is_refused_before_training(run, flowers, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(train_command, "Trainer", None)
    status, _, err = run("train", flowers, "--plot", "p.doc")
    assert status == 2 and "--plot p.doc: matplotlib writes no such file; expected" in err


def test_a_missing_matplotlib_is_said_before_training(run, flowers, monkeypatch):
    monkeypatch.setattr(train_command, "Trainer", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, _, err = run("train", flowers, "--plot", "p.png")
    assert status == 2 and 'pip install "cbackprop[plot]"' in err


def test_a_terminal_shows_the_loss_curve(run, flowers, monkeypatch):
    assert "epoch 0 " not in run("train", flowers, *FAST)[1]
    monkeypatch.setattr(outcome.sys, "stdout", Terminal())
    main(["train", str(flowers), "--validation", "0.2", *FAST])
    shown = outcome.sys.stdout.getvalue().split("\n\n")[-1].splitlines()
    assert shown[0].startswith("loss") and "• training   ○ validation" in shown[-1]
    assert max(map(len, shown)) <= 72


class Terminal(io.StringIO):
    """A text stream of a terminal that shows everything."""

    encoding = "utf-8"

    def isatty(self):
        return True


# -------------------------------------------------------------------------------- other processes


def command(*words):
    return [sys.executable, "-m", "cbackprop", *map(str, words)]


def test_as_a_module():
    done = subprocess.run(command("--version"), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"cbackprop {cbackprop.__version__}\n"
    done = subprocess.run(command("train", "missing.csv"), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "cbackprop: error: missing.csv: No such file or directory\n"


@pytest.mark.parametrize("words", [[], ["train"], ["predict"], ["info"], ["config"]])
def test_help_has_an_example(run, words):
    status, out, err = run(*words, "--help")
    assert (status, err) == (0, "")
    assert re.search(r"\nexamples?:\n  cbackprop ", out)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no broken pipes, only invalid ones")
def test_a_reader_that_stops_early_is_no_error(model_of_flowers, tmp_path):
    large = tmp_path / "large.csv"
    large.write_text("length,width\n" + "1,2\n" * 60_000)
    words = command("predict", model_of_flowers, large)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"kind\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device is always full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line(model_of_flowers, flowers, unbuffered):
    """Python keeps what it could not write and tries again at exit, unless it writes at once."""
    words = command("predict", model_of_flowers, flowers, "--quiet")
    settings = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, env=settings)
    assert done.stderr == "cbackprop: error: No space left on device\n"
    assert done.returncode == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device is always full here")
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["config"]])
def test_so_is_one_for_other_output(words):
    settings = {**os.environ, "PYTHONUNBUFFERED": ""}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(*words), stdout=full, stderr=subprocess.PIPE, text=True, env=settings
        )
    assert done.stderr == "cbackprop: error: No space left on device\n"
    assert done.returncode == 2


# -------------------------------------------------------------------------------------- restarts


def test_restarts_keep_the_best(run, flowers, tmp_path):
    words = ["--validation", 0.3, "--patience", 5, "--epochs", 60, "--restarts", 3]
    words += ["--hidden", 4, "--save", tmp_path / "model"]
    status, report, _ = run("train", flowers, *words, "--no-progress")
    assert status == 0
    assert "3 restarts, seed 0" in report
    best = int(re.search(r"best restart +(\d) \(from 0\) of 3, whose network this is", report)[1])
    status, text, _ = run("train", flowers, *words, "--json")
    found = json.loads(text)
    assert found["best_restart"] == best
    assert found["training"]["restarts"] == 3
    one = run("train", flowers, *words[:-4], "--restarts", 1, *words[-4:], "--json")
    assert json.loads(one[1])["best_restart"] == 0


def test_without_restarts_nothing_is_said_of_them(run, flowers):
    assert " restart" not in run("train", flowers, *FAST)[1]
    report = json.loads(run("train", flowers, *FAST, "--json")[1])
    assert "best_restart" not in report and "restarts" not in report["training"]


def test_restarts_that_diverge_are_counted():
    histories = [cbackprop.History(), cbackprop.History()]
    histories[0].stop_reason = "diverged"
    histories[1].restarts, histories[1].best_restart = histories, 1
    assert outcome.restarts(histories[1])[0][1].endswith("of 2, whose network this is; 1 diverged")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--restarts", "0"], "argument --restarts: '0' is not a whole number of at least 1"),
        (["--restarts", "2", "--checkpoint", "c"], "--restarts goes without --checkpoint"),
        (["--restarts", "2", "--init", "normal"], "--restarts goes without --init normal"),
    ],
)
def test_what_does_not_go_with_restarts(run, flowers, words, error):
    status, out, err = run("train", flowers, *words)
    assert (status, out) == (2, "")
    assert error in err
