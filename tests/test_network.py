"""Network: construction, views, copies, arguments, guards.  For gradients: test_gradients.py."""

import copy
import itertools
import multiprocessing
import os
import pickle
import threading
import tracemalloc

import numpy as np
import pytest

import cbackprop
from cbackprop import Network, reference
from cbackprop.errors import BusyError, InputError, InputMemoryError, InputTypeError
from cbackprop.network import network
from cbackprop.network.scaling import Scaling

X = np.random.default_rng(0).normal(size=(9, 3))
Y = np.random.default_rng(1).uniform(size=(9, 2))


@pytest.fixture
def net():
    return Network((3, 4, 2), seed=0)


# ------------------------------------------------------------------------------------ construction


@pytest.mark.parametrize(
    ("arguments", "activations"),
    [
        ({"sizes": (3, 4, 2)}, ("sigmoid", "sigmoid")),
        ({"sizes": (3, 4, 2), "activation": "tanh"}, ("tanh", "sigmoid")),
        ({"sizes": (3, 4, 2), "output_activation": "identity"}, ("sigmoid", "identity")),
        ({"sizes": (3, 4, 5, 2), "activation": ["tanh", "relu"]}, ("tanh", "relu", "sigmoid")),
        ({"sizes": (3, 4, 5, 2), "activation": "relu"}, ("relu", "relu", "sigmoid")),
        ({"sizes": (3, 2)}, ("sigmoid",)),
        ({"sizes": (3, 2), "activation": ()}, ("sigmoid",)),
    ],
)
def test_activations(arguments, activations):
    assert Network(**arguments, seed=0).activations == activations


def test_attributes(dtype):
    net = Network([3, np.int64(4), 2], dtype=dtype, seed=0)
    assert net.sizes == (3, 4, 2)
    assert all(type(size) is int for size in net.sizes)
    assert net.bias is True
    assert net.dtype == dtype
    assert net.n_parameters == 3 * 4 + 4 + 4 * 2 + 2
    assert net.input_scaling is None
    assert net.annotations == {}


def test_repr():
    net = Network((3, 4, 2), activation="tanh", output_activation="identity", bias=False)
    text = "Network((3, 4, 2), activation='tanh', output_activation='identity', bias=False, "
    assert repr(net) == text + "dtype='float64')"
    assert eval(repr(net), {"Network": Network}).activations == net.activations
    mixed = repr(Network((3, 4, 4, 2), activation=("tanh", "relu")))
    assert "activation=('tanh', 'relu')" in mixed
    assert repr(Network((3, 2))).startswith("Network((3, 2), output_activation='sigmoid', ")


def test_networks_are_not_compared(net):
    assert net != Network((3, 4, 2), seed=0)
    assert net == net
    assert len({net, net}) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"sizes": (4, 0, 1)}, InputError, r"sizes\[1\] is 0"),
        ({"sizes": (4, 2.5)}, InputTypeError, r"sizes\[1\] is 2.5"),
        ({"sizes": (4,)}, InputError, "sizes has 1 entries"),
        ({"sizes": 4}, InputTypeError, "sizes is 4"),
        ({"sizes": (2**40, 2**40)}, InputError, "more than memory can address"),
        ({"sizes": (2**44, 1)}, InputMemoryError, "not enough memory"),
        ({"activation": "sigmod"}, InputError, "activation is 'sigmod'.*did you mean 'sigmoid'"),
        ({"activation": ("tanh", "tanh")}, InputError, "activation has 2 entries.* 1 hidden lay"),
        ({"activation": ("tan",)}, InputError, r"activation\[0\] is 'tan'"),
        ({"activation": None}, InputTypeError, "activation is None"),
        ({"activation": (None,)}, InputTypeError, r"activation\[0\] is None"),
        (
            {"output_activation": "softstep"},
            InputError,
            "output_activation is 'softstep'; expected",
        ),
        ({"output_activation": ["tanh"]}, InputTypeError, "output_activation is a list"),
        ({"bias": 1}, InputTypeError, r"bias is 1 \(int\)"),
        ({"dtype": "float16"}, InputError, "dtype is 'float16'; expected 'float64' or 'float32'"),
        ({"dtype": None}, InputTypeError, "dtype is None"),
        ({"init": "zeros"}, InputError, "init is 'zeros'"),
        ({"seed": -1}, InputError, "seed is -1"),
        ({"seed": 1.5}, InputTypeError, "seed is 1.5"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        Network(**({"sizes": (3, 4, 2)} | arguments))


def test_everything_but_sizes_is_by_keyword():
    with pytest.raises(TypeError, match="positional"):
        Network((3, 4, 2), "tanh")


# ------------------------------------------------------------------------------- parameters, copies


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(3, 2), (3, 4, 2), (1, 1, 1, 1)])
def test_weights_and_biases_are_views(sizes, bias, dtype):
    net = Network(sizes, bias=bias, dtype=dtype, seed=0)
    parts = []
    for i, W in enumerate(net.weights):
        assert W.shape == sizes[i : i + 2]
        parts.append(W.ravel())
        if bias:
            assert net.biases[i].shape == (sizes[i + 1],)
            parts.append(net.biases[i])
    assert bias or net.biases == ()
    np.testing.assert_array_equal(np.concatenate(parts), net.parameters)
    for view in (*net.weights, *net.biases):
        view[...] = 7
    assert (net.parameters == 7).all()


