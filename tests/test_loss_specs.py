"""Each loss's specification: complete, true of the core and of the reference, and read everywhere.

A loss that is added is tested here without a word more.
"""

import itertools
import re
from dataclasses import fields
from pathlib import Path

import mpmath
import numpy as np
import pytest

from cbackprop import LBFGS, Adam, LevenbergMarquardt, Network, Trainer, losses, reference
from cbackprop.activations import ACTIVATIONS
from cbackprop.commandline import main
from cbackprop.core.gauss_newton import assemble
from cbackprop.core.simd import dispatch
from cbackprop.core.testing import kernels
from cbackprop.errors import InputError, InputTypeError
from cbackprop.reference import losses as reference_losses
from test_trace import evaluate

SPECS = list(losses.LOSSES.values())
EVERY_SPEC = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
OUTPUTS = tuple(ACTIVATIONS)
SIMD_H = Path(__file__).parents[1] / "src/cbackprop/core/simd/simd.h"


def targets(spec, output, shape, seed=0):
    """Targets of the loss's domain."""
    rng = np.random.default_rng(seed)
    if spec.class_distribution.get(output) == "categorical":
        return np.eye(shape[1])[rng.integers(shape[1], size=shape[0])]
    return rng.uniform(0.1, 0.9, shape)


def data(spec, output=None, n_rows=60, n_out=2, seed=0):
    X = np.random.default_rng(seed + 1).uniform(-1, 1, (n_rows, 3))
    return X, targets(spec, output or spec.output_for(), (n_rows, n_out), seed)


def network(spec, output=None, n_out=2, **settings):
    return Network(
        (3, 4, n_out),
        activation="tanh",
        output_activation=output or spec.output_for(),
        seed=1,
        **settings,
    )


# -- complete and true -----------------------------------------------------------------------------


def test_the_codes_are_the_cores():
    if not SIMD_H.exists():
        pytest.skip("the sources are not here (an installed wheel is tested)")
    text = SIMD_H.read_text(encoding="utf-8")
    enums = re.findall(r"enum \{(.*?)\};", text, re.DOTALL)
    (of_losses,) = [body for body in enums if "CBP_SQUARED_ERROR" in body]
    codes = {name.lower(): int(code) for name, code in re.findall(r"CBP_(\w+) = (\d+)", of_losses)}
    assert codes == {spec.name: spec.code for spec in (*SPECS, losses.GIVEN)}


@EVERY_SPEC
def test_a_specification_is_complete(spec):
    assert losses.LOSSES[spec.name] is spec and losses.spec_of(spec.name) is spec
    assert losses.name_of(spec.name) == spec.name
    assert spec.outputs and set(spec.outputs) <= set(OUTPUTS)
    assert bool(spec.reason) == (set(spec.outputs) != set(OUTPUTS))
    assert spec.summary and spec.summary[-1] != "."
    assert set(spec.class_distribution) in ({*spec.outputs}, set())
    assert set(spec.class_distribution.values()) <= {"Bernoulli", "categorical"}
    assert spec.output_for() in spec.outputs
    assert (spec.settings is None) == (spec.settings not in losses.SETTINGS)
    if spec.settings is not None:
        (number,) = fields(spec.settings)
        settings = spec.settings(**{number.name: 0.25})
        assert losses.spec_of(settings) is spec
        assert spec.parameter_of(settings) == 0.25
        assert spec.parameter_of(spec.name) == number.default


def test_no_loss_has_a_specification_that_is_a_function_or_unknown():
    for other in (lambda Y, Y_hat: None, "given", "mse", losses.Huber, None, 3):
        assert losses.spec_of(other) is None
    assert losses.name_of(lambda Y, Y_hat: None) == "given"


def code_of(output):
    """As the core asks the loops: where sigma' is kept, they make delta without it."""
    spec = ACTIVATIONS[output]
    return ACTIVATIONS["identity" if spec.keeps_slope else output].code


