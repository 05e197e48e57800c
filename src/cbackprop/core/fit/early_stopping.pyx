"""The decisions after an epoch: whether to stop, whether it is the best, whether to lower the rate.

The numbers belong to the trainer's state, so that a resumed training decides like an uninterrupted
one.  The best value is the best seen so far; patience counts the epochs without an improvement by
``min_delta`` over the last improved value.  With ``from_best`` it counts those without such an
improvement over the best value, as scikit-learn does: a slow descent then ends the fit.  With
``divisor``, exhausted patience divides the learning rate instead, until it is at most
``least_rate``.
"""

from libc.math cimport INFINITY
from libc.string cimport memcpy

import numpy as np

cdef enum:                      # the numbers
    HAS_BEST
    BEST                        # the best value,
    BEST_EPOCH                  # and its epoch
    REFERENCE                   # the last value that was better by min_delta
    WAITED                      # epochs since
    PLATEAU_STARTED
    PLATEAU_REFERENCE
    PLATEAU_WAITED
    PLATEAU_SCALE               # the factor of the learning rate so far


cdef class StoppingSettings:
    """Settings of early stopping, of the target loss and of rate reduction on a plateau.

    Parameters
    ----------
    monitored : int
        The index of the monitored column of the record; -1: none.
    """

    def __cinit__(self, *, int monitored=-1, bint maximise=False, patience=None,
                  double min_delta=0.0, Py_ssize_t start_epoch=0, bint keep_best=False,
                  bint from_best=False, double divisor=0.0, double least_rate=0.0,
                  target_loss=None, double plateau_factor=1.0,
                  double plateau_patience=-1.0, double plateau_delta=0.0,
                  double plateau_minimum=0.0):
        self.stopping.monitored, self.stopping.maximise = monitored, maximise
        self.stopping.patience = INFINITY if patience is None else patience
        self.stopping.min_delta = min_delta
        self.stopping.start_epoch, self.stopping.keep_best = start_epoch, keep_best
        self.stopping.from_best = from_best
        self.stopping.divisor, self.stopping.least_rate = divisor, least_rate
        self.stopping.target_loss = -INFINITY if target_loss is None else target_loss
        self.stopping.plateau_factor = plateau_factor
        self.stopping.plateau_patience = plateau_patience
        self.stopping.plateau_delta = plateau_delta
        self.stopping.plateau_minimum = plateau_minimum


def nothing_remembered():
    """The numbers of a state in which nothing has been monitored yet."""
    numbers = np.zeros(N_REMEMBERED)
    fresh_plateau(numbers)
    return numbers


def fresh_best(numbers, double key):
    """Reset: no value has been seen yet; ``key`` identifies what is monitored."""
    numbers[HAS_BEST:PLATEAU_STARTED] = 0.0
    numbers[N_REMEMBERED - 1] = key


def known_best(numbers, double value, Py_ssize_t epoch, double waited):
    """Set a known best value, which ``waited`` epochs have not improved (``from_best``)."""
    numbers[HAS_BEST:PLATEAU_STARTED] = 1.0, value, epoch, value, waited


def wait_anew(numbers):
    """Restart patience; the best value is kept."""
    numbers[WAITED] = 0.0


def fresh_plateau(numbers):
    """Reset the learning rate to its schedule."""
    numbers[PLATEAU_STARTED:PLATEAU_SCALE] = 0.0
    numbers[PLATEAU_SCALE] = 1.0


def plateau_scale(numbers):
    """The learning rate's factor from the plateaus so far; with a divisor, the total divisor."""
    return float(numbers[PLATEAU_SCALE])


def waited(numbers):
    """The number of epochs that patience has waited."""
    return float(numbers[WAITED])


def best_of(numbers):
    """(epoch, value) of the best, or None."""
    if not numbers[HAS_BEST]:
        return None
    return int(numbers[BEST_EPOCH]), float(numbers[BEST])


cdef double plateau_rate(const Stopping* stopping, double rate) noexcept nogil:
    """The learning rate after the plateaus so far."""
    if stopping.divisor != 0:
        return rate / stopping.numbers[PLATEAU_SCALE]
    if stopping.plateau_patience < 0:
        return rate
    return max(rate * stopping.numbers[PLATEAU_SCALE], min(rate, stopping.plateau_minimum))


cdef void look_for_plateau(const Stopping* stopping, double loss) noexcept nogil:
    """Lower the rate after ``plateau_patience`` epochs without a fall by ``plateau_delta``."""
    cdef double* numbers = stopping.numbers
    if not numbers[PLATEAU_STARTED] or loss < numbers[PLATEAU_REFERENCE] - stopping.plateau_delta:
        numbers[PLATEAU_STARTED], numbers[PLATEAU_REFERENCE] = 1, loss
        numbers[PLATEAU_WAITED] = 0
        return
    numbers[PLATEAU_WAITED] += 1
    if numbers[PLATEAU_WAITED] >= stopping.plateau_patience:
        numbers[PLATEAU_SCALE] *= stopping.plateau_factor
        numbers[PLATEAU_WAITED] = 0


cdef Reason judge(const Stopping* stopping, Py_ssize_t epoch, double loss, double monitored,
                  double rate, Py_ssize_t n_parameters, const real* parameters,
                  real* best) noexcept nogil:
    """Decide at the end of epoch number ``epoch`` whether and why to stop.

    monitored : the monitored column's value
    rate : the learning rate of the epoch
    best : (n_parameters,), written with ``parameters`` when they are the best so far; or NULL
    """
    cdef double* numbers = stopping.numbers
    cdef double value = -monitored if stopping.maximise else monitored
    cdef double lowest = -numbers[BEST] if stopping.maximise else numbers[BEST]
    cdef bint better
    if stopping.plateau_patience >= 0:
        look_for_plateau(stopping, loss)
    if stopping.monitored >= 0 and epoch >= stopping.start_epoch:
        if stopping.from_best:
            better = value <= lowest - stopping.min_delta
        else:
            better = value < numbers[REFERENCE] - stopping.min_delta
        better = better or not numbers[HAS_BEST]
        if not numbers[HAS_BEST] or value < lowest:
            if best != NULL:
                memcpy(best, parameters, n_parameters * sizeof(real))
            numbers[BEST], numbers[BEST_EPOCH] = monitored, epoch
        if better:
            numbers[REFERENCE], numbers[WAITED] = value, 0
        else:
            numbers[WAITED] += 1
        numbers[HAS_BEST] = 1
        if numbers[WAITED] >= stopping.patience:
            if stopping.divisor == 0 or rate <= stopping.least_rate:
                return EARLY_STOPPING
            numbers[PLATEAU_SCALE] *= stopping.divisor
            numbers[WAITED] = 0
    if loss <= stopping.target_loss:
        return TARGET_LOSS
    return NOT_YET