def test_what_is_written_counts_from_the_next_call(net):
    before = net.predict(X)
    net.weights[0][1, 2] += 1
    expected = reference.predict(net.weights, net.biases, net.activations, X)
    np.testing.assert_allclose(net.predict(X), expected, rtol=1e-14)
    assert not np.allclose(before, expected)


def test_parameters_cannot_be_replaced(net):
    with pytest.raises(AttributeError, match=r"net.parameters\[:\] = ..."):
        net.parameters = np.zeros(net.n_parameters)
    for name in ("weights", "biases", "sizes", "activations", "dtype", "bias", "n_parameters"):
        with pytest.raises(AttributeError, match=name):
            setattr(net, name, None)


def test_initialize_keeps_the_array(net):
    parameters = net.parameters
    before = parameters.copy()
    net.initialize(init="normal", seed=1)
    assert net.parameters is parameters
    assert not np.array_equal(parameters, before)
    net.initialize(init="auto", seed=0)
    np.testing.assert_array_equal(parameters, before)


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_are_networks_of_their_own(duplicate, dtype):
    net = Network((3, 4, 2), activation="relu", output_activation="tanh", dtype=dtype, seed=0)
    net.input_scaling = Scaling([1, 2, 3], [4, 5, 6])
    net.annotations = {"classes": ["a", "b"]}
    twin = duplicate(net)
    assert repr(twin) == repr(net)
    np.testing.assert_array_equal(twin.predict(X), net.predict(X))
    for view in (*twin.weights, *twin.biases):
        assert np.shares_memory(view, twin.parameters)
    twin.parameters[:] = 0
    twin.annotations["classes"].append("c")
    assert net.parameters.any()
    assert net.annotations == {"classes": ["a", "b"]}


def test_pickles_and_copies_hold_the_parameters_once():
    net = Network((4, 1000, 2), seed=0)
    net.input_scaling, net.output_scaling = Scaling.standard(np.eye(4)), Scaling([1, 2], [3, 4])
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):
        assert len(pickle.dumps(net, protocol)) < net.parameters.nbytes + 2000
    tracemalloc.start()
    try:
        twin = copy.deepcopy(net)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(twin.output_scaling.scale, net.output_scaling.scale)
    assert held < net.parameters.nbytes + 20_000


def test_a_read_only_pickle_gives_a_writable_network(net):
    state = net.__getstate__()
    assert not np.shares_memory(state["parameters"], net.parameters)  # a fit may go on meanwhile
    state["parameters"] = state["parameters"].copy()
    state["parameters"].setflags(write=False)
    twin = Network.__new__(Network)
    twin.__setstate__(state)
    twin.parameters[:] = 1
    assert (twin.weights[0] == 1).all()


# ----------------------------------------------------------------------------------- predict, loss


