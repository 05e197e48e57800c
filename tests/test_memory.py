"""A fit's memory does not grow with the rows: a read-only memmap is trained on where it lies."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

SCRIPT = textwrap.dedent(
    """
    import sys, threading, time
    import numpy as np
    import cbackprop

    path, batch_size, dtype = sys.argv[1], int(sys.argv[2]), sys.argv[3]

    def anonymous():
        with open("/proc/self/status") as lines:
            for line in lines:
                if line.startswith("RssAnon"):
                    return int(line.split()[1]) / 1024

    n = 2_000_000
    X = np.memmap(path, dtype="float32", mode="r", shape=(n, 64))
    Y = X[:, :1]
    warm = cbackprop.Network((64, 32, 1), output_activation="identity", dtype=dtype, seed=1)
    solver = cbackprop.SGD(learning_rate=1e-3)
    trainer = cbackprop.Trainer(warm, solver=solver, batch_size=batch_size)
    cbackprop.Trainer(warm).fit(np.ones((5, 64)), np.ones((5, 1)), epochs=1)
    before, peak, done = anonymous(), 0.0, []

    def watch():
        global peak
        while not done:
            peak = max(peak, anonymous())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    history = trainer.fit(X, Y, epochs=1)
    done.append(1)
    watcher.join()
    assert np.isfinite(history["loss"]).all()
    print(peak - before)
    """
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize("batch_size", [256, 2_000_000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fit_on_two_million_rows_adds_less_than_50_megabytes(tmp_path, batch_size, dtype):
    path = tmp_path / "rows"
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        for _ in range(100):
            file.write(rng.standard_normal((20_000, 64), dtype=np.float32).tobytes())
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(batch_size), dtype],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 50
