"""Writing a file completely or not at all.

At every moment either the old file or the new one exists, complete: the new one is written under
another name in the same folder, flushed to disk (fsync) and renamed, and the folder is flushed too.
A process that is killed leaves its temporary file behind; the next write removes it.

This file promises to know nothing of what is written.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import time
from typing import BinaryIO

from ..errors import InputError

if sys.platform != "win32":
    import fcntl

__all__ = ["PREVIOUS", "write_whole"]

# Appended to the name of the previous file.
PREVIOUS = ".previous"

# Seconds without a write after which a temporary is stale, where files cannot be locked.
OLD = 3600


def write_whole(path: str | os.PathLike[str], data: bytes, *, keep_previous: bool = False) -> None:
    """Replace the content of a file, or make the file.

    Parameters
    ----------
    path : path-like
        A link is followed; the mode of an existing file is kept.
    data : bytes
    keep_previous : bool
        Keep the previous file under the same name with ".previous" appended.

    Raises
    ------
    InputError
        If `path` exists and is not a file.
    OSError
        If the file cannot be written; an existing file is unchanged.
    """
    target = os.path.realpath(os.fsdecode(path))  # through a link, not over it
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
    if mode is not None and not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "device or pipe"
        raise InputError(f"path is {target!r}, a {kind}; expected the name of a file")
    _remove_stale(target)
    file = _new_temporary(target)
    try:
        with file:
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()  # Windows renames no open file; elsewhere the lock is held to the end
            if keep_previous and mode is not None:
                _keep(target, target + PREVIOUS)
            os.replace(file.name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(file.name)
        raise
    _sync_folder(os.path.dirname(target))


def _keep(target: str, previous: str) -> None:
    """Give the target a second name, or copy it, so that it exists at every moment."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(previous)
    try:
        os.link(target, previous)
    except (FileExistsError, FileNotFoundError):
        pass  # another writer was faster: it kept the previous file or wrote a new one
    except OSError:  # a file system without links
        with contextlib.suppress(shutil.SameFileError):
            shutil.copyfile(target, previous)


def _sync_folder(folder: str) -> None:
    """Flush the new name to disk, where folders can be opened and synchronised."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP):
            raise


# ------------------------------------------------------------------------------------- temporaries
#
# A temporary is locked by its writer.  The system releases the lock however the writer ends; and
# unlike a process number, a lock also works across containers.


def _around(target: str) -> tuple[str, str]:
    """What precedes and follows the 16 hexadecimal digits in the name of a temporary."""
    return f".{os.path.basename(target)[:50]}.", ".tmp"


def _new_temporary(target: str) -> BinaryIO:
    """A new file beside the target, locked while it is open."""
    begin, end = _around(target)
    while True:
        name = os.path.join(os.path.dirname(target), begin + secrets.token_hex(8) + end)
        file = open(name, "xb")  # noqa: SIM115, unlike tempfile's, its mode follows the umask
        if sys.platform == "win32":
            return file  # Windows: no open file can be removed
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(name):
                return file
        except BlockingIOError:
            pass
        except OSError:  # a file system without locks
            return file
        file.close()  # before it was locked, another process removed it as stale


def _remove_stale(target: str) -> None:
    """Remove the target's temporaries whose writers have ended, ignoring failures."""
    begin, end = map(re.escape, _around(target))
    pattern = re.compile(f"{begin}[0-9a-f]{{16}}{end}")
    with contextlib.suppress(OSError), os.scandir(os.path.dirname(target)) as entries:
        for name in [entry.path for entry in entries if pattern.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):
                _remove_if_stale(name)


def _remove_if_stale(name: str) -> None:
    if sys.platform != "win32":
        descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name)  # while holding the lock: so its writer has ended
            return
        except BlockingIOError:
            return
        except OSError:
            pass  # no locks here
        finally:
            os.close(descriptor)
    if time.time() - os.stat(name).st_mtime > OLD:
        os.unlink(name)