def data_layouts():
    wide = np.zeros((18, 9))
    wide[::2, 1:4] = X
    read_only = X.copy()
    read_only.setflags(write=False)
    unaligned = np.zeros(X.nbytes + 1, np.uint8)[1:].view(float).reshape(X.shape)
    unaligned[...] = X
    return {
        "list": X.tolist(),
        "F-order": np.asfortranarray(X),
        "read-only": read_only,
        "strided rows": wide[::2, 1:4],
        "strided columns": np.repeat(X, 2, axis=1)[:, ::2],
        "backwards": X[::-1].copy()[::-1],
        "unaligned": unaligned,
        "big-endian": X.astype(">f8"),
    }


@pytest.mark.parametrize("layout", data_layouts())
def test_the_layout_of_the_data_does_not_matter(layout, net):
    data = data_layouts()[layout]
    loss, gradient = net.gradient(X, Y)
    np.testing.assert_array_equal(net.predict(data), net.predict(X))
    assert net.loss(data, Y) == net.loss(X, Y)
    np.testing.assert_array_equal(net.gradient(data, Y)[1], gradient)
    assert net.gradient(data, Y)[0] == loss


def test_a_memmap_is_read(tmp_path, net):
    np.save(tmp_path / "X.npy", X)
    data = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(net.predict(data), net.predict(X))


@pytest.mark.parametrize("n_rows", [1, 2, 63, 300, 2000])
def test_predict_and_loss_are_the_references(n_rows, dtype):
    rng = np.random.default_rng(n_rows)
    net = Network((5, 7, 2), activation="tanh", dtype=dtype, init="normal", seed=3)
    X, Y = rng.normal(size=(n_rows, 5)), rng.uniform(size=(n_rows, 2))
    wide = [[A.astype(float) for A in arrays] for arrays in (net.weights, net.biases)]
    expected = reference.predict(*wide, net.activations, X)
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    got = net.predict(X)
    assert got.dtype == dtype
    assert got.shape == (n_rows, 2)
    np.testing.assert_allclose(got, expected, rtol=tolerance)
    loss = net.loss(X, Y)
    assert type(loss) is float
    assert loss == pytest.approx(reference.loss(*wide, net.activations, X, Y), rel=tolerance)
    assert loss == net.gradient(X, Y)[0]


def test_integers_and_flat_targets():
    net = Network((3, 1), seed=0)
    counts, y = np.arange(12).reshape(4, 3), np.array([0, 1, 1, 0])
    assert net.loss(counts, y) == net.loss(counts.astype(float), y[:, np.newaxis].astype(float))
    assert net.loss(counts, y.astype(bool)) == net.loss(counts, y)


def test_weights_of_rows(net):
    weights = np.arange(9) % 3
    chosen = np.repeat(np.arange(9), weights)
    loss, gradient = net.gradient(X, Y, sample_weight=weights)
    assert loss == pytest.approx(net.loss(X[chosen], Y[chosen]), rel=1e-14)
    assert net.loss(X, Y, sample_weight=weights) == pytest.approx(loss, rel=1e-15)
    np.testing.assert_allclose(gradient, net.gradient(X[chosen], Y[chosen])[1], rtol=1e-11)
    assert net.loss(X, Y, sample_weight=np.full(9, 0.1)) == pytest.approx(net.loss(X, Y))


def test_the_input_is_left_alone(net):
    before = X.copy(), Y.copy()
    net.input_scaling = Scaling.standard(X)
    net.gradient(X, Y)
    net.predict(X)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"X": X[0]}, InputError, r"X has 1 dimension .*X.reshape\(1, -1\) is one row"),
        ({"X": X[:, :2]}, InputError, "X has 2 columns .*expected 3"),
        ({"X": X[:5]}, InputError, "X has 5 rows and Y has 9"),
        ({"X": X[:0], "Y": Y[:0]}, InputError, "X is empty"),
        ({"X": X * 1j}, InputTypeError, "X is complex"),
        ({"X": X.astype(object)}, InputTypeError, "X has dtype object"),
        ({"Y": Y[:, 0]}, InputError, "Y has 1 dimension"),
        ({"Y": Y[:, :1]}, InputError, "Y has 1 columns .*expected 2"),
        ({"Y": [["a", "b"]] * 9}, InputTypeError, "Y holds text"),
        ({"loss": "log_loss"}, InputError, "loss is 'log_loss'; expected one of 'squared_error'"),
        ({"loss": None}, InputTypeError, "loss is None"),
        ({"sample_weight": np.ones(8)}, InputError, r"sample_weight has shape \(8,\)"),
        ({"sample_weight": -np.ones(9)}, InputError, r"sample_weight\[0\] is -1.0"),
        ({"n_threads": 0}, InputError, "n_threads is 0"),
        ({"n_threads": 1.5}, InputTypeError, "n_threads is 1.5"),
    ],
)
def test_bad_data(net, change, error, words):
    before = net.parameters.copy()
    arguments = {"X": X, "Y": Y} | change
    for call in (net.loss, net.gradient):
        with pytest.raises(error, match=words):
            call(**arguments)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n_rows", [1, 50, 3000])
