"""A made-up /proc/self and the cgroup folders that it speaks of."""


def made_up_proc(tmp_path, *, cgroup, mounts, files):
    """The path of /proc/self.

    mounts are (root, mount point, kind, options), files texts by path, both below `tmp_path`.
    """
    proc = tmp_path / "proc"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text(cgroup)
    lines = []
    for root, mount, kind, options in mounts:
        place = str(tmp_path / mount).replace(" ", "\\040")
        (tmp_path / mount).mkdir(parents=True, exist_ok=True)
        lines.append(f"38 31 0:41 {root} {place} rw,nosuid shared:9 - {kind} {kind} rw{options}\n")
    lines.append("22 27 0:21 / /proc rw,relatime - proc proc rw\n")
    (proc / "mountinfo").write_text("".join(lines))
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(proc)
