/* The instruction sets that this compiler supports and this CPU and operating system can run.
 * Static functions only: each extension that owns a table includes it.
 */
#ifndef CBP_CPU_H
#define CBP_CPU_H

#include <string.h>

/* The AVX files need x86 and target pragmas.  MSVC has no such pragmas and uses the base level.
 * -DCBP_NO_AVX512 leaves out the file that takes longest to compile (.ci/run, for its sanitizer
 * build on a machine that could not run it).
 */
#if (defined(__GNUC__) || defined(__clang__)) && !defined(CBP_SCALAR) &&                           \
    (defined(__x86_64__) || defined(__i386__))
#define CBP_HAVE_AVX 1
#else
#define CBP_HAVE_AVX 0
#endif
#if CBP_HAVE_AVX && !defined(CBP_NO_AVX512)
#define CBP_HAVE_AVX512 1
#else
#define CBP_HAVE_AVX512 0
#endif

/* The best is last. */
static const char *const cbp_level_names[] = {"base", "avx2", "avx512"};
enum { CBP_N_LEVELS = 3 };

static inline int cbp_cpu_runs(int level)
{
    if (level == 0)
        return 1;
#if CBP_HAVE_AVX
    /* These builtins check the operating system too (xgetbv). */
    __builtin_cpu_init();
    if (level == 1)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
#if CBP_HAVE_AVX512
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

/* The index of a level that this CPU runs, by name; the best for NULL or ""; -1 if unavailable. */
static inline int cbp_find_level(const char *name)
{
    for (int level = CBP_N_LEVELS - 1; level >= 0; level--)
        if (cbp_cpu_runs(level) &&
            (name == NULL || name[0] == '\0' || strcmp(name, cbp_level_names[level]) == 0))
            return level;
    return -1;
}

#endif
