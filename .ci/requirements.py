"""Print requirements from pyproject.toml, one a line, without the package itself.

    python .ci/requirements.py [--oldest] build|run|EXTRA ...

``build`` is build-system.requires, ``run`` the dependencies.  --oldest pins what users install (the
dependencies and the extras they draw on) to their lower bounds; the tools of test and dev stay new.
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
TOOLS = {"build", "test", "dev"}


def requirements(group, oldest):
    if group == "build":
        lines = PYPROJECT["build-system"]["requires"]
    else:
        lines = PROJECT["dependencies"] if group == "run" else EXTRAS[group]
    for line in lines:
        own = re.fullmatch(rf"{PROJECT['name']}\[(.*)\]", line)
        if own:
            for extra in own[1].split(","):
                yield from requirements(extra.strip(), oldest)
        elif oldest and group not in TOOLS:
            yield re.sub(r">=.*", lambda bound: "==" + bound[0][2:].split(",")[0], line)
        else:
            yield line


groups = [word for word in sys.argv[1:] if word != "--oldest"]
for line in dict.fromkeys(line for g in groups for line in requirements(g, "--oldest" in sys.argv)):
    print(line)
