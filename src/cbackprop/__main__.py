"""``python -m cbackprop``: the command line, which lives in `cbackprop.commandline`."""

from cbackprop.commandline import main

if __name__ == "__main__":
    raise SystemExit(main())
