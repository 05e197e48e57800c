/* AVX2 with FMA.  Nothing but static functions and the tables: an inline function of a header
 * compiled here for AVX2 could otherwise become the copy that the linker keeps for all code.
 */
#include "common.h"

#if CBP_HAVE_AVX
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define LEVEL avx2
#define VECTOR_BYTES 32
#define REGISTERS 16
#include "level.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
