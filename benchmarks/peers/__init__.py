"""The peers: one file a library, each the same descent in that library's own best plain writing.

A peer never imports its library before it is built, so a missing one costs nothing but its column.
"""

from importlib import import_module

# name -> (module, class); the order of the table's columns
_WHERE = {
    "cbackprop": ("ours", "Ours"),
    "numpy": ("with_numpy", "WithNumPy"),
    "sklearn": ("with_sklearn", "WithScikitLearn"),
    "torch": ("with_torch", "WithTorch"),
    "torch.compile": ("with_torch_compile", "WithTorchCompile"),
    "jax": ("with_jax", "WithJax"),
    "jax by hand": ("with_jax", "WithJaxByHand"),
    "fann": ("with_fann", "WithFann"),
    "genann": ("with_genann", "WithGenann"),
}
NAMES = tuple(_WHERE)
OURS = "cbackprop"


def get(name):
    """The class of one peer."""
    module, cls = _WHERE[name]
    return getattr(import_module(f"benchmarks.peers.{module}"), cls)
