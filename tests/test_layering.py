"""The architecture as a test: who imports whom.  A new arrow is a visible decision, made here."""

import ast
import re
from pathlib import Path

import pytest

import cbackprop

PACKAGE = Path(cbackprop.__file__).parent
SOURCES = Path(__file__).parents[1] / "src" / "cbackprop"

# What each file may import from the package.  core, reference and the front ends have rules below.
ARROWS = {
    "__init__": {
        *("checkpoint", "config", "errors", "formulas", "history", "losses", "network", "plotting"),
        *("least_squares", "posterior", "schedules", "solvers", "stopping"),
        *("trainer", "version"),
    },
    "__main__": {"commandline"},
    "blas_threads": set(),
    "callbacks": {"checks", "errors"},
    "cgroups": set(),
    # checkpoint builds trainers; Trainer.save, load and fit call up to it, from within.
    "checkpoint": {
        *("checks", "core.descent", "core.state", "errors", "files", "history", "losses"),
        "modelfile",
        *("solvers", "tensorfile", "trainer"),
    },
    "checks": {"core.rows", "errors"},
    "config": {"blas_threads", "core.simd.dispatch", "threads", "version"},
    # Network's methods: they know it by name, and it imports them.
    "derivatives": {
        *("blas_threads", "checks", "core.derivatives", "errors", "memory", "network"),
        "threads",
    },
    "errors": set(),
    "files": {"errors"},
    "formulas": {"blas_threads", "checks", "core.elementwise", "core.founding", "errors"},
    "history": {"checks", "errors"},
    "initialization": {"checks"},
    # modelfile builds networks; Network.save and load call up to it, from within.
    "modelfile": {"checks", "errors", "network", "posterior", "scaling", "tensorfile"},
    "losses": {"checks", "core.objective", "errors"},
    "memory": {"cgroups", "errors"},
    "network": {
        *("blas_threads", "checks", "core.calls", "core.objective", "core.plan", "derivatives"),
        *("errors", "initialization", "losses", "modelfile", "posterior", "scaling"),
        "threads",
    },
    "plotting": {"checks", "errors", "history", "textcurve"},
    # What predict(return_std=True) asks; it knows the network by name.
    "posterior": {"blas_threads", "checks", "derivatives", "errors", "network", "threads"},
    "progress": {"errors"},
    "reference": set(),
    "reference_losses": {"reference"},
    # restarts copies trainers; Trainer.fit calls up to it, from within.
    "restarts": {"checks", "errors", "history", "progress", "stopping", "threads", "trainer"},
    "scaling": {"checks", "errors"},
    "schedules": {"checks", "errors"},
    "solvers": {"checks", "errors", "least_squares", "schedules"},
    "tensorfile": {"errors", "files"},
    "splits": {"checks", "errors"},
    "stopping": {"checks", "core.descent", "core.watch", "errors"},
    "textcurve": {"history"},
    "threads": {"cgroups", "checks"},
    # exams and delivery know the trainer by name; it imports them.
    "exams": {"callbacks", "checks", "core.exam", "core.objective", "errors", "losses", "trainer"},
    "delivery": {"history", "trainer"},
    "evidence": {
        *("blas_threads", "core.gauss_newton", "core.marquardt", "core.objective", "errors"),
        *("least_squares", "posterior"),
    },
    "least_squares": {"checks", "errors"},
    "rule": {
        *("core.descent", "core.gauss_newton", "core.lbfgs", "core.plan", "core.rules", "errors"),
        *("least_squares", "memory"),
    },
    # checkpoint builds trainers and restarts copies them; Trainer's methods call up to them, from
    # within.
    "trainer": {
        *("blas_threads", "callbacks", "checkpoint", "checks", "core.descent", "core.objective"),
        *("core.rows", "core.state", "delivery", "errors", "evidence", "exams", "history"),
        *("least_squares", "losses", "network", "progress", "restarts"),
        *("rule", "solvers", "splits", "stopping", "threads", "weights"),
    },
    "version": set(),
    "weights": {"checks", "errors"},
}

