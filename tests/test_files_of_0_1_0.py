"""What version 0.1.0 pickled, saved and checkpointed is read by this version, with the same bits.

files_of_0_1_0.json describes those files as text, from which their very bytes are put together
here (pickle_text.py, tensor_bytes.py); describe_files_of_0_1_0.py made it with the last commit
before modules were given other places.  A pickle names classes by the modules they stood in: those
names are good for ever.

The numbers that are compared here were ours: they are what those files hold, and what was computed
from them.  No other test compares with such.
"""

import copy
import functools
import importlib
import json
import pickle
import platform
import subprocess
import sys

import numpy as np
import pytest

import cbackprop
from describe_files_of_0_1_0 import (
    FILE,
    all_errors,
    anew,
    base_16,
    blas,
    checksum,
    continued,
    data,
    estimator_anew,
    file_of,
    goes_on,
    parameters_of,
    public_objects,
    settings,
)
from pickle_text import assembled, disassembled, objects_named
from tensor_bytes import put

DESCRIBED = json.loads(FILE.read_text())

# Where classes and functions stood that pickles may name, or that stood in modules named by others.
OLD_PLACES = {
    "cbackprop.checkpoint": ["Checkpoint"],
    "cbackprop.config": ["get_config"],
    "cbackprop.core.plan": ["Plan"],
    "cbackprop.core.state": ["State", "restore_state"],
    "cbackprop.derivatives": ["GradientCheck"],
    "cbackprop.errors": list(cbackprop.errors.__all__),
    "cbackprop.formulas": ["delta_hidden", "delta_output", "gradients", "sigmoid"],
    "cbackprop.history": ["History"],
    "cbackprop.least_squares": ["BayesianRegularization", "LevenbergMarquardt"],
    "cbackprop.losses": ["Huber", "Quantile"],
    "cbackprop.network": ["Network", "_Belief"],
    "cbackprop.plotting": ["TrainingCurveDisplay"],
    "cbackprop.posterior": ["Posterior"],
    "cbackprop.scaling": ["Scaling"],
    "cbackprop.schedules": list(cbackprop.schedules.__all__),
    "cbackprop.solvers": ["Adam", "LBFGS", "RProp", "SGD", "BayesianRegularization",
                          "LevenbergMarquardt"],
    "cbackprop.stopping": ["EarlyStopping"],
    "cbackprop.trainer": ["Trainer"],
}  # fmt: skip
OLD_PLACES_OF_ESTIMATORS = {
    "cbackprop.sklearn": ["MLPClassifier", "MLPRegressor"],
    "cbackprop.sklearn.classifier": ["MLPClassifier"],
    "cbackprop.sklearn.regressor": ["MLPRegressor"],
    "cbackprop.sklearn.runs": ["Resume"],
}


def text_of(group, protocol):
    return " ".join(DESCRIBED["pickles"][f"{group}, protocol {protocol}"])


def unpickled(group, protocol):
    """What stands in a described pickle."""
    return pickle.loads(assembled(protocol, text_of(group, protocol)))


def pickled(group):
    """(protocol, name) of all that stands in the described pickles of a group."""
    names = {4: {"networks": DESCRIBED["model files"], "trainers": DESCRIBED["checkpoints"]}[group]}
    names[2] = {"networks": ["posterior"], "trainers": ["early stopping"]}[group]
    return [(protocol, name) for protocol in (2, 4) for name in names[protocol]]


def saved(kind, name, path):
    """A described file, written to a path."""
    put(path, file_of(DESCRIBED[kind][name]))
    return path


def array_in(described, name):
    """An array of a described file, or None."""
    for head, numbers in described["arrays"].items():
        if head.split()[0] == name:
            _, code, shape = head.split()
            A = np.array([float.fromhex(x) for x in numbers.split()])
            A = A.reshape([int(n) for n in shape.split("x")])
            return A.astype({"F64": "float64", "F32": "float32"}[code])
    return None


