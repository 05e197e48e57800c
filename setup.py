"""The compiled part of the build; everything else stands in pyproject.toml.

Each .pyx is one extension.  ``core/simd/*`` and ``core/team/*`` own C files besides; the C files of
one instruction set each choose their target by pragma, so one extension holds them all and no
per-file compiler flag is needed.

Environment
-----------
CBACKPROP_DEBUG=1     bounds checks, C assertions, little optimisation
CBACKPROP_SANITIZE=1  AddressSanitizer and UndefinedBehaviorSanitizer (GCC or Clang); Python must
                      then run with libasan and libstdc++ in LD_PRELOAD (CONTRIBUTING.md)

Each kind of build has a folder of its own below build/: neither changed directives nor changed
flags would make Cython or the compiler look at an unchanged source again.
"""

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("CBACKPROP_DEBUG", "0") not in ("", "0")
SANITIZE = os.environ.get("CBACKPROP_SANITIZE", "0") not in ("", "0")
KIND = "-".join(["debug"] * DEBUG + ["sanitize"] * SANITIZE) or "release"
MSVC = sys.platform == "win32"
CORES = os.cpu_count() or 1

CORE = Path("src/cbackprop/core")

# Cython's own helpers, the memory views' above all: one extension has them for all others, whose C
# is then half as long.  Its source is generated.
UTILITY = "cbackprop.core._cyutility"

# C sources that belong to an extension besides its .pyx.
C_SOURCES = {
    "simd/dispatch": ["dispatch.c", "level_base.c", "level_avx2.c", "level_avx512.c"],
    "simd/updates": ["updates.c", "updates_base.c", "updates_avx2.c", "updates_avx512.c"],
    "team/team": ["tasks.c"],
}

DIRECTIVES = {
    "language_level": 3,
    "binding": False,
    "boundscheck": DEBUG,
    "wraparound": False,
    "cdivision": not DEBUG,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    # Signatures that inspect can read, so that mypy.stubtest compares them with the stubs.
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "freethreading_compatible": True,
    "legacy_implicit_noexcept": False,
}


def compile_args(name):
    """The C flags of one extension.

    ``-fno-fast-math`` comes first: a user's CFLAGS with -ffast-math would break the exponential's
    rounding.  Kernels want FMA (gnu99 with contraction; c99 has none); the update rules must equal
    a NumPy twin to the bit, so they get none.
    """
    if MSVC:
        return ["/Od", "/Zi", "/UNDEBUG"] if DEBUG else ["/O2", "/fp:precise"]
    contract = "-ffp-contract=off" if name == "simd/updates" else "-ffp-contract=fast"
    flags = ["-fno-fast-math", "-std=gnu99", "-fno-trapping-math", "-fno-math-errno", contract]
    flags += ["-fvisibility=hidden"]
    loops = name.startswith("simd/")
    if SANITIZE:
        # Undefined behaviour ends the process, so that no test can pass over it.
        flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        flags += ["-fno-omit-frame-pointer"]
        # Half of the time that GCC takes for the loops.  An access by a pointer that is null, out
        # of its object or wrapped around is AddressSanitizer's to find all the same.
        flags += ["-fno-sanitize=null,object-size,pointer-overflow"]
    if DEBUG or SANITIZE:
        # -g1: a report's line numbers, at half of -g's time.  -O0: what only calls the loops takes
        # GCC a fifth of -O1's time; the loops themselves would be seven times as slow.
        flags += ["-O1" if loops else "-O0", "-g1", "-UNDEBUG"]
    else:
        flags += ["-O3", "-g0"]
    return flags


def link_args():
    """The linker's flags: -ffast-math would link code that flushes subnormals to zero; the team's
    threads are in a library of their own before glibc 2.34."""
    if MSVC:
        return ["/DEBUG"] if DEBUG else []
    return ["-pthread", "-fno-fast-math", *(["-fsanitize=address,undefined"] if SANITIZE else [])]


