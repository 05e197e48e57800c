"""The version, stated once: pyproject.toml, ``cbackprop.__version__`` and model files read it here."""

__version__ = "0.1.0"
