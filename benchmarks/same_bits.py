"""Are the bits still the same?  Hashes hundreds of small trainings and compares two builds.

python -m benchmarks.same_bits --trees OLD NEW      two source trees, each built in place
python -m benchmarks.same_bits --write FILE.json    the hashes of the build that is imported here
python -m benchmarks.same_bits --against FILE.json  compute them again, and name what differs

Every case runs with each instruction set that the machine has.  A hash is that of the parameters,
the histories (seconds aside) and the predictions of a case of bit_cases.py.  The same hashes are to
be expected of the same machine, compiler, BLAS, NumPy and SciPy, and of no others: a file of hashes
belongs to a machine, and is no part of the repository.

Before a change that is to keep the bits: --write; after it: --against.  The exit status is 1 where
anything differs.
"""

import argparse
import concurrent.futures
import fnmatch
import hashlib
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import machine

ROOT = Path(__file__).resolve().parent.parent
FORMAT = "cbackprop same bits 1"


class Failed(Exception):
    """A build cannot be run."""


# ------------------------------------------------------------------------------------------ hashes


def digest(told):
    """The SHA-256 of what a case tells: an iterable of (what, value)."""
    found = hashlib.sha256()
    for what, value in told:
        _feed(found, what)
        _feed(found, value)
    return found.hexdigest()


