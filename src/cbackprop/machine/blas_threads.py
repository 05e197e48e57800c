"""SciPy's BLAS on one thread while one of our calls runs.

Three reasons: OpenBLAS up to 0.3.32 can return wrong numbers when products of different transpose
variants run multithreaded from two threads of one process (OpenBLAS issue 5836), its results depend
to the bit on its number of threads, and cbackprop parallelises at a higher level itself.  The
number applies to the whole library, so the first call to enter sets it and the last one to leave
restores it.

NumPy's and SciPy's wheels each carry their own library: only SciPy's is changed.  Where both share
one (conda, MKL, a distribution's OpenBLAS), NumPy's products are single-threaded meanwhile, too.
Apple's Accelerate cannot be set and need not be: it is correct under concurrent calls.

This file promises to change nothing but that one number.
"""

import functools
import itertools
import os
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..core.linalg.blas import threaded_above

__all__ = ["THREADED_ABOVE", "libraries", "single_threaded"]

# OpenBLAS uses several threads for a product whose m * n * k exceeds this.
THREADED_ABOVE = threaded_above

_lock = threading.RLock()  # reentrant: a signal handler may fork while its thread holds it
_inside: set["_SingleThreaded"] = set()
_restore: list[tuple[Any, int]] = []


def single_threaded(needed: bool = True) -> AbstractContextManager[Any]:
    """A context in which SciPy's BLAS runs on one thread; if not `needed`, it does nothing.

    Thread-safe; contexts may nest and overlap in any order.
    """
    return _SingleThreaded() if needed else _NOTHING


_NOTHING: AbstractContextManager[Any] = nullcontext()


class _SingleThreaded:
    __slots__ = ()

    def __enter__(self) -> None:
        controllers = libraries()  # before the lock is taken: the first call takes milliseconds
        with _lock:
            if not _inside:
                _restore[:] = [(c, c.get_num_threads()) for c in controllers]
                for controller, n_threads in _restore:
                    if n_threads != 1:
                        controller.set_num_threads(1)
            _inside.add(self)

    def __exit__(self, *exc_info: object) -> None:
        with _lock:
            if self in _inside:  # after a fork, the child has already restored it
                _inside.remove(self)
                if not _inside:
                    _put_back()


def _put_back() -> None:
    for controller, n_threads in _restore:
        if n_threads != 1:
            controller.set_num_threads(n_threads)
    _restore.clear()


def _before_fork() -> None:
    """Keep the number fixed while OpenBLAS's own fork handler stops and joins its threads."""
    _lock.acquire()


def _after_fork_in_parent() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    """Restore the number: the child runs none of the calls that asked for one thread."""
    global _lock
    _lock = threading.RLock()
    _inside.clear()
    _put_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


@functools.cache
def libraries() -> tuple[Any, ...]:
    """The threadpoolctl controllers of the BLAS that ``scipy.linalg.cython_blas`` calls.

    Normally one; none where SciPy uses a library that threadpoolctl does not know.
    """
    import scipy.linalg.cython_blas  # noqa: F401  (loads the library, so that it can be found)
    import threadpoolctl

    found = threadpoolctl.ThreadpoolController().lib_controllers
    return tuple(_choose([c for c in found if c.user_api == "blas"]))


def _choose(controllers: list[Any]) -> list[Any]:
    """SciPy's own library; if it carries none, every BLAS except the one that NumPy carries.

    A library too many costs others a little speed; one too few can make results wrong.
    """
    own = [c for c in controllers if _carrier(c.filepath) == "scipy"]
    return own or [c for c in controllers if _carrier(c.filepath) != "numpy"]


def _carrier(filepath: str) -> str | None:
    """The package whose wheel carries a library, from its folder; the file's name does not tell.

    ``scipy.libs/`` on Linux and Windows, ``scipy/.dylibs/`` on macOS; None elsewhere.
    """
    parts = filepath.replace("\\", "/").split("/")[:-1]
    for parent, folder in reversed(list(itertools.pairwise(parts))):  # the innermost counts
        if folder == ".dylibs":
            return parent
        if folder.endswith(".libs"):
            return folder.removesuffix(".libs")
    return None
