"""Run the suite on the installed wheel with the newest SciPy, then with the oldest there is.

    python .ci/test_wheel.py

For the folder and environment that cibuildwheel prepares: tests/ is in the current folder, the
wheel and the newest of everything are installed.  SciPy's first versions have no wheels for newer
Pythons and some platforms, so the oldest that has one is looked for, from our lower bound upwards.
"""

import importlib.metadata
import subprocess
import sys

OLDEST = (1, 13)


def run(*arguments):
    subprocess.run([sys.executable, "-m", *arguments], check=True)


def install_oldest_scipy(newest):
    """Install the first minor version with a wheel for this Python; False if it is the newest."""
    pip = [sys.executable, "-m", "pip", "install", "--only-binary", ":all:"]
    for minor in range(OLDEST[1], newest[1]):
        if subprocess.run([*pip, f"scipy=={OLDEST[0]}.{minor}.*", "numpy"]).returncode == 0:
            return True
    return False


run("pytest")
newest = tuple(int(part) for part in importlib.metadata.version("scipy").split(".")[:2])
if newest[0] != OLDEST[0]:
    raise SystemExit(f"SciPy {newest} is a new major version: say here which ones to try")
if install_oldest_scipy(newest):
    run("pip", "check")
    run("pytest")
else:
    print("no older SciPy has a wheel here")
