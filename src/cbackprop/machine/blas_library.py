"""The BLAS library that SciPy calls: its name, version, and how its number of threads is set.

Functions are looked up from SciPy's own extension ``scipy.linalg.cython_blas``, on whose code all
our products run: the dynamic linker searches it and the libraries that it was linked with.  So the
library found is the one called, whatever others the process has loaded.  Windows has no such
search; there the loaded libraries are listed, and SciPy's own is chosen by its folder.

This file only looks; blas_threads.py sets the number.
"""

import ctypes
import functools
import itertools
import re
import sys
from dataclasses import dataclass
from typing import Any

from ..core.linalg import one_thread

__all__ = ["BlasLibrary", "find"]


@dataclass(frozen=True)
class BlasLibrary:
    """What is known of a BLAS library.

    Parameters
    ----------
    name : str
        "openblas", "mkl", "blis" or "flexiblas".
    version, kernel : str or None
        Its version, and the processor for which it has chosen its loops.
    threads : one_thread.Library
        Reads and sets its number of threads.
    """

    name: str
    version: str | None
    kernel: str | None
    threads: one_thread.Library


@functools.cache
def find() -> BlasLibrary | None:
    """SciPy's BLAS; None if its number of threads cannot be set.

    That is so of Apple's Accelerate and of the reference BLAS.
    """
    for handle in _handles():
        for recognise in (_openblas, _mkl, _blis, _flexiblas):
            found = recognise(handle)
            if found is not None:
                return found
    return None


def _handles() -> list[Any]:
    from scipy.linalg import cython_blas

    if sys.platform == "win32":
        return [ctypes.CDLL(path) for path in _choose(_loaded_libraries())]
    return [ctypes.CDLL(cython_blas.__file__)]


# ----------------------------------------------------------------------------- each kind of library


def _openblas(handle: Any) -> BlasLibrary | None:
    for prefix, suffix in itertools.product(("scipy_", ""), ("", "64_", "_64")):
        affixes = prefix + "openblas_{}" + suffix
        get = _address(handle, affixes.format("get_num_threads"))
        set_ = _address(handle, affixes.format("set_num_threads"))
        if get and set_:
            parallel = _function(handle, affixes.format("get_parallel"), ctypes.c_int)
            # 2 is OpenMP, which keeps a number for each thread.
            of_thread = parallel is not None and parallel() == 2
            if of_thread:
                get = _address(handle, "omp_get_max_threads") or get
                set_ = _address(handle, "omp_set_num_threads") or set_
            config = _text(handle, affixes.format("get_config"))
            version = re.search(r"OpenBLAS ([\w.]+)", config or "")
            return BlasLibrary(
                "openblas",
                version[1] if version else None,
                _text(handle, affixes.format("get_corename")),
                one_thread.Library(get, set_, of_thread=of_thread),
            )
    return None


def _mkl(handle: Any) -> BlasLibrary | None:
    get = _address(handle, "MKL_Get_Max_Threads")
    set_ = _address(handle, "MKL_Set_Num_Threads")
    describe = _function(handle, "MKL_Get_Version_String", None)
    if not (get and set_):
        return None
    version = None
    if describe is not None:
        buffer = ctypes.create_string_buffer(198)
        describe(buffer, ctypes.c_int(len(buffer)))
        version = re.search(r"Version ([\w.]+)", buffer.value.decode(errors="replace"))
    return BlasLibrary("mkl", version[1] if version else None, None, one_thread.Library(get, set_))


def _blis(handle: Any) -> BlasLibrary | None:
    get = _address(handle, "bli_thread_get_num_threads")
    set_ = _address(handle, "bli_thread_set_num_threads")
    if not (get and set_):
        return None
    version = _text(handle, "bli_info_get_version_str")
    return BlasLibrary("blis", version, None, one_thread.Library(get, set_, long=True))


def _flexiblas(handle: Any) -> BlasLibrary | None:
    get = _address(handle, "flexiblas_get_num_threads")
    set_ = _address(handle, "flexiblas_set_num_threads")
    if not (get and set_):
        return None
    return BlasLibrary("flexiblas", None, None, one_thread.Library(get, set_))


def _function(handle: Any, name: str, result: Any) -> Any:
    try:
        function = getattr(handle, name)
    except AttributeError:
        return None
    function.restype = result
    return function


def _address(handle: Any, name: str) -> int:
    """Of a C function; 0 if there is none of that name."""
    function = _function(handle, name, None)
    return 0 if function is None else ctypes.cast(function, ctypes.c_void_p).value or 0


def _text(handle: Any, name: str) -> str | None:
    """What a C function without arguments says."""
    function = _function(handle, name, ctypes.c_char_p)
    said = None if function is None else function()
    return None if said is None else said.decode(errors="replace").strip()


# ------------------------------------------------------------------------------------------ Windows


def _loaded_libraries() -> list[str]:
    """The paths of all libraries that this process has loaded."""
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    needed = ctypes.c_uint32(0)
    modules = (ctypes.c_void_p * 4096)()
    size = ctypes.c_uint32(ctypes.sizeof(modules))
    if not kernel.K32EnumProcessModules(process, modules, size, ctypes.byref(needed)):
        return []
    paths = []
    buffer = ctypes.create_unicode_buffer(32768)
    for module in modules[: needed.value // ctypes.sizeof(ctypes.c_void_p)]:
        if kernel.K32GetModuleFileNameExW(process, ctypes.c_void_p(module), buffer, len(buffer)):
            paths.append(buffer.value)
    return paths


def _choose(paths: list[str]) -> list[str]:
    """SciPy's own BLAS; if it carries none, every one but NumPy's, MKL's dispatcher included."""
    named = [path for path in paths if re.search(r"openblas|mkl_rt|blis|flexiblas", _file(path))]
    own = [path for path in named if _carrier(path) == "scipy"]
    return own or [path for path in named if _carrier(path) != "numpy"]


def _file(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1].lower()


def _carrier(path: str) -> str | None:
    """The package whose wheel carries a library, from its folder; None if it is no wheel's.

    The innermost folder counts.
    """
    for folder in reversed(path.replace("\\", "/").split("/")[:-1]):
        if folder.endswith(".libs"):
            return folder.removesuffix(".libs")
    return None
