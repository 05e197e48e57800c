# The tables of vectorised loops as Cython sees them; simd.h says what each loop computes.
# `f64` and `f32` are set while `dispatch` is imported, and never again.

from libc.stdint cimport int64_t

cdef extern from "simd.h" nogil:
    enum:                       # the activations that the core uses by name
        CBP_IDENTITY
        CBP_SIGMOID
        CBP_EXP
        CBP_SOFTMAX
        CBP_KEPT

    bint cbp_keeps_slope(int activation)
    bint cbp_is_elementwise(int activation)
    bint cbp_of_outputs_only(int activation)

    enum:                       # two of the losses; the others' codes come from losses.py
        CBP_SQUARED_ERROR
        CBP_GIVEN

    ctypedef struct cbp_two_layers_f64:
        ptrdiff_t n_in
        ptrdiff_t n_hidden
        ptrdiff_t n_out
        int hidden_activation
        int output_activation
        double *W1
        double *b1
        double *W2
        double *b2

    ctypedef struct cbp_two_layers_f32:
        ptrdiff_t n_in
        ptrdiff_t n_hidden
        ptrdiff_t n_out
        int hidden_activation
        int output_activation
        float *W1
        float *b1
        float *W2
        float *b2

    ctypedef struct cbp_simd_f64:
        void (*activate)(int activation, const double *h, double *z, ptrdiff_t n) noexcept nogil
        void (*activate_keeping)(int activation, const double *h, double *z, double *slope,
            ptrdiff_t n) noexcept nogil
        double (*delta_output)(int activation, const double *Y, const double *Y_hat,
            double *delta, ptrdiff_t n) noexcept nogil
        double (*delta_output_weighted)(int activation, const double *weight, const double *Y,
            const double *Y_hat, double *delta, ptrdiff_t rows, ptrdiff_t cols) noexcept nogil
        double (*squared_error)(const double *Y, const double *Y_hat, ptrdiff_t n) noexcept nogil
        double (*squared_error_weighted)(const double *weight, const double *Y,
            const double *Y_hat, ptrdiff_t rows, ptrdiff_t cols) noexcept nogil
        void (*times_derivative)(int activation, const double *Z, double *delta,
            ptrdiff_t n) noexcept nogil
        void (*delta_hidden)(int activation, const double *delta, ptrdiff_t ld, ptrdiff_t rows,
            int n_out, const double *W_T, ptrdiff_t n_hidden, const double *Z,
            double *out) noexcept nogil
        void (*output)(int activation, const double *O, double *Y_hat, ptrdiff_t rows,
            ptrdiff_t cols) noexcept nogil
        double (*loss)(int loss, int activation, double parameter, const double *weight,
            const double *Y, const double *P, double *delta, ptrdiff_t rows,
            ptrdiff_t cols) noexcept nogil
        void (*element_weights)(const double *row_weight, const double *column_weight, double *Y,
            int missing, double *weight, ptrdiff_t rows, ptrdiff_t cols) noexcept nogil
        void (*column_sums)(double alpha, const double *delta, ptrdiff_t rows, ptrdiff_t cols,
            double beta, double *out) noexcept nogil
        void (*fill_rows)(const double *b, ptrdiff_t rows, ptrdiff_t cols, double *H) noexcept nogil
        void (*transpose)(const double *W, ptrdiff_t rows, ptrdiff_t cols,
            double *W_T) noexcept nogil
        void (*add)(const double *x, double *y, ptrdiff_t n) noexcept nogil
        int (*all_finite)(const double *x, ptrdiff_t n) noexcept nogil
        void (*gather_f64)(const char *source, ptrdiff_t row_stride_bytes, const int64_t *index,
            ptrdiff_t rows, ptrdiff_t cols, double *out) noexcept nogil
        void (*gather_f32)(const char *source, ptrdiff_t row_stride_bytes, const int64_t *index,
            ptrdiff_t rows, ptrdiff_t cols, double *out) noexcept nogil
        void (*affine_rows)(const double *shift, const double *scale, ptrdiff_t rows,
            ptrdiff_t cols, double *X) noexcept nogil
        void (*outer_sums)(const double *A, ptrdiff_t a_step, ptrdiff_t n_a, const double *D,
                           ptrdiff_t d_step, ptrdiff_t n_d, ptrdiff_t n_sums, int lower,
                           ptrdiff_t first, ptrdiff_t count, ptrdiff_t rows, double *out,
                           ptrdiff_t step) noexcept nogil
        void (*product)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, double alpha, const double *A,
            ptrdiff_t rsa, ptrdiff_t csa, const double *B, ptrdiff_t ldb, double beta, double *C,
            ptrdiff_t ldc, const double *bias) noexcept nogil
        ptrdiff_t (*steps)(const cbp_two_layers_f64 *net, const double *X, const double *Y,
            const int64_t *order, ptrdiff_t rows, ptrdiff_t n_steps, double alpha,
            double *scratch, double *squares, double *each) noexcept nogil
        ptrdiff_t (*steps_scratch)(ptrdiff_t n_hidden, ptrdiff_t n_out,
            ptrdiff_t rows) noexcept nogil
        int lanes

    ctypedef struct cbp_simd_f32:
        void (*activate)(int activation, const float *h, float *z, ptrdiff_t n) noexcept nogil
        void (*activate_keeping)(int activation, const float *h, float *z, float *slope,
            ptrdiff_t n) noexcept nogil
        double (*delta_output)(int activation, const float *Y, const float *Y_hat, float *delta,
            ptrdiff_t n) noexcept nogil
        double (*delta_output_weighted)(int activation, const float *weight, const float *Y,
            const float *Y_hat, float *delta, ptrdiff_t rows, ptrdiff_t cols) noexcept nogil
        double (*squared_error)(const float *Y, const float *Y_hat, ptrdiff_t n) noexcept nogil
        double (*squared_error_weighted)(const float *weight, const float *Y, const float *Y_hat,
            ptrdiff_t rows, ptrdiff_t cols) noexcept nogil
        void (*times_derivative)(int activation, const float *Z, float *delta,
            ptrdiff_t n) noexcept nogil
        void (*delta_hidden)(int activation, const float *delta, ptrdiff_t ld, ptrdiff_t rows,
            int n_out, const float *W_T, ptrdiff_t n_hidden, const float *Z,
            float *out) noexcept nogil
        void (*output)(int activation, const float *O, float *Y_hat, ptrdiff_t rows,
            ptrdiff_t cols) noexcept nogil
        double (*loss)(int loss, int activation, float parameter, const float *weight,
            const float *Y, const float *P, float *delta, ptrdiff_t rows,
            ptrdiff_t cols) noexcept nogil
        void (*element_weights)(const float *row_weight, const float *column_weight, float *Y,
            int missing, float *weight, ptrdiff_t rows, ptrdiff_t cols) noexcept nogil
        void (*column_sums)(float alpha, const float *delta, ptrdiff_t rows, ptrdiff_t cols,
            float beta, float *out) noexcept nogil
        void (*fill_rows)(const float *b, ptrdiff_t rows, ptrdiff_t cols, float *H) noexcept nogil
        void (*transpose)(const float *W, ptrdiff_t rows, ptrdiff_t cols, float *W_T) noexcept nogil
        void (*add)(const float *x, float *y, ptrdiff_t n) noexcept nogil
        int (*all_finite)(const float *x, ptrdiff_t n) noexcept nogil
        void (*gather_f64)(const char *source, ptrdiff_t row_stride_bytes, const int64_t *index,
            ptrdiff_t rows, ptrdiff_t cols, float *out) noexcept nogil
        void (*gather_f32)(const char *source, ptrdiff_t row_stride_bytes, const int64_t *index,
            ptrdiff_t rows, ptrdiff_t cols, float *out) noexcept nogil
        void (*affine_rows)(const float *shift, const float *scale, ptrdiff_t rows,
            ptrdiff_t cols, float *X) noexcept nogil
        void (*outer_sums)(const float *A, ptrdiff_t a_step, ptrdiff_t n_a, const float *D,
                           ptrdiff_t d_step, ptrdiff_t n_d, ptrdiff_t n_sums, int lower,
                           ptrdiff_t first, ptrdiff_t count, ptrdiff_t rows, float *out,
                           ptrdiff_t step) noexcept nogil
        void (*product)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, float alpha, const float *A,
            ptrdiff_t rsa, ptrdiff_t csa, const float *B, ptrdiff_t ldb, float beta, float *C,
            ptrdiff_t ldc, const float *bias) noexcept nogil
        ptrdiff_t (*steps)(const cbp_two_layers_f32 *net, const float *X, const float *Y,
            const int64_t *order, ptrdiff_t rows, ptrdiff_t n_steps, float alpha,
            float *scratch, double *squares, double *each) noexcept nogil
        ptrdiff_t (*steps_scratch)(ptrdiff_t n_hidden, ptrdiff_t n_out,
            ptrdiff_t rows) noexcept nogil
        int lanes

    const char *cbp_choose(const char *level)
    const cbp_simd_f64 *cbp_level_f64(const char *level)
    const cbp_simd_f32 *cbp_level_f32(const char *level)

cdef const cbp_simd_f64* f64
cdef const cbp_simd_f32* f32

# The table of a level by its name, NULL if there is none; used by `testing`.
cdef const cbp_simd_f64* table_f64(const char* level) noexcept
cdef const cbp_simd_f32* table_f32(const char* level) noexcept