@EVERY_SPEC
@pytest.mark.parametrize("output", OUTPUTS)
def test_the_reference_and_the_loops_have_it(spec, output):
    """The code in Python, the loop of that code and the specification are one loss."""
    if output not in spec.outputs:
        return
    rng = np.random.default_rng(2)
    Y, raw, weight = (
        targets(spec, output, (7, 3)),
        rng.normal(size=(7, 3)),
        rng.uniform(size=(7, 3)),
    )
    P = raw if spec.from_O else reference_losses.OUTPUTS[output][0](raw)
    parameter = {}
    if spec.settings is not None:
        parameter = {fields(spec.settings)[0].name: spec.parameter_of(spec.name)}
    value, delta = reference_losses.loss(spec.name, output, Y, raw, weight, **parameter)
    for level in dispatch.available_levels():
        got = np.empty_like(Y)
        total = kernels.run_loss(
            *(level, spec.code, code_of(output), spec.parameter_of(spec.name), Y.ravel()),
            *(P.ravel(), len(Y), weight.ravel(), got.reshape(-1)),
        )
        assert total == pytest.approx(value, rel=1e-12)
        if ACTIVATIONS[output].keeps_slope:
            got *= reference.ACTIVATIONS[output][1](raw, P)
        np.testing.assert_allclose(got, delta, rtol=1e-12, atol=1e-14)


@EVERY_SPEC
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_wrong_output_is_an_error_with_the_reason(spec, output):
    if output in spec.outputs:
        losses.check_loss(spec.name, output, callables=False)
        return
    with pytest.raises(InputError) as told:
        losses.check_loss(spec.name, output, callables=False)
    expected = " or ".join(map(repr, spec.outputs))
    assert str(told.value) == (
        f"loss is {spec.name!r} and the output activation {output!r}; expected {expected} with "
        f"this loss: {spec.reason}"
    )


def test_an_unknown_loss_is_told_all_there_are():
    with pytest.raises(InputTypeError) as told:
        losses.check_loss(3, "identity", callables=True)
    for spec in SPECS:
        assert repr(spec.name) in str(told.value)
        assert spec.settings is None or f"{spec.settings.__name__}(...)" in str(told.value)
    with pytest.raises(InputError, match=r"'squared_error'.*'gamma'"):
        losses.check_loss("mse", "identity", callables=True)


@EVERY_SPEC
def test_targets_out_of_the_domain_are_named_by_row_and_column(spec):
    bad = {
        "in [0, 1]": (-0.5, 1.5),
        "at least 0": (-0.5, -1e-300),
        "above 0": (-0.5, 0.0, -0.0, -np.inf),
    }
    output = spec.outputs[0]
    X, Y = data(spec, output)
    if spec.domain is None:
        Y[3, 1] = -7
        losses.check_targets(spec.name, output, "Y", Y)
        return
    losses.check_targets(spec.name, output, "Y", Y)
    net = network(spec, output)
    for value in bad[spec.domain.words]:
        wrong = Y.copy()
        wrong[3, 1] = value
        words = re.escape(
            f"Y[3, 1] is {value:g}; expected targets {spec.domain.words} with loss {spec.name!r}"
        )
        with pytest.raises(InputError, match=words):
            Trainer(net, loss=spec.name).fit(X, wrong, epochs=1)
        with pytest.raises(InputError, match=words):
            net.gradient(X, wrong, loss=spec.name)
        with pytest.raises(InputError, match=words.replace("Y\\[", "validation_data.*\\[")):
            Trainer(net, loss=spec.name).fit(X, Y, epochs=1, validation_data=(X, wrong))
    Y[3, 1] = np.nan  # a missing target is outside of no domain
    losses.check_targets(spec.name, output, "Y", Y)