def described_parameters(described):
    """W1, b1, W2, ... of a described file, flat."""
    arrays = [array_in(described, f"{kind}{i}").ravel() for i in (1, 2) for kind in "Wb"
              if array_in(described, f"{kind}{i}") is not None]  # fmt: skip
    return np.concatenate(arrays)


def built(described, like):
    """The network of a described file by the public names alone, of the shape of another."""
    *hidden, output = like.activations
    network = cbackprop.Network(like.sizes, activation=hidden, output_activation=output,
                                bias=like.bias, dtype=like.dtype, seed=1)  # fmt: skip
    network.parameters[:] = described_parameters(described)
    Scaling = importlib.import_module("cbackprop.scaling").Scaling
    for end in ("input", "output"):
        shift = array_in(described, f"{end}_shift")
        if shift is not None:
            setattr(network, f"{end}_scaling", Scaling(shift, array_in(described, f"{end}_scale")))
    return network


def same(one, other):
    return (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )


# ------------------------------------------------------------------------------------------ places


@pytest.mark.parametrize("module", OLD_PLACES)
def test_what_stood_in_a_module_is_found_there(module):
    found = importlib.import_module(module)
    for name in OLD_PLACES[module]:
        here = getattr(found, name)
        for place in (cbackprop, cbackprop.errors, cbackprop.schedules):
            if name in place.__all__:
                assert here is getattr(place, name)


@pytest.mark.parametrize("module", OLD_PLACES_OF_ESTIMATORS)
def test_estimators_are_found_where_they_stood(module):
    pytest.importorskip("sklearn")
    found = importlib.import_module(module)
    exported = importlib.import_module("cbackprop.sklearn")
    for name in OLD_PLACES_OF_ESTIMATORS[module]:
        here = getattr(found, name)
        if name in exported.__all__:
            assert here is getattr(exported, name)


@pytest.mark.parametrize("which", DESCRIBED["pickles"])
def test_every_name_in_a_pickle_is_in_the_table_of_places(which):
    group, protocol = which.split(", protocol ")
    places = {**OLD_PLACES, **OLD_PLACES_OF_ESTIMATORS}
    named = {pair for pair in objects_named(int(protocol), text_of(group, int(protocol)))
             if pair[0].split(".")[0] == "cbackprop"}  # fmt: skip
    assert named
    for module, name in named:
        assert name in places[module]


def test_public_classes_and_functions_are_the_objects_of_their_pickles():
    loaded, expected = unpickled("objects", 4), public_objects()
    assert len(loaded) > 15
    for name, value in loaded.items():
        assert value is expected[name]


# ------------------------------------------------------------------------------- settings, errors


@pytest.mark.parametrize("protocol", [2, 4])
def test_settings_are_equal(protocol):
    loaded, expected = unpickled("settings", protocol), settings()
    if protocol == 4:
        assert loaded.keys() == expected.keys()
    for name, value in loaded.items():
        assert type(value) is type(expected[name])
        assert value == expected[name]
        assert repr(value) == repr(expected[name])


@pytest.mark.parametrize("protocol", [2, 4])
def test_errors_are_equal(protocol):
    loaded, expected = unpickled("errors", protocol), all_errors()
    if protocol == 4:
        assert loaded.keys() == expected.keys()
    for name, value in loaded.items():
        assert type(value) is getattr(cbackprop.errors, name)
        assert (value.args, str(value)) == (expected[name].args, str(expected[name]))
    diverged = loaded["DivergenceError"]
    assert (diverged.epoch, diverged.step, diverged.learning_rate) == (3, 2, 0.5)


