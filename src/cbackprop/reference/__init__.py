"""The specification in NumPy: docs/mathematics.md as code, for the tests to compare with.

`network` has the layers and their gradients, `losses` the losses and output activations.  The
package never imports this folder at run time.
"""

from .network import (
    ACTIVATIONS,
    gradient,
    gradients,
    layers,
    loss,
    outputs,
    predict,
    relu,
    sigmoid,
)

__all__ = [
    "ACTIVATIONS",
    "gradient",
    "gradients",
    "layers",
    "loss",
    "outputs",
    "predict",
    "relu",
    "sigmoid",
]
