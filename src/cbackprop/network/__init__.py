"""What a network is and what it computes: parameters, predictions, derivatives, its file.

This room knows nothing of training: no epochs, no solvers.
"""

from .network import Network, _Belief  # pickles of 0.1.0 name both here

__all__ = ["Network", "_Belief"]
