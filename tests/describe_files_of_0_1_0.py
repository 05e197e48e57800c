"""Writes files_of_0_1_0.json: what version 0.1.0 pickled and saved, as text.

    PYTHONPATH=OLD/src python tests/describe_files_of_0_1_0.py

OLD is commit 7309858 of version 0.1.0, built in place: the last one before its modules were given
other places.  Nobody needs to run this again; it says what is in the file, and what the test goes
on with.  The parts that the test uses too stand first and use public names alone.
"""

import hashlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import textwrap
import warnings
from pathlib import Path

import numpy as np

import cbackprop
from cbackprop import (
    LBFGS,
    SGD,
    Adam,
    BayesianRegularization,
    Checkpoint,
    EarlyStopping,
    Huber,
    LevenbergMarquardt,
    Network,
    Quantile,
    RProp,
    Trainer,
    errors,
    schedules,
)

FILE = Path(__file__).with_name("files_of_0_1_0.json")

# Of all there is a pickle by protocol 4, the default of Python 3.8 to 3.13; by the older protocol 2
# of these, so that each module of a group is there.
ALSO_BY_PROTOCOL_2 = {
    "settings": [
        "Adam",
        "BayesianRegularization",
        "WarmUp",
        "EarlyStopping",
        "Checkpoint",
        "Huber",
    ],
    "errors": ["DivergenceError"],
    "networks": ["posterior"],
    "trainers": ["early stopping"],
    "records": ["history", "scaling", "check"],
    "estimators": ["regressor, L-BFGS, scaled"],
}

# -------------------------------------------------------------------------- what the test uses too


def data():
    """Twelve rows of numbers that every machine has exactly."""
    i = np.arange(12)
    X = ((7 * i[:, None] + 3 * np.arange(2)) % 11 - 5) / 8
    return X, X[:, :1] - X[:, 1:] ** 2 + 0.25


def settings():
    """One object of each class of settings, none of them the default."""
    return {
        "SGD": SGD(learning_rate=0.25, momentum=0.5, nesterov=True, max_gradient_norm=2.0),
        "Adam": Adam(learning_rate=0.5, beta_1=0.5, epsilon_form="folded", weight_decay=0.125),
        "RProp": RProp(initial_step=0.25, increase=1.5, max_step=8.0),
        "LBFGS": LBFGS(memory=3, gradient_tolerance=0.0, curvature=0.5),
        "LevenbergMarquardt": LevenbergMarquardt(mu=0.5, damping="nielsen", geodesic=True),
        "BayesianRegularization": BayesianRegularization(scaling="diagonal", keep_posterior=True),
        "StepDecay": schedules.StepDecay(0.5, every=3, factor=0.25),
        "ExponentialDecay": schedules.ExponentialDecay(0.5, factor=0.75),
        "CosineDecay": schedules.CosineDecay(0.5, epochs=9, minimum=0.125),
        "InverseScaling": schedules.InverseScaling(0.5, power=0.75),
        "WarmUp": schedules.WarmUp(schedules.StepDecay(0.5, every=2), epochs=3),
        "ReduceOnPlateau": schedules.ReduceOnPlateau(0.5, factor=0.25, patience=4),
        "EarlyStopping": EarlyStopping(monitor="loss", patience=3, mode="max", restore_best=False),
        "Checkpoint": Checkpoint("a/b", every_epochs=3, every_seconds=0.5),
        "Huber": Huber(threshold=0.25),
        "Quantile": Quantile(quantile=0.75),
    }


def all_errors():
    """One of each error."""
    diverged = errors.DivergenceError("diverged", 3, 2, 0.5)
    return {"DivergenceError": diverged} | {
        name: getattr(errors, name)(f"{name} was raised")
        for name in errors.__all__
        if name != "DivergenceError"
    }


def public_objects():
    """The classes and functions that cbackprop exports, which are pickled by their names."""
    named = {name: getattr(cbackprop, name) for name in cbackprop.__all__}
    return {name: value for name, value in named.items() if callable(value)}


