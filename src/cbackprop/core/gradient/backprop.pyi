# Compiled code for other modules of the core; nothing to call from Python.
