"""Reading rows: a block is gathered, cast, scaled and checked in one pass.

A ``RowSource`` holds the buffer of a 2-D float32 or float64 array, never a copy of it.
``read_rows`` returns ``count`` rows as a C-contiguous block of the network's dtype: in place if the
array has that form, else in the caller's buffer.  Sparse rows are made dense only in that buffer.
``extent`` finds an array's smallest and largest numbers.  This file does not know networks or
batches.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_SIMPLE,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.math cimport INFINITY
from libc.stdint cimport uintptr_t
from libc.string cimport memcpy, memset

from cbackprop.core.linalg cimport elementwise


cdef bint is_float(const char* code) noexcept:
    """Whether a buffer's format is native doubles or floats."""
    if code == NULL:
        return False
    if code[0] == c"=" or code[0] == c"^":  # NumPy writes "=d" if the data are not aligned
        code += 1
    return (code[0] == c"d" or code[0] == c"f") and code[1] == 0


cdef class SparseRows:
    """Sparse rows (SciPy's CSR), as accepted by ``RowSource``.

    Parameters
    ----------
    data : ndarray (n_entries,) of float32 or float64
    columns : ndarray (n_entries,) of int64
        Entries of a row with equal columns are summed.
    starts : ndarray (N + 1,) of int64
        Row i has the entries starts[i] .. starts[i + 1].
    n_columns : int

    Raises
    ------
    ValueError
        If the arrays do not describe rows of ``n_columns`` columns.
    """

    def __cinit__(self, data, columns, starts, Py_ssize_t n_columns):
        cdef const int64_t[::1] of_entries = columns
        cdef const int64_t[::1] bounds = starts
        cdef Py_ssize_t i
        cdef Py_ssize_t n_rows = bounds.shape[0] - 1
        cdef Py_ssize_t n_entries = of_entries.shape[0]
        cdef bint good = n_rows >= 0 and len(data) >= n_entries
        good = good and bounds[0] >= 0 and bounds[n_rows] <= n_entries
        if good:
            for i in range(n_rows):
                good = good and bounds[i] <= bounds[i + 1]
            for i in range(n_entries):
                good = good and 0 <= of_entries[i] < n_columns
        if not good:
            raise ValueError("data, columns and starts are not those of sparse rows")
        self.data, self.columns, self.starts = data, columns, starts
        self.shape = (n_rows, n_columns)

    def __len__(self):
        return self.shape[0]


@cython.freelist(8)
cdef class RowSource:
    """The rows of ``array`` for a network whose elements have ``itemsize`` bytes.

    Parameters
    ----------
    array : (N, n) array of float32 or float64, or SparseRows
        Contiguous rows with any stride; it may be read-only or unaligned.
    itemsize : int
        8 or 4: the network's dtype.
    shift, scale : 1-D arrays of the network's dtype, optional
        ``(x - shift) * scale``, column by column, is returned instead of x.

    Raises
    ------
    ValueError
        If the array is not of that kind.
    """

    def __init__(self, array, Py_ssize_t itemsize, shift=None, scale=None):
        self.take(array, itemsize, shift, scale)

    cdef int take(self, array, Py_ssize_t itemsize, shift, scale) except -1:
        cdef:
            const double[::1] shift_64
            const double[::1] scale_64
            const float[::1] shift_32
            const float[::1] scale_32
        self.rows.starts = self.rows.columns = NULL
        if isinstance(array, SparseRows):
            self.read_sparse(array)
        else:
            self.read_dense(array, itemsize)
        self.rows.shift = NULL
        self.rows.scale = NULL
        if shift is not None:
            if len(shift) != self.rows.n_columns or len(scale) != self.rows.n_columns:
                raise ValueError("shift and scale need one number for each column")
            self.rows.in_place = False
            self.shift_array, self.scale_array = shift, scale
            if self.rows.n_columns > 0:
                if itemsize == 8:
                    shift_64, scale_64 = shift, scale
                    self.rows.shift, self.rows.scale = &shift_64[0], &scale_64[0]
                else:
                    shift_32, scale_32 = shift, scale
                    self.rows.shift, self.rows.scale = &shift_32[0], &scale_32[0]
        return 0

    cdef int read_dense(self, array, Py_ssize_t itemsize) except -1:
        PyBuffer_Release(&self.view)
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
        return 0

    cdef int read_sparse(self, SparseRows array) except -1:
        cdef const int64_t[::1] columns = array.columns
        cdef const int64_t[::1] starts = array.starts
        PyBuffer_Release(&self.view)
        PyObject_GetBuffer(array.data, &self.view, PyBUF_STRIDES | PyBUF_FORMAT)
        if (self.view.ndim != 1 or not is_float(self.view.format)
                or (self.view.shape[0] > 1 and self.view.strides[0] != self.view.itemsize)
                or <uintptr_t>self.view.buf % self.view.itemsize != 0):
            raise ValueError("the data of sparse rows are an array of float32 or float64")
        self.sparse = array
        self.rows.data = <const char*>self.view.buf
        self.rows.n_rows, self.rows.n_columns = array.shape
        self.rows.row_stride = 0
        self.rows.is_double = self.view.itemsize == 8
        self.rows.in_place = False
        self.rows.starts = &starts[0]
        # Without entries there is no pointer, and nothing is read.
        self.rows.columns = &columns[0] if columns.shape[0] > 0 else NULL
        return 0

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


