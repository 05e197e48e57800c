"""How much memory is available, checked before large allocations.

Linux grants more memory than it has and kills the process that uses it, which cannot be caught.
This file promises to allocate nothing.
"""

import os
import sys
from pathlib import Path

from ..errors import InputMemoryError
from . import cgroups

__all__ = ["available_memory", "check_memory"]


def available_memory() -> int | None:
    """Bytes available without swapping, within the container's limit; None where unknown.

    The smaller of MemAvailable (/proc/meminfo; if missing, the machine's memory) and what the
    cgroups leave.  All of it is read at each call because it changes.
    """
    machine = _mem_available()
    limits = (_physical() if machine is None else machine, _cgroup_rest())
    return min((limit for limit in limits if limit is not None), default=None)


def check_memory(n_bytes: int, what: str, advice: str) -> None:
    """Raise unless `n_bytes` are available; to be called before any of them is allocated.

    Parameters
    ----------
    n_bytes : int
        Everything that will be allocated at the same time.
    what : str
        What needs the memory, as the message's subject: "J'J of 20,000 parameters".
    advice : str
        How to need less; the message's end.

    Raises
    ------
    InputMemoryError
        If `n_bytes` is more than is available or, where that is unknown, than can be addressed.
    """
    there = available_memory()
    if n_bytes <= (sys.maxsize if there is None else there):
        return
    most = "more than can be addressed" if there is None else f"and {_gb(there)} are available"
    raise InputMemoryError(f"{what} needs {_gb(n_bytes)} of memory, {most}; {advice}")


def _gb(n_bytes: int) -> str:
    """A number of bytes in units of 10^9, with at least three digits."""
    size = n_bytes / 1e9
    return f"{size:,.0f} GB" if size >= 100 else f"{size:#.3g} GB"


# --------------------------------------------------------------------------------------- the limits


def _mem_available(meminfo: str = "/proc/meminfo") -> int | None:
    """MemAvailable in bytes, which Linux reports since 3.14; else None."""
    try:
        for line in Path(meminfo).read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (IndexError, OSError, ValueError):
        pass  # another system, or an unknown format
    return None


def _cgroup_rest(proc: str = "/proc/self") -> int | None:
    """What the container may still allocate; None if unlimited or unknown.

    The smallest value from the process's cgroup up to the root counts.
    """
    rests = []
    try:
        for folder, is_v2 in cgroups.folders("memory", Path(proc)):
            rest = _rest(folder, V2 if is_v2 else V1)
            if rest is not None:
                rests.append(rest)
    except (OSError, ValueError):
        pass  # not Linux, no /proc, or an unknown format: no visible limit
    return min(rests, default=None)


# The files of limit and usage, and the prefix of the page cache's entries in memory.stat.
V2 = ("memory.max", "memory.current", "")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")


def _rest(folder: Path, names: tuple[str, str, str]) -> int | None:
    """Limit minus usage; "max" is no limit.

    Pages of files count as usage but are freed when memory is short, so they are subtracted: else
    reading a large memmap would seem to leave nothing.
    """
    limit, usage = cgroups.words(folder / names[0]), cgroups.words(folder / names[1])
    if len(limit) != 1 or len(usage) != 1 or limit[0] == "max":
        return None
    stat = cgroups.words(folder / "memory.stat")
    counts = dict(zip(stat[::2], stat[1::2], strict=False))
    pages = sum(int(counts.get(f"{names[2]}{kind}_file", 0)) for kind in ("inactive", "active"))
    return max(0, int(limit[0]) - max(0, int(usage[0]) - pages))


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None