FRONT_ENDS = ("commandline", "__main__", "sklearn")


def python_imports(path, root):
    """Modules of the package that a file imports, as dotted names below it."""
    here = path.relative_to(root).with_suffix("").parts
    package = here[:-1]  # of a package's __init__ and of a module alike
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module.split(".") if node.module else []
            if node.level:
                base = ["cbackprop", *package[: len(package) - node.level + 1], *base]
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        found |= {module(name[1:], root) for name in names if name[0] == "cbackprop"}
    return found - {""}


def cython_imports(path, root):
    """The same of a .pyx or .pxd, cimports included."""
    text = path.read_text(encoding="utf-8")
    here = path.relative_to(root).parts[:-1]
    found = set()
    pattern = r"^\s*(?:from\s+([\w.]+)\s+c?import\s+\(?([\w, ]+)|c?import\s+([\w., ]+))"
    for base, names, plain in re.findall(pattern, text, re.MULTILINE):
        dots = len(base) - len(base.lstrip("."))
        parts = base.lstrip(".").split(".") if base.lstrip(".") else []
        if dots:
            parts = ["cbackprop", *here[: len(here) - dots + 1], *parts]
        wanted = [[*parts, name.split()[0]] for name in names.split(",") if name.strip()]
        wanted += [name.split()[0].split(".") for name in plain.split(",") if name.strip()]
        found |= {module(name[1:], root) for name in wanted if name[0] == "cbackprop"}
    return found - {""}


def module(parts, root):
    """The module that a dotted path leads into: names within a module are cut off."""
    while parts and not any(
        root.joinpath(*parts).with_suffix(s).exists() for s in (".py", ".pyx", ".pxd", ".pyi", "")
    ):
        parts = parts[:-1]
    return ".".join(parts)


def name_of(path, root):
    return ".".join(path.relative_to(root).with_suffix("").parts)


def python_files(root=PACKAGE):
    return sorted(root.rglob("*.py"))


def test_every_file_imports_only_what_it_may():
    checked = set()
    for path in PACKAGE.glob("*.py"):
        name = name_of(path, PACKAGE)
        assert name in ARROWS, f"{name} is new: say in ARROWS what it may import"
        extra = python_imports(path, PACKAGE) - ARROWS[name]
        assert not extra, f"{name} imports {extra}"
        checked.add(name)
    assert {"network", "trainer", "checks", "formulas"} <= checked


# The estimators' files, from the ground up: each imports from earlier ones only.
ESTIMATORS = [
    *("sklearn.parameters", "sklearn.notices", "sklearn.draws", "sklearn.solvers"),
    *("sklearn.training", "sklearn.callbacks", "sklearn.rows", "sklearn.runs", "sklearn.fitted"),
    *("sklearn.base", "sklearn.classifier", "sklearn.regressor", "sklearn.__init__"),
]


def test_the_estimators_stand_on_each_other():
    for path in (PACKAGE / "sklearn").glob("*.py"):
        name = name_of(path, PACKAGE)
        assert name in ESTIMATORS, f"{name} is new: give it a place in ESTIMATORS"
        for imported in python_imports(path, PACKAGE):
            if imported.startswith("sklearn."):
                assert ESTIMATORS.index(imported) < ESTIMATORS.index(name), imported


def test_the_front_ends_are_imported_by_nobody():
    for path in python_files():
        if not name_of(path, PACKAGE).startswith(FRONT_ENDS):
            for imported in python_imports(path, PACKAGE):
                assert not imported.startswith(FRONT_ENDS), f"{path} imports {imported}"


def test_the_specification_is_not_imported_at_run_time():
    specification = {"reference", "reference_losses"}
    for path in python_files():
        if name_of(path, PACKAGE) not in specification:
            assert not specification & python_imports(path, PACKAGE), path