def extensions():
    """One Extension for each .pyx, in a fixed order.

    They are built in this order: those with C files first, the loops of all instruction sets alone
    take half of a build.
    """
    depends = sorted(str(path) for suffix in "hc" for path in CORE.rglob(f"*.{suffix}"))
    own = [CORE / f"{name}.pyx" for name in C_SOURCES]
    for pyx in [*own, *sorted(set(CORE.rglob("*.pyx")) - set(own))]:
        name = pyx.relative_to(CORE).with_suffix("").as_posix()
        yield Extension(
            "cbackprop.core." + name.replace("/", "."),
            [str(pyx), *(str(pyx.parent / c) for c in C_SOURCES.get(name, []))],
            include_dirs=[str(CORE / "simd"), str(CORE / "team")],
            depends=[*depends, "setup.py"],
            extra_compile_args=compile_args(name),
            extra_link_args=link_args(),
        )
    yield Extension(
        UTILITY,
        [str(CORE / "_cyutility.c")],
        extra_compile_args=compile_args("_cyutility"),
        extra_link_args=link_args(),
    )


def translated_from():
    """A digest of all that the C follows from."""
    digest = hashlib.sha256(f"{version('Cython')} {version('scipy')}".encode())
    for path in [Path("setup.py"), *sorted(CORE.rglob("*.p[yx][dx]"))]:
        digest.update(f"\0{path.as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


class cython_build_ext(build_ext):
    """Cython runs here and nowhere else: metadata and sdists need none, and hold no generated C.

    As many files at once as there are cores, in Cython and in the compiler.
    """

    def run(self):
        # pip installs a Cython for each build, whose files are newer than any C: by their times
        # alone, all would be translated again.
        output = Path(f"build/{KIND}/cython")
        stamp, inputs = output / "inputs", translated_from()
        made = [
            output / Path(extension.sources[0]).with_suffix(".c") for extension in self.extensions
        ]
        if not (
            stamp.exists() and stamp.read_text() == inputs and all(path.exists() for path in made)
        ):
            stamp.unlink(missing_ok=True)  # until all of it is there
            self.translate(output)
            stamp.write_text(inputs)
        for extension, path in zip(self.extensions, made, strict=True):
            extension.sources[0] = str(path)
        super().run()

    def translate(self, output):
        """Each .pyx to C below ``output``; what comes out the same stays as old as it was, and is
        not compiled again."""
        from Cython.Build import cythonize

        before = {path: (path.stat(), path.read_bytes()) for path in output.rglob("*.c")}
        # Cython copies what else it is told of into its folder, where dispatch.c would meet the
        # C made from dispatch.pyx; so it is told of the .pyx alone.
        cythonize(
            [Extension(extension.name, extension.sources[:1]) for extension in self.extensions],
            build_dir=str(output),
            include_path=["src"],
            shared_utility_qualified_name=UTILITY,
            compiler_directives=DIRECTIVES,
            nthreads=CORES,
        )
        for path, (status, text) in before.items():
            if path.read_bytes() == text:
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def build_extensions(self):
        """setuptools builds extensions side by side, but the files of each one after the other: the
        loops' four alone would take longer than all else."""
        compile_all = self.compiler.compile
        with ThreadPoolExecutor(CORES) as pool:

            def compile_each(sources, *args, **kwargs):
                jobs = [pool.submit(compile_all, [one], *args, **kwargs) for one in sources]
                return [job.result()[0] for job in jobs]

            self.compiler.compile = compile_each
            super().build_extensions()


# Cython's processes import this file where they cannot be forked.
if __name__ == "__main__":
    setup(
        ext_modules=list(extensions()),
        cmdclass={"build_ext": cython_build_ext},
        options={
            "build": {"build_base": f"build/{KIND}"},
            "build_ext": {"parallel": CORES},
        },
    )
