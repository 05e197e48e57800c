"""What the running part of a call of fit (fit.pyx) needs to know of its setup."""

from cbackprop.core.data.rows cimport RowSource
from cbackprop.core.fit.loop cimport FitLoop
from cbackprop.core.fit.python_loss cimport PythonLoss
from cbackprop.core.fit.state cimport State
from cbackprop.core.gauss_newton.assemble cimport GaussNewton
from cbackprop.core.gradient.interrupts cimport Interrupts
from cbackprop.core.gradient.objective cimport Objective
from cbackprop.core.gradient.plan cimport Plan
from cbackprop.core.gradient.update_rules cimport RuleSettings
from cbackprop.core.fit.early_stopping cimport StoppingSettings
from cbackprop.core.gradient.workspace cimport Workspace

cdef enum:
    MOST_BORROWED = 4           # arrays of a state

ctypedef struct Borrowed:       # an array of the state to which the loop writes
    char* memory
    Py_ssize_t n_bytes

ctypedef struct Place:          # in time
    Py_ssize_t epoch
    Py_ssize_t position
    double loss_sum
    double unit_sum


cdef class FitSetup:
    cdef FitLoop loop
    cdef Plan plan
    cdef State state
    cdef Objective objective
    cdef object parameters              # the network's own, written between slices
    cdef char* published                # their address
    cdef RowSource X
    cdef RowSource Y
    cdef RowSource weight
    cdef object subset
    cdef tuple evaluations
    cdef object schedule
    cdef Workspace space
    cdef Interrupts interrupts
    cdef char* memory
    cdef PythonLoss custom
    cdef GaussNewton gauss_newton
    # what a snapshot holds besides the parameters, in this order, and where it goes
    cdef Borrowed[MOST_BORROWED] borrowed
    cdef int n_borrowed
    cdef char* kept
    # the state's position at the start of the call
    cdef Place found
    cdef Py_ssize_t found_n_rows
    cdef Py_ssize_t found_batch_rows

    cdef bint solves_a_system(self) noexcept
    cdef Py_ssize_t step_rows(self) noexcept
    cdef int read_data(self, X, Y, dict settings) except -1
    cdef int read_rows(self, weight, subset, Py_ssize_t batch_rows) except -1
    cdef int read_rule(self, RuleSettings settings) except -1
    cdef int read_stopping(self, StoppingSettings settings) except -1
    cdef int read_columns(self, tuple columns, dict settings) except -1
    cdef int read_order(self, order, bint window) except -1
    cdef int find_place(self, Py_ssize_t epochs, Py_ssize_t steps, double max_seconds) except -1
    cdef int lay_out(self, tuple evaluations, int most_threads) except -1
    cdef int join_evaluations(self) except -1
    cdef int join_python_loss(self, function) except -1
    cdef int join_gauss_newton(self, RuleSettings settings) except -1
    cdef int set_clock(self) except -1
    cdef int read_rate(self, rate) except -1
    cdef int start_team(self) except -1
    cdef Py_ssize_t parameter_bytes(self) noexcept
    cdef char* borrow(self, array, str name, Py_ssize_t n_bytes) except? NULL
    cdef int read_lbfgs(self, dict options) except -1
    cdef int read_marquardt(self, dict options) except -1
    cdef int take_memory(self, tuple columns) except -1
