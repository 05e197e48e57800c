"""Disassemble a build's objects: each instruction set's file uses its registers and no other's.

    python .ci/check_registers.py BUILD_FOLDER

An AVX instruction outside the files that are reached only after the processor was asked would end
the process on an older one; a file without its own registers was not vectorised.
"""

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

LEVELS = {"base", "avx2", "avx512"}
AVX512 = re.compile(r"%zmm|%k[0-7]\b|%[xy]mm(1[6-9]|2\d|3[01])")
YMM = re.compile(r"%ymm")
XMM = re.compile(r"%xmm")
VEX = re.compile(r"\tv[a-z0-9]+ .*%[xyz]mm")


def instructions(path):
    command = ["objdump", "-d", "--no-show-raw-insn", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if "\t" in line]


def faults(path):
    lines = instructions(path)
    level = path.stem.rpartition("_")[2]
    uses = {
        name: sum(bool(pattern.search(line)) for line in lines)
        for name, pattern in (("avx512", AVX512), ("ymm", YMM), ("xmm", XMM), ("vex", VEX))
    }
    if level in LEVELS:
        print(f"{path.name:20} instructions with its kind of register: {uses}")
    if level == "avx512":
        return [] if uses["avx512"] else ["no AVX-512 register"]
    wrong = ["AVX-512 registers"] if uses["avx512"] else []
    if level == "avx2":
        return wrong + ([] if uses["ymm"] else ["no AVX register"])
    if level == "base" and not uses["xmm"]:
        wrong.append("no vector register")
    return wrong + (["AVX instructions"] if uses["vex"] else [])


if platform.machine() not in ("x86_64", "AMD64") or not shutil.which("objdump"):
    print("skipped: no objdump, or not an x86-64 processor")
    sys.exit()
objects = sorted(Path(sys.argv[1]).rglob("*.o"))
levels = {path.stem.rpartition("_")[2] for path in objects}
if not levels >= LEVELS:
    raise SystemExit(f"objects of a level are missing below {sys.argv[1]}: {sorted(levels)}")
found = {path.name: wrong for path in objects if (wrong := faults(path))}
print(f"{len(objects)} objects disassembled")
if found:
    raise SystemExit(f"wrong instructions: {found}")
