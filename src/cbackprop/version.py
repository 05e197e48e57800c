"""The version, stated once; the build and ``cbackprop.__version__`` read it here."""

__version__ = "0.1.0"