@pytest.mark.parametrize("protocol", [2, 4])
def test_records_are_equal(protocol):
    loaded = unpickled("records", protocol)
    history = loaded["history"]
    assert type(history) is cbackprop.History
    assert history == cbackprop.History.from_json(DESCRIBED["histories"]["history"])
    assert np.isnan(history["learning_rate"][0]) and history["validation_loss"][0] == np.inf
    assert (history.first_epoch, history.stop_reason, history.best_epoch) == (3, "epochs", 4)
    scaled = DESCRIBED["model files"]["scaled"]
    assert same(loaded["scaling"].shift, array_in(scaled, "input_shift"))
    assert same(loaded["scaling"].scale, array_in(scaled, "input_scale"))
    check = loaded["check"]
    assert type(check) is type(
        built(scaled, unpickled("networks", 4)["scaled"]).check_gradient(*data())
    )
    assert (check.worst, check.n_checked) == ("b1[0]", 5) and 0 < check.max_error < 1e-6
    if protocol == 4:
        restarted = loaded["restarts"]
        text = DESCRIBED["histories"]["restarts"]
        assert restarted == cbackprop.History.from_json(text)
        assert len(restarted.restarts) == 2
        assert restarted.restarts[restarted.best_restart] == restarted
        posterior = loaded["posterior"]
        sure = DESCRIBED["model files"]["posterior"]
        assert type(posterior) is cbackprop.Posterior
        assert same(posterior.factor, array_in(sure, "posterior_factor"))
        assert same(posterior.parameters, described_parameters(sure))


# ---------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("name", DESCRIBED["model files"])
def test_model_files(name, tmp_path):
    described = DESCRIBED["model files"][name]
    network = cbackprop.Network.load(saved("model files", name, tmp_path / "net"))
    assert same(network.parameters, described_parameters(described))
    X = data()[0]
    assert same(network.predict(X), built(described, network).predict(X))
    assert network.annotations == described["metadata"].get("annotations", {})
    assert (described["metadata"].get("format_version", 1) == 2) == (name == "posterior")
    network.save(tmp_path / "again")
    again = cbackprop.Network.load(tmp_path / "again")
    assert pickle.dumps(again) == pickle.dumps(network)


@pytest.mark.parametrize(("protocol", "name"), pickled("networks"))
def test_pickled_networks(protocol, name, tmp_path):
    described = DESCRIBED["model files"][name]
    network = unpickled("networks", protocol)[name]
    assert type(network) is cbackprop.Network
    assert same(network.parameters, described_parameters(described))
    other = built(described, network)
    X = data()[0]
    assert same(network.predict(X), other.predict(X))
    assert (network.input_scaling is None) == (other.input_scaling is None)
    assert (network.output_scaling is None) == (other.output_scaling is None)
    loaded = cbackprop.Network.load(saved("model files", name, tmp_path / "net"))
    assert repr(network) == repr(loaded) and network.annotations == loaded.annotations
    if name == "posterior":
        assert same(network.posterior.factor, array_in(described, "posterior_factor"))
        for one, two in zip(network.predict(X, return_std=True),
                            loaded.predict(X, return_std=True), strict=True):  # fmt: skip
            assert same(one, two)
    network.weights[0][0, 0] += 1.0  # views of its parameters
    assert network.parameters[0] == other.parameters[0] + 1.0


# ---------------------------------------------------------------------------------------- trainers


def by_system(name):
    return name in ("Levenberg-Marquardt", "evidence")


def level():
    return cbackprop.get_config()["instruction_set"]


@functools.cache
def as_described():
    """Whether this build computes with the bits of the described one.

    Compilers fuse products and sums as they like.  Training all of them anew, without any state of
    theirs, says whether this one did it as the described one; the solvers by J'J, which use LAPACK
    besides, are left out.
    """
    continuations = DESCRIBED["continued"].get(level(), {})
    anews = {
        name: anew(name, trainer)
        for name, trainer in unpickled("trainers", 4).items()
        if not by_system(name)
    }
    return platform.machine() == "x86_64" and all(
        name in continuations and checksum(parameters) == continuations[name][1]
        for name, parameters in anews.items()
    )


