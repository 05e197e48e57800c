"""The examples run from beginning to end, without a warning."""

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, folder, monkeypatch, capsys, *arguments):
    """What an example prints, run in a folder of its own."""
    path = EXAMPLES / f"{name}.py"
    if not path.exists():
        pytest.skip("the examples are not here")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")
    return capsys.readouterr().out


def test_surrogate(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    text = run("surrogate", tmp_path, monkeypatch, capsys, "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert 20 < float(re.search(r"noise: (\d+) mV", text)[1]) < 40
    covered = [float(percent) for percent in re.findall(r"([\d.]+)%", text)]
    assert len(covered) == 2
    assert min(covered) > 75
    assert covered[0] > 88


def test_regression_with_validation_curve(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn", minversion="1.7")
    pytest.importorskip("matplotlib").use("Agg")
    run("regression_with_validation_curve", tmp_path, monkeypatch, capsys)
    assert list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits_classifier", "grid_search"])
def test_estimators(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn", minversion="1.7")
    assert "score" in run(name, tmp_path, monkeypatch, capsys).lower()
