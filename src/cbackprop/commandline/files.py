"""Checks that a file can be written, before the work whose result it is to hold."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError


def check_writable(option: str, target: str, sources: Iterable[str] = ()) -> None:
    """Raise an InputError unless `target` can be created, or replaced and is not in `sources`.

    Devices and pipes pass: only writing shows whether they accept data.
    """
    path = Path(target)
    if path.is_dir():
        raise InputError(f"{option} {target}: it is a folder")
    if not path.parent.is_dir():
        raise InputError(f"{option} {target}: there is no folder {path.parent}")
    if path.exists():
        if any(os.path.exists(source) and path.samefile(source) for source in sources):
            raise InputError(f"{option} {target}: this file is being read; choose another name")
        if not os.access(path, os.W_OK):
            raise InputError(f"{option} {target}: the file is write-protected")
    if not path.exists() or path.is_file():
        try:
            tempfile.TemporaryFile(dir=path.parent).close()
        except OSError as error:
            raise InputError(f"{option} {target}: cannot write there: {error.strerror}") from None