def check_continuation(name, parameters, fresh):
    """The parameters are those that the described build went on to.

    ``fresh`` are those of a training anew with the same settings.
    """
    known = DESCRIBED["continued"].get(level(), next(iter(DESCRIBED["continued"].values())))
    expected = np.frombuffer(bytes.fromhex(known[name][0]), parameters.dtype.newbyteorder("<"))
    tolerance = 1e-6 if parameters.dtype == np.float64 else 1e-3
    np.testing.assert_allclose(parameters, expected, rtol=tolerance, atol=tolerance)
    if not as_described() or checksum(fresh) != known[name][1]:
        pytest.skip("this build rounds otherwise than the described one")
    if by_system(name) and blas() != DESCRIBED["blas"]:
        pytest.skip("LAPACK rounds otherwise than the described one")
    assert base_16(parameters) == known[name][0]


def trainer_of(name, way, folder):
    """A described trainer, out of a pickle or a checkpoint."""
    if way == "checkpoint":
        return cbackprop.Trainer.load(saved("checkpoints", name, folder / "trainer"))
    return unpickled("trainers", way)[name]


def ways(name):
    return ["checkpoint", *(protocol for protocol, other in pickled("trainers") if other == name)]


@pytest.mark.parametrize("name", DESCRIBED["checkpoints"])
def test_trainers_hold_what_is_described(name, tmp_path):
    described = DESCRIBED["checkpoints"][name]
    of_checkpoint = trainer_of(name, "checkpoint", tmp_path)
    for way in ways(name):
        trainer = trainer_of(name, way, tmp_path)
        assert type(trainer) is cbackprop.Trainer
        assert same(trainer.network.parameters, described_parameters(described))
        X = data()[0]
        assert same(trainer.network.predict(X), built(described, trainer.network).predict(X))
        for attribute in ("solver", "loss", "batch_size", "shuffle", "l1", "l2", "seed", "epoch"):
            assert getattr(trainer, attribute) == getattr(of_checkpoint, attribute), attribute
        assert trainer.history == of_checkpoint.history
        assert trainer.epoch == described["metadata"]["state"]["epoch"]
        loss = array_in(described, "history.loss")
        assert same(trainer.history["loss"], loss)


@pytest.mark.parametrize("name", DESCRIBED["checkpoints"])
def test_trainers_go_on_the_same_way_wherever_they_come_from(name, tmp_path):
    found = []
    for way in ways(name):
        trainer = trainer_of(name, way, tmp_path)
        before = trainer.network.parameters.copy()
        fit = goes_on(name, trainer)
        columns = {column: fit[column].tobytes() for column in fit if column != "seconds"}
        assert not same(trainer.network.parameters, before)
        found.append((trainer.network.parameters.tobytes(), columns, fit.stop_reason))
    assert len(found) >= 2
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("name", DESCRIBED["checkpoints"])
def test_trainers_go_on_with_the_bits_of_0_1_0(name, tmp_path):
    trainer = trainer_of(name, 4, tmp_path)
    fresh = anew(name, trainer)
    goes_on(name, trainer)
    check_continuation(name, trainer.network.parameters, fresh)


@pytest.mark.parametrize("name", [n for n in DESCRIBED["checkpoints"] if n != "fresh"])
def test_states_matter(name, tmp_path):
    """Without its state a trainer goes on otherwise: what the tests before compare is at stake."""
    trainer = trainer_of(name, 4, tmp_path)
    other = copy.deepcopy(trainer)
    other.reset()
    goes_on(name, trainer)
    goes_on(name, other)
    assert not same(trainer.network.parameters, other.network.parameters)


def test_a_description_that_is_not_that_of_the_file_is_told():
    described = copy.deepcopy(DESCRIBED["checkpoints"]["momentum, Huber"])
    described["arrays"]["b1 F64 1"] = "0x1p+0"
    with pytest.raises(ValueError, match="another checksum"):
        file_of(described)


# -------------------------------------------------------------------------------------- estimators

ESTIMATORS = [
    (2, "regressor, L-BFGS, scaled"),
    (4, "regressor, L-BFGS, scaled"),
    (4, "classifier, partial_fit"),
]


