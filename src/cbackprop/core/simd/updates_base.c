/* The update rules for any CPU of this kind. */
#define LEVEL base
#include "updates_rules.h"
