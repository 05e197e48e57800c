"""A fit on a file of ten times the memory that the process may have, and the manual's example."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

MANUAL = Path(__file__).parents[1] / "docs" / "data.md"

SCRIPT = textwrap.dedent(
    """
    import json, resource, sys
    import numpy as np
    import cbackprop

    path = sys.argv[1]
    rows = np.memmap(path, dtype="float32", mode="r").reshape(-1, 65)
    X, Y = rows[:, :64], rows[:, 64:]

    def trainer():
        net = cbackprop.Network(
            (64, 16, 1), activation="tanh", output_activation="identity", dtype="float32", seed=1
        )
        solver = cbackprop.SGD(learning_rate=0.05)
        return cbackprop.Trainer(net, solver=solver, batch_size=32, shuffle="window", seed=1)

    trainer().fit(X[:100], Y[:100], epochs=1)  # what a first fit loads

    with open("/proc/self/status") as lines:
        used = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))
    most = used + rows.nbytes // 10
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        np.array(X)
    except MemoryError:
        pass
    else:
        sys.exit("the limit is none")
    print(json.dumps(list(trainer().fit(X, Y, epochs=2)["loss"])))
    """
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits its memory by Linux's means")
def test_a_fit_on_a_file_of_ten_times_the_memory(tmp_path):
    path = tmp_path / "rows"
    rng = np.random.default_rng(0)
    w = rng.standard_normal(64, dtype=np.float32) / 8
    with open(path, "wb") as file:
        for _ in range(100):
            X = rng.standard_normal((13_000, 64), dtype=np.float32)
            file.write(np.column_stack([X, np.tanh(X @ w)]).tobytes())
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    first, second = json.loads(run.stdout)
    assert second < first / 2


def test_the_manuals_example_runs(tmp_path, monkeypatch, capsys):
    if not MANUAL.exists():
        pytest.skip("the manual is not here")
    (code,) = re.findall(r"```python\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code.replace("200_000", "70_000"), str(MANUAL), "exec"), names)
    losses = names["history"]["loss"]
    assert losses[-1] < losses[0] / 2
    del names["rows"], names["X"], names["Y"]  # Windows removes no file that is mapped