def _feed(found, value):
    """Each value goes in with its type and length, so that no two run into each other."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        A = np.ascontiguousarray(value)
        A = A.astype(A.dtype.newbyteorder("<"), copy=False)
        _bytes(found, f"array {A.dtype.str} {value.shape}", A.tobytes())
    elif isinstance(value, (bool, int, str, type(None))):
        _bytes(found, type(value).__name__, str(value).encode())
    elif isinstance(value, (float, np.floating)):
        _bytes(found, "float", struct.pack("<d", value))
    elif isinstance(value, (list, tuple)):
        _bytes(found, "list", str(len(value)).encode())
        for one in value:
            _feed(found, one)
    elif isinstance(value, dict):
        _feed(found, sorted(value))
        for name in sorted(value):
            _feed(found, value[name])
    elif hasattr(value, "stop_reason"):  # a History
        columns = {name: value[name] for name in value if name != "seconds"}
        _feed(found, [value.first_epoch, value.stop_reason, value.best_epoch, columns])
        if value.restarts is not None:
            _feed(found, [value.best_restart, *value.restarts])
    else:
        raise TypeError(f"no hash is known of {type(value)}")


def _bytes(found, kind, content):
    found.update(f"{kind} {len(content)}:".encode())
    found.update(content)


def hash_of(case):
    """The hash of a case, or the error that ended it."""
    from benchmarks import bit_cases

    try:
        return digest(bit_cases.run(case))
    except Exception as error:
        return f"error: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def is_error(value):
    return value.startswith("error: ")


# -------------------------------------------------------------------------------------- one build


def _child(pattern):
    """What a process of `hashes` prints: JSON."""
    import cbackprop
    from benchmarks import bit_cases

    found, seconds = {}, {}
    for name, case in bit_cases.CASES.items():
        if matches(name, pattern):
            begin = time.perf_counter()
            found[name] = hash_of(case)
            seconds[name] = time.perf_counter() - begin
    config = {k: v for k, v in cbackprop.get_config().items() if not k.endswith("threads")}
    about = {"cpu": machine.cpu(), "blas": sorted(machine.blas()), **config}
    place = str(Path(cbackprop.__file__).parent)
    return {"place": place, "about": about, "hashes": found, "seconds": seconds}


def matches(name, pattern):
    """Whether a part of the name matches the pattern, in which * and ? stand for others."""
    return fnmatch.fnmatchcase(name.lower(), f"*{(pattern or '').lower()}*")


def _run(program, tree, level):
    """Run Python on a tree (None: what is installed) with a level (None: the best)."""
    paths = [str(ROOT)] if tree is None else [str(Path(tree).resolve() / "src"), str(ROOT)]
    if tree is None and os.environ.get("PYTHONPATH"):
        paths.insert(0, os.environ["PYTHONPATH"])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    env.pop("CBACKPROP_SIMD", None)
    if level is not None:
        env["CBACKPROP_SIMD"] = level
    # -P: the folder it is started in must not decide what is imported
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks.same_bits", "--child", json.dumps(program)],
        capture_output=True,
        text=True,
        env=env,
    )
    if done.returncode:
        where = "the installed package" if tree is None else tree
        raise Failed(f"{where} cannot be run:\n{(done.stdout + done.stderr)[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if tree is not None and not answer["place"].startswith(paths[0] + os.sep):
        raise Failed(f"{tree} is not what was imported, but {answer['place']}: is it built?")
    return answer


def levels(tree=None):
    """The instruction sets that a build has here."""
    # No case has this name: only the configuration is asked for.
    return _run({"only": "\n"}, tree, None)["about"]["instruction_sets"]


def hashes(tree, level, only):
    """{"place", "about", "hashes": {case: hash}, "seconds"} of a build, with an instruction set."""
    return _run({"only": only}, tree, level)


# ------------------------------------------------------------------------------------- comparisons


def differences(one, other):
    """(case, reason) of all that two sets of hashes do not share."""
    for name in sorted(one.keys() | other.keys()):
        if name not in other:
            yield name, "only in the first"
        elif name not in one:
            yield name, "only in the second"
        elif one[name] != other[name]:
            errors = [value for value in (one[name], other[name]) if is_error(value)]
            yield name, "; ".join(["differs", *errors])


def failures(found):
    return [(name, value) for name, value in found.items() if is_error(value)]


def _report(level, one, other):
    """Print a comparison; returns (differences, failures)."""
    differing, failed = list(differences(one, other)), failures(other)
    for name, reason in differing:
        print(f"{level}: {name}: {reason}")
    for name, value in failed:
        if one.get(name) == value:  # it would pass for equal
            print(f"{level}: {name}: {value}")
    return len(differing), len(failed)


def _note(first, second):
    """Print what else differs between two builds, which may be the reason."""
    for key in first.keys() | second.keys():
        a, b = first.get(key), second.get(key)
        if key not in ("version", "instruction_set") and a != b:
            print(f"note: {key} is {b}, and was {a}: bits may differ for this reason alone")


def compare_trees(first, second, which, only):
    """Run two trees side by side; returns (cases, differences, failures)."""
    n_cases = n_differences = n_failures = 0
    for level in which or levels(second):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            one, other = pool.map(lambda tree, at=level: hashes(tree, at, only), (first, second))
        _tell(level, other)
        _note(one["about"], other["about"])
        differing, failed = _report(level, one["hashes"], other["hashes"])
        n_cases += len(one["hashes"].keys() | other["hashes"].keys())
        n_differences, n_failures = n_differences + differing, n_failures + failed
    return n_cases, n_differences, n_failures


def _tell(level, answer):
    taken = sum(answer["seconds"].values())
    print(f"{level}: {len(answer['hashes'])} cases in {taken:.1f} s", flush=True)


def write(path, which, only):
    """Write the hashes of the build that is imported here; returns (cases, 0, failures)."""
    document = {"format": FORMAT, "about": {}, "hashes": {}}
    n_cases = n_failures = 0
    for level in which or levels():
        answer = hashes(None, level, only)
        _tell(level, answer)
        for name, value in failures(answer["hashes"]):
            print(f"{level}: {name}: {value}")
        document["about"] = answer["about"]
        document["hashes"][level] = answer["hashes"]
        n_cases += len(answer["hashes"])
        n_failures += len(failures(answer["hashes"]))
    Path(path).write_text(json.dumps(document, indent=1) + "\n")
    return n_cases, 0, n_failures


def compare_with(path, which, only):
    """Compute the hashes of a file again; returns (cases, differences, failures)."""
    document = json.loads(Path(path).read_text())
    if document.get("format") != FORMAT:
        raise Failed(f"{path} is not such a file, or of another version")
    n_cases = n_differences = n_failures = 0
    for level, known in document["hashes"].items():
        if which and level not in which:
            continue
        answer = hashes(None, level, only)
        _tell(level, answer)
        if not n_cases:
            _note(document["about"], answer["about"])
        known = {name: value for name, value in known.items() if matches(name, only)}
        differing, failed = _report(level, known, answer["hashes"])
        n_cases += len(known.keys() | answer["hashes"].keys())
        n_differences, n_failures = n_differences + differing, n_failures + failed
    return n_cases, n_differences, n_failures


def slowest(which, only):
    """Print what each case takes, the longest first."""
    for level in which or levels():
        seconds = hashes(None, level, only)["seconds"]
        for name in sorted(seconds, key=seconds.get, reverse=True)[:20]:
            print(f"{level}: {seconds[name]:6.2f} s  {name}")


# ------------------------------------------------------------------------------------ command line


def parser():
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.same_bits", description=__doc__.split("\n", 1)[0]
    )
    do = p.add_mutually_exclusive_group(required=True)
    do.add_argument("--trees", nargs=2, metavar=("OLD", "NEW"),
                    help="compare two source trees, each built in place")  # fmt: skip
    do.add_argument("--write", metavar="FILE", help="write the hashes of what is imported here")
    do.add_argument("--against", metavar="FILE", help="compute the hashes of a file again")
    do.add_argument("--slowest", action="store_true", help="print what the cases take")
    do.add_argument("--child", help=argparse.SUPPRESS)
    p.add_argument("--only", metavar="PATTERN", default="",
                   help="cases with this in their names; * and ? stand for others")  # fmt: skip
    p.add_argument("--levels", nargs="+", metavar="LEVEL",
                   help="of base, avx2 and avx512; default: all that the machine has")  # fmt: skip
    return p


def main(argv=None):
    options = parser().parse_args(argv)
    if options.child is not None:
        print(json.dumps(_child(json.loads(options.child)["only"])))
        return 0
    try:
        if options.slowest:
            slowest(options.levels, options.only)
            return 0
        if options.trees:
            counts = compare_trees(*options.trees, options.levels, options.only)
        elif options.write:
            counts = write(options.write, options.levels, options.only)
        else:
            counts = compare_with(options.against, options.levels, options.only)
    except Failed as error:
        print(f"same_bits: {error}", file=sys.stderr)
        return 2
    n_cases, n_differences, n_failures = counts
    status = 1 if n_differences or n_failures or not n_cases else 0
    print(
        f"{n_cases} cases, {n_differences} differ, {n_failures} failed: exit status {status}",
        flush=True,
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
