"""The thread team: every task exactly once, no thread left over, fork and spawn.

No test here looks at a time, except for a deadline after which something is said to hang.
"""

import functools
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from cbackprop.core.team.team import exercise

DEADLINE = 60.0  # seconds

# GCC's AddressSanitizer, loaded by LD_PRELOAD: its allocator's locks are not restored in a child
# that was forked beside other threads, and it takes address space without limit.
sanitized = "libasan" in os.environ.get("LD_PRELOAD", "")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork") or sanitized, reason="no safe os.fork here")
needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no /proc here")

# Forking a process that has threads is the very thing to be tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def expected_values(n_tasks, work):
    values = np.arange(n_tasks, dtype=np.uint32)
    for _ in range(work):
        values = values * np.uint32(1664525) + np.uint32(1013904223)
    return values


def shares(result):
    """(n_threads, n_tasks): how often each thread did each task."""
    times, _, _ = result
    return np.array([np.frombuffer(row, np.uint8) for row in times])


def check(results, sizes, work=0):
    assert len(results) == len(sizes)
    for result, n_tasks in zip(results, sizes, strict=True):
        assert shares(result).shape[1] == n_tasks
        assert (shares(result).sum(axis=0) == 1).all()
        np.testing.assert_array_equal(
            np.frombuffer(result[1], np.uint32), expected_values(n_tasks, work)
        )


def random_sizes(seed, n_runs, most=1000):
    """Numbers of tasks: half of them small, where threads meet at the run's end."""
    rng = np.random.default_rng(seed)
    return [int(rng.integers(0, most + 1 if rng.integers(2) else 9)) for _ in range(n_runs)]


def n_threads_alive():
    return len(os.listdir("/proc/self/task"))


def only(n_threads):
    """Whether so many threads are left: joined ones may stand in the kernel's list for a moment."""
    end = time.monotonic() + 0.05
    while n_threads_alive() != n_threads:
        if time.monotonic() > end:
            return False
    return True


