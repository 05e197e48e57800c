"""How much memory there is: the machine's, the container's, and an error before it is taken."""

import os
import sys

import pytest

from cbackprop.errors import InputMemoryError
from cbackprop.machine import memory
from cgroup_files import made_up_proc

GIB = 1 << 30


@pytest.fixture
def machine(monkeypatch):
    """Pretend: 8 GiB, 3 of them available, no container."""
    monkeypatch.setattr(memory, "_mem_available", lambda: 3 * GIB)
    monkeypatch.setattr(memory, "_cgroup_rest", lambda: None)
    monkeypatch.setattr(memory, "_physical", lambda: 8 * GIB)
    return monkeypatch


def test_the_smallest_limit_counts(machine):
    assert memory.available_memory() == 3 * GIB
    machine.setattr(memory, "_cgroup_rest", lambda: 1 * GIB)
    assert memory.available_memory() == 1 * GIB
    machine.setattr(memory, "_cgroup_rest", lambda: 0)
    assert memory.available_memory() == 0
    machine.setattr(memory, "_cgroup_rest", lambda: 1 << 63)
    assert memory.available_memory() == 3 * GIB
    machine.setattr(memory, "_mem_available", lambda: None)
    assert memory.available_memory() == 8 * GIB
    machine.setattr(memory, "_cgroup_rest", lambda: 5 * GIB)
    machine.setattr(memory, "_physical", lambda: None)
    assert memory.available_memory() == 5 * GIB
    machine.setattr(memory, "_cgroup_rest", lambda: None)
    assert memory.available_memory() is None


def test_this_machine_has_some():
    there = memory.available_memory()
    assert there is None or 0 < there < 1 << 50
    if sys.platform == "linux":
        assert there is not None


# ---------------------------------------------------------------------------------- check_memory


def test_what_fits_passes(machine):
    assert memory.check_memory(3 * GIB, "it", "use less") is None
    machine.setattr(memory, "available_memory", lambda: None)
    assert memory.check_memory(sys.maxsize, "it", "use less") is None


@pytest.mark.parametrize(
    ("there", "n_bytes", "words"),
    [
        (3 * GIB, 3 * GIB + 1, "it needs 3.22 GB of memory, and 3.22 GB are available; use less"),
        (5 * 10**6, 10**7, "it needs 0.0100 GB of memory, and 0.00500 GB are available"),
        (10**9, 20_000**2 * 8, "it needs 3.20 GB of memory, and 1.00 GB are"),
        (0, 10**12 * 8 + 10**9, "it needs 8,001 GB of memory, and 0.00 GB are"),
        (None, 1 << 63, "it needs 9,223,372,037 GB of memory, more than can be addressed; use"),
    ],
)
def test_what_does_not_is_told_in_gigabytes(machine, there, n_bytes, words):
    machine.setattr(memory, "available_memory", lambda: there)
    with pytest.raises(InputMemoryError, match=words):
        memory.check_memory(n_bytes, "it", "use less")


# ---------------------------------------------------------------------------------------- meminfo


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:    2000 kB\nBuffers: 3 kB\n", 2_048_000),
        ("MemTotal: 9 kB\n", None),
        ("MemAvailable:\n", None),
        ("MemAvailable: many kB\n", None),
        ("", None),
    ],
)
def test_mem_available(tmp_path, text, n_bytes):
    (tmp_path / "meminfo").write_text(text)
    assert memory._mem_available(str(tmp_path / "meminfo")) == n_bytes
    assert memory._mem_available(str(tmp_path / "nothing")) is None


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="no sysconf here")
def test_physical(monkeypatch):
    assert memory._physical() > 1 << 20

    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", unknown)
    assert memory._physical() is None


# ---------------------------------------------------------------------------------------- cgroups


def rest(tmp_path, **made_up):
    return memory._cgroup_rest(made_up_proc(tmp_path, **made_up))


V2 = [("/", "fs", "cgroup2", "")]
V1 = [("/", "fs/memory", "cgroup", ",memory"), ("/", "fs/cpu", "cgroup", ",cpu")]


@pytest.mark.parametrize(
    ("most", "current", "stat", "n_bytes"),
    [
        ("max\n", "300\n", "", None),
        ("1000\n", "300\n", "", 700),
        ("1000\n", "1300\n", "", 0),
        ("1000\n", "900\n", "anon 100\nactive_file 50\ninactive_file 600\n", 750),
        ("1000\n", "100\n", "inactive_file 200\n", 1000),  # read at different moments
        ("1000\n", "900\n", "inactive_file\n", 100),
        ("1000\n", None, "", None),
        (None, "300\n", "", None),
        ("garbage\n", "300\n", "", None),
        ("1000\n", "300\n", "inactive_file many\n", None),
        ("", "", "", None),
    ],
)
def test_version_2(tmp_path, most, current, stat, n_bytes):
    names = {"memory.max": most, "memory.current": current, "memory.stat": stat}
    files = {f"fs/pod/box/{name}": text for name, text in names.items() if text is not None}
    assert rest(tmp_path, cgroup="0::/pod/box\n", mounts=V2, files=files) == n_bytes


def test_version_2_walks_up_to_the_root(tmp_path):
    files = {
        "fs/a/b/memory.max": "max",
        "fs/a/b/memory.current": "10",
        "fs/a/memory.max": "500",
        "fs/a/memory.current": "200",
        "fs/x/memory.max": "1",
        "fs/x/memory.current": "1",
    }
    assert rest(tmp_path, cgroup="0::/a/b\n", mounts=V2, files=files) == 300
    files["fs/a/b/memory.max"] = "260"
    assert rest(tmp_path / "2", cgroup="0::/a/b\n", mounts=V2, files=files) == 250


def test_version_1(tmp_path):
    files = {
        "fs/memory/pod/memory.limit_in_bytes": "1000\n",
        "fs/memory/pod/memory.usage_in_bytes": "800\n",
        "fs/memory/pod/memory.stat": "inactive_file 7\ntotal_inactive_file 400\n",
        "fs/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "fs/memory/memory.usage_in_bytes": "5000\n",
        "fs/cpu/pod/memory.limit_in_bytes": "1\n",
        "fs/cpu/pod/memory.usage_in_bytes": "1\n",
    }
    cgroup = "4:cpu:/pod\n3:memory:/pod\n1:name=systemd:/\n0::/\n"
    assert rest(tmp_path, cgroup=cgroup, mounts=V1, files=files) == 600


def test_without_proc_there_is_no_limit(tmp_path):
    assert memory._cgroup_rest(str(tmp_path / "nothing")) is None
    (tmp_path / "cgroup").write_text("nonsense")
    (tmp_path / "mountinfo").write_text("nonsense")
    assert memory._cgroup_rest(str(tmp_path)) is None
