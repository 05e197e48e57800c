"""A loss in Python: called once per batch, between the forward and the backward pass.

The core computes Y_hat, takes the GIL for the call, and backpropagates from dL/dY_hat, which
becomes the job's ``given``, without any further factor.
"""

from libc.string cimport memcpy

import numpy as np

from cbackprop.core.gradient.batch cimport loss_of
from cbackprop.core.gradient.plan cimport Plan
from cbackprop.core.data.rows cimport memory_of, read_rows
from cbackprop.core.gradient.workspace cimport workspace_for


cdef class PythonLoss:
    """``function(Y, Y_hat)`` for batches of up to ``batch_rows`` rows; what it raised is ``error``.

    The job's parameters must be set in the buffers of the forward pass.
    """

    def __cinit__(self, Plan plan not None, function, Py_ssize_t batch_rows, int threads):
        cdef Asked* asked = &self.asked
        asked.owner = <void*>self
        asked.n_out = plan.net.layers[plan.net.n_layers - 1].n_out
        self.function = function
        self.Y = np.empty((batch_rows, asked.n_out), plan.dtype)
        self.Y_hat = np.empty((batch_rows, asked.n_out), plan.dtype)
        self.dL_dY_hat = np.empty((batch_rows, asked.n_out), plan.dtype)
        asked.Y = memory_of(self.Y, "Y", self.Y.nbytes, True)
        asked.Y_hat = memory_of(self.Y_hat, "Y_hat", self.Y.nbytes, True)
        asked.dL_dY_hat = memory_of(self.dL_dY_hat, "dL_dY_hat", self.Y.nbytes, True)
        # A gradient by tiles uses other buffers than a forward pass.
        self.space = workspace_for(&plan.net, batch_rows, threads, False)
        asked.forward = &self.space.buffers


cdef Answer ask_python(const Asked* asked, Job* job, Py_ssize_t start, Py_ssize_t rows,
                       const real* parameters, double* total) noexcept nogil:
    """Compute Y_hat of the batch and the loss in Python; set its derivative as the job's ``given``.

    total : set to the loss times the rows
    """
    cdef Job forward = job[0]
    cdef int* bad = &job.bad if job.check else NULL
    cdef const real* Y
    forward.to = asked.forward
    forward.Y, forward.given, forward.weight, forward.out = NULL, NULL, NULL, asked.Y_hat
    loss_of(&forward, start, rows, parameters)
    Y = read_rows(job.Y, job.order, start, rows, <real*>asked.Y, bad)
    if Y != <const real*>asked.Y:
        memcpy(asked.Y, Y, rows * asked.n_out * sizeof(real))
    if forward.bad or job.bad:
        job.bad = 1
        return BAD
    if job.interrupt.stop:
        return STOPPED
    if not call_python(asked, rows, sizeof(real), total):
        return RAISED
    job.given = asked.dL_dY_hat
    return ANSWERED


cdef bint call_python(const Asked* asked, Py_ssize_t rows, Py_ssize_t itemsize,
                      double* total) noexcept with gil:
    cdef PythonLoss owner = <PythonLoss>asked.owner
    cdef Py_ssize_t n_bytes = rows * asked.n_out * itemsize
    try:
        loss, dL_dY_hat = owner.function(owner.Y[:rows].copy(), owner.Y_hat[:rows].copy())
        total[0] = <double>loss * rows
        memcpy(asked.dL_dY_hat, memory_of(dL_dY_hat, "dL_dY_hat", n_bytes, False), n_bytes)
    except BaseException as error:
        owner.error = error
        return False
    return True