@pytest.fixture(scope="module")
def sklearn():
    module = pytest.importorskip("sklearn")
    ours, theirs = module.__version__, DESCRIBED["scikit-learn"]
    if ours.split(".")[:2] != theirs.split(".")[:2]:
        pytest.skip(f"scikit-learn is {ours}; its own objects in the pickles are of {theirs}")
    return module


def estimators(protocol, sklearn):
    text = text_of("estimators", protocol)
    # It warns of objects from another version, be it the same but for a mended fault.
    return pickle.loads(assembled(protocol, text, {DESCRIBED["scikit-learn"]: sklearn.__version__}))


@pytest.mark.parametrize(("protocol", "name"), ESTIMATORS)
def test_estimators_predict_the_same(protocol, name, sklearn):
    from cbackprop.sklearn import MLPClassifier, MLPRegressor

    estimator = estimators(protocol, sklearn)[name]
    X, _ = data()
    classifies = name.startswith("classifier")
    assert type(estimator) is (MLPClassifier if classifies else MLPRegressor)
    network = cbackprop.Network((2, 1, 1), activation="relu",
                                output_activation="sigmoid" if classifies else "identity",
                                seed=1)  # fmt: skip
    if not classifies:  # the scaling of its data, which it has found itself
        network.fit_scaling(*data())
    network.parameters[:] = parameters_of(estimator)
    Y_hat = estimator.predict_proba(X)[:, 1] if classifies else estimator.predict(X)
    assert same(Y_hat, network.predict(X)[:, 0])
    assert estimator.history_.n_epochs == (1 if classifies else 2)
    assert estimator.get_params()["random_state"] == 3


@pytest.mark.parametrize(("protocol", "name"), ESTIMATORS)
def test_estimators_go_on_with_the_bits_of_0_1_0(protocol, name, sklearn):
    estimator = estimators(protocol, sklearn)[name]
    fresh = estimator_anew(estimator)
    check_continuation(name, parameters_of(continued(estimator)), fresh)


# ------------------------------------------------------------------------------- the texts' reader


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickles_survive_being_a_text(protocol):
    X, Y = data()
    trainer = cbackprop.Trainer(cbackprop.Network((2, 3, 1), seed=0), seed=0)
    trainer.fit(X, Y / 4 + 0.5, epochs=2)
    numbers = [0, 1, 255, 256, 65535, 65536, -1, -(1 << 31), 1 << 31, 1 << 80, -(1 << 80)]
    floats = [0.0, -0.0, 0.1, -1e300, 5e-324, np.inf, -np.inf, np.nan]
    texts = ["", "a b", "it's", "\n", "é", "x" * 300, "\\", '"']
    things = [None, True, False, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], {}, {"a": {}}]
    blobs = [b"", b"\0" * 7, b"\0" * 9 + b"\1" + b"\0" * 40, b"\1" * 300, bytes(range(256))]
    for value in (trainer, numbers, floats, texts, things, blobs, np.random.RandomState(3)):
        raw = pickle.dumps(value, protocol=protocol)
        assert assembled(protocol, disassembled(raw)) == raw
    text = disassembled(pickle.dumps({"one": "a b"}, protocol=protocol))
    replaced = assembled(protocol, text, {"a b": "another, longer"})
    assert pickle.loads(replaced) == {"one": "another, longer"}


@pytest.mark.parametrize("protocol", [2, 4])
def test_names_in_a_text(protocol):
    value = [cbackprop.SGD, cbackprop.Adam, cbackprop.Network, np.float64(1.0)]
    text = disassembled(pickle.dumps(value, protocol=protocol))
    named = set(objects_named(protocol, text))
    modules = {(cls.__module__, cls.__name__) for cls in value[:3]}
    assert modules < named and ("numpy", "dtype") in named


def test_the_description_is_small():
    assert FILE.stat().st_size < 60 * 1024
    assert FILE.read_text().isascii()


def test_an_old_path_is_no_program():
    ended = subprocess.run(
        [sys.executable, "-m", "cbackprop.schedules"], capture_output=True, text=True
    )
    assert ended.stderr.endswith("No code object available for cbackprop.schedules\n")