cdef RowSource row_source(array, Py_ssize_t itemsize, shift, scale):
    """``RowSource(...)`` without packing arguments, which costs noticeable time for one row."""
    cdef RowSource source = RowSource.__new__(RowSource)
    source.take(array, itemsize, shift, scale)
    return source


cdef char* memory_of(array, str name, Py_ssize_t n_bytes, bint writable) except NULL:
    """The address of a C-contiguous array of ``n_bytes`` bytes; the caller keeps the array alive.

    It costs a quarter of a typed memoryview, which is noticeable in ``predict`` for one row.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    cdef char* memory = <char*>view.buf
    cdef Py_ssize_t length = view.len
    PyBuffer_Release(&view)
    if length != n_bytes:
        raise ValueError(f"{name} has {length} bytes; expected {n_bytes}")
    return memory


def ready(array, n_columns):
    """Whether a dense array is valid for ``RowSource`` and has ``n_columns`` columns.

    array : ndarray
    n_columns : int, or None for any but 0
    """
    cdef Py_buffer view
    cdef bint good
    try:
        PyObject_GetBuffer(array, &view, PyBUF_STRIDES | PyBUF_FORMAT)
    except (BufferError, TypeError, ValueError):
        return False    # for example of dates
    good = (view.ndim == 2 and is_float(view.format) and view.strides[1] == view.itemsize
            and view.shape[0] > 0 and view.shape[1] > 0)
    if good and n_columns is not None:
        good = view.shape[1] == <Py_ssize_t>n_columns
    PyBuffer_Release(&view)
    return good


def extent(array):
    """The smallest and largest number of an array, ignoring NaN; (inf, -inf) if there is none.

    array : dense, valid for ``RowSource``
    """
    cdef RowSource source = row_source(array, 8, None, None)
    cdef double low = INFINITY
    cdef double high = -INFINITY
    if source.rows.starts != NULL:
        raise ValueError("the extent is that of a dense array")
    with nogil:
        if source.rows.is_double:
            widen_extent(&source.rows, <double>0, &low, &high)
        else:
            widen_extent(&source.rows, <float>0, &low, &high)
    return low, high


cdef void widen_extent(const Rows* rows, real of_type, double* low, double* high) noexcept nogil:
    """Lower ``low`` and raise ``high`` so that every number of dense rows lies between."""
    cdef Py_ssize_t i, j
    cdef real x, smallest = <real>low[0], largest = <real>high[0]
    for i in range(rows.n_rows):
        for j in range(rows.n_columns):
            memcpy(&x, rows.data + i * rows.row_stride + j * sizeof(real), sizeof(real))
            if x < smallest:
                smallest = x
            if x > largest:
                largest = x
    low[0], high[0] = smallest, largest


cdef void scatter(const Rows* source, const int64_t* order, Py_ssize_t start, Py_ssize_t count,
                  real* out) noexcept nogil:
    """out (count, n_columns) = sparse rows."""
    cdef Py_ssize_t i, row
    cdef int64_t k
    memset(out, 0, count * source.n_columns * sizeof(real))
    for i in range(count):
        row = start + i if order == NULL else order[start + i]
        for k in range(source.starts[row], source.starts[row + 1]):
            if source.is_double:
                out[source.columns[k]] += <real>(<const double*>source.data)[k]
            else:
                out[source.columns[k]] += <real>(<const float*>source.data)[k]
        out += source.n_columns


cdef const real* read_rows(const Rows* source, const int64_t* order, Py_ssize_t start,
                           Py_ssize_t count, real* buffer, int* bad) noexcept nogil:
    """``count`` rows from ``start``: rows order[start], order[start + 1], ... or, without an order,
    rows start, start + 1, ...

    order : NULL, or row numbers within the source
    buffer : (count, n_columns), used if the rows cannot be read in place
    bad : NULL (already checked), or set to 1 if a NaN or an infinity is found
    """
    cdef const real* block
    if source.in_place and order == NULL:
        block = <const real*>(source.data + start * source.row_stride)
    else:
        if source.starts != NULL:
            scatter(source, order, start, count, buffer)
        elif order == NULL:
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
