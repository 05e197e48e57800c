/* The update rules for any CPU of this kind. */
#include <math.h>

#include "updates.h"

#define LEVEL base
#include "updates_level.h"
