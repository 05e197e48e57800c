# The update rules as Cython sees them; updates.h says what each computes.
# `f64` and `f32` are set while `updates` is imported, to the level that `dispatch` uses.

cdef extern from "updates.h" nogil:
    ctypedef struct cbp_updates_f64:
        void (*sgd)(double lr, const double *g, double *W, ptrdiff_t n) noexcept nogil
        void (*momentum)(double lr, double mu, const double *g, double *v, double *W,
                         ptrdiff_t n) noexcept nogil
        void (*nesterov)(double lr, double mu, const double *g, double *v, double *W,
                         ptrdiff_t n) noexcept nogil

    ctypedef struct cbp_updates_f32:
        void (*sgd)(float lr, const float *g, float *W, ptrdiff_t n) noexcept nogil
        void (*momentum)(float lr, float mu, const float *g, float *v, float *W,
                         ptrdiff_t n) noexcept nogil
        void (*nesterov)(float lr, float mu, const float *g, float *v, float *W,
                         ptrdiff_t n) noexcept nogil

    const cbp_updates_f64 *cbp_updates_level_f64(const char *level)
    const cbp_updates_f32 *cbp_updates_level_f32(const char *level)

cdef const cbp_updates_f64* f64
cdef const cbp_updates_f32* f32
