"""SciPy's BLAS on one thread while a call of ours runs, and as before afterwards."""

import ctypes
import multiprocessing
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cbackprop
from cbackprop.core.linalg import one_thread
from cbackprop.machine import blas_library, blas_threads


class Fake:
    """A BLAS library in Python, called by C function pointers as a real one is."""

    def __init__(self, n_threads=4, *, long=False, of_thread=False):
        self.n_threads, self.calls, self.slow = n_threads, [], None
        number = ctypes.c_int64 if long else ctypes.c_int
        self.get = ctypes.CFUNCTYPE(number)(lambda: self.n_threads)
        self.set = ctypes.CFUNCTYPE(None, number)(self.use)
        get, set_ = (ctypes.cast(f, ctypes.c_void_p).value for f in (self.get, self.set))
        self.threads = one_thread.Library(get, set_, long=long, of_thread=of_thread)

    def use(self, n_threads):
        if self.slow is not None:
            self.slow()
        self.n_threads = n_threads
        self.calls.append(n_threads)


@pytest.fixture
def library(monkeypatch):
    library = Fake()
    monkeypatch.setattr(blas_threads, "_library", library.threads)
    return library


def test_one_thread_inside_and_restored_outside(library):
    with blas_threads.single_threaded():
        assert library.n_threads == 1
    assert library.n_threads == 4


def test_nothing_happens_where_it_is_not_needed(library):
    with blas_threads.single_threaded(False):
        assert library.n_threads == 4
    assert library.calls == []


def test_a_library_on_one_thread_is_left_alone(library):
    library.n_threads = 1
    with blas_threads.single_threaded():
        pass
    assert library.calls == []


def test_the_last_to_leave_restores(library):
    first, second = blas_threads.single_threaded(), blas_threads.single_threaded()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert library.n_threads == 1
    second.__exit__(None, None, None)
    assert library.n_threads == 4
    assert library.calls == [1, 4]


def test_restored_after_an_error(library):
    with pytest.raises(KeyboardInterrupt), blas_threads.single_threaded():
        raise KeyboardInterrupt
    assert library.n_threads == 4


def test_many_threads(library):
    seen = set()
    start = threading.Barrier(8)

    def work(_):
        start.wait()
        for _ in range(300):
            with blas_threads.single_threaded():
                seen.add(library.n_threads)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert seen == {1}
    assert library.n_threads == 4
    assert library.threads.n_contexts == 0


def test_numbers_of_64_bits(monkeypatch):
    """BLIS."""
    library = Fake(long=True)
    monkeypatch.setattr(blas_threads, "_library", library.threads)
    with blas_threads.single_threaded():
        assert library.threads.n_threads == 1
    assert library.calls == [1, 4]


def test_a_number_of_each_thread(monkeypatch):
    """OpenMP: every context sets and restores that of its own thread."""
    mine = threading.local()

    class OfThread(Fake):
        n_threads = property(
            lambda self: getattr(mine, "number", 4), lambda self, n: setattr(mine, "number", n)
        )

    library = OfThread(of_thread=True)
    monkeypatch.setattr(blas_threads, "_library", library.threads)

    def inside():
        with blas_threads.single_threaded():
            with blas_threads.single_threaded():
                pass
            return library.threads.n_threads

    library.n_threads = 3
    with blas_threads.single_threaded():
        assert in_thread(lambda: (inside(), library.threads.n_threads)) == (1, 4)
        assert library.threads.n_threads == 1
    assert library.threads.n_threads == 3


def test_a_number_that_someone_else_sets_meanwhile_stands(library):
    with blas_threads.single_threaded():
        library.n_threads = 7
        with blas_threads.single_threaded():
            assert library.n_threads == 1
        library.n_threads = 7
    assert library.n_threads == 7


class Deaf(Fake):
    """A library that does not do what it is told."""

    def use(self, n_threads):
        self.calls.append(n_threads)


def test_a_library_that_takes_no_number_is_told_of_once(monkeypatch):
    library = Deaf()
    monkeypatch.setattr(blas_threads, "_library", library.threads)
    told = pytest.warns(RuntimeWarning, match="still runs on 4 threads .*OPENBLAS_NUM_THREADS")
    with told, blas_threads.single_threaded():
        pass
    with blas_threads.single_threaded():  # no second warning, which would be an error here
        pass
    assert library.threads.n_contexts == 0


def test_a_warning_that_is_an_error_enters_no_context(monkeypatch):
    library = Deaf()
    monkeypatch.setattr(blas_threads, "_library", library.threads)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="still runs"), blas_threads.single_threaded():
            raise AssertionError
    assert library.threads.n_contexts == 0


def test_a_context_is_entered_once(library):
    context = blas_threads.single_threaded()
    context.__exit__(None, None, None)  # nothing to leave
    with context, pytest.raises(RuntimeError, match="entered already"):
        context.__enter__()
    assert (library.n_threads, library.threads.n_contexts) == (4, 0)


def test_a_fork_whose_first_hook_was_interrupted_releases_nothing(library):
    library.threads.after_fork_in_parent()  # before_fork was not reached
    with blas_threads.single_threaded():
        assert library.n_threads == 1
    library.threads.before_fork()
    library.threads.after_fork_in_parent()
    with blas_threads.single_threaded():
        assert library.n_threads == 1


def _report(library, connection):
    def report():
        before = library.n_threads
        with blas_threads.single_threaded():
            inside = library.n_threads
        connection.send((before, inside, library.n_threads))

    report()
    another = threading.Thread(target=report)  # which needs the lock, too
    another.start()
    another.join()


FORKS = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


def forking(function):
    for mark in FORKS:
        function = mark(function)
    return function


