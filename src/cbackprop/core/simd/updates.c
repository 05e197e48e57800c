/* The update rules' tables by the level's name. */
#include "updates.h"
#include "cpu.h"

extern const cbp_updates_f64 cbp_updates_f64_base;
extern const cbp_updates_f32 cbp_updates_f32_base;
#if CBP_HAVE_AVX
extern const cbp_updates_f64 cbp_updates_f64_avx2, cbp_updates_f64_avx512;
extern const cbp_updates_f32 cbp_updates_f32_avx2, cbp_updates_f32_avx512;
#endif

const cbp_updates_f64 *cbp_updates_level_f64(const char *level)
{
    static const cbp_updates_f64 *const tables[] = {
        &cbp_updates_f64_base,
#if CBP_HAVE_AVX
        &cbp_updates_f64_avx2,
        &cbp_updates_f64_avx512,
#endif
    };
    const int found = cbp_find_level(level);
    return found < 0 ? NULL : tables[found];
}

const cbp_updates_f32 *cbp_updates_level_f32(const char *level)
{
    static const cbp_updates_f32 *const tables[] = {
        &cbp_updates_f32_base,
#if CBP_HAVE_AVX
        &cbp_updates_f32_avx2,
        &cbp_updates_f32_avx512,
#endif
    };
    const int found = cbp_find_level(level);
    return found < 0 ? NULL : tables[found];
}
