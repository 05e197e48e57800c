"""Print one of the README's two set-up commands, exactly as it stands there.

    python .ci/readme_commands.py README.md 1

The commands are the ``sh`` blocks under "## Install and run": exactly two, one command line each.
"""

import re
import sys
from pathlib import Path

HEADING = "## Install and run"


def commands(readme):
    """The bodies of the ``sh`` blocks between the heading and the next one of its rank."""
    parts = re.split(r"^## ", "\n" + readme, flags=re.MULTILINE)
    sections = [part for part in parts if part.splitlines()[:1] == [HEADING.removeprefix("## ")]]
    if len(sections) != 1:
        raise SystemExit(f"expected one heading {HEADING!r}, found {len(sections)}")
    return re.findall(r"^```sh\n(.*?)^```$", sections[0], flags=re.MULTILINE | re.DOTALL)


def main(path, number):
    found = commands(Path(path).read_text(encoding="utf-8"))
    if len(found) != 2:
        raise SystemExit(f"{path}: expected exactly two sh blocks, found {len(found)}")
    for block in found:
        if len(block.replace("\\\n", "").strip().splitlines()) != 1:
            raise SystemExit(f"{path}: not one command line:\n{block}")
    print(found[int(number) - 1], end="")


main(*sys.argv[1:])
