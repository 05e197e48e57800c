"""Is a peer's result ours?  Its time counts only then."""

import numpy as np

# Largest difference of one array over its largest entry.  In float32 a weight of 0.1 that moved by
# 1e-4 in ten steps carries their roundings, up to 6e-4 of the move (784-1024-10); elsewhere 1e-5.
TOLERANCE = {"float64": 1e-9, "float32": 3e-3}


def difference(got, expected):
    """The largest difference of any array, relative to that array's largest entry."""
    if [a.shape for a in got] != [a.shape for a in expected]:
        return float("inf")
    worst = 0.0
    for a, b in zip(got, expected, strict=True):
        scale = np.abs(b).max(initial=0.0)
        apart = np.abs(a - b).max(initial=0.0)
        if not np.isfinite(apart) or scale == 0.0:
            return float("inf")  # a result that is nothing proves nothing
        worst = max(worst, float(apart / scale))
    return worst


def equal(got, expected, dtype):
    return difference(got, expected) <= TOLERANCE[dtype]
