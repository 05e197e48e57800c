"""The objective: a loss, output weights, and whether targets may be missing.

    L = 1/N sum_n sum_k u_k l(y_nk, y_hat_nk)       u_k: the weight of output k; 1 without

The plain objective, squared error without these, has its own kernels (``elementwise.delta_O``); all
others use ``elementwise.loss_delta``, with a weight for each element if there are weights.  This
file holds settings; the formulas are in core/simd/loss.h.
"""

from cbackprop.core.data.rows cimport memory_of
from cbackprop.core.simd.dispatch cimport CBP_SQUARED_ERROR, cbp_of_outputs_only


cdef class Objective:
    """A loss with its settings.

    The arguments are trusted; cbackprop/losses.py specifies each loss once.  Wrong arguments give
    wrong numbers, but never invalid memory access.

    Parameters
    ----------
    loss : int
        CBP_SQUARED_ERROR, ...; with CBP_GIVEN, Y holds dL/dY_hat.
    parameter : float
        Huber's threshold or the quantile.
    linear : bool
        Whether the loss is computed from O.
    only_grows : bool
        Whether no l is below 0, even by rounding.
    column_weight, units : ndarray (n_out,), optional
        In the network's dtype.  ``units`` convert a column's loss to unscaled targets; if given,
        that loss is summed too.
    missing : bool
        Whether a NaN in Y is a missing target.
    """

    def __init__(self, int loss=CBP_SQUARED_ERROR, *, double parameter=0.0, bint linear=False,
                 bint only_grows=False, column_weight=None, units=None, bint missing=False):
        self.goal.loss = loss
        self.goal.parameter = parameter
        self.goal.linear = linear
        self.goal.squared = loss == CBP_SQUARED_ERROR
        self.goal.only_grows = only_grows
        self.goal.missing = missing
        self.goal.column_weight = self.goal.units = NULL
        self.column_weight, self.units = column_weight, units

    @property
    def has_units(self):
        """Whether the loss in the targets' units is summed too."""
        return self.units is not None

    cdef int fit_to(self, const Net* net) except -1:
        """Check the weights against the network and set what follows from both."""
        cdef:
            Goal* goal = &self.goal
            int activation = net.layers[net.n_layers - 1].activation
            Py_ssize_t n_bytes = net.layers[net.n_layers - 1].n_out * net.itemsize
        if self.column_weight is not None:
            goal.column_weight = memory_of(self.column_weight, "column_weight", n_bytes, False)
        if self.units is not None:
            goal.units = memory_of(self.units, "units", n_bytes, False)
        goal.plain = (goal.squared and not cbp_of_outputs_only(activation)
                      and goal.column_weight == NULL and not goal.missing)
        # The plain kernels sum (Y - Y_hat)^2, the others l itself.
        goal.factor = 0.5 if goal.plain else 1.0
        return 0
