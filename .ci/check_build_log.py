"""Fail on a performance hint or a warning of Cython, or of the C compiler about a file of ours.

    python .ci/check_build_log.py TREE LOG

A hint means that C code without the GIL takes it after all, to look for an exception.
"""

import re
import sys
from pathlib import Path

tree, log = Path(sys.argv[1]), Path(sys.argv[2]).read_text("utf-8", errors="replace")

# A log that does not show every module being built would pass any check.
modules = sorted(path.relative_to(tree).as_posix() for path in (tree / "src").rglob("*.pyx"))
unseen = [module for module in modules if f"Cythonizing {module}" not in log]
if unseen or not modules:
    raise SystemExit(f"the build log does not show Cython at work on {unseen}")

complaint = re.compile(
    r"performance hint"
    r"|warning: src/cbackprop/"  # Cython's
    r"|(?<!cython/)\bsrc/cbackprop/\S+\.[ch]:\d+:\d+: warning"  # the compiler's
)
found = [line for line in log.splitlines() if complaint.search(line)]
if found:
    raise SystemExit("complaints in the build log:\n" + "\n".join(found))
print(f"build log: {len(modules)} modules, no performance hint, no warning")