def test_non_finite_data(bad, n_rows, dtype):
    net = Network((3, 4, 2), dtype=dtype, seed=0)
    row = n_rows - 1
    good, spoiled = np.ones((n_rows, 3)), np.ones((n_rows, 3))
    spoiled[row, 1] = bad
    targets, spoiled_targets = np.ones((n_rows, 2)), np.ones((n_rows, 2))
    spoiled_targets[row, 0] = bad
    words = f"X holds {bad} at row {row}, column 1 "
    for call in (net.predict, lambda X: net.loss(X, targets), lambda X: net.gradient(X, targets)):
        with pytest.raises(InputError, match=words):
            call(spoiled)
    for call in (net.loss, net.gradient):
        with pytest.raises(InputError, match=f"Y holds {bad} at row {row}, column 0 "):
            call(good, spoiled_targets)


def test_what_float32_cannot_hold():
    net = Network((3, 2), dtype="float32", seed=0)
    data = X.copy()
    data[4, 2] = 1e39
    with pytest.raises(InputError, match=r"X holds 1e\+39 at row 4, column 2 .*float32"):
        net.predict(data)


def test_bad_data_of_predict(net):
    with pytest.raises(InputError, match=r"X has 1 dimension .*X.reshape\(1, -1\)"):
        net.predict(X[0])
    with pytest.raises(InputError, match="n_threads is -1"):
        net.predict(X, n_threads=-1)


@pytest.mark.parametrize("sizes", [(3, 4, 2), (784, 30, 10), (200, 300, 5)])
def test_threads_do_not_change_the_bits(sizes, dtype):
    rng = np.random.default_rng(0)
    net = Network(sizes, dtype=dtype, seed=0)
    X, Y = rng.normal(size=(1000, sizes[0])), rng.uniform(size=(1000, sizes[-1]))
    loss, gradient = net.gradient(X, Y, n_threads=1)
    outputs = net.predict(X, n_threads=1)
    for n_threads in (2, 3, None):
        again, same = net.gradient(X, Y, n_threads=n_threads)
        assert again == loss
        np.testing.assert_array_equal(same, gradient)
        np.testing.assert_array_equal(net.predict(X, n_threads=n_threads), outputs)
        assert net.loss(X, Y, n_threads=n_threads) == net.loss(X, Y, n_threads=1)


def test_a_call_is_what_it_is_after_any_other(dtype):
    """A plan keeps a small work space for its next call, which may ask for another."""

    def call(net, kind, n_rows):
        if kind == "refused":
            with pytest.raises(InputError):
                net.predict(X * np.nan)
            return None
        return getattr(net, kind)(X[:n_rows], *([] if kind == "predict" else [Y[:n_rows]]))

    def new():
        return Network((3, 4, 2), seed=0, dtype=dtype)

    calls = [*itertools.product(("predict", "loss", "gradient"), (1, 2, 9)), ("refused", 9)]
    alone = {then: pickle.dumps(call(new(), *then)) for then in calls}
    for first, then in itertools.product(calls, calls):
        net = new()
        call(net, *first)
        assert pickle.dumps(call(net, *then)) == alone[then], (first, then)


