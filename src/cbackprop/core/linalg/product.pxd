from cbackprop.core.linalg.types cimport real

cdef void affine(Py_ssize_t rows, Py_ssize_t n_in, Py_ssize_t n_out, const real* A, const real* W,
                 const real* b, real* H) noexcept nogil

cdef void weight_gradient(Py_ssize_t n_in, Py_ssize_t n_out, Py_ssize_t rows, real alpha,
                          const real* A, Py_ssize_t lda, const real* delta, Py_ssize_t ld_delta,
                          real beta, real* grad_W, Py_ssize_t ld_grad) noexcept nogil

cdef void delta_W_T(Py_ssize_t rows, Py_ssize_t n_in, Py_ssize_t n_out, const real* delta,
                    const real* W, const real* W_T, real* out) noexcept nogil
