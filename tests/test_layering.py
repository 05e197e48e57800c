"""The architecture as a test: which room imports from which.  A new arrow is decided here.

A room is a folder of the package, or a file beside the folders.  Each room imports from rooms above
it in its list, and the files of the core and the module-level imports of Python form no circle.
"""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import cbackprop

PACKAGE = Path(cbackprop.__file__).parent
SOURCES = Path(__file__).parents[1] / "src" / "cbackprop"

# From the ground up: a room imports from those before it.
ROOMS = [
    *("errors", "version", "moved", "reference", "core", "checks", "machine", "files"),
    *("activations", "losses", "solvers", "network", "training", "plotting", "__init__"),
    *("sklearn", "commandline", "__main__"),
]
CORE_ROOMS = [
    *("core.__init__", "core.simd", "core.team", "core.linalg", "core.data", "core.gradient"),
    *("core.quasi_newton", "core.gauss_newton", "core.fit", "core.testing"),
]
# Imported by no other room.
FRONT_ENDS = {"commandline", "__main__", "sklearn", "core.testing", "reference"}


def room_of(name):
    """The room that a module stands in: of the core its second part counts too."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "core" and len(parts) > 1 else parts[0]


def python_imports(path, root, *, at_import=False):
    """Modules of the package that a file imports, as dotted names below it.

    at_import : only what is imported while the module itself is: neither within functions nor for
    a type checker
    """
    here = path.relative_to(root).with_suffix("").parts
    package = here[:-1]  # of a package's __init__ and of a module alike
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_import else ast.walk(tree):
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


def assert_no_circle(arrows):
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def python_files(root=PACKAGE):
    return sorted(root.rglob("*.py"))


def assert_rooms_are_in_order(arrows):
    """Each file imports from rooms that stand before its own, or from its own."""
    for name, imported in sorted(arrows.items()):
        here = room_of(name)
        order = CORE_ROOMS if here.startswith("core.") else ROOMS
        assert here in order, f"{here} is a new room: give it a place"
        for other in map(room_of, imported):
            there = other if here.startswith("core.") else other.partition(".")[0]
            assert there in order, f"{name} imports {other}, which is not below {here}"
            assert order.index(there) <= order.index(here), f"{name} imports from {other}"
            assert other not in FRONT_ENDS - {here} or here == "__main__", f"{name}: {other}"


def test_rooms_import_from_the_rooms_below():
    arrows = {name_of(path, PACKAGE): python_imports(path, PACKAGE) for path in python_files()}
    assert {"network.network", "training.trainer", "checks"} <= set(arrows)
    assert_rooms_are_in_order(arrows)


def test_modules_import_each_other_in_no_circle():
    arrows = {}
    for path in python_files():
        name = name_of(path, PACKAGE).removesuffix(".__init__")
        arrows[name] = python_imports(path, PACKAGE, at_import=True) - {name}
    assert_no_circle(arrows)


def test_the_training_names_no_solver_but_its_default():
    """It asks a solver for what it has to know (solvers/base.py)."""
    named = set()
    for path in (PACKAGE / "training").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name):
                named.add(node.id)
    assert named & {cls.__name__ for cls in cbackprop.solvers.SOLVERS} == {"Adam"}


# The estimators' files, from the ground up: each imports from earlier ones only.
ESTIMATORS = [
    *("sklearn.solvers", "sklearn.parameters", "sklearn.notices", "sklearn.draws"),
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


def core_arrows():
    arrows = {}
    for path in cython_files():
        name = name_of(path, SOURCES)
        arrows.setdefault(name, set()).update(cython_imports(path, SOURCES) - {name})
    return arrows


def test_the_rooms_of_the_core_stand_on_each_other():
    assert_rooms_are_in_order(core_arrows())


def test_the_files_of_the_core_import_each_other_in_no_circle():
    assert_no_circle(core_arrows())


@pytest.mark.parametrize(
    ("name", "imported"),
    [
        ("machine.threads", "training.trainer"),  # upwards
        ("core.data.rows", "core.gradient.plan"),  # upwards within the core
        ("core.fit.fit", "checks"),  # out of the core
        ("training.trainer", "core.testing.passes"),  # hooks of the tests
        ("network.network", "reference.network"),  # the specification
        ("sklearn.base", "commandline.train"),  # a front end
        ("attic.old", "errors"),  # a room that nobody knows
    ],
)
def test_a_wrong_arrow_is_seen(name, imported):
    with pytest.raises(AssertionError):
        assert_rooms_are_in_order({name: {imported}})


def test_a_circle_is_seen():
    with pytest.raises(pytest.fail.Exception, match="a circle of imports: "):
        assert_no_circle({"a": {"b"}, "b": {"a"}})


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
