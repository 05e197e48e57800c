"""Files are written whole or not at all, and what killed writers left is cleared away."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading

import pytest

from cbackprop.errors import InputError
from cbackprop.files import atomic

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, links and locks are POSIX's")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "name"


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def names(folder):
    return sorted(os.listdir(folder))


def test_content_is_replaced(path):
    for data in (b"", b"old" * 100_000, b"new"):
        atomic.write_whole(path, data)
        assert path.read_bytes() == data
        assert names(path.parent) == ["name"]


def test_names_of_any_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("relative", b"bytes", "[x]*" if os.name == "posix" else "[x]", "\N{CRAB}" * 60):
        atomic.write_whole(name, b"data")
        with open(name, "rb") as file:
            assert file.read() == b"data"
    assert len(names(tmp_path)) == 4


@pytest.mark.parametrize("keep_previous", [False, True])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(path, monkeypatch, step, keep_previous):
    atomic.write_whole(path, b"old")
    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_whole(path, b"new", keep_previous=keep_previous)
    assert path.read_bytes() == b"old"
    assert set(names(path.parent)) <= {"name", "name.previous"}


@POSIX
def test_a_disk_without_room_is_told_and_leaves_the_old_file(path):
    """The system itself refuses to write more than so many bytes."""
    atomic.write_whole(path, b"old")
    script = textwrap.dedent(
        """
        import resource, sys
        from cbackprop.files import atomic
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        atomic.write_whole(sys.argv[1], bytes(100_000), keep_previous=True)
        try:
            atomic.write_whole(sys.argv[1], bytes(200_000), keep_previous=True)
        except OSError as error:
            print(error.strerror)
        """
    )
    run = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    assert run.stdout == os.strerror(errno.EFBIG) + "\n"
    assert path.read_bytes() == bytes(100_000)
    assert names(path.parent) == ["name", "name.previous"]
    assert (path.parent / "name.previous").read_bytes() == b"old"


def test_an_interrupted_write_leaves_no_trace(path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_whole(path, b"new")
    assert names(path.parent) == []


@POSIX
def test_the_folder_reaches_the_disk_too(path, monkeypatch):
    synced = []
    fsync = os.fsync

    def record(descriptor):
        synced.append(stat.S_IFMT(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    atomic.write_whole(path, b"data")
    assert synced == [stat.S_IFREG, stat.S_IFDIR]

    def fail(number):
        def fsync_of_folder_fails(descriptor):
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(number, os.strerror(number))

        return fsync_of_folder_fails

    monkeypatch.setattr(os, "fsync", fail(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        atomic.write_whole(path, b"data")
    monkeypatch.setattr(os, "fsync", fail(errno.EINVAL))  # a file system that cannot
    atomic.write_whole(path, b"data")


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        atomic.write_whole(tmp_path / "nowhere" / "name", b"")
    with pytest.raises(InputError, match=r"path is .*, a folder; expected the name of a file"):
        atomic.write_whole(tmp_path, b"")


@POSIX
def test_modes(path):
    kept = os.umask(0o027)
    try:
        atomic.write_whole(path, b"")
    finally:
        os.umask(kept)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    atomic.write_whole(path, b"")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@POSIX
def test_links_are_followed_and_devices_refused(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / "name")
    atomic.write_whole(link, b"data")
    assert link.is_symlink()
    assert (tmp_path / "real" / "name").read_bytes() == b"data"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a device or pipe"):
        atomic.write_whole(tmp_path / "pipe", b"")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


# -------------------------------------------------------------------------------- the one before


@pytest.mark.parametrize("links", [True, False])
def test_the_previous_file_is_kept(path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", full)
    previous = path.with_name("name" + atomic.PREVIOUS)
    atomic.write_whole(path, b"1", keep_previous=True)
    assert names(path.parent) == ["name"]
    for new, old in ((b"2", b"1"), (b"3", b"2")):
        atomic.write_whole(path, new, keep_previous=True)
        assert (path.read_bytes(), previous.read_bytes()) == (new, old)
    atomic.write_whole(path, b"4")
    assert (path.read_bytes(), previous.read_bytes()) == (b"4", b"2")
    assert names(path.parent) == ["name", "name.previous"]


@pytest.mark.parametrize("links", [True, False])
def test_a_complete_file_is_there_at_every_moment(path, monkeypatch, links):
    """Before and after each call into the system that changes a name."""
    previous = path.with_name("name.previous")
    seen = []

    def watched(step):
        original = getattr(os, step)

        def call(*arguments):
            try:
                return original(*arguments)
            finally:
                seen.append(path.read_bytes())
                if previous.exists():
                    assert previous.read_bytes() in (b"1", b"2")

        return call

    atomic.write_whole(path, b"1")
    atomic.write_whole(path, b"2", keep_previous=True)
    for step in ("unlink", "replace", *(["link"] if links else [])):
        monkeypatch.setattr(os, step, watched(step))
    if not links:
        monkeypatch.setattr(os, "link", full)
    atomic.write_whole(path, b"3", keep_previous=True)
    assert seen == [b"2"] * (2 if links else 1) + [b"3"]


# ----------------------------------------------------------------------------- what the killed left


def killed_writer(path, step):
    """Another process is killed when it comes to that call of os."""
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        from cbackprop.files import atomic
        os.{step} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        atomic.write_whole(sys.argv[1], b"never")
        """
    )
    run = subprocess.run([sys.executable, "-c", script, path], check=False)
    assert run.returncode == -signal.SIGKILL


@POSIX
def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path):
    path, other = tmp_path / "name", tmp_path / "name.x"
    foreign = ".name.0123456789abcdef.tmp.bak"
    (tmp_path / foreign).touch()
    killed_writer(other, "fsync")
    killed_writer(path, "replace")
    left = names(tmp_path)
    assert len(left) == 3 and foreign in left and "name.x" not in left
    atomic.write_whole(path, b"data")
    assert names(tmp_path) == [foreign, next(n for n in left if n.startswith(".name.x.")), "name"]
    atomic.write_whole(other, b"data")
    assert names(tmp_path) == [foreign, "name", "name.x"]


@POSIX
def test_a_live_writers_temporary_is_left_alone(path):
    with atomic._new_temporary(str(path)) as live:
        os.utime(live.name, (0, 0))
        atomic.write_whole(path, b"data")
        assert os.path.exists(live.name)
    atomic.write_whole(path, b"data")
    assert names(path.parent) == ["name"]


@pytest.mark.skipif(not hasattr(atomic, "fcntl"), reason="there are no such locks here")
def test_where_nothing_can_be_locked_age_decides(path, monkeypatch):
    monkeypatch.setattr(atomic.fcntl, "flock", full)
    with atomic._new_temporary(str(path)) as live:
        atomic.write_whole(path, b"data")
        assert os.path.exists(live.name)
        os.utime(live.name, (0, 0))
        atomic.write_whole(path, b"data")
        assert names(path.parent) == ["name"]


@POSIX
def test_many_writers_of_one_file(path):
    """Each write is whole and none fails, whoever comes between."""
    failures = []

    def write(k):
        try:
            for _ in range(30):
                atomic.write_whole(path, bytes([k]) * 1000, keep_previous=True)
                assert len(set(path.read_bytes())) == 1
        except BaseException as failure:
            failures.append(failure)

    writers = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert names(path.parent) == ["name", "name.previous"]
