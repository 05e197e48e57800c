"""Fail unless an sdist holds every source of the tree and nothing generated.

python .ci/check_sdist.py TREE SDIST
"""

import sys
import tarfile
from pathlib import Path

tree, sdist = Path(sys.argv[1]), sys.argv[2]
with tarfile.open(sdist) as archive:
    held = {name.partition("/")[2] for name in archive.getnames()}

# Read from the tree, not from MANIFEST.in: a suffix forgotten there is what this is to find.
wanted = {
    path.relative_to(tree).as_posix()
    for folder in ("src", "tests", "docs", "examples", "benchmarks", ".ci")
    for path in (tree / folder).rglob("*")
    if path.is_file()
}
wanted |= {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
wanted |= {"pyproject.toml", "setup.py"}
missing = sorted(wanted - held)
sources = (".c", ".cpp", ".so", ".o", ".html")
generated = sorted(name for name in held if name.endswith(sources) and name not in wanted)
if missing or generated:
    raise SystemExit(f"{sdist}: missing {missing}, generated {generated}")
print(f"sdist: {len(wanted)} files of the tree, no generated C")