@forking
def test_restored_in_a_forked_child(library):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_report, args=(library, theirs))
    with blas_threads.single_threaded():
        child.start()
        for _ in range(2):
            assert ours.poll(20)
            assert ours.recv() == (4, 1, 4)
        assert library.n_threads == 1  # the parent's own is another process's
    child.join()


@forking
def test_a_child_without_such_calls_keeps_its_number(library):
    with blas_threads.single_threaded():
        pass
    library.n_threads = 3
    child = os.fork()
    if child == 0:
        os._exit(0 if library.n_threads == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0


@forking
def test_no_thread_sets_the_number_during_a_fork(library):
    """OpenBLAS's fork handler stops its threads; setting the number starts them."""
    entered, go_on, forked = threading.Event(), threading.Event(), []
    parent = os.getpid()

    def slow():
        entered.set()
        if os.getpid() == parent:
            go_on.wait(20)

    def work():
        with blas_threads.single_threaded():
            pass

    def fork():
        child = os.fork()
        if child == 0:
            os._exit(0)
        forked.append(os.waitpid(child, 0)[1])

    library.slow = slow
    setting, child = threading.Thread(target=work), threading.Thread(target=fork)
    setting.start()
    assert entered.wait(20)
    child.start()
    child.join(0.2)
    assert not forked
    go_on.set()
    for thread in (child, setting):
        thread.join(20)
    assert forked == [0]


@forking
def test_a_child_that_leaves_the_parents_context_sets_nothing(library):
    """Code that forks inside of a call of ours runs the rest of the `with` in both processes."""
    with blas_threads.single_threaded():
        child = os.fork()
        if child == 0:
            library.n_threads = 3  # the child's own wish
    if child == 0:
        os._exit(0 if library.n_threads == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert library.n_threads == 4


# ---------------------------------------------------------------------------------- which library

NUMPYS, SCIPYS = (f"C:\\env\\Lib\\site-packages\\{name}.libs\\lib" for name in ("numpy", "scipy"))


@pytest.mark.parametrize(
    ("paths", "chosen"),
    [
        (
            [
                f"{NUMPYS}scipy_openblas64_.dll",
                f"{SCIPYS}openblas.dll",
            ],
            [1],
        ),
        (
            [f"{SCIPYS}scipy_openblas.dll", f"{NUMPYS}openblas.dll"],
            [0],
        ),
        (["C:\\env\\Library\\bin\\MKL_RT.2.dll", "C:\\Windows\\ntdll.dll"], [0]),
        (["C:\\env\\openblas.dll", f"{NUMPYS}openblas.dll"], [0]),
        ([f"{NUMPYS}openblas.dll"], []),
        (["C:\\scipy.libs\\env\\numpy.libs\\openblas.dll"], []),
        ([], []),
    ],
)
def test_scipys_own_library_is_chosen_on_windows(paths, chosen):
    assert blas_library._choose(paths) == [paths[i] for i in chosen]


def same_library(controllers):
    """threadpoolctl's view of the library that we found: SciPy's own."""
    return [c for c in controllers if "scipy.libs" in c.filepath or "scipy/.dylibs" in c.filepath]


def test_the_library_found_is_the_one_that_scipy_loaded():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    found = blas_library.find()
    assert found is blas_library.find()  # looked for once
    theirs = same_library(threadpoolctl.ThreadpoolController().lib_controllers)
    if not theirs:
        pytest.skip("this SciPy carries no BLAS of its own")
    assert (found.name, found.version) == (theirs[0].internal_api, theirs[0].version)
    before = found.threads.n_threads
    try:
        for number in (1, 2):
            found.threads.n_threads = number
            assert theirs[0].get_num_threads() == number
    finally:
        found.threads.n_threads = before


@pytest.fixture
def real():
    """SciPy's BLAS on two threads."""
    if blas_threads._library is None:
        pytest.skip("the number of threads of SciPy's BLAS cannot be set")
    before = blas_threads._library.n_threads
    blas_threads._library.n_threads = 2
    yield blas_threads._library
    blas_threads._library.n_threads = before


def test_the_real_number_is_set_and_restored(real):
    with blas_threads.single_threaded():
        assert real.n_threads == 1
    assert real.n_threads == 2


def in_thread(function):
    """What the function returns in a new thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_the_real_number_is_set_from_any_thread(real):
    """threadpoolctl 3.8 lets only the first thread that asks set it; others are ignored."""

    def inside():
        with blas_threads.single_threaded():
            return real.n_threads

    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        assert (inside(), in_thread(inside)) == (1, 1)
        return
    assert (inside(), in_thread(inside)) == (1, 1)
    limits = threadpool_limits(2)  # this thread now has threadpoolctl's control
    try:
        assert (in_thread(inside), inside()) == (1, 1)
    finally:
        limits.unregister() if hasattr(limits, "unregister") else limits.restore_original_limits()


SOLVERS = [cbackprop.LevenbergMarquardt(), cbackprop.BayesianRegularization(), cbackprop.LBFGS()]


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.short_name)
def test_a_fit_in_a_thread_has_the_bits_of_one_in_the_main_thread(real, solver):
    """Products and factorisations large enough for BLAS to use more threads, were it allowed to."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 40))
    Y = np.sin(X[:, :1]) + 0.1 * rng.standard_normal((300, 1))

    def parameters():
        net = cbackprop.Network((40, 20, 1), output_activation="identity", seed=1)
        cbackprop.Trainer(net, solver=solver, batch_size=None, n_threads=1).fit(X, Y, epochs=4)
        return net.parameters.tobytes()

    in_main = parameters()  # the main thread asks first
    assert in_thread(parameters) == in_main
    assert real.n_threads == 2
