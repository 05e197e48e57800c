"""The command line: ``cbackprop`` and ``python -m cbackprop``.

A front end: nothing else imports it.  Errors that the user can fix give one line on standard error
and exit status 2; a training that fails, 1; an interrupt, 130; only a bug in cbackprop shows a
traceback.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from ..errors import CBackpropError, DivergenceError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; `argv` excludes the program's name."""
    # Do not fail because the terminal cannot show a label or file name.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            try:
                status = _run(argv)
            except SystemExit as stop:  # --help, --version
                status = stop.code if isinstance(stop.code, int) else 0
            sys.stdout.flush()
            return status
        except KeyboardInterrupt as interrupt:
            message = interrupt.args[0] if interrupt.args else "interrupted"
            return _end(f"cbackprop: {message}", 130)
        except BrokenPipeError:
            _discard_output()  # the reader of the pipe has closed it (head)
            return 141
        except DivergenceError as error:
            return _fail(error, 1)
        except MemoryError as error:
            return _fail(error if error.args else "not enough memory", 1)
        except (CBackpropError, OSError) as error:
            return _fail(error, 2)


def _discard_output() -> None:
    """Discard unwritten output, so that it cannot fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(line: str, status: int) -> int:
    """Print the last line on standard error, ignoring further errors such as a full disk."""
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()
    print(line, file=sys.stderr)
    return status


def _run(argv: Sequence[str] | None) -> int:
    from . import arguments

    options = arguments.parse(argv)
    from . import info, predict, train

    commands = {
        "train": train.run,
        "predict": predict.run,
        "info": info.run,
        "config": info.run_config,
    }
    return commands[options.command](options)


def _fail(error: object, status: int) -> int:
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        error = f"{name}{error.strerror}"
    return _end("cbackprop: error: " + " ".join(str(error).split()), status)


def _show_warning(message: object, *place: object) -> None:
    print("cbackprop: warning:", " ".join(str(message).split()), file=sys.stderr)