@EVERY_SPEC
def test_a_target_that_rounding_takes_out_of_an_open_domain_is_named(spec):
    """To 0 in gamma's case, which the core takes for a missing target."""
    output = spec.outputs[0]
    X, Y = data(spec, output)
    Y[3, 1] = 1e-50
    if spec.domain is None or not spec.domain.open:
        losses.check_targets(spec.name, output, "Y", np.array([[1e-50, 1.0]]), np.dtype("f4"))
        return
    net = network(spec, output, dtype="float32")
    trainer = Trainer(net, loss=spec.name)
    words = re.escape(
        "Y[3, 1] is 1e-50, which float32 rounds to 0; expected targets "
        f"{spec.domain.words} with loss {spec.name!r}: use dtype='float64', or other units"
    )
    for call in (net.loss, net.gradient, net.trace):
        with pytest.raises(InputError, match=words):
            call(X, Y, loss=spec.name)
    with pytest.raises(InputError, match=words):
        trainer.fit(X, Y, epochs=1)
    with pytest.raises(InputError, match=words.replace("Y\\[", "validation_data.*\\[")):
        trainer.fit(X, Y + 1, epochs=1, validation_data=(X, Y))
    Y[3, 1] = 1e-44  # subnormal, but not 0
    assert np.isfinite(net.loss(X, Y, loss=spec.name))
    Y[3, 1] = 1e-50
    assert np.isfinite(network(spec, output).loss(X, Y, loss=spec.name))


# -- what the core is told -------------------------------------------------------------------------


@EVERY_SPEC
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_loss_that_only_grows_is_nowhere_below_0(spec, dtype):
    """Next to the minimum, where a difference would round below it, and far from it."""
    if not spec.only_grows:
        return
    rng = np.random.default_rng(3)
    output = spec.outputs[0]
    raw = (rng.normal(size=20000) * 10.0 ** rng.integers(-3, 2, size=20000)).astype(dtype)
    sigma = reference_losses.OUTPUTS[output][0]
    Y = sigma(raw) * (1 + rng.integers(-40, 41, size=20000) * np.finfo(dtype).eps).astype(dtype)
    Y = np.clip(Y, 0, 1) if spec.class_distribution else Y
    Y = np.where(Y == 0, 1, Y).astype(dtype)
    P = raw if spec.from_O else sigma(raw).astype(dtype)
    for level, i in itertools.product(dispatch.available_levels(), range(len(Y))):
        here = slice(i, i + 1)
        assert kernels.run_loss(level, spec.code, code_of(output), 0, Y[here], P[here], 1) >= 0


def exactly(formula, **names):
    """A formula of a specification, in 60 digits: one element, without weight, sum and mean."""
    for head in ("1/(2N) sum {w}", "1/N sum {w}", "-1/N sum {w}"):
        if formula.startswith(head):
            factor = {"1/(2N) sum {w}": 0.5, "-1/N sum {w}": -1}.get(head, 1)
            return factor * exactly(formula.removeprefix(head), **names)
    functions = {name: getattr(mpmath, name) for name in ("exp", "log", "tanh", "cosh", "sqrt")}
    functions |= {"sign": mpmath.sign, "abs": abs, "max": max, "min": min}
    return evaluate(formula.replace("{w}", ""), {**functions, **names})


