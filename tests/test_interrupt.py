"""Ctrl-C: KeyboardInterrupt within 0.2 s of the signal, at a whole step, and training can go on."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import cbackprop
from cbackprop.machine import threads

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent by os.kill")

# What is interrupted: many tiny epochs; mini-batches, shuffled, with momentum; a full batch that is
# much longer than a time slice; a wide network by tiles with super-blocks; one row at a time.
CASES = {
    "tiny": dict(sizes=(2, 4, 1), n_rows=4, batch_size=4),
    "mini": dict(sizes=(20, 30, 3), n_rows=3000, batch_size=17, momentum=0.9),
    "full": dict(sizes=(30, 40, 2), n_rows=300_000, batch_size=300_000),
    "wide": dict(sizes=(300, 400, 5), n_rows=6000, batch_size=6000, momentum=0.5),
    "rows": dict(sizes=(8, 16, 1), n_rows=5000, batch_size=1),
}


def trainer_for(case):
    net = cbackprop.Network(case["sizes"], seed=1)
    solver = cbackprop.SGD(learning_rate=0.01, momentum=case.get("momentum", 0.0))
    return cbackprop.Trainer(net, solver=solver, batch_size=case["batch_size"], seed=2, n_threads=2)


def rows_for(case):
    rng = np.random.default_rng(0)
    sizes = case["sizes"]
    X = rng.standard_normal((case["n_rows"], sizes[0]))
    return X, rng.uniform(0.2, 0.8, (case["n_rows"], sizes[-1]))


def interrupted_fit(trainer, X, Y, delay):
    """Fit until a SIGINT sent after ``delay`` seconds; returns the seconds it took to come back."""
    sent = []

    def kill():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(delay, kill)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            try:
                trainer.fit(X, Y, epochs=10**9)
            finally:
                came = time.perf_counter()
    finally:
        timer.join()
    return came - sent[0]


def steps_done(trainer, n_rows):
    batch = min(trainer.batch_size, n_rows)
    state = trainer._state
    return state.epoch * -(-n_rows // batch) + -(-state.position // batch)


def check_interruptions(name, delays, limit):
    case = CASES[name]
    X, Y = rows_for(case)
    for delay in delays:
        trainer = trainer_for(case)
        latency = interrupted_fit(trainer, X, Y, delay)
        if latency >= limit:  # other programs may have held the processors: once more
            trainer = trainer_for(case)
            latency = interrupted_fit(trainer, X, Y, delay)
        assert latency < limit, f"{latency:.3f} s after {delay:.3f} s"
        steps = steps_done(trainer, len(X))
        twin = trainer_for(case)
        if steps:
            twin._fit(X, Y, 10**9, steps=steps)
        assert trainer.network.parameters.tobytes() == twin.network.parameters.tobytes()
        assert (
            trainer.history["loss"].tobytes()
            == twin.history["loss"].tobytes()[: 8 * trainer.history.n_epochs]
        )
        # It can be trained again, and goes on from there.
        trainer._fit(X, Y, 1, steps=1)
        twin._fit(X, Y, 1, steps=1)
        assert trainer.network.parameters.tobytes() == twin.network.parameters.tobytes()


@pytest.mark.parametrize("name", CASES)
def test_ctrl_c_once(name):
    """The latency is not judged here: other programs may hold the processors."""
    check_interruptions(name, [0.11], limit=30.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_ctrl_c_at_ten_random_moments(name):
    """Five cases of ten: fifty moments in all.  A loaded machine gets a second chance."""
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed", seed)
    delays = np.random.default_rng(seed).uniform(0.001, 0.4, 10)
    check_interruptions(name, delays, limit=0.2)


def test_ctrl_c_while_validating():
    X, Y = rows_for(CASES["full"])
    trainer = trainer_for(CASES["full"])
    trainer.batch_size = 50_000

    def kill_soon():
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.2, kill_soon)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X[:100], Y[:100], epochs=10**9, validation_data=(X, Y))
    timer.join()
    epochs = trainer.epoch
    twin = trainer_for(CASES["full"])
    twin.batch_size = 50_000
    # What is left of the interrupted epoch may be its validation alone.
    rest = trainer.fit(X[:100], Y[:100], epochs=1, validation_data=(X, Y))
    both = twin.fit(X[:100], Y[:100], epochs=epochs + 1, validation_data=(X, Y))
    assert trainer.network.parameters.tobytes() == twin.network.parameters.tobytes()
    assert rest["validation_loss"][0] == both["validation_loss"][-1]
    assert trainer.history["loss"].tobytes() == both["loss"].tobytes()


def test_ctrl_c_in_predict_leaves():
    net = cbackprop.Network((30, 400, 20), seed=1)
    X = np.zeros((400_000, 30))
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(1000):
            net.predict(X)
    timer.join()


def test_a_signal_handler_that_does_not_raise_changes_nothing():
    X, Y = (A[:100_000] for A in rows_for(CASES["full"]))
    twin = trainer_for(CASES["full"])
    twin.fit(X, Y, epochs=2)
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *args: seen.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
        trainer = trainer_for(CASES["full"])
        trainer.fit(X, Y, epochs=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen
    assert trainer.network.parameters.tobytes() == twin.network.parameters.tobytes()


def test_sigterm_ends_a_training_process_at_once():
    script = textwrap.dedent(
        """
        import numpy as np, cbackprop
        net = cbackprop.Network((50, 60, 3), seed=1)
        X = np.random.default_rng(0).standard_normal((100_000, 50))
        print("ready", flush=True)
        trainer = cbackprop.Trainer(net, batch_size=100_000, n_threads=3)
        trainer.fit(X, X[:, :3] * 0 + 0.5, epochs=10**6)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    process.terminate()
    assert process.wait(timeout=20) == -signal.SIGTERM
    process.stdout.close()


@pytest.mark.parametrize("call", ["fit", "step"])
def test_a_signal_among_short_calls_leaves_nothing_half_done(call):
    """Wherever it comes: the network can be trained again, and each epoch done has its line."""
    X, Y = rows_for(CASES["tiny"])
    gradient = np.full(17, 1e-3)

    class RungError(Exception):
        pass

    def ring(number, frame):
        raise RungError

    before = signal.signal(signal.SIGALRM, ring)
    trainers = []
    try:
        for i in range(200):
            trainer = trainer_for(CASES["tiny"])
            trainers.append(trainer)  # another network of the same id would be busy, too
            with pytest.raises(RungError):
                signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.000003 * i)
                while True:
                    if call == "fit":
                        trainer.fit(X, Y, epochs=1)
                    else:
                        trainer.step(gradient, 1.0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert trainer.history.n_epochs == trainer.epoch
            assert not threads._fits  # others would get a smaller share
            epochs = trainer.epoch
            trainer.fit(X, Y, epochs=1)
            assert trainer.history.n_epochs == trainer.epoch == epochs + 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
