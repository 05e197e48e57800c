"""The examples run as their first lines say."""

import re
import runpy
import sys
from pathlib import Path

import pytest

import cbackprop

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_surrogate(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    path = EXAMPLES / "surrogate.py"
    if not path.exists() or not hasattr(cbackprop.Network, "posterior"):
        pytest.skip("the examples are not here, or networks have no posterior")
    picture = tmp_path / "surrogate.png"
    monkeypatch.setattr(sys, "argv", [str(path), str(picture)])
    runpy.run_path(str(path), run_name="__main__")
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = capsys.readouterr().out
    assert 20 < float(re.search(r"noise: (\d+) mV", text)[1]) < 40
    covered = [float(percent) for percent in re.findall(r"([\d.]+)%", text)]
    assert len(covered) == 2
    assert min(covered) > 75
    assert covered[0] > 88
