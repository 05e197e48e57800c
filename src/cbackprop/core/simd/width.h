/* One vector width of one dtype and level: W elements in BYTES. */
#if BYTES == 0
#define W 1
#else
#define W (BYTES / SIZE)
#endif
#include "vec.h"
#include "tile.h"
#if BYTES == 64
#include "abreast.h"
#endif
#include "activation.h"
#include "logarithm.h"
#include "smooth.h"
#include "sine.h"
#include "slope.h"
#include "step.h"
#if BYTES == VECTOR_BYTES
#include "loops.h"
#include "output.h"
#include "loss.h"
#endif
#undef W
