"""A storm of signals, each between two lines of Python or within a call: nothing stays claimed."""

import random
import signal
import threading
import time

import numpy as np
import pytest

import cbackprop
from cbackprop import Network, Trainer
from cbackprop.core.fit import claims
from cbackprop.errors import BusyError
from cbackprop.machine import blas_threads

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer here"),
    # Python's own files, interrupted between open and with.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

X = np.random.default_rng(0).uniform(-1, 1, (20, 3))
Y = X[:, :1]


class Interrupted(BaseException):
    """What the signal handler raises."""


@pytest.fixture
def storm():
    """Call a function many times, each interrupted at a random moment; return how often it was."""

    def handler(number, frame):
        raise Interrupted

    def run(call, times, longest):
        draw, interrupted = random.Random(0), 0
        for _ in range(times):
            try:
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-6, longest))
                call()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Interrupted:
                interrupted += 1
            finally:
                for _ in range(2):  # the last signal may arrive here
                    try:
                        signal.setitimer(signal.ITIMER_REAL, 0)
                    except Interrupted:
                        interrupted += 1
        return interrupted

    before = signal.signal(signal.SIGALRM, handler)
    yield run
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def make(net, folder):
    Network((3, 4, 1), seed=0).fit_scaling(X, Y)


def initialize(net, folder):
    net.initialize(seed=0)


def fit_scaling(net, folder):
    net.fit_scaling(X, Y)


def fit(net, folder):
    Trainer(net, solver=cbackprop.LevenbergMarquardt(), n_threads=1).fit(X, Y, epochs=1)


def step(net, folder):
    Trainer(net, solver=cbackprop.Adam()).step(np.zeros(net.n_parameters))


def save(net, folder):
    Trainer(net).save(folder / "trainer")


def load(net, folder):
    Network.load(folder / "network")


def predict(net, folder):
    net.predict(X)


CALLS = (make, initialize, fit_scaling, fit, step, save, load, predict)


def check_calls(storm, tmp_path, calls, times):
    net = Network((3, 4, 1), output_activation="identity", seed=0)
    net.save(tmp_path / "network")
    for call in calls:
        # As long as the call itself, so that every moment of it is met.
        longest = 2e-5 + 1.2 * min(took(call, net, tmp_path) for _ in range(5))
        hit = storm(lambda call=call: call(net, tmp_path), times, longest)
        print(f"{call.__name__}: {hit} of {times} calls interrupted")
        assert hit > times // 10
        net.initialize(seed=0)  # it is free
        assert not claims.running_fits
        assert blas_threads._library is None or blas_threads._library.n_contexts == 0
    for _ in range(200):
        Network((3, 4, 1), seed=0)  # whatever address it has


def took(call, net, folder):
    began = time.perf_counter()
    call(net, folder)
    return time.perf_counter() - began


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_interrupted_calls_leave_nothing_claimed(storm, tmp_path, call):
    check_calls(storm, tmp_path, [call], 300)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_20_000_interrupted_calls_leave_nothing_claimed(storm, tmp_path, call):
    check_calls(storm, tmp_path, [call], 20_000)


def test_a_claim_ends_with_its_network():
    """Claims were once kept by the network's address, which the next one can have."""
    for _ in range(100):
        assert claims.claim_network(Network((2, 1), seed=0), object())
    Network((2, 1), seed=0).initialize(seed=0)


def test_a_busy_network_tells_a_writer_from_another_thread():
    net, said = Network((2, 1), seed=0), []

    def write():
        try:
            net.initialize(seed=1)
        except BusyError as error:
            said.append(str(error))

    with net._writing("train"):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert said[0].startswith("cannot initialize: the network is being trained")
    net.initialize(seed=1)
