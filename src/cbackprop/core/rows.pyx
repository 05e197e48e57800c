"""Where rows come from: a block is gathered, cast, scaled and checked in one pass.

A ``RowSource`` holds the buffer of a 2-D float32 or float64 array, never a copy of it.
``read_rows`` hands out ``count`` rows as a C-contiguous block of the network's own dtype: in place
where the array stands so already, else through the caller's buffer.  This file does not know
networks or batches.
"""

from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_SIMPLE,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport uintptr_t

from cbackprop.core cimport elementwise


cdef bint is_float(const char* code) noexcept:
    """Whether a buffer's format is that of native doubles or floats."""
    if code == NULL:
        return False
    if code[0] == c"=" or code[0] == c"^":  # NumPy writes "=d" where the data are not aligned
        code += 1
    return (code[0] == c"d" or code[0] == c"f") and code[1] == 0


cdef class RowSource:
    """The rows of ``array`` for a network whose elements have ``itemsize`` bytes.

    Parameters
    ----------
    array : (N, n) array of float32 or float64
        Inner dimension contiguous; any row stride, read-only or unaligned as it may be.
    itemsize : int
        8 or 4: the network's dtype.
    shift, scale : 1-D arrays of the network's dtype, optional
        Each column's ``(x - shift) * scale`` is handed out instead of x.

    Raises
    ------
    ValueError
        The array is not of that kind.
    """

    def __cinit__(self, array, Py_ssize_t itemsize, shift=None, scale=None):
        cdef:
            const double[::1] shift_64
            const double[::1] scale_64
            const float[::1] shift_32
            const float[::1] scale_32
        PyObject_GetBuffer(array, &self.view, PyBUF_STRIDES | PyBUF_FORMAT)
        if (self.view.ndim != 2 or not is_float(self.view.format)
                or (self.view.shape[1] > 1 and self.view.strides[1] != self.view.itemsize)):
            raise ValueError("a row source is a 2-D array of float32 or float64 whose rows are "
                             "contiguous")
        self.rows.data = <const char*>self.view.buf
        self.rows.n_rows = self.view.shape[0]
        self.rows.n_columns = self.view.shape[1]
        self.rows.row_stride = self.view.strides[0]
        self.rows.is_double = self.view.itemsize == 8
        self.rows.in_place = (
            self.view.itemsize == itemsize
            and <uintptr_t>self.view.buf % itemsize == 0
            and (self.view.strides[0] == self.view.shape[1] * itemsize
                 or self.view.shape[0] == 1))
        self.rows.shift = NULL
        self.rows.scale = NULL
        if shift is not None:
            if len(shift) != self.view.shape[1] or len(scale) != self.view.shape[1]:
                raise ValueError("shift and scale need one number for each column")
            self.rows.in_place = False
            self.shift_array, self.scale_array = shift, scale
            if self.view.shape[1] > 0:
                if itemsize == 8:
                    shift_64, scale_64 = shift, scale
                    self.rows.shift, self.rows.scale = &shift_64[0], &scale_64[0]
                else:
                    shift_32, scale_32 = shift, scale
                    self.rows.shift, self.rows.scale = &shift_32[0], &scale_32[0]

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


cdef char* memory_of(array, str name, Py_ssize_t n_bytes, bint writable) except NULL:
    """Where a C-contiguous array of ``n_bytes`` bytes stands; the caller keeps the array alive.

    A quarter of what a typed memoryview costs, which one row's ``predict`` would notice.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    cdef char* memory = <char*>view.buf
    cdef Py_ssize_t length = view.len
    PyBuffer_Release(&view)
    if length != n_bytes:
        raise ValueError(f"{name} has {length} bytes; expected {n_bytes}")
    return memory


cdef const real* read_rows(const Rows* source, const int64_t* order, Py_ssize_t start,
                           Py_ssize_t count, real* buffer, int* bad) noexcept nogil:
    """``count`` rows from ``start``: rows order[start], order[start + 1], ... or, without an order,
    rows start, start + 1, ...

    order : NULL, or row numbers checked to lie in the source
    buffer : (count, n_columns), used where the rows cannot be read in place
    bad : NULL (already checked), or set to 1 when a NaN or an infinity is met
    """
    cdef const real* block
    if source.in_place and order == NULL:
        block = <const real*>(source.data + start * source.row_stride)
    else:
        if order == NULL:
            elementwise.gather(source.is_double, source.data + start * source.row_stride,
                               source.row_stride, NULL, count, source.n_columns, buffer)
        else:
            elementwise.gather(source.is_double, source.data, source.row_stride, order + start,
                               count, source.n_columns, buffer)
        block = buffer
    if bad != NULL and not elementwise.all_finite(block, count * source.n_columns):
        bad[0] = 1
    if source.shift != NULL:
        elementwise.affine_rows(<const real*>source.shift, <const real*>source.scale, count,
                                source.n_columns, buffer)
    return block
