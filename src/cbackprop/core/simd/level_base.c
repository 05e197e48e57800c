/* The baseline of the machine: SSE2 on x86-64, NEON on arm64, scalars for a compiler without GNU
 * vectors.  It contains no intrinsics, and no instructions beyond the architecture's baseline.
 */
#include "common.h"

#define LEVEL base
#if CBP_GNU_VECTORS
#define VECTOR_BYTES 16
#else
#define VECTOR_BYTES 0 /* one element */
#endif
#if defined(__aarch64__) || defined(_M_ARM64)
#define REGISTERS 32
#else
#define REGISTERS 16
#endif
#include "level.h"
