"""The bits contract, on both partitions.

The same numbers for any number of threads, any split of the epochs over calls, any stride, order or
alignment of the inputs.
"""

import numpy as np
import pytest

import cbackprop
from cbackprop import reference
from cbackprop.core.gradient import batch

THREADS = (1, 2, 3, 5, 8)

# By leaves and by tiles, one of each with several layers; all small enough to run on many row
# counts.
NARROW = ((3, 5, 2), (8, 16, 1), (4, 9, 6, 3))
WIDE = ((200, 350, 3), (120, 300, 150, 5))


@pytest.fixture(autouse=True)
def threads_always():
    """A team even for batches that do not repay one."""
    before = batch.set_worthwhile(0.0)
    yield
    batch.set_worthwhile(before)


def network(sizes, dtype="float64", **kwargs):
    return cbackprop.Network(sizes, activation="tanh", dtype=dtype, seed=3, **kwargs)


def data(sizes, n_rows, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, sizes[0])).astype(dtype)
    Y = rng.uniform(0, 1, (n_rows, sizes[-1])).astype(dtype)
    return X, Y


def row_counts(net):
    """Smaller than, equal to, one more than a block, a leaf or super-block; far larger."""
    plan = net._plan
    unit = plan.leaf_rows if plan.partition == "leaves" else plan.super_rows
    few = [1, 2, plan.block_rows - 1, plan.block_rows, plan.block_rows + 1, unit, unit + 1]
    many = [2 * unit, 37 * unit + 11] if plan.partition == "leaves" else []
    return [*few, *many, 3 * unit + 5]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", NARROW + WIDE)
def test_gradient_and_loss_have_the_same_bits_for_any_number_of_threads(sizes, dtype):
    net = network(sizes, dtype)
    assert net._plan.partition == ("leaves" if sizes in NARROW else "tiles")
    for n_rows in row_counts(net):
        X, Y = data(sizes, n_rows, dtype)
        loss, gradient = net.gradient(X, Y, n_threads=1)
        value, Y_hat = net.loss(X, Y, n_threads=1), net.predict(X, n_threads=1)
        assert loss == pytest.approx(value, rel=1e-12)
        for n_threads in THREADS[1:]:
            again, gradient_again = net.gradient(X, Y, n_threads=n_threads)
            assert again == loss
            assert gradient_again.tobytes() == gradient.tobytes(), (n_rows, n_threads)
            assert net.loss(X, Y, n_threads=n_threads) == value
            assert net.predict(X, n_threads=n_threads).tobytes() == Y_hat.tobytes()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_tiles_for_blas_have_the_same_bits_for_any_number_of_threads(momentum, dtype):
    """A W of more than half a million weights is cut into tiles that BLAS multiplies (AVX2)."""
    sizes = (790, 701, 2)
    X, Y = data(sizes, 300, dtype)
    solver = cbackprop.SGD(learning_rate=0.5, momentum=momentum)
    net = network(sizes, dtype)
    dW, db = reference.gradient(net.weights, net.biases, net.activations, X, Y)[1:]
    gradient = np.concatenate([A.ravel() for layer in zip(dW, db, strict=True) for A in layer])
    expected = net.parameters - 0.5 * gradient
    results = set()
    for n_threads in (1, 2, 5):
        net = network(sizes, dtype)
        trainer = cbackprop.Trainer(net, solver=solver, batch_size=300, n_threads=n_threads)
        trainer.fit(X, Y, epochs=1)
        results.add(net.parameters.tobytes())
    assert len(results) == 1
    assert abs(net.parameters - expected).max() < (1e-14 if dtype == "float64" else 1e-6)


