"""How many threads: affinity, quota, OMP_NUM_THREADS, and the fits running beside."""

import multiprocessing
import os
import threading

import pytest

from cbackprop.errors import InputError, InputTypeError
from cbackprop.machine import threads
from cgroup_files import made_up_proc


@pytest.fixture
def machine(monkeypatch):
    """Pretend: 16 processors, no quota, no OMP_NUM_THREADS."""
    monkeypatch.setattr(threads, "_processors", lambda: 16)
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return monkeypatch


def test_the_smallest_limit_counts(machine):
    assert threads.available_threads() == 16
    machine.setattr(threads, "_cgroup_quota", lambda: 6)
    assert threads.available_threads() == 6
    machine.setenv("OMP_NUM_THREADS", "4")
    assert threads.available_threads() == 4
    machine.setattr(threads, "_processors", lambda: 3)
    assert threads.available_threads() == 3


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", 4),
        ("4,2", 4),
        (" 08 , 2,1", 8),
        ("", 16),
        ("0", 16),
        ("-3", 16),
        ("many", 16),
        ("4.5", 16),
        (",2", 16),
        ("99999999999999999999", 16),
    ],
)
def test_omp_num_threads(machine, text, number):
    machine.setenv("OMP_NUM_THREADS", text)
    assert threads.available_threads() == number


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_affinity_is_read_at_each_call(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mine)})
        assert threads.available_threads() == 1
    finally:
        os.sched_setaffinity(0, mine)


def test_resolve(machine):
    assert threads.resolve(None) == 16
    assert threads.resolve(40) == 40
    assert threads.resolve(10**12) == threads.MOST_THREADS
    with pytest.raises(InputError, match="n_threads is 0"):
        threads.resolve(0)
    for value in (2.5, True, "2"):
        with pytest.raises(InputTypeError, match=f"n_threads is {value!r}"):
            threads.resolve(value)


# ------------------------------------------------------------------------------------- running fits


def test_fits_share_what_is_available(machine):
    with threads.running_fit(None) as first:
        assert (first.now(), first.most()) == (16, 16)
        with threads.running_fit(None) as second, threads.running_fit(None) as third:
            assert [fit.now() for fit in (first, second, third)] == [5, 5, 5]
            assert first.most() == third.most() == 16
        assert first.now() == 16
        machine.setenv("OMP_NUM_THREADS", "2")
        assert first.now() == 2
        machine.setenv("OMP_NUM_THREADS", "1")
        with threads.running_fit(None) as second:
            assert second.now() == second.most() == 1
            machine.delenv("OMP_NUM_THREADS")
            assert second.now() == 1  # not more than at the start


def test_a_number_given_is_used_as_it_is(machine):
    with threads.running_fit(3) as fit, threads.running_fit(None) as other:
        assert (fit.now(), fit.most()) == (3, 3)
        assert other.now() == 8


def test_a_failed_fit_is_counted_no_longer(machine):
    with pytest.raises(RuntimeError), threads.running_fit(None):
        raise RuntimeError
    with threads.running_fit(None) as fit:
        assert fit.now() == 16


