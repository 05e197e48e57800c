/* Chooses the level once, by name or as the best that the CPU runs. */
#include "simd.h"
#include "cpu.h"

extern const cbp_simd_f64 cbp_f64_base;
extern const cbp_simd_f32 cbp_f32_base;
#if CBP_HAVE_AVX
extern const cbp_simd_f64 cbp_f64_avx2;
extern const cbp_simd_f32 cbp_f32_avx2;
#endif
#if CBP_HAVE_AVX512
extern const cbp_simd_f64 cbp_f64_avx512;
extern const cbp_simd_f32 cbp_f32_avx512;
#endif

static const cbp_simd_f64 *const tables_f64[] = {
    &cbp_f64_base,
#if CBP_HAVE_AVX
    &cbp_f64_avx2,
#endif
#if CBP_HAVE_AVX512
    &cbp_f64_avx512,
#endif
};
static const cbp_simd_f32 *const tables_f32[] = {
    &cbp_f32_base,
#if CBP_HAVE_AVX
    &cbp_f32_avx2,
#endif
#if CBP_HAVE_AVX512
    &cbp_f32_avx512,
#endif
};

const cbp_simd_f64 *cbp_f64;
const cbp_simd_f32 *cbp_f32;

const cbp_simd_f64 *cbp_level_f64(const char *level)
{
    int found = cbp_find_level(level);
    return found < 0 ? NULL : tables_f64[found];
}

const cbp_simd_f32 *cbp_level_f32(const char *level)
{
    int found = cbp_find_level(level);
    return found < 0 ? NULL : tables_f32[found];
}

const char *cbp_choose(const char *level)
{
    int found = cbp_find_level(level);
    if (found < 0)
        return NULL;
    cbp_f64 = tables_f64[found];
    cbp_f32 = tables_f32[found];
    return cbp_level_names[found];
}