@EVERY_SPEC
@pytest.mark.parametrize("level", dispatch.available_levels())
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_neither_digits_nor_the_range_are_lost(spec, level, dtype):
    """l and its derivative near their minimum and far from it, against 60 digits of the formula."""
    output = spec.output_for()
    if output == "softmax":
        return
    L, delta, where = spec.formulas_for(output)
    far = 1e30 if dtype is np.float64 else 1e12
    size = [1e-12, 1e-6, 1e-3, 0.3, 1.0, 2.5, 40.0]
    if spec.from_O:
        raw = np.array([sign * s for s in size for sign in (1, -1)], dtype)
        known = np.array([0.25, 1.0]) if spec.class_distribution else np.array([0.5, 1.0, 7.0])
    else:
        raw = np.array([sign * s for s in [*size, far] for sign in (1, -1)], dtype)
        known = np.zeros(1)
    Y, P = (np.ascontiguousarray(a.ravel(), dtype) for a in np.meshgrid(known, raw))
    parameter = spec.parameter_of(spec.name)
    tolerance = 12 * np.finfo(dtype).eps
    with mpmath.workdps(60):
        for y, p in zip(Y, P, strict=True):
            got = np.empty(1, dtype)
            value = kernels.run_loss(
                *(level, spec.code, code_of(output), parameter, np.full(1, y, dtype)),
                *(np.full(1, p, dtype), 1, None, got),
            )
            names = {"Y": mpmath.mpf(float(y)), "Y_hat": mpmath.mpf(float(p))}
            if spec.from_O:
                o = names["Y_hat"]
                names["Y_hat"] = mpmath.exp(o) if output == "exp" else 1 / (1 + mpmath.exp(-o))
            names |= {"d": names["Y_hat"] - names["Y"], "sigma_prime_O": mpmath.mpf(1)}
            for setting in where.format(parameter=parameter).split(", ")[1:]:
                name, number = setting.split(" = ")
                names[name] = mpmath.mpf(float(number))
            l_exact, d_exact = exactly(L, **names), exactly(delta, **names)
            # A difference of y and y_hat that are near each other is known to rounding of these.
            rounding = np.finfo(dtype).eps * (1 + abs(float(y))) if spec.from_O else 0.0
            assert abs(value - l_exact) <= tolerance * abs(l_exact) + rounding * 8, (y, p)
            assert abs(got[0] - d_exact) <= tolerance * abs(d_exact) + rounding * 4, (y, p)


def second_derivative(spec, output, y, raw):
    """d2l/dO2, or d2l/dy_hat2 times sigma'(O)^2, of one output: by a complex step of the
    reference's derivative."""
    Y, stepped = np.array([[y]]), np.array([[raw + 1e-30j]])
    if spec.from_O:
        return reference_losses.FROM_O[spec.name, output](Y, stepped)[1].imag.item() / 1e-30
    sigma, to_O = reference_losses.OUTPUTS[output]
    Y_hat = sigma(np.array([[raw]]))
    slope = to_O(np.array([[raw]]), Y_hat, np.ones((1, 1))).item()
    derivative = reference_losses.FROM_Y_HAT[spec.name](Y, Y_hat + 1e-30j)[1]
    return derivative.imag.item() / 1e-30 * slope**2


@EVERY_SPEC
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_curvature_is_the_second_derivative(spec, dtype):
    """J'J of a network of one weight that is 1, X = O: the curvature times O^2."""
    if spec.curvature is None:
        return
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    for output in spec.outputs:
        if output == "softmax":
            continue  # test_gauss_newton.py
        net = Network((1, 1), output_activation=output, bias=False, dtype=dtype, seed=0)
        net.parameters[:] = 1
        for y, raw in itertools.product((0.05, 0.6, 0.95), (-3.0, -0.7, 0.3, 1.9)):
            A, g = np.empty((1, 1)), np.empty(1)
            X, Y = np.array([[raw]], dtype), np.array([[y]], dtype)
            objective = losses.objective_for(spec.name, net.dtype)
            assemble.system(net._plan, objective, net.parameters, X, Y, None, A, g, 1)
            exact = second_derivative(spec, output, Y.item(), X.item()) * X.item() ** 2
            assert A.item() == pytest.approx(exact, rel=tolerance), (output, y, raw)


