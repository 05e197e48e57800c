"""The machine and the software in a few lines: without them a time says nothing."""

import os
import platform
from pathlib import Path

from threadpoolctl import threadpool_info

# OpenBLAS's kernels in AVX2: by OPENBLAS_CORETYPE, or for processors that are newer than it is.
NARROW_KERNELS = ("Haswell", "Zen")


def cpu():
    """Model name, as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def widest():
    """The widest vector instructions the processor offers (Linux, x86-64; else its family)."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        flags = ""
    found = [name for name in ("avx512f", "avx2", "fma") if f" {name} " in flags.replace("\n", " ")]
    return "+".join(found) or platform.machine()


def cores():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def blas():
    """The BLAS libraries of this process: NumPy's and SciPy's."""
    import scipy.linalg.blas  # noqa: F401  (loads SciPy's)

    found = []
    for library in threadpool_info():
        if library["user_api"] == "blas":
            where = Path(library["filepath"]).parent.name
            kernel = library.get("architecture") or "unknown kernel"
            found.append(f"{where} {library['internal_api']} {library['version']} {kernel}")
    return found


def describe(config, times):
    """The machine as a dict; ``config`` is ``cbackprop.get_config()``, ``times`` name versions."""
    versions = {time.name: time.version for time in times if time.version}
    return {
        "cpu": cpu(),
        "cores": cores(),
        "instructions": widest(),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "blas": blas(),
        "cbackprop": config,
        "versions": versions,
    }


def lines(machine):
    """The same as text."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    config = ", ".join(f"{key} {value}" for key, value in machine["cbackprop"].items())
    yield (
        f"{machine['cpu']}, {machine['cores']} cores ({machine['instructions']}), "
        f"{machine['system']}, Python {machine['python']}"
    )
    yield "BLAS: " + "; ".join(machine["blas"])
    if "avx512f" in machine["instructions"] and any(
        name.endswith(NARROW_KERNELS) for name in machine["blas"]
    ):
        yield (
            "(the limit is the rate of a BLAS that leaves half of this processor's vectors unused; "
            "OPENBLAS_CORETYPE=SkylakeX in the environment takes all of them)"
        )
    yield f"versions: {versions or 'none'}"
    if config:
        yield f"cbackprop: {config}"
