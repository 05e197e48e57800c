"""What the project asks of itself: the floors every version keeps, and the targets it works for.

Both are data: a row's least percent of the limit, its most microseconds, how many times faster than
the fastest peer it must be.  Nothing is measured here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    percent64: float | None = None
    percent32: float | None = None
    most_us64: float | None = None
    most_us32: float | None = None
    times_peers: float | None = None

    def percent(self, dtype):
        return self.percent64 if dtype == "float64" else self.percent32

    def most_us(self, dtype):
        return self.most_us64 if dtype == "float64" else self.most_us32


def _floor(percent):
    return Goal(percent, percent - 15, times_peers=1.0)


FLOORS = {
    "2-4-1 b4": Goal(most_us64=0.3, most_us32=0.3, times_peers=1.0),
    "8-16-1 b32": _floor(55),
    "24-8-2 b200": _floor(60),
    "64-32-10 b32": _floor(75),
    "784-30-10 b10": _floor(60),
    "784-30-10 b10 shuffled": Goal(times_peers=1.0),
    "784-100-10 b128": _floor(70),
    "784-1024-10 b512": _floor(80),
    "784-1024-10 b4096": _floor(80),
    "64-128-10 b20000": _floor(80),
    "8-16-1 b100000": _floor(60),
}

TARGETS = {
    "2-4-1 b4": Goal(most_us64=0.15, most_us32=0.15, times_peers=3),
    "8-16-1 b32": Goal(80, 60, times_peers=2.5),
    "24-8-2 b200": Goal(80, 60, times_peers=2.5),
    "64-32-10 b32": Goal(90, 82, times_peers=1.9),
    "784-30-10 b10": Goal(80, 80, times_peers=1.9),
    "784-30-10 b10 shuffled": Goal(times_peers=1.9),
    "784-100-10 b128": Goal(82, 77, times_peers=1.25),
    "784-1024-10 b512": Goal(90, 85, times_peers=1.0),
    "784-1024-10 b4096": Goal(88, 85, times_peers=1.05),
    "64-128-10 b20000": Goal(90, 86, times_peers=1.7),
    "8-16-1 b100000": Goal(75, 60, times_peers=2.5),
    "120-16-3 b1": Goal(most_us64=0.25),
    "8-16-2 b1": Goal(most_us64=0.1),
    "784-30-10 b1": Goal(most_us64=5),
    "fit call, 2-4-1 one epoch": Goal(most_us64=40, most_us32=40),
    "predict 8-16-1, 1 row": Goal(most_us64=2, most_us32=2),
    "predict 64-128-10, 1e6 rows": Goal(80, 75, times_peers=1.0),
    "100 x 10-20-1 b32": Goal(times_peers=2),
}

# row -> (the row it is measured against, how many times that row's time it may take): targets only
TARGET_RELATIVE = {"784-30-10 b10 shuffled": ("784-30-10 b10", 1.25)}
# times as fast as a rival in C, where one is built
TARGET_C_PEERS = 3.0

# Of the measures beside the table: (least, most); None: no bound.
MEASURE_FLOORS = {"two trainers": (1.8, None), "memory": (None, 50.0)}
MEASURE_TARGETS = {**MEASURE_FLOORS, "hundred fits": (1.85, None)}


def cells(results, which="floors", *, beside=False):
    """Each demand on the results as (what, asked, reached, met), for the rows that were run.

    Floors hold against every peer.  Targets ask how many times faster than the fastest peer a row
    is, and than each rival in C.  `beside`: percentages of the limit by the product's rate beside
    each reading instead of the best in the run.
    """
    goals = FLOORS if which == "floors" else TARGETS
    by_key = {(r.row.name, r.dtype): r for r in results}
    for r in results:
        goal = goals.get(r.row.name)
        if goal is None or r.ours is None:
            continue
        label = f"{r.row.name} {r.dtype}"
        if (asked := goal.percent(r.dtype)) is not None:
            percent = r.percent_beside if beside else r.percent
            yield label + ": percent of limit", f">= {asked:g}", percent, percent >= asked
        if (asked := goal.most_us(r.dtype)) is not None:
            yield label + ": microseconds", f"<= {asked:g}", r.ours.us, r.ours.us <= asked
        for peer, asked in _rivals(r, goal, which):
            what = f"{label}: times as fast as {peer.name}"
            yield what, f">= {asked:g}", peer.ratio, peer.ratio >= asked
        if which == "targets" and r.row.name in TARGET_RELATIVE:
            name, most = TARGET_RELATIVE[r.row.name]
            base = by_key.get((name, r.dtype))
            if base is not None and base.ours is not None:
                ratio = r.ours.us / base.ours.us
                yield f"{label}: times the time of {name}", f"<= {most:g}", ratio, ratio <= most


def _rivals(result, goal, which):
    """The peers that a goal speaks of, each with how many times faster ours must be."""
    timed = [peer for peer in result.peers if peer.ratio is not None]
    libraries = [peer for peer in timed if not peer.in_c]
    if which == "floors":
        return [(peer, goal.times_peers) for peer in timed if goal.times_peers is not None]
    rivals = [(peer, TARGET_C_PEERS) for peer in timed if peer.in_c]
    if goal.times_peers is not None and libraries:
        rivals.insert(0, (min(libraries, key=lambda peer: peer.ratio), goal.times_peers))
    return rivals


def measure_cells(measures, which="floors"):
    """The same for the measures beside the table: each has a name and a value."""
    bounds = MEASURE_FLOORS if which == "floors" else MEASURE_TARGETS
    for measure in measures:
        least, most = bounds.get(measure.name.split(",")[0], (None, None))
        if least is not None:
            yield measure.name, f">= {least:g}", measure.value, measure.value >= least
        if most is not None:
            yield measure.name, f"<= {most:g}", measure.value, measure.value <= most