@pytest.mark.parametrize("difference", [0.0, 1e-9, 0.4, -3.0, 12.0, 19.5, -30.0, 300.0, 1e5])
def test_log_coshs_curvature_keeps_its_digits(difference):
    """1 - tanh(d)^2 is 0 in doubles from d = 19.1 on; 1 / cosh(d)^2 is not."""
    net = Network((1, 1), output_activation="identity", bias=False, seed=0)
    net.parameters[:] = 1
    A, g = np.empty((1, 1)), np.empty(1)
    objective = losses.objective_for("log_cosh", net.dtype)
    X, Y = np.ones((1, 1)), np.array([[1 - difference]])
    assemble.system(net._plan, objective, net.parameters, X, Y, None, A, g, 1)
    exact = float(1 / mpmath.cosh(1 - mpmath.mpf(Y.item())) ** 2)
    assert A.item() == pytest.approx(exact, rel=1e-12, abs=1e-300)
    assert g.item() == pytest.approx(float(mpmath.tanh(1 - mpmath.mpf(Y.item()))), rel=1e-14)


@EVERY_SPEC
def test_levenberg_marquardt_takes_the_losses_with_a_curvature(spec):
    if spec.curvature:
        LevenbergMarquardt().check_goes_with(spec.name, 0.0, 0.0)
        return
    with pytest.raises(InputError, match="its matrix is made of curvatures"):
        LevenbergMarquardt().check_goes_with(spec.name, 0.0, 0.0)


# -- the units of the targets ----------------------------------------------------------------------


@EVERY_SPEC
def test_the_power_of_the_unit(spec):
    """The loss of c y and c y_hat is c^p times that of y and y_hat, or of no power of c."""
    output = spec.outputs[0]
    if output == "sigmoid":
        assert spec.unit_power is None  # probabilities have no unit
        return
    rng = np.random.default_rng(4)
    Y, raw = rng.uniform(0.5, 2, (5, 2)), rng.normal(size=(5, 2))
    ratios = []
    for c in (3.0, 9.0):
        values = []
        for scale in (1.0, c):
            parameter = {}
            if spec.settings is not None:
                number = spec.parameter_of(spec.name)
                by = scale if spec.name == "huber" else 1.0
                parameter = {fields(spec.settings)[0].name: number * by}
            shifted = raw + np.log(scale) if output == "exp" else raw * scale
            values.append(
                reference_losses.loss(spec.name, output, Y * scale, shifted, **parameter)[0]
            )
        ratios.append(np.log(values[1] / values[0]) / np.log(c))
    if spec.unit_power is None:
        assert abs(ratios[1] - ratios[0]) > 1e-3
        assert losses.unit_factors(spec.name, np.array([2.0])) is None
    else:
        assert ratios == pytest.approx([spec.unit_power] * 2, abs=1e-12)
        factors = losses.unit_factors(spec.name, np.array([-2.0, 0.5]))
        assert factors.tolist() == [2.0**-spec.unit_power, 2.0**spec.unit_power]


@EVERY_SPEC
@pytest.mark.parametrize("scales", [[2.0, 2.0], [2.0, 5.0]])
def test_the_history_has_the_loss_in_units_where_there_is_one(spec, scales):
    from cbackprop.network.scaling import Scaling

    output = spec.output_for()
    net = network(spec, output)
    X, Y = data(spec, output)
    if output in ("exp", "softmax"):
        return  # they take no scaling
    net.output_scaling = Scaling(np.array([0.0, 0.0]), np.array(scales) / 10)
    history = Trainer(net, loss=spec.name).fit(X, Y, epochs=1)
    assert ("loss_in_units" in history) == (spec.unit_power is not None)
    assert np.isfinite(history["loss"]).all()


# -- everywhere ------------------------------------------------------------------------------------


@EVERY_SPEC
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_solver_lowers_it(spec, dtype):
    """L-BFGS, and Levenberg-Marquardt where it goes, reach one minimum (of a convex problem)."""
    for output in spec.outputs:
        X, Y = data(spec, output, n_rows=40)
        ends = []
        for solver in (Adam(learning_rate=0.01), LBFGS(gradient_tolerance=1e-9), None):
            if solver is None and not spec.curvature:
                continue
            solver = solver or LevenbergMarquardt()
            net = network(spec, output, dtype=dtype)
            before = net.loss(X, Y, loss=spec.name)
            trainer = Trainer(net, solver=solver, loss=spec.name, l2=1e-3)
            history = trainer.fit(X, Y, epochs=10 if isinstance(solver, Adam) else 60)
            assert np.isfinite(history["loss"]).all()
            ends.append(net.loss(X, Y, loss=spec.name))
            assert ends[-1] < before, (output, solver)
        assert ends[-1] <= ends[0] * 1.05


