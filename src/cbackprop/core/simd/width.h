/* One vector width of one dtype and level; the loops over elements with the widest. */
#include "vec.h"
#include "tile.h"
#if W == LANES
#include "loops.h"
#endif
