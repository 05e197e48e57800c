"""Which instruction set the vectorised loops use, chosen while this module is imported.

`CBACKPROP_SIMD` (base, avx2 or avx512) sets it; otherwise it is the best that the CPU runs.  Other
compiled modules cimport the tables `f64` and `f32`; Python can query the level's name.  This module
promises to do no arithmetic.
"""

import os

cdef const char** _NAMES = ["base", "avx2", "avx512"]


def available_levels():
    """The instruction sets in this build that this CPU runs, with the best last.

    Returns
    -------
    tuple of str
    """
    return tuple([_NAMES[i].decode() for i in range(3) if cbp_level_f64(_NAMES[i]) != NULL])


def level():
    """The instruction set in use: "base", "avx2" or "avx512".

    Returns
    -------
    str
    """
    return _level


cdef str _choose(str wanted):
    encoded = wanted.encode()
    cdef const char* found = cbp_choose(encoded)
    if found == NULL:
        raise ImportError(
            f"CBACKPROP_SIMD is {wanted!r}, but this build on this CPU has "
            f"{', '.join(available_levels())}; unset it or set it to one of these"
        )
    return found.decode()


_level = _choose(os.environ.get("CBACKPROP_SIMD", ""))
f64 = cbp_level_f64(_level.encode())
f32 = cbp_level_f32(_level.encode())


cdef const cbp_simd_f64* table_f64(const char* level) noexcept:
    return cbp_level_f64(level)


cdef const cbp_simd_f32* table_f32(const char* level) noexcept:
    return cbp_level_f32(level)
