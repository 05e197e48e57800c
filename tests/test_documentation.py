"""The Python blocks of README and docs run as they stand, one after the other."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")  # that a fit has not converged
@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/training.md",
        "docs/mathematics.md",
        "docs/fitnet.md",
        "docs/moving-from-scikit-learn.md",
    ],
)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    path = ROOT / page
    if not path.exists():
        pytest.skip("the pages are not here")
    if "from-scikit" in page:
        pytest.importorskip("sklearn", minversion="1.7")
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with np.errstate(all="raise", under="ignore"):
        for block in blocks:
            exec(compile(block, f"{page}: {block.splitlines()[0]}", "exec"), names)
