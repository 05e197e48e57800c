/* The update rules with AVX-512 (-ffp-contract=off keeps its FMA away). */
#include <math.h>

#include "updates.h"
#include "cpu.h"

#if CBP_HAVE_AVX
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512vl,avx512dq,avx512bw"))),   \
                             apply_to = function)
#else
#pragma GCC target("avx2,avx512f,avx512vl,avx512dq,avx512bw,prefer-vector-width=512")
#endif

#define LEVEL avx512
#include "updates_level.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
