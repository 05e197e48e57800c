"""What is installed: metadata, files, stubs, and an import that refuses a wrong instruction set."""

import importlib.machinery
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cbackprop

PACKAGE = Path(cbackprop.__file__).parent
EXTENSION_SUFFIXES = tuple(importlib.machinery.EXTENSION_SUFFIXES)


@pytest.fixture(scope="module")
def distribution():
    try:
        return importlib.metadata.distribution("cbackprop")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("run from a source tree that is not installed")


@pytest.fixture(scope="module")
def wheel_files(distribution):
    """The files below the package that the wheel brought, as in its RECORD."""
    files = [file.as_posix() for file in distribution.files or ()]
    if "cbackprop/__init__.py" not in files:
        pytest.skip("installed in editable mode: the package's files are the source tree's")
    return [file for file in files if "__pycache__" not in file]


def requirements(distribution):
    """{extra or None: {name: lower bound}} from the metadata."""
    found = {None: {}}
    for extra in distribution.metadata.get_all("Provides-Extra") or ():
        found[extra] = {}
    for line in distribution.requires or ():
        name, _, bound = re.match(r"([\w.-]+)(\[.*?\])?([^;]*)", line).groups()
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        found[extra and extra[1]][name.lower()] = bound.strip()
    return found


def test_dependencies_are_the_four_and_have_lower_bounds(distribution):
    run = requirements(distribution)[None]
    assert set(run) == {"numpy", "scipy", "safetensors"}
    assert run["numpy"] == ">=2"
    assert run["scipy"] == ">=1.13"
    assert all(bound.startswith(">=") for bound in run.values())


def test_extras(distribution):
    extras = requirements(distribution)
    assert set(extras) >= {"sklearn", "progress", "plot", "test", "bench", "dev", "all"}
    assert set(extras["sklearn"]) == {"scikit-learn"}
    assert set(extras["progress"]) == {"tqdm"}
    assert set(extras["plot"]) == {"matplotlib"}
    assert set(extras["pandas"]) == {"pandas"} and set(extras["polars"]) == {"polars"}
    assert {"pytest", "hypothesis", "mpmath"} <= set(extras["test"])


def test_version_is_stated_once(distribution):
    assert distribution.version == cbackprop.__version__


def test_licence_is_named_and_shipped(distribution):
    metadata = distribution.metadata
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata.get_all("License-File") == ["LICENSE"]
    # In the wheel's folder, or beside the sources of an editable or in-place one.
    shipped = [file for file in distribution.files or () if file.name == "LICENSE"]
    assert shipped
    assert "The cbackprop developers" in shipped[0].read_text()


def test_python_version_and_console_script(distribution):
    assert distribution.metadata["Requires-Python"] == ">=3.11"
    scripts = distribution.entry_points.select(group="console_scripts")
    assert {script.name: script.value for script in scripts} == {
        "cbackprop": "cbackprop.commandline:main"
    }
    assert callable(scripts["cbackprop"].load())


def compiled_modules():
    return sorted(path for path in PACKAGE.rglob("*") if path.name.endswith(EXTENSION_SUFFIXES))


def test_every_compiled_module_has_its_stub_and_the_package_is_typed():
    # Cython's helpers have no names for anybody else.
    modules = [path for path in compiled_modules() if not path.name.startswith("_cyutility")]
    assert modules
    without = [
        module.name
        for module in modules
        if not module.with_name(module.name.split(".")[0] + ".pyi").exists()
    ]
    assert without == []
    assert (PACKAGE / "py.typed").exists()
    orphans = [
        stub.name
        for stub in PACKAGE.rglob("*.pyi")
        if not any(stub.stem == module.name.split(".")[0] for module in modules)
    ]
    assert orphans == []


def test_wheel_holds_no_sources_and_nothing_generated(wheel_files):
    allowed = (".py", ".pyi", "py.typed", *EXTENSION_SUFFIXES)
    package = [file for file in wheel_files if file.startswith("cbackprop/")]
    assert [file for file in package if not file.endswith(allowed)] == []
    # Nor anything beside the package: tests, benchmarks, build.
    tops = {file.split("/")[0] for file in wheel_files if not file.startswith("..")}
    assert {top for top in tops if not top.startswith("cbackprop")} == set()


def test_importing_needs_no_optional_package():
    """The front ends' packages are not loaded with the library (Cython is: SciPy looks for it)."""
    code = "import cbackprop, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    optional = {"sklearn", "tqdm", "matplotlib", "pandas", "polars", "torch", "jax"}
    optional.add("setuptools")
    assert optional & set(loaded.stdout.split()) == set()


def import_at_level(level):
    return subprocess.run(
        [sys.executable, "-c", "import cbackprop; print(cbackprop.get_config())"],
        env={**os.environ, "CBACKPROP_SIMD": level},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("level", ["nonsense", "AVX2", "avx2,base"])
def test_unknown_instruction_set_is_an_import_error_that_names_the_choices(level):
    result = import_at_level(level)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert level in last
    assert "CBACKPROP_SIMD" in last
    assert "base" in last


def test_every_available_instruction_set_imports_and_is_reported():
    from cbackprop.core.simd.dispatch import available_levels

    assert "base" in available_levels()
    for level in available_levels():
        result = import_at_level(level)
        assert result.returncode == 0, result.stderr
        assert f"'{level}'" in result.stdout


def test_freethreaded_python_keeps_the_gil_off():
    """Every extension declares itself safe: importing one that does not would turn the GIL on."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    if enabled is None or enabled():
        pytest.skip("this Python runs with the GIL")
    code = "import cbackprop, cbackprop.core.fit.fit, sys; sys.exit(sys._is_gil_enabled())"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
