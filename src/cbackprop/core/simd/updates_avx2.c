/* The update rules with AVX2 (no FMA: they must not contract). */
#include <math.h>

#include "updates.h"
#include "cpu.h"

#if CBP_HAVE_AVX
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif

#define LEVEL avx2
#include "updates_level.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
