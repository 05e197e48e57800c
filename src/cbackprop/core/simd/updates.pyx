"""The update rules at the level that `dispatch` chose; other compiled modules cimport `f64`, `f32`.

This module promises to hold no state, which belongs to the solver.
"""

from cbackprop.core.simd.dispatch import level as _level_in_use

f64 = cbp_updates_level_f64(_level_in_use().encode())
f32 = cbp_updates_level_f32(_level_in_use().encode())


cdef const cbp_updates_f64* table_f64(const char* level) noexcept:
    return cbp_updates_level_f64(level)


cdef const cbp_updates_f32* table_f32(const char* level) noexcept:
    return cbp_updates_level_f32(level)
