from libc.stdint cimport int64_t
from cpython.buffer cimport Py_buffer

from cbackprop.core.linalg.types cimport real

ctypedef struct Rows:
    const char* data
    Py_ssize_t n_rows
    Py_ssize_t n_columns
    Py_ssize_t row_stride       # in bytes, positive or negative
    bint is_double              # of the source
    bint in_place               # aligned, contiguous, of the network's dtype: read in place
    const void* shift           # of the network's dtype, or NULL: x -> (x - shift) * scale
    const void* scale
    const int64_t* starts       # sparse: entries starts[row] .. starts[row + 1]; NULL: dense
    const int64_t* columns      # of the entries, whose values are ``data``

cdef class SparseRows:
    cdef readonly object data
    cdef readonly object columns
    cdef readonly object starts
    cdef readonly tuple shape

cdef class RowSource:
    cdef Rows rows
    cdef Py_buffer view
    cdef object sparse
    cdef object shift_array
    cdef object scale_array
    cdef int take(self, array, Py_ssize_t itemsize, shift, scale) except -1
    cdef int read_dense(self, array, Py_ssize_t itemsize) except -1
    cdef int read_sparse(self, SparseRows array) except -1

cdef const real* read_rows(const Rows* source, const int64_t* order, Py_ssize_t start,
                           Py_ssize_t count, real* buffer, int* bad) noexcept nogil

cdef RowSource row_source(array, Py_ssize_t itemsize, shift, scale)

cdef char* memory_of(array, str name, Py_ssize_t n_bytes, bint writable) except NULL
