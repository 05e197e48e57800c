"""The thread team for the other extensions (see ``team.pxd``), and one hook for tests.

It promises not to become a thread pool for Python: users call nothing here.
"""

import os
from itertools import repeat

from libc.stdlib cimport calloc, free

cdef extern from "tasks.h" nogil:
    cbp_team *cbp_team_start(int n_threads) noexcept
    int cbp_team_size(const cbp_team *team) noexcept
    void cbp_team_run(
        cbp_team *team, cbp_task fn, void *job, ptrdiff_t n_tasks, int active
    ) noexcept
    void cbp_team_stop(cbp_team *team) noexcept
    void cbp_team_after_fork_in_child() noexcept
    double cbp_clock() noexcept


cdef cbp_team *start(int n_threads) noexcept nogil:
    return cbp_team_start(n_threads)


cdef int size(const cbp_team *team) noexcept nogil:
    return cbp_team_size(team)


cdef void run(cbp_team *team, cbp_task fn, void *job, ptrdiff_t n_tasks, int active) noexcept nogil:
    cbp_team_run(team, fn, job, n_tasks, active)


cdef void stop(cbp_team *team) noexcept nogil:
    cbp_team_stop(team)


cdef double clock() noexcept nogil:
    return cbp_clock()


def _after_fork_in_child():
    cbp_team_after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# ---- for tests -----------------------------------------------------------------------------------

cdef struct Exercise:
    unsigned char *times     # (n_threads, n_tasks): how often each thread did each task
    unsigned int *values     # (n_tasks): what each task computed
    ptrdiff_t n_tasks
    ptrdiff_t work


cdef void one_task(void *job, ptrdiff_t task, int worker) noexcept nogil:
    cdef Exercise *exercise = <Exercise *> job
    cdef unsigned int value = <unsigned int> task
    cdef ptrdiff_t _
    for _ in range(exercise.work):
        value = value * 1664525u + 1013904223u
    exercise.values[task] = value
    exercise.times[worker * exercise.n_tasks + task] += 1


def exercise(int n_threads, runs, *, active=None, ptrdiff_t work=0, between=None):
    """Start a team, do each of `runs` (numbers of tasks), stop it: for tests.

    Parameters
    ----------
    n_threads : int
        The number of threads, including the caller.
    runs : iterable of int
        The number of tasks of each run.
    active : iterable of int, optional
        The most threads that take part in each run; all by default.
    work : int
        Steps x -> 1664525 x + 1013904223 mod 2**32 that each task makes, starting from its number.
    between : callable, optional
        Called with the result of each run, before the team is stopped.

    Returns
    -------
    list of (times, values, seconds)
        For each run: `times`, one ``bytes`` a thread, how often it did each task; `values`, the
        bytes of the native uint32 results; `seconds`, the run's duration.
    """
    cdef Exercise job
    cdef cbp_team *team
    cdef int n, most
    cdef double seconds
    cdef ptrdiff_t i
    if n_threads < 1:
        raise ValueError("n_threads must be at least 1")
    done = []
    team = start(n_threads)
    if team == NULL:
        raise MemoryError("no memory for a team of threads")
    n = size(team)
    job.work = work
    try:
        for n_tasks, limit in zip(runs, repeat(n) if active is None else active):
            most = limit
            job.n_tasks = n_tasks
            if job.n_tasks < 0 or job.n_tasks > (<ptrdiff_t> 1 << 24):
                raise ValueError("a run has 0 to 2**24 tasks")
            job.times = <unsigned char *> calloc(n * job.n_tasks + 1, 1)
            job.values = <unsigned int *> calloc(job.n_tasks + 1, sizeof(unsigned int))
            try:
                if job.times == NULL or job.values == NULL:
                    raise MemoryError("no memory for the results")
                with nogil:
                    seconds = clock()
                    run(team, one_task, &job, job.n_tasks, most)
                    seconds = clock() - seconds
                times = [
                    (<char *> job.times)[i * job.n_tasks:(i + 1) * job.n_tasks] for i in range(n)
                ]
                values = (<char *> job.values)[:job.n_tasks * <ptrdiff_t> sizeof(unsigned int)]
            finally:
                free(job.times)
                free(job.values)
            result = (times, values, seconds)
            done.append(result)
            if between is not None:
                between(result)
    finally:
        with nogil:
            stop(team)
    return done
