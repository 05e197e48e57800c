# The update rules as Cython sees them; updates.h says what each computes.
# `f64` and `f32` are set while `updates` is imported, to the level that `dispatch` uses.

cdef extern from "updates.h" nogil:
    ctypedef struct cbp_updates_f64:
        void (*sgd)(double lr, const double *g, double *W, ptrdiff_t n) noexcept nogil
        void (*momentum)(double lr, double mu, const double *g, double *v, double *W,
                         ptrdiff_t n) noexcept nogil
        void (*nesterov)(double lr, double mu, const double *g, double *v, double *W,
                         ptrdiff_t n) noexcept nogil
        void (*adam)(double a, double c, double epsilon, double beta_1, double beta_2,
                     double one_minus_beta_1, double one_minus_beta_2, const double *g, double *m,
                     double *v, double *W, ptrdiff_t n) noexcept nogil
        void (*nadam)(double a_g, double a_m, double c, double epsilon, double beta_1,
                      double beta_2, double one_minus_beta_1, double one_minus_beta_2,
                      const double *g, double *m, double *v, double *W, ptrdiff_t n) noexcept nogil
        void (*amsgrad)(double a, double c, double epsilon, double beta_1, double beta_2,
                        double one_minus_beta_1, double one_minus_beta_2, const double *g,
                        double *m, double *v, double *v_max, double *W, ptrdiff_t n) noexcept nogil
        void (*rprop)(double increase, double decrease, double least, double most, int worse,
                      const double *g, double *g_before, double *step, double *move, double *W,
                      ptrdiff_t n) noexcept nogil
        void (*penalty)(double l2, double l1, const double *W, double *g,
                        ptrdiff_t n) noexcept nogil
        void (*scale)(double factor, double *x, ptrdiff_t n) noexcept nogil

    ctypedef struct cbp_updates_f32:
        void (*sgd)(float lr, const float *g, float *W, ptrdiff_t n) noexcept nogil
        void (*momentum)(float lr, float mu, const float *g, float *v, float *W,
                         ptrdiff_t n) noexcept nogil
        void (*nesterov)(float lr, float mu, const float *g, float *v, float *W,
                         ptrdiff_t n) noexcept nogil
        void (*adam)(float a, float c, float epsilon, float beta_1, float beta_2,
                     float one_minus_beta_1, float one_minus_beta_2, const float *g, float *m,
                     float *v, float *W, ptrdiff_t n) noexcept nogil
        void (*nadam)(float a_g, float a_m, float c, float epsilon, float beta_1,
                      float beta_2, float one_minus_beta_1, float one_minus_beta_2,
                      const float *g, float *m, float *v, float *W, ptrdiff_t n) noexcept nogil
        void (*amsgrad)(float a, float c, float epsilon, float beta_1, float beta_2,
                        float one_minus_beta_1, float one_minus_beta_2, const float *g,
                        float *m, float *v, float *v_max, float *W, ptrdiff_t n) noexcept nogil
        void (*rprop)(float increase, float decrease, float least, float most, int worse,
                      const float *g, float *g_before, float *step, float *move, float *W,
                      ptrdiff_t n) noexcept nogil
        void (*penalty)(float l2, float l1, const float *W, float *g,
                        ptrdiff_t n) noexcept nogil
        void (*scale)(float factor, float *x, ptrdiff_t n) noexcept nogil

    const cbp_updates_f64 *cbp_updates_level_f64(const char *level)
    const cbp_updates_f32 *cbp_updates_level_f32(const char *level)

cdef const cbp_updates_f64* f64
cdef const cbp_updates_f32* f32

# The table of a level by its name, NULL if there is none; used by `testing`.
cdef const cbp_updates_f64* table_f64(const char* level) noexcept
cdef const cbp_updates_f32* table_f32(const char* level) noexcept