def goes_on(name, trainer):
    """Three more epochs of a described trainer, with the arguments that its first fit had."""
    return trainer.fit(*data(), epochs=3, **FIT.get(name, {}))


# The metadata of a file that describes no others.
USUAL = {"activations": ["tanh", "identity"], "annotations": {}, "bias": True, "dtype": "float64",
         "format_version": 1, "sizes": [2, 1, 1]}  # fmt: skip

# What a fit is given besides, by the trainer's name.
FIT = {
    "early stopping": {
        "validation_data": np.array([1, 5, 6, 10]),
        "early_stopping": EarlyStopping(patience=6),
    }
}


def anew(name, trainer):
    """Three epochs of a new trainer with the same settings: no state of the described one.

    Whether they have the described bits says whether this build computes as the described one did.
    """
    net = Network(
        trainer.network.sizes,
        activation="tanh",
        output_activation="identity",
        dtype=trainer.network.dtype,
        seed=0,
    )
    net.parameters[:] = np.arange(1 - net.n_parameters, net.n_parameters, 2) / 16
    fresh = Trainer(
        net, solver=trainer.solver, loss=trainer.loss, batch_size=trainer.batch_size, seed=1
    )
    goes_on(name, fresh)
    return net.parameters


def continued(estimator):
    """One more call of an estimator, which goes on from its state."""
    X, Y = data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # L-BFGS says that it has not converged
        if estimator.warm_start:
            return estimator.fit(X, Y[:, 0])
        return estimator.partial_fit(X, Y[:, 0] > 0, classes=[False, True])


def estimator_anew(estimator):
    """The parameters of `continued` without any state, as in `anew`."""
    return parameters_of(continued(type(estimator)(**estimator.get_params())))


def parameters_of(estimator):
    layers = zip(estimator.coefs_, estimator.intercepts_, strict=True)
    return np.concatenate([A.ravel() for layer in layers for A in layer])


def base_16(A):
    """An array as text, little-endian, one number after the other."""
    return A.astype(A.dtype.newbyteorder("<")).tobytes().hex()


def checksum(A):
    return hashlib.sha256(base_16(A).encode()).hexdigest()[:16]


def blas():
    """Which BLAS computes; for so small networks only the solvers by J'J ask it."""
    config = cbackprop.get_config()
    return [config["blas_name"], config["blas_version"], config["blas_kernel"]]


# ------------------------------------------------------------------------- what 0.1.0 has written


def network(sizes=(2, 1, 1), **changed):
    arguments = {"activation": "tanh", "output_activation": "identity", "seed": 4, **changed}
    return Network(sizes, **arguments)


def networks():
    X, Y = data()
    small = network((2, 1, 2), activation="relu", output_activation="softmax", bias=False,
                    dtype="float32", init="normal")  # fmt: skip
    small.annotations = {"classes": ["no", "yes"], "made": {"in": 2026}}
    scaled = network()
    scaled.fit_scaling(3 + X, 50 - 20 * Y, targets="minmax")
    sure = network(seed=6)
    sure.fit_scaling(X, inputs="minmax")
    Trainer(sure, solver=BayesianRegularization(keep_posterior=True), seed=0).fit(X, Y, epochs=3)
    return {"plain": network((2, 2, 1)), "float32": small, "scaled": scaled, "posterior": sure}


