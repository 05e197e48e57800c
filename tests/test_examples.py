"""The examples run from beginning to end, without a warning."""

import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", minversion="1.7")

EXAMPLES = [
    # That with a picture is fast: not every environment of the slow tier has matplotlib.
    pytest.param(path, id=path.stem, marks=() if "curve" in path.stem else pytest.mark.slow)
    for path in sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
]


@pytest.mark.parametrize("path", EXAMPLES)
def test_an_example_runs(path, tmp_path, monkeypatch, capsys):
    if "TrainingCurveDisplay" in path.read_text(encoding="utf-8"):
        pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert "score" in capsys.readouterr().out.lower() or list(tmp_path.iterdir())
