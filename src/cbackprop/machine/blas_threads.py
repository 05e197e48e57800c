"""SciPy's BLAS on one thread while one of our calls runs.

Three reasons: OpenBLAS up to 0.3.32 can return wrong numbers when products of different transpose
variants run multithreaded from two threads of one process (OpenBLAS issue 5836), its results depend
to the bit on its number of threads, and cbackprop parallelises at a higher level itself.  The
number applies to the whole library, so the first call to enter sets it and the last one to leave
restores it, from whichever threads they come.

NumPy's and SciPy's wheels each carry their own library: only SciPy's is changed.  Where both share
one (conda, MKL, a distribution's OpenBLAS), NumPy's products are single-threaded meanwhile, too.
Apple's Accelerate cannot be set and need not be: it is correct under concurrent calls.

This file promises to change nothing but that one number.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..core.linalg.blas import threaded_above
from ..core.linalg.one_thread import Library, OneThread
from . import blas_library

__all__ = ["THREADED_ABOVE", "single_threaded"]

# OpenBLAS uses several threads for a product whose m * n * k exceeds this.
THREADED_ABOVE = threaded_above

_NOTHING: AbstractContextManager[Any] = nullcontext()
_blas = blas_library.find()
_library: Library | None = None if _blas is None else _blas.threads


def single_threaded(needed: bool = True) -> AbstractContextManager[Any]:
    """A context in which SciPy's BLAS runs on one thread; if not `needed`, it does nothing.

    Thread-safe; contexts may nest and overlap in any order.
    """
    return OneThread(_library) if needed and _library is not None else _NOTHING


def _before_fork() -> None:
    if _library is not None:
        _library.before_fork()


def _after_fork_in_parent() -> None:
    if _library is not None:
        _library.after_fork_in_parent()


def _after_fork_in_child() -> None:
    if _library is not None:
        _library.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
