"""The control groups of this process: the files that hold a container's limits (Linux).

This file finds folders and reads words; its callers interpret the limits.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["folders", "words"]


def folders(controller: str, proc: Path) -> Iterator[tuple[Path, bool]]:
    """Yield (folder, is it version 2) from the process's cgroup up to the root of each hierarchy.

    Parameters
    ----------
    controller : str
        Which hierarchies of version 1 to visit: "cpu" or "memory".
    proc : Path
        /proc/self.

    Raises
    ------
    OSError, ValueError
        Not Linux, no /proc, or an unknown format.
    """
    for folder, top, is_v2 in _lowest(controller, proc):
        while True:
            yield folder, is_v2
            if folder == top:
                break
            folder = folder.parent


def words(path: Path) -> list[str]:
    """The words in a file; none where there is no such file, as at the root of a hierarchy."""
    try:
        return path.read_text().split()
    except OSError:
        return []


def _lowest(controller: str, proc: Path) -> Iterator[tuple[Path, Path, bool]]:
    """(the process's folder, the mount point above it, is it version 2) of each hierarchy."""
    groups = {}
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            groups[not controllers] = path
    for line in (proc / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        is_v2 = kind == "cgroup2"
        if is_v2 not in groups or not (
            is_v2 or (kind == "cgroup" and controller in options.split(" ")[-1].split(","))
        ):
            continue
        root, mount = (_unescaped(field) for field in before.split(" ")[3:5])
        top = Path(mount)
        # Inside a container the path may lie outside of what is mounted: then use the mount's top.
        path = os.path.relpath(groups[is_v2], root)
        folder = top if path.startswith("..") else top / path
        yield (folder if folder.is_dir() else top), top, is_v2


def _unescaped(field: str) -> str:
    """Decode the octal escapes that mountinfo uses for blanks in paths."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
