"""How many threads a call may use: processors, container quota, OMP_NUM_THREADS, other fits.

This file starts no thread; core/team does.  The numbers never influence results, only speed.
"""

import functools
import os
import re
from pathlib import Path
from typing import Any

from .. import checks
from ..core.fit import claims
from . import cgroups

__all__ = ["available_threads", "resolve", "running_fit"]

# The upper bound, whatever is asked for: the core counts threads with a C int.
MOST_THREADS = 1024


def available_threads() -> int:
    """min(processors this process may run on, its cgroup quota rounded up, OMP_NUM_THREADS), >= 1.

    Affinity and environment are read at each call because they may change; the quota is read once.
    """
    limits = [_processors(), _cgroup_quota(), _omp_num_threads()]
    return max(1, min(MOST_THREADS, *(limit for limit in limits if limit is not None)))


def resolve(n_threads: Any) -> int:
    """`n_threads` checked; None is `available_threads()`."""
    if n_threads is None:
        return available_threads()
    return min(checks.positive_int("n_threads", n_threads), MOST_THREADS)


# ------------------------------------------------------------------------------------ running fits


_fits = claims.running_fits


class running_fit(claims.RunningFit):  # noqa: N801  (a context manager, called like a function)
    """Count a fit as running, and say how many threads it may use.

    A given ``n_threads``, already checked, is used as it is.  None shares the available threads
    among the fits that run in this process; call ``now()`` again from time to time.
    """

    __slots__ = ("_asked", "_most")

    def __init__(self, n_threads: int | None) -> None:
        self._asked = n_threads
        self._most = available_threads() if n_threads is None else min(n_threads, MOST_THREADS)

    def most(self) -> int:
        """The upper bound, as it was when the fit began."""
        return self._most

    def now(self) -> int:
        """The number asked for; if that was None, this fit's share among those running."""
        if self._asked is not None:
            return self._most
        return min(self._most, max(1, available_threads() // max(1, len(_fits))))


# --------------------------------------------------------------------------------------- the limits


def _processors() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13: affinity, and PYTHON_CPU_COUNT
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _omp_num_threads() -> int | None:
    """The first number of OMP_NUM_THREADS ("4" or "4,2"); an invalid value counts as not set."""
    match = re.fullmatch(r"\s*0*([1-9][0-9]{0,8})\s*(,.*)?", os.environ.get("OMP_NUM_THREADS", ""))
    return int(match[1]) if match else None


@functools.cache
def _cgroup_quota(proc: str = "/proc/self") -> int | None:
    """The processors that the container may use, rounded up; None if unlimited or unknown.

    The smallest quota from the process's cgroup up to the root counts.
    """
    quotas = []
    try:
        for folder, is_v2 in cgroups.folders("cpu", Path(proc)):
            quota = _quota_v2(folder) if is_v2 else _quota_v1(folder)
            if quota is not None:
                quotas.append(quota)
    except (OSError, ValueError):
        pass  # not Linux, no /proc, or an unknown format: no visible limit
    return min(quotas, default=None)


def _quota_v2(folder: Path) -> int | None:
    """cpu.max holds "max 100000" or "150000 100000"."""
    fields = cgroups.words(folder / "cpu.max")
    return _rounded_up(*fields) if len(fields) == 2 and fields[0] != "max" else None


def _quota_v1(folder: Path) -> int | None:
    """cpu.cfs_quota_us is -1 for no limit."""
    quota, period = (
        cgroups.words(folder / "cpu.cfs_quota_us"),
        cgroups.words(folder / "cpu.cfs_period_us"),
    )
    return _rounded_up(*quota, *period) if len(quota) == len(period) == 1 else None


def _rounded_up(quota: str, period: str) -> int | None:
    microseconds, of = int(quota), int(period)
    return -(-microseconds // of) if microseconds > 0 and of > 0 else None