def eventually(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def succeeds_in_fork(function):
    """Whether function() returns in a forked child, before the deadline."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    status = []

    def ended():
        done, code = os.waitpid(pid, os.WNOHANG)
        status.extend([code] * (done == pid))
        return done == pid

    if not eventually(ended):
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        return False
    return status == [0]


class Busy:
    """A Python thread that uses teams of its own until the block ends."""

    def __enter__(self):
        self.leave = threading.Event()
        self.errors = []
        self.rounds = 0
        self.thread = threading.Thread(target=self.use)
        self.thread.start()
        assert eventually(lambda: self.rounds or self.errors)
        return self

    def use(self):
        try:
            while not self.leave.is_set():
                sizes = random_sizes(self.rounds, 10, most=50)
                check(exercise(3, sizes, work=20), sizes, work=20)
                self.rounds += 1
        except BaseException as error:
            self.errors.append(error)

    def __exit__(self, *_):
        self.leave.set()
        self.thread.join()
        assert self.errors == []


@pytest.mark.parametrize("n_threads", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("work", [0, 30])
def test_every_task_is_done_exactly_once(n_threads, work):
    sizes = random_sizes(n_threads, 300)
    results = exercise(n_threads, sizes, work=work)
    assert 1 <= len(results[0][0]) <= n_threads
    check(results, sizes, work)


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_every_task_is_done_exactly_once_in_many_runs(n_threads):
    for seed in range(100):
        sizes = random_sizes(seed, 300, most=100)
        naps = iter(np.random.default_rng(seed).exponential(1e-4, 300))
        check(exercise(n_threads, sizes, between=lambda _, n=naps: time.sleep(next(n))), sizes)


def test_a_run_of_more_tasks_than_one_word_holds():
    sizes = [(1 << 20) - 1, 1 << 20, 2 * (1 << 20) + 3, 5]
    check(exercise(3, sizes), sizes)


def test_at_most_active_threads_take_part():
    """Runs of all threads in between keep the others awake: only the limit holds them off."""
    limits = [4, 2, 3, 4, 1, 4, 0, 100, -1, 4, 2, 3] * 30
    sizes = [40] * len(limits)
    results = exercise(4, sizes, active=limits, work=5000)
    for result, limit in zip(results, limits, strict=True):
        assert (shares(result).sum(axis=0) == 1).all()
        assert not shares(result)[max(limit, 1) :].any()


def test_a_sleeping_worker_is_woken():
    """A worker that was not woken would help once, while it is new, and then sleep for ever."""
    end = time.monotonic() + DEADLINE
    helped = []

    def runs():
        while sum(helped) < 10 and time.monotonic() < end:
            yield 64

    def nap(result):
        helped.append(shares(result)[1:].any())
        time.sleep(0.005)

    exercise(2, runs(), work=20000, between=nap)
    assert sum(helped) == 10


def settled():
    """The number of threads once those that earlier tests have left behind are gone."""
    while True:
        count = n_threads_alive()
        time.sleep(0.1)
        if n_threads_alive() == count:
            return count


@needs_proc
def test_no_thread_outlives_the_team():
    before = settled()
    inside = []
    exercise(4, [5], between=lambda _: inside.append(n_threads_alive()))
    assert inside == [before + 3]
    assert only(before)


@needs_proc
def test_start_and_stop_2000_times():
    before = settled()
    for n_threads in [2] * 1000 + [3] * 1000:
        exercise(n_threads, [])
    assert only(before)
    check(exercise(2, [10]), [10])


@needs_proc
def test_an_exception_between_runs_ends_the_team():
    before = settled()
    with pytest.raises(ZeroDivisionError):
        exercise(4, [5, 5], between=lambda _: 1 // 0)
    assert only(before)


@pytest.mark.parametrize(("n_threads", "sizes"), [(0, [1]), (-3, []), (2, [-1]), (2, [1 << 25])])
def test_impossible_numbers_are_refused(n_threads, sizes):
    with pytest.raises(ValueError):
        exercise(n_threads, sizes)


def test_a_team_can_use_a_team_between_its_runs():
    inner = []
    sizes = [7, 30, 2]
    check(exercise(3, sizes, between=lambda _: inner.extend(exercise(2, [9]))), sizes)
    check(inner, [9, 9, 9])


def test_teams_of_two_python_threads_at_the_same_time():
    with Busy(), Busy():
        for seed in range(30):
            sizes = random_sizes(seed, 30, most=100)
            check(exercise(3, sizes, work=10), sizes, work=10)


@needs_fork
def test_a_child_starts_its_own_team():
    check(exercise(3, [20]), [20])
    assert succeeds_in_fork(lambda: check(exercise(3, [20, 3]), [20, 3]))
    check(exercise(3, [20]), [20])


@needs_fork
def test_a_child_starts_its_own_team_while_others_use_theirs():
    with Busy(), Busy():
        for _ in range(30):
            assert succeeds_in_fork(lambda: check(exercise(3, [20, 3]), [20, 3]))


@needs_fork
def test_a_grandchild_starts_its_own_team():
    def child():
        check(exercise(3, [20]), [20])
        assert succeeds_in_fork(lambda: check(exercise(3, [20]), [20]))

    with Busy():
        assert succeeds_in_fork(child)


@needs_fork
@pytest.mark.parametrize("nap", [0, 0.002])
def test_a_child_goes_on_alone_with_its_parents_team(nap):
    """os.fork while this very thread's team lives, its workers spinning or asleep."""
    sizes = [50, 51, 52]
    forked = []

    def fork_once(_):
        time.sleep(nap)
        if not forked:
            forked.append(os.fork())

    try:
        results = exercise(3, sizes, work=50, between=fork_once)
        check(results, sizes, work=50)
        if forked == [0]:
            assert not any(shares(result)[1:].any() for result in results[1:])
            check(exercise(3, sizes), sizes)
            os._exit(0)
    finally:
        if forked == [0]:
            os._exit(1)
    assert os.waitpid(forked[0], 0)[1] == 0


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(method, marks=needs_fork if method == "fork" else ())
        for method in multiprocessing.get_all_start_methods()
    ],
)
def test_multiprocessing_during_and_after_use(method):
    sizes = [20, 3, 100]
    job = functools.partial(exercise, 3, sizes)
    check(job(), sizes)
    with Busy(), multiprocessing.get_context(method).Pool(2) as pool:
        handles = [pool.apply_async(job) for _ in range(4)]
        for handle in handles:
            check(handle.get(DEADLINE), sizes)


def run_script(script):
    head = "from cbackprop.core.team.team import exercise\n"
    subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script)], check=True, timeout=DEADLINE
    )


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_it_finishes_on_one_core():
    run_script(
        """
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        for n_threads in (2, 3, 8):
            for times, _, _ in exercise(n_threads, [0, 1, 2, 3, 8, 100] * 100, work=200):
                assert all(sum(column) == 1 for column in zip(*times))
        for _ in range(100):
            exercise(8, [8])
        """
    )


@needs_proc
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_workers_may_run_wherever_the_caller_may():
    """They begin on another core than the caller's, and are not kept from it."""
    run_script(
        """
        import os
        allowed = os.sched_getaffinity(0)
        tasks = lambda: {int(task) for task in os.listdir("/proc/self/task")}
        before, new = tasks(), []
        def look(_):
            workers = tasks() - before
            new.append(len(workers))
            for task in workers:
                assert os.sched_getaffinity(task) == allowed
        for _ in range(20):
            exercise(4, [8], between=look)
        assert new == [3] * 20 and os.sched_getaffinity(0) == allowed
        """
    )


@needs_proc
@pytest.mark.skipif(sanitized, reason="the sanitizer ends the process")
def test_fewer_threads_where_no_more_can_be_started():
    """64 MiB of address space for their stacks."""
    run_script(
        """
        import resource
        pages = int(open("/proc/self/statm").read().split()[0])
        most = pages * resource.getpagesize() + (64 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        for _ in range(3):
            for times, _, _ in exercise(1000, [100] * 20, work=100):
                assert 2 <= len(times) < 1000, len(times)
                assert all(sum(column) == 1 for column in zip(*times))
        """
    )
