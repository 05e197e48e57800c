"""Two commits against each other: built apart, timed in interleaved pairs on the same rows.

``--compare BASE [HEAD]``; ``.`` names the files as they are.  This benchmark's own code is the same
for both; only the package differs.  ``--compare HEAD HEAD`` shows the machine's noise.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import check, peers
from benchmarks.peers.base import Skip
from benchmarks.timing import Contender
from benchmarks.worker import ROOT, Failed, Worker


def _git(*args):
    return subprocess.run(
        ["git", "-C", str(ROOT), *args], check=True, capture_output=True, text=True
    ).stdout


def _sources(commit, place):
    """The files of one commit, or the checkout's own, in a new folder."""
    if commit != ".":
        _git("worktree", "add", "--detach", "--force", str(place), commit)
        return
    names = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)


def build(commit, folder, name, say):
    """Install one commit's package into a folder of its own; returns that folder."""
    sources, site = folder / f"{name}-sources", folder / f"{name}-site"
    say(f"building {commit}")
    try:
        _sources(commit, sources)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        if importlib.util.find_spec("Cython") and importlib.util.find_spec("setuptools"):
            command.append("--no-build-isolation")  # the build's own needs are here: no download
        done = subprocess.run(
            [*command, "--target", str(site), str(sources)], capture_output=True, text=True
        )
        if done.returncode:
            raise Failed(f"{commit} does not build:\n" + (done.stdout + done.stderr)[-2000:])
    finally:
        if commit != "." and sources.exists():
            _git("worktree", "remove", "--force", str(sources))
    return site


def compare(base, head, chosen, dtypes, *, repeat, seconds, say):
    """Build both, time both; yields text lines.

    The ratio is base's time over head's, pair by pair: above 1, head is faster.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sites = [build(c, folder, n, say) for c, n in ((base, "base"), (head, "head"))]
        with Worker(peers.OURS, "all", sites[0]) as one, Worker(peers.OURS, "all", sites[1]) as two:
            for name, commit, worker in (("base", base, one), ("head", head, two)):
                config = worker.call("describe")
                yield f"{name} = {commit}: " + ", ".join(f"{k} {v}" for k, v in config.items())
            width = max(len(row.name) for row in chosen)
            yield (
                f"{'us per step'.ljust(width)}  dtype    {'base':>9}  {'head':>9}  "
                "base/head: median (min..max)"
            )
            for dtype in dtypes:
                for row in chosen:
                    say(f"{dtype} {row.name}")
                    yield f"{row.name.ljust(width)}  {dtype}  " + _pair(
                        one, two, row, dtype, repeat, seconds
                    )


def _pair(one, two, row, dtype, repeat, seconds):
    contenders = [Contender(one), Contender(two)]
    results = []
    try:
        for contender in contenders:
            contender.prepare(row, dtype)
            results.append(contender.worker.call("result", row, dtype))
            contender.calibrate(seconds)
    except (Skip, Failed) as error:
        return f"not run: {error}"
    same = check.difference(*results)
    ratios = []
    for turn in range(repeat):
        order = contenders if turn % 2 == 0 else contenders[::-1]
        us = {contender: contender.read() for contender in order}
        ratios.append(us[contenders[0]] / us[contenders[1]])
    base, head = (c.time.us for c in contenders)
    note = "" if same == 0 else f"  results differ by {same:.1e}"
    return (
        f"{base:9.4g}  {head:9.4g}  {median(ratios):.3f} "
        f"({min(ratios):.3f}..{max(ratios):.3f}){note}"
    )