def trainers():
    X, Y = data()
    warm_up = schedules.WarmUp(schedules.ExponentialDecay(0.25, factor=0.5), epochs=2)
    plateau = schedules.ReduceOnPlateau(0.5, patience=1, min_delta=1.0)
    scaled = network()
    scaled.fit_scaling(X, Y)
    made = {
        "fresh": Trainer(network(), solver=SGD(learning_rate=warm_up), loss=Quantile(quantile=0.75),
                         batch_size=4, shuffle="window", l1=0.125, l2=0.25, seed=5, n_threads=1),
        "momentum, Huber": Trainer(network(), solver=SGD(momentum=0.5), loss=Huber(threshold=0.5),
                                   batch_size=5, seed=1),
        "amidst an epoch": Trainer(
            network(), batch_size=4, seed=2,
            solver=Adam(learning_rate=schedules.StepDecay(0.0625, every=2), amsgrad=True),
        ),
        "plateau": Trainer(network(), solver=Adam(learning_rate=plateau), batch_size=6, seed=3),
        "RProp, float32": Trainer(network(dtype="float32"), solver=RProp(), seed=1),
        "LBFGS": Trainer(network(), solver=LBFGS(memory=2), seed=1),
        "Levenberg-Marquardt": Trainer(
            network(), solver=LevenbergMarquardt(damping="nielsen"), seed=1
        ),
        "evidence": Trainer(scaled, solver=BayesianRegularization(keep_posterior=True), seed=1),
        "early stopping": Trainer(network(), solver=SGD(learning_rate=1.0), batch_size=3, seed=6),
    }  # fmt: skip
    for name, trainer in made.items():
        if name == "amidst an epoch":
            trainer._fit(X, Y, 3, steps=4)  # three steps are an epoch
        elif name != "fresh":
            trainer.fit(X, Y, epochs=2, **FIT.get(name, {}))
    place = made["amidst an epoch"]._state
    early = made["early stopping"]
    early.fit(X, Y, epochs=1)  # without stopping: the best parameters stay behind
    assert (place.epoch, place.position) == (1, 4)
    assert (early._state.best_parameters != early.network.parameters).any()
    assert made["plateau"].fit(X, Y, epochs=1)["learning_rate"][0] < 0.5
    return made


def records():
    X, Y = data()
    trainer = Trainer(network(), seed=0)
    restarted = trainer.fit(X, Y, epochs=1, restarts=2)
    text = {"format": "cbackprop history", "format_version": 1, "first_epoch": 3,
            "stop_reason": "epochs", "best_epoch": 4,
            "columns": {"loss": [0.5, 0.25], "learning_rate": [None, 0.125], "seconds": [1.0, 2.0],
                        "validation_loss": ["inf", 0.75]}}  # fmt: skip
    return {
        "history": cbackprop.History.from_json(json.dumps(text)),
        "restarts": restarted,
        "scaling": networks()["scaled"].input_scaling,
        "posterior": networks()["posterior"].posterior,
        "check": network().check_gradient(X[:2], Y[:2]),
    }


def estimators():
    from cbackprop.sklearn import MLPClassifier, MLPRegressor

    X, Y = data()
    y = Y[:, 0]
    of = {"hidden_layer_sizes": (1,), "random_state": 3}
    classifier = MLPClassifier(**of, batch_size=5).partial_fit(X, y > 0, classes=[False, True])
    scaled = MLPRegressor(**of, solver="lbfgs", scaling="standard", warm_start=True, max_iter=2)
    return {
        "classifier, partial_fit": classifier,
        "regressor, L-BFGS, scaled": continued(scaled),
    }


GROUPS = {
    "settings": settings,
    "errors": all_errors,
    "objects": public_objects,
    "networks": networks,
    "trainers": trainers,
    "records": records,
    "estimators": estimators,
}


# ----------------------------------------------------------------------------------- as a text


def described_file(item):
    """A model file or checkpoint: its metadata, and its arrays as texts of float.hex."""
    from pickle_text import hexadecimal
    from tensor_bytes import parts

    with tempfile.TemporaryDirectory() as folder:
        item.save(Path(folder) / "file")
        header, content = parts((Path(folder) / "file").read_bytes())
    metadata = header.pop("__metadata__")
    arrays = {}
    for name, entry in sorted(header.items(), key=lambda pair: pair[1]["data_offsets"]):
        dtype = {"F64": "<f8", "F32": "<f4"}[entry["dtype"]]
        numbers = np.frombuffer(content[slice(*entry["data_offsets"])], dtype)
        shape = "x".join(map(str, entry["shape"]))
        arrays[f"{name} {entry['dtype']} {shape}"] = " ".join(
            hexadecimal(float(x)) for x in numbers
        )
    plain = {key: text if key in ("format", "sha256") else json.loads(text)
             for key, text in metadata.items()}  # fmt: skip
    unusual = {key: value for key, value in sorted(plain.items()) if USUAL.get(key) != value}
    described = {"metadata": unusual, "arrays": arrays}
    assert file_of(described)
    return described