def test_fits_of_many_threads_are_all_counted(machine):
    both_in, shares = threading.Barrier(8), []

    def run():
        with threads.running_fit(None) as fit:
            both_in.wait()
            shares.append(fit.now())
            both_in.wait()

    crowd = [threading.Thread(target=run) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert shares == [2] * 8
    assert not threads._fits


def _share_in_child(connection):
    with threads.running_fit(None) as fit:
        connection.send(fit.now())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_starts_with_no_fits(machine):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    with threads.running_fit(None), threads.running_fit(None):
        child = context.Process(target=_share_in_child, args=(theirs,))
        child.start()
        assert ours.poll(20)
        assert ours.recv() == 16
        child.join()


# ------------------------------------------------------------------------------------------ cgroups


def quota(tmp_path, **made_up):
    """The quota read from a made-up /proc/self and mounted folders."""
    return threads._cgroup_quota.__wrapped__(made_up_proc(tmp_path, **made_up))


V2 = [("/", "fs", "cgroup2", "")]
V1 = [("/", "fs/cpu,cpuacct", "cgroup", ",cpu,cpuacct"), ("/", "fs/cpuset", "cgroup", ",cpuset")]


@pytest.mark.parametrize(
    ("text", "processors"),
    [
        ("max 100000\n", None),
        ("150000 100000\n", 2),
        ("200000 100000\n", 2),
        ("1000 100000\n", 1),
        ("garbage\n", None),
        ("a b\n", None),
        ("100000 0\n", None),
        ("", None),
    ],
)
def test_version_2(tmp_path, text, processors):
    files = {"fs/pod/box/cpu.max": text}
    assert quota(tmp_path, cgroup="0::/pod/box\n", mounts=V2, files=files) == processors


def test_version_2_walks_up_to_the_root(tmp_path):
    files = {"fs/a/b/cpu.max": "max 100000", "fs/a/cpu.max": "300000 100000", "fs/x/cpu.max": "1 1"}
    assert quota(tmp_path, cgroup="0::/a/b\n", mounts=V2, files=files) == 3
    files["fs/a/b/cpu.max"] = "90000 50000"
    assert quota(tmp_path / "2", cgroup="0::/a/b\n", mounts=V2, files=files) == 2


def test_a_container_sees_its_own_root(tmp_path):
    """With a cgroup namespace the path is /, without one it may lie above what is mounted."""
    files = {"fs/cpu.max": "250000 100000"}
    for i, path in enumerate(["/", "/../sibling", "/not/mounted/here"]):
        got = quota(tmp_path / str(i), cgroup=f"0::{path}\n", mounts=V2, files=files)
        assert got == 3


def test_a_part_of_the_hierarchy_may_be_mounted(tmp_path):
    mounts = [("/docker/abc", "my fs", "cgroup2", "")]
    files = {"my fs/cpu.max": "700000 100000", "my fs/inner/cpu.max": "400000 100000"}
    assert quota(tmp_path, cgroup="0::/docker/abc/inner\n", mounts=mounts, files=files) == 4


@pytest.mark.parametrize(("microseconds", "processors"), [("-1", None), ("350000", 4), ("0", None)])
def test_version_1(tmp_path, microseconds, processors):
    files = {
        "fs/cpu,cpuacct/pod/cpu.cfs_quota_us": microseconds,
        "fs/cpu,cpuacct/pod/cpu.cfs_period_us": "100000",
        "fs/cpuset/pod/cpu.cfs_quota_us": "1",
        "fs/cpuset/pod/cpu.cfs_period_us": "1",
    }
    cgroup = "4:cpuset:/pod\n3:cpu,cpuacct:/pod\n1:name=systemd:/\n0::/\n"
    assert quota(tmp_path, cgroup=cgroup, mounts=V1, files=files) == processors


def test_both_versions_at_once(tmp_path):
    """A hybrid machine: version 2 mounted for systemd only, the cpu controller in version 1."""
    files = {
        "fs/cpu,cpuacct/cpu.cfs_quota_us": "200000",
        "fs/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "fs2/cpu.max": "500000 100000",
    }
    mounts = [*V1, ("/", "fs2", "cgroup2", "")]
    assert quota(tmp_path, cgroup="3:cpu,cpuacct:/\n0::/\n", mounts=mounts, files=files) == 2


def test_without_proc_there_is_no_quota(tmp_path):
    assert threads._cgroup_quota.__wrapped__(str(tmp_path / "nothing")) is None
    (tmp_path / "cgroup").write_text("nonsense")
    (tmp_path / "mountinfo").write_text("nonsense")
    assert threads._cgroup_quota.__wrapped__(str(tmp_path)) is None
