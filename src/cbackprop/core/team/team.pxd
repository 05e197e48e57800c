# The thread team for the other extensions: tasks.c is compiled only into this one, so they cimport
# these functions instead of linking it.  tasks.h describes each.
#
#     from cbackprop.core.team cimport team
#     cdef team.cbp_team *crew = team.start(n_threads)
#     team.run(crew, one_task, <void *> &job, n_tasks, active)
#     team.stop(crew)

cdef extern from "tasks.h" nogil:
    ctypedef struct cbp_team:
        pass
    ctypedef void (*cbp_task)(void *job, ptrdiff_t task, int worker) noexcept nogil

cdef cbp_team *start(int n_threads) noexcept nogil
cdef int size(const cbp_team *team) noexcept nogil
cdef void run(cbp_team *team, cbp_task fn, void *job, ptrdiff_t n_tasks, int active) noexcept nogil
cdef void stop(cbp_team *team) noexcept nogil
cdef double clock() noexcept nogil