def test_the_core_imports_nothing_from_the_python_side():
    for path in (PACKAGE / "core").rglob("*.py"):
        for imported in python_imports(path, PACKAGE):
            assert imported.startswith("core"), f"{path} imports {imported}"


def cython_files():
    if not SOURCES.exists():
        pytest.skip("the sources are not here (an installed wheel is tested)")
    files = sorted([*SOURCES.rglob("*.pyx"), *SOURCES.rglob("*.pxd")])
    assert len(files) > 10
    return files


def test_the_compiled_core_imports_nothing_from_the_python_side():
    for path in cython_files():
        for imported in cython_imports(path, SOURCES):
            assert imported.startswith("core"), f"{path} imports {imported}"


def test_two_files_alone_call_blas_and_lapack():
    for path in cython_files():
        text = path.read_text(encoding="utf-8")
        if "scipy" in "".join(line for line in text.splitlines() if "import" in line):
            assert path.stem in ("blas", "lapack"), f"{path} imports SciPy"


# The rooms of the core, from the ground up: each imports from earlier ones only.
ROOMS = [
    *("core.types", "core.simd.dispatch", "core.simd.updates", "core.team.team", "core.blas"),
    *("core.elementwise", "core.product", "core.rows", "core.founding", "core.shuffle"),
    *("core.vectors", "core.linesearch", "core.lbfgs", "core.pulse", "core.plan"),
    *("core.objective", "core.workspace", "core.rules", "core.watch", "core.backprop"),
    *("core.lapack", "core.job", "core.targets", "core.batch", "core.calls", "core.few_rows"),
    *("core.derivatives", "core.exam"),
    *("core.factors", "core.gram", "core.system", "core.dual", "core.gauss_newton"),
    *("core.normal", "core.marquardt", "core.python_loss", "core.course"),
    *("core.iterations", "core.slices", "core.state", "core.descent", "core.passes"),
]


def test_the_rooms_of_the_core_stand_on_each_other():
    for path in cython_files():
        name = name_of(path, SOURCES)
        if path.stem == "__init__":
            continue
        assert name in ROOMS, f"{name} is new: give it a place in ROOMS"
        for imported in cython_imports(path, SOURCES) - {name}:
            assert ROOMS.index(imported) < ROOMS.index(name), f"{name} imports {imported}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from cbackprop.core cimport blas, plan", {"core.blas", "core.plan"}),
        ("from cbackprop.core.plan cimport Plan", {"core.plan"}),
        ("  cimport cbackprop.core.plan as p", {"core.plan"}),
        ("from cbackprop.checks import as_rows", {"checks"}),
        ("from cbackprop.core.plan cimport (Plan, Layer,\n  Tile)", {"core.plan"}),
        ("from .plan cimport Plan", {"core.plan"}),
        ("from ..checks import as_rows", {"checks"}),
        ("import numpy as np, cbackprop.errors", {"errors"}),
        ("from libc.math cimport exp", set()),
    ],
)
def test_cython_imports_are_read(tmp_path, text, expected):
    root = tmp_path / "cbackprop"
    (root / "core").mkdir(parents=True)
    for name in ("checks.py", "errors.py", "core/blas.pyx", "core/plan.pxd"):
        (root / name).touch()
    path = root / "core" / "new.pyx"
    path.write_text(text)
    assert cython_imports(path, root) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from . import checks, errors", {"checks", "errors"}),
        ("from .checks import as_rows", {"checks"}),
        ("import cbackprop.errors", {"errors"}),
        ("def f():\n    from .core import blas", {"core.blas"}),
        ("from cbackprop import Network", set()),
        ("import numpy.core", set()),
    ],
)
def test_python_imports_are_read(tmp_path, text, expected):
    root = tmp_path / "cbackprop"
    (root / "core").mkdir(parents=True)
    for name in ("checks.py", "errors.py", "core/blas.pyx"):
        (root / name).touch()
    path = root / "new.py"
    path.write_text(text)
    assert python_imports(path, root) == expected
