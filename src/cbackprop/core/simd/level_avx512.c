/* AVX-512 (F, VL, DQ, BW) with FMA.  Nothing but static functions and the tables: an inline
 * function of a header compiled here could become the copy that the linker keeps for all code.
 */
#include "common.h"

#if CBP_HAVE_AVX512
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx2,fma,avx512f,avx512vl,avx512dq,avx512bw"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,avx512f,avx512vl,avx512dq,avx512bw,prefer-vector-width=512")
#endif

#define LEVEL avx512
#define VECTOR_BYTES 64
#define REGISTERS 32
#include "level.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
