"""get_config: which build, instruction set, BLAS and threads are in use.

For bug reports and for runs that are to be repeated bitwise.  This file only reads; it sets
nothing.
"""

import platform
from typing import Any

import numpy as np
import scipy

from ..core.simd.dispatch import available_levels, level
from ..version import __version__
from . import blas_library, threads

__all__ = ["get_config"]


def get_config() -> dict[str, Any]:
    """What cbackprop runs on.

    Returns
    -------
    dict
        version : of cbackprop
        instruction_set : level of the compiled loops in use; CBACKPROP_SIMD pins it
        instruction_sets : the levels this processor can run
        blas_name, blas_version, blas_kernel : SciPy's BLAS, and the processor kernel it has chosen;
            OPENBLAS_CORETYPE pins OpenBLAS's; None where the library is unknown
        blas_threads : threads that this BLAS uses when called by others (in cbackprop's calls, one)
        threads : threads that one call of cbackprop may use
        python, numpy, scipy : versions
    """
    blas = blas_library.find()
    return {
        "version": __version__,
        "instruction_set": level(),
        "instruction_sets": tuple(available_levels()),
        "blas_name": None if blas is None else blas.name,
        "blas_version": None if blas is None else blas.version,
        "blas_kernel": None if blas is None else blas.kernel,
        "blas_threads": None if blas is None else blas.threads.n_threads,
        "threads": threads.available_threads(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
