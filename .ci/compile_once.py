"""A compiler's stand-in: what was compiled before with the same result is copied.

    python .ci/compile_once.py CACHE COMPILER [arguments]

The builds of the clone and of the sdist compile the same C.  Each file is preprocessed where
it stands, so that a header that is missing there is missed.  Where compiler, flags and preprocessed
text agree with those of an object that is there already, that object and the compiler's warnings
are what compiling again would give.  Whoever comes second waits for who is at it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def key(compiler, arguments):
    """Of the preprocessed text and the flags; where headers were found is in the text."""
    command = [compiler, *arguments, "-E", "-o", "-"]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    flags = [flag for flag in arguments if not flag.startswith("-I")]
    return hashlib.sha256("\0".join([compiler, *flags, ""]).encode() + text.stdout).hexdigest()


def main(cache, compiler, *arguments):
    sources = [argument for argument in arguments if argument.endswith(".c")]
    if "-c" not in arguments or "-o" not in arguments or len(sources) != 1:
        os.execv(compiler, [compiler, *arguments])
    place = arguments.index("-o")
    flags, target = [*arguments[:place], *arguments[place + 2 :]], arguments[place + 1]
    try:
        kept = Path(cache, key(compiler, flags))
    except subprocess.CalledProcessError:
        os.execv(compiler, [compiler, *arguments])  # says what is wrong
    messages = kept.with_suffix(".txt")
    with open(kept.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            done = subprocess.run([compiler, *arguments], stderr=subprocess.PIPE)
            if done.returncode != 0:
                sys.stderr.buffer.write(done.stderr)
                sys.exit(done.returncode)
            messages.write_bytes(done.stderr)
            shutil.copyfile(target, kept.with_suffix(".part"))
            kept.with_suffix(".part").rename(kept)
        else:
            shutil.copyfile(kept, target)
    sys.stderr.buffer.write(messages.read_bytes())


main(*sys.argv[1:])
