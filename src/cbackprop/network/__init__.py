"""The network: its parameters, predictions, derivatives and file format.

This package knows nothing of training: no epochs, no solvers.
"""

from .network import Network
from .posterior import Belief as _Belief  # pickles of 0.1.0 name both here

__all__ = ["Network", "_Belief"]