@EVERY_SPEC
def test_a_checkpoint_resumes_with_the_bits(spec, tmp_path):
    for loss in (spec.name, *([] if spec.settings is None else [spec.settings()])):
        X, Y = data(spec)
        whole, first = (Trainer(network(spec), loss=loss, batch_size=8, seed=3) for _ in range(2))
        whole.fit(X, Y, epochs=4)
        first.fit(X, Y, epochs=2)
        first.save(tmp_path / "run")
        resumed = Trainer.load(tmp_path / "run")
        assert resumed.loss == loss
        resumed.fit(X, Y, epochs=2)
        assert resumed.network.parameters.tobytes() == whole.network.parameters.tobytes()
        assert resumed.history["loss"].tolist() == whole.history["loss"].tolist()


@EVERY_SPEC
def test_the_command_line_trains_and_predicts(spec, tmp_path, capsys):
    X, Y = data(spec, n_out=1)
    if not spec.class_distribution:
        Y += 1  # out of a sigmoid's reach
    file, model = tmp_path / "data.npz", str(tmp_path / "m.safetensors")
    np.savez(file, X=X, Y=Y)
    words = ["--loss", spec.name, "--epochs", "2", "--no-progress", "--save", model]
    assert main(["train", str(file), *words]) == 0
    assert spec.name.replace("_", " ") in capsys.readouterr().out
    net = Network.load(model)
    assert net.activations[-1] == spec.output_for()
    assert main(["predict", model, str(file)]) == 0
    assert f" {net.loss(X, Y, loss=spec.name):.6g} " in capsys.readouterr().err


def test_the_command_lines_help_names_the_outputs(capsys):
    assert main(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for spec in SPECS:
        if "identity" not in spec.outputs:
            assert f"{spec.name} {' or '.join(spec.outputs)}" in text


@EVERY_SPEC
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_regressor_takes_it_unless_it_is_of_classes(spec):
    pytest.importorskip("sklearn", minversion="1.7")
    from cbackprop.sklearn import MLPRegressor

    X, Y = data(spec)
    model = MLPRegressor(
        hidden_layer_sizes=5, activation="tanh", loss=spec.name, max_iter=30, random_state=0
    )
    if spec.class_distribution:
        with pytest.raises(ValueError, match="The 'loss' parameter of MLPRegressor"):
            model.fit(X, Y)
        assert f'"{spec.name}"' not in MLPRegressor.__doc__
        return
    assert f'"{spec.name}" ({spec.summary.split()[0]}' in " ".join(MLPRegressor.__doc__.split())
    model.fit(X, Y)
    assert model.out_activation_ == spec.output_for()
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    if spec.outputs == ("exp",):
        assert (model.predict(X) > 0).all()
    if "logistic" not in spec.outputs and "sigmoid" not in spec.outputs:
        with pytest.raises(ValueError, match=f"loss is '{spec.name}' and output_activation 'logis"):
            model.set_params(output_activation="logistic").fit(X, Y)
        model.set_params(output_activation=None)
    if spec.domain is not None:
        with pytest.raises(ValueError, match=rf"y\[0, 0\] is -1; .* targets {spec.domain.words}"):
            model.fit(X, -np.ones_like(Y))
    model.set_params(solver="lm", max_iter=3)
    if spec.curvature:
        model.fit(X, Y)
    else:
        curved = [other.name for other in losses.LOSSES.values() if other.curvature]
        told = rf"solver is 'lm' and loss '{spec.name}'; .*'{curved[-1]}':"
        with pytest.raises(ValueError, match=told):
            model.fit(X, Y)
