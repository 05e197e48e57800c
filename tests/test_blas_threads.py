"""SciPy's BLAS on one thread while a call of ours runs, and as before afterwards."""

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cbackprop.machine import blas_threads


class Library:
    """Stands in for threadpoolctl's controller of one BLAS."""

    user_api = "blas"

    def __init__(self, n_threads=4, filepath="/lib/libopenblas.so"):
        self.n_threads, self.filepath, self.calls = n_threads, filepath, []

    def get_num_threads(self):
        return self.n_threads

    def set_num_threads(self, n_threads):
        self.n_threads = n_threads
        self.calls.append(n_threads)


@pytest.fixture
def library(monkeypatch):
    library = Library()
    monkeypatch.setattr(blas_threads, "libraries", lambda: (library,))
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
    assert not blas_threads._inside


def _report(library, connection):
    def report():
        before = library.get_num_threads()
        with blas_threads.single_threaded():
            inside = library.get_num_threads()
        connection.send((before, inside, library.get_num_threads()))

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

    def slow(n_threads):
        entered.set()
        if os.getpid() == parent:
            go_on.wait(20)
        library.n_threads = n_threads

    def work():
        with blas_threads.single_threaded():
            pass

    def fork():
        child = os.fork()
        if child == 0:
            os._exit(0)
        forked.append(os.waitpid(child, 0)[1])

    library.set_num_threads = slow
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

SITE = "/env/lib/python3.12/site-packages"


@pytest.mark.parametrize(
    ("paths", "chosen"),
    [
        ([f"{SITE}/numpy.libs/libscipy_o64_.so", f"{SITE}/scipy.libs/libscipy_o.so"], [1]),
        ([f"{SITE}/numpy/.dylibs/libo.dylib", f"{SITE}/scipy/.dylibs/libo.dylib"], [1]),
        (["C:\\site\\scipy.libs\\libo.dll", "C:\\site\\numpy.libs\\libo.dll"], [0]),
        (["/env/lib/libopenblasp-r0.3.30.so"], [0]),
        (["/env/lib/libmkl_rt.so.2", f"{SITE}/numpy.libs/libo.so"], [0]),
        ([f"{SITE}/numpy.libs/libo.so", f"{SITE}/scipy_openblas32/lib/libo.so"], [1]),
        ([f"{SITE}/numpy.libs/libo.so"], []),
        (["/home/scipy.libs/env/numpy.libs/libo.so"], []),
        ([], []),
    ],
)
def test_scipys_own_library_is_chosen(paths, chosen):
    given = [Library(filepath=path) for path in paths]
    assert blas_threads._choose(given) == [given[i] for i in chosen]


def test_the_library_found_is_the_one_that_scipy_loaded():
    found = blas_threads.libraries()
    assert found is blas_threads.libraries()  # looked for once
    for controller in found:
        assert controller.user_api == "blas"
        assert "numpy" not in os.path.dirname(controller.filepath).rsplit("site-packages")[-1]


def test_the_real_number_is_set_and_restored():
    found = blas_threads.libraries()
    if not found:
        pytest.skip("SciPy's BLAS is none that threadpoolctl knows")
    before = [c.get_num_threads() for c in found]
    try:
        for controller in found:
            controller.set_num_threads(2)
        with blas_threads.single_threaded():
            assert {c.get_num_threads() for c in found} == {1}
        assert {c.get_num_threads() for c in found} == {2}
    finally:
        for controller, n_threads in zip(found, before, strict=True):
            controller.set_num_threads(n_threads)