def file_of(described):
    """The bytes of a described file, whose checksum has to fit."""
    from tensor_bytes import laid_out, parts

    metadata = {key: value if key in ("format", "sha256") else json.dumps(value)
                for key, value in {**USUAL, **described["metadata"]}.items()}  # fmt: skip
    arrays = []
    for head, numbers in described["arrays"].items():
        name, code, shape = head.split(" ")
        A = np.array([float.fromhex(x) for x in numbers.split()], "<f8")
        content = A.astype({"F64": "<f8", "F32": "<f4"}[code]).tobytes()
        arrays.append((name, code, [int(n) for n in shape.split("x")], content))
    raw = laid_out(metadata, arrays)
    if parts(raw)[0]["__metadata__"]["sha256"] != described["metadata"]["sha256"]:
        raise ValueError("the description has another checksum than the file had")
    return raw


def lines_of(text):
    # No text in a pickle has two blanks; at a hyphen a number would be cut.
    lines = textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)
    assert " ".join(lines) == text
    return lines


def described():
    import sklearn

    from pickle_text import disassembled

    made = {group: make() for group, make in GROUPS.items()}
    pickles = {}
    for group, items in made.items():
        pickles[f"{group}, protocol 4"] = lines_of(disassembled(pickle.dumps(items, protocol=4)))
        if group in ALSO_BY_PROTOCOL_2:
            chosen = {name: items[name] for name in ALSO_BY_PROTOCOL_2[group]}
            lines = lines_of(disassembled(pickle.dumps(chosen, protocol=2)))
            pickles[f"{group}, protocol 2"] = lines
    return {
        "version": cbackprop.__version__,
        "scikit-learn": sklearn.__version__,
        "blas": blas(),
        "pickles": pickles,
        "model files": {name: described_file(net) for name, net in made["networks"].items()},
        "checkpoints": {name: described_file(one) for name, one in made["trainers"].items()},
        "histories": {name: made["records"][name].to_json() for name in ("history", "restarts")},
    }


def continuations(document):
    """For each trainer and estimator: parameters after more epochs, and those of `anew`."""
    from pickle_text import assembled

    def of(group):
        return pickle.loads(assembled(4, " ".join(document["pickles"][f"{group}, protocol 4"])))

    found = {}
    for name, trainer in of("trainers").items():
        fresh = checksum(anew(name, trainer))
        goes_on(name, trainer)
        found[name] = [base_16(trainer.network.parameters), fresh]
    for name, estimator in of("estimators").items():
        fresh = checksum(estimator_anew(estimator))
        found[name] = [base_16(parameters_of(continued(estimator))), fresh]
    return found


def readable(value, depth=0):
    """JSON with a line for each text and for each object of the innermost."""
    begin, end, items = "[", "]", value
    if isinstance(value, dict):
        begin, end = "{", "}"
        items = [f"{json.dumps(key)}: {readable(one, depth + 1)}" for key, one in value.items()]
    elif isinstance(value, list):
        items = map(json.dumps, value)
    else:
        return json.dumps(value)
    if depth == 3 and (begin == "[" or "format" in value):
        return json.dumps(value)
    return begin + "\n" + ",\n".join(items) + "\n" + end


def main():
    if sys.argv[1:] == ["--continue"]:
        print(json.dumps(continuations(json.load(sys.stdin))))
        return
    document = described()
    document["continued"] = {}
    for level in cbackprop.get_config()["instruction_sets"]:
        done = subprocess.run(
            [sys.executable, __file__, "--continue"],
            input=json.dumps(document),
            env={**os.environ, "CBACKPROP_SIMD": level},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        document["continued"][level] = json.loads(done.stdout)
    FILE.write_text(readable(document) + "\n")


if __name__ == "__main__":
    main()