def test_predict_from_many_threads(net):
    data = np.random.default_rng(0).normal(size=(500, 3))
    expected, wrong = net.predict(data), []

    def work(n_rows):
        for _ in range(50 if n_rows == 500 else 2000):
            if not np.array_equal(net.predict(data[:n_rows]), expected[:n_rows]):
                wrong.append(1)

    crowd = [threading.Thread(target=work, args=(n,)) for n in (500, 500, 1, 1, 2)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert not wrong


# ----------------------------------------------------------------------------------------- scaling


def test_input_scaling(dtype):
    net = Network((3, 4, 2), dtype=dtype, seed=0)
    scaling = Scaling(shift=[1, 2, 3], scale=[0.5, 2, 1])
    cast = np.asarray(X, dtype)
    scaled = (cast - np.asarray([1, 2, 3], dtype)) * np.asarray([0.5, 2, 1], dtype)
    plain = net.predict(scaled), net.loss(scaled, Y), net.gradient(scaled, Y)[1]
    net.input_scaling = scaling
    assert net.input_scaling is scaling
    np.testing.assert_array_equal(net.predict(X), plain[0])
    assert net.loss(X, Y) == plain[1]
    np.testing.assert_array_equal(net.gradient(X, Y)[1], plain[2])
    shift, scale = net._scaling
    assert shift.dtype == scale.dtype == dtype
    net.input_scaling = None
    assert net._scaling is None
    assert not np.array_equal(net.predict(X), plain[0])


def test_bad_input_scaling(net):
    with pytest.raises(InputTypeError, match="input_scaling is a tuple; expected a Scaling or"):
        net.input_scaling = ([0, 0, 0], [1, 1, 1])
    with pytest.raises(InputError, match="input_scaling has 2 columns; expected 3"):
        net.input_scaling = Scaling([0, 0], [1, 1])
    with pytest.raises(InputError, match="too large for float32"):
        Network((1, 1), dtype="float32").input_scaling = Scaling([0], [1e300])
    assert net.input_scaling is None


# ------------------------------------------------------------------------------- one fit at a time


def test_one_fit_at_a_time(net):
    mine, other = object(), object()
    net._begin_fit("fit", mine)
    try:
        for call in (
            lambda: net._begin_fit("fit", other),
            lambda: net.initialize(seed=0),
            lambda: setattr(net, "input_scaling", None),
        ):
            with pytest.raises(BusyError, match=r"the network is being trained .*copy.deepcopy"):
                call()
        net._end_fit(other)  # was never granted
        with pytest.raises(BusyError, match="cannot initialize"):
            net.initialize(seed=0)
        net.predict(X)
        twin = copy.deepcopy(net)  # a network of its own
        twin.initialize(seed=0)
    finally:
        net._end_fit(mine)
    net.initialize(seed=0)
    assert not net._claims


def test_a_failed_initialize_leaves_the_network_free_and_unchanged(net):
    before = net.parameters.copy()
    with pytest.raises(InputError):
        net.initialize(init="nothing")
    np.testing.assert_array_equal(net.parameters, before)
    net.initialize(seed=1)


def test_of_many_threads_one_fits(net):
    start, won = threading.Barrier(8), []

    def try_to_fit():
        claim = object()
        start.wait()
        try:
            net._begin_fit("fit", claim)
        except BusyError:
            return
        won.append(claim)

    crowd = [threading.Thread(target=try_to_fit) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    (winner,) = won
    net._end_fit(winner)


def _write_in_child(net, connection):
    try:
        net.initialize(seed=1)
    except BusyError:
        connection.send("busy")
    else:
        connection.send("free")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_may_train(net):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_write_in_child, args=(net, theirs))
    claim = object()
    net._begin_fit("fit", claim)
    try:
        child.start()
    finally:
        net._end_fit(claim)
    assert ours.poll(20)
    assert ours.recv() == "free"
    child.join()


def test_the_blas_is_limited_where_it_could_start_threads(monkeypatch):
    asked = []
    real = network.blas_threads.single_threaded

    def single_threaded(needed=True):
        asked.append(needed)
        return real(needed)

    monkeypatch.setattr(network.blas_threads, "single_threaded", single_threaded)
    wide = Network((300, 200, 2), seed=0)
    data, targets = np.ones((2, 300)), np.ones((2, 2))
    wide.predict(data)
    wide.loss(data, targets)
    wide.gradient(data, targets)
    assert asked == [True] * 3
    small = Network((3, 2), seed=0)
    small.predict(X)
    small.loss(X, Y)
    small.gradient(X, Y)
    assert not any(asked[3:])


def test_public_names():
    for name in cbackprop.__all__:
        assert getattr(cbackprop, name) is not None