@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.9, True)])
@pytest.mark.parametrize("sizes", [NARROW[0], WIDE[0]])
def test_fit_has_the_same_bits_for_any_number_of_threads(sizes, momentum, nesterov):
    solver = cbackprop.SGD(learning_rate=0.05, momentum=momentum, nesterov=nesterov)
    probe = network(sizes)._plan
    unit = probe.leaf_rows if probe.partition == "leaves" else probe.super_rows
    n_rows = 2 * unit + 17
    X, Y = data(sizes, n_rows)
    for batch_size in (probe.block_rows, probe.block_rows + 3, unit + 9, n_rows):
        rows = slice(min(n_rows, 8 * batch_size + 5))
        results = []
        for n_threads in THREADS:
            net = network(sizes)
            trainer = cbackprop.Trainer(
                net, solver=solver, batch_size=batch_size, seed=5, n_threads=n_threads
            )
            validation = X[:50], Y[:50]
            history = trainer.fit(X[rows], Y[rows], epochs=2, validation_data=validation)
            results.append(
                (
                    net.parameters.tobytes(),
                    history["loss"].tobytes(),
                    history["validation_loss"].tobytes(),
                )
            )
        assert len(set(results)) == 1


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000, None])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_six_epochs_at_once_and_one_by_one(batch_size, momentum):
    X, Y = data((3, 5, 2), 200)
    nets, losses = [], []
    for calls, epochs in ((1, 6), (6, 1), (2, 3)):
        net = network((3, 5, 2))
        trainer = cbackprop.Trainer(
            net, solver=cbackprop.SGD(momentum=momentum), batch_size=batch_size, seed=1
        )
        history = [trainer.fit(X, Y, epochs=epochs)["loss"] for _ in range(calls)]
        nets.append(net.parameters.tobytes())
        losses.append(np.concatenate(history).tobytes())
        assert trainer.epoch == 6
        assert trainer.history["loss"].tobytes() == losses[-1]
    assert len(set(nets)) == len(set(losses)) == 1


def variants(A):
    """The same numbers in other memory: strided rows and columns, Fortran order, unaligned,
    reversed, read-only, big-endian."""
    rows = np.full((2 * len(A), A.shape[1]), np.nan, A.dtype)
    rows[::2] = A
    columns = np.full((len(A), 2 * A.shape[1]), np.nan, A.dtype)
    columns[:, ::2] = A
    wider = np.full((len(A), A.shape[1] + 3), np.nan, A.dtype)
    wider[:, 1:-2] = A
    raw = np.zeros(A.nbytes + 1, np.uint8)
    unaligned = raw[1:].view(A.dtype).reshape(A.shape)
    unaligned[:] = A
    shifted = np.zeros(A.size + 1, A.dtype)[1:].reshape(A.shape)
    shifted[:] = A
    read_only = A.copy()
    read_only.flags.writeable = False
    return {
        "rows": rows[::2],
        "columns": columns[:, ::2],
        "wider": wider[:, 1:-2],
        "fortran": np.asfortranarray(A),
        "unaligned": unaligned,
        "shifted": shifted,
        "reversed": A[::-1].copy()[::-1],
        "read-only": read_only,
        "big-endian": A.astype(A.dtype.newbyteorder(">")),
    }


@pytest.mark.parametrize("sizes", [NARROW[0], WIDE[0]])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_strides_order_and_alignment_do_not_change_the_bits(sizes, dtype):
    X, Y = data(sizes, 333, dtype)
    Ys = variants(Y)

    def run(X, Y):
        net = network(sizes, dtype)
        loss, gradient = net.gradient(X, Y)
        cbackprop.Trainer(net, batch_size=50, seed=2).fit(X, Y, epochs=1)
        return loss, gradient.tobytes(), net.parameters.tobytes(), net.predict(X).tobytes()

    expected = run(X, Y)
    for name, other in variants(X).items():
        kept = other.copy()
        assert run(other, Ys[name]) == expected, name
        np.testing.assert_array_equal(other, kept)


@pytest.mark.parametrize("sizes", NARROW + WIDE)
def test_float32_rows_in_a_float64_network_are_cast_exactly(sizes):
    X, Y = data(sizes, 300, "float32")
    net = network(sizes)
    loss, gradient = net.gradient(X, Y)
    again, gradient_again = net.gradient(X.astype("float64"), Y.astype("float64"))
    assert (loss, gradient.tobytes()) == (again, gradient_again.tobytes())


def test_a_tree_over_leaves_is_the_sum_of_its_halves():
    """The gradient of 2^k leaves is the mean of its halves' gradients, to the bit: the sum of an
    aligned half is a subtree (1/N of powers of two is exact)."""
    net = network((3, 5, 2))
    leaf = net._plan.leaf_rows
    X, Y = data((3, 5, 2), 8 * leaf)
    half = 4 * leaf
    _, whole = net.gradient(X, Y, n_threads=3)
    _, first = net.gradient(X[:half], Y[:half], n_threads=1)
    _, second = net.gradient(X[half:], Y[half:], n_threads=2)
    assert whole.tobytes() == ((first + second) / 2).tobytes()
