"""Import paths of 0.1.0 whose modules have moved; they keep working because pickles name them.

An old path is resolved only when it is imported, and gives the same module object as the new one.
This file promises to hold nothing but the table and the import hook that reads it.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["MOVED"]

# Below cbackprop: from the path in 0.1.0 to the path now.
MOVED = {
    "blas_threads": "machine.blas_threads",
    "callbacks": "training.callbacks",
    "cgroups": "machine.cgroups",
    "checkpoint": "training.checkpoint",
    "config": "machine.config",
    "derivatives": "network.jacobians",
    "evidence": "training.laplace",
    "exams": "training.evaluation",
    "formulas": "network.two_layer",
    "history": "training.history",
    "initialization": "network.initialization",
    "least_squares": "solvers.least_squares",
    "memory": "machine.memory",
    "modelfile": "network.model_file",
    "posterior": "network.posterior",
    "progress": "training.progress",
    "reference_losses": "reference.losses",
    "restarts": "training.restarts",
    "scaling": "network.scaling",
    "schedules": "solvers.schedules",
    "splits": "training.splits",
    "stopping": "training.early_stopping",
    "tensorfile": "files.tensors",
    "textcurve": "plotting.text",
    "threads": "machine.threads",
    "trainer": "training.trainer",
    "weights": "training.sample_weight",
    # The compiled modules that a pickle can name.
    "core.plan": "core.gradient.plan",
    "core.state": "core.fit.state",
}


class _Moved(MetaPathFinder, Loader):
    """Finds the old names and loads the modules of the new ones."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package != __package__ or name not in MOVED:
            return None
        return ModuleSpec(fullname, self)

    def get_code(self, fullname: str) -> None:
        """No code for ``python -m``: none of the modules is a program."""

    def exec_module(self, module: ModuleType) -> None:
        # The import system returns what is in sys.modules after this has run.
        new = f"{__package__}.{MOVED[module.__name__.partition('.')[2]]}"
        sys.modules[module.__name__] = importlib.import_module(new)


sys.meta_path.append(_Moved())
