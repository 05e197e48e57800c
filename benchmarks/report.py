"""The results as text, CSV, JSON and a picture.  Nothing is measured or judged here."""

import csv
import json
from dataclasses import asdict

from benchmarks import goals
from benchmarks.rows import DTYPES


def number(x):
    """Three figures, thousands apart; a dash for nothing."""
    if x is None:
        return "-"
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def _columns(results):
    """The peers that have a time in any row, in their order."""
    names = []
    for result in results:
        names += [p.name for p in result.peers if p.us is not None and p.name not in names]
    return names


def _spread(peer):
    if peer is None or peer.ratio is None:
        return "-"
    return f"{peer.ratio:.2f} ({min(peer.ratios):.2f}..{max(peer.ratios):.2f}) {peer.name}"


def table(results, which="floors"):
    """Text lines of one dtype: microseconds per step, beside the limit and the peers."""
    names = _columns(results)
    asked = goals.FLOORS if which == "floors" else goals.TARGETS
    head = [
        "us per step (or call)",
        "limit",
        "cbackprop",
        "% of limit",
        "beside",
        which[:-1],
        *names,
    ]
    head.append("fastest peer's time / ours")
    body = []
    for r in results:
        goal = asked.get(r.row.name)
        percent = goal.percent(r.dtype) if goal else None
        most = goal.most_us(r.dtype) if goal else None
        wanted = f">={percent:g}%" if percent else f"<={most:g}us" if most else "-"
        line = [r.row.name, number(r.limit_us), number(r.ours.us if r.ours else None)]
        line += [number(r.percent), number(r.percent_beside), wanted]
        by_name = {p.name: p for p in r.peers}
        for name in names:
            peer = by_name.get(name)
            us = number(peer.us if peer else None)
            line.append(us + ("'" if peer and peer.us and peer.setting == "one" else ""))
        body.append([*line, _spread(r.fastest)])
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    yield f"{results[0].dtype}: one core multiplies at {results[0].gemm_rate / 1e9:.1f} GFLOP/s"
    for line in [head, *body]:
        cells = [line[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(line[1:-1], widths[1:-1], strict=True)]
        yield "  ".join([*cells, line[-1]]).rstrip()
    yield "(beside: with the product's rate just before and after each reading, not its best)"
    yield "(': on one thread, where that was the better of one and all)"


def skipped(results, missing):
    """Why a peer has no time: one line a reason."""
    for name, reason in missing.items():
        yield f"{name}: not run: {reason}"
    reasons = {}
    for r in results:
        for peer in r.peers:
            if peer.skipped:
                reasons.setdefault((peer.name, peer.skipped), []).append(f"{r.row.name} {r.dtype}")
    for (name, reason), where in reasons.items():
        yield f"{name}: {reason} ({', '.join(where)})"


def checked(results):
    """How equal the results were that count."""
    for dtype in dict.fromkeys(r.dtype for r in results):
        times = [t for r in results if r.dtype == dtype for t in (r.ours, *r.peers) if t and t.us]
        worst = max(times, key=lambda t: t.difference or 0, default=None)
        if worst is not None:
            yield (
                f"{dtype}: {len(times)} results equal before they were timed; largest relative "
                f"difference {worst.difference or 0:.1e} ({worst.name})"
            )


def verdict(cells, which, beside=()):
    """The goals: how many are met, and each miss; `beside`: the same, by the rates beside."""
    cells = list(cells)
    misses = [cell for cell in cells if not cell[3]]
    yield f"{which}: {_count(cells)} met"
    if beside:
        yield f"  {_count(beside)} by the product's rate beside each reading"
    for dtype in DTYPES:
        if of_dtype := _of_dtype(cells, dtype):
            other = f" ({_count(_of_dtype(beside, dtype))} by the rate beside)" if beside else ""
            yield f"  {dtype}: {_count(of_dtype)}{other}"
    for what, asked, reached, _ in misses:
        yield f"  missed: {what}: {reached:.3g}, asked {asked}"


def _count(cells):
    return f"{sum(met for *_, met in cells)} of {len(cells)}"


def _of_dtype(cells, dtype):
    return [cell for cell in cells if dtype in cell[0].split(":")[0].split()]


def measure_lines(measures):
    for m in measures:
        low, high = min(m.readings), max(m.readings)
        spread = f" ({low:.3g}..{high:.3g})" if len(m.readings) > 1 else ""
        yield f"{m.name}: {m.value:.3g} {m.unit}{spread}"


def records(results):
    """One flat dict for each time, the skipped ones too."""
    for r in results:
        for t in (r.ours, *r.peers):
            if t is None:
                continue
            yield {
                "row": r.row.name,
                "dtype": r.dtype,
                "task": r.row.task,
                "who": t.name,
                "version": t.version,
                "threads": t.setting,
                "us": t.us,
                "us_min": min(t.readings, default=None),
                "us_max": max(t.readings, default=None),
                "limit_us": r.limit_us,
                "percent_of_limit": 100 * r.limit_us / t.us if t.us else None,
                "percent_beside": r.percent_beside if t is r.ours else None,
                "gemm_gflops": r.gemm_rate / 1e9,
                "time_over_ours": t.ratio,
                "time_over_ours_min": min(t.ratios, default=None),
                "time_over_ours_max": max(t.ratios, default=None),
                "difference": t.difference,
                "skipped": t.skipped,
            }


def write_csv(path, results):
    lines = list(records(results))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, lines[0] if lines else ["row"])
        writer.writeheader()
        writer.writerows(lines)


def write_json(path, results, measures, machine):
    content = {
        "machine": machine,
        "results": list(records(results)),
        "measures": [asdict(m) for m in measures],
    }
    with open(path, "w") as file:
        json.dump(content, file, indent=1)
        file.write("\n")


def write_plot(path, results):
    """Each row's times over its limit, one panel a dtype, logarithmic; left is better."""
    from matplotlib.figure import Figure  # no pyplot: no display is asked for

    dtypes = list(dict.fromkeys(r.dtype for r in results))
    height = 1.5 + 0.45 * max(sum(r.dtype == d for r in results) for d in dtypes)
    figure = Figure(figsize=(6.5 * len(dtypes), height), layout="constrained")
    panels = figure.subplots(1, len(dtypes), squeeze=False)[0]
    names = ["cbackprop", *_columns(results)]
    for panel, dtype in zip(panels, dtypes, strict=True):
        rows = [r for r in results if r.dtype == dtype]
        for color, name in enumerate(names):
            points = [
                (t.us / r.limit_us, -i)
                for i, r in enumerate(rows)
                for t in (r.ours, *r.peers)
                if t is not None and t.name == name and t.us
            ]
            if points:
                x, y = zip(*points, strict=True)
                ours = name == "cbackprop"
                panel.scatter(x, y, s=60 if ours else 25, marker="D" if ours else "o", label=name,
                              color="black" if ours else f"C{color - 1}",
                              zorder=3 if ours else 2)  # fmt: skip
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_xscale("log")
        panel.set_yticks([-i for i in range(len(rows))], [r.row.name for r in rows])
        panel.set_xlabel("time over the limit (1 = the limit)")
        panel.set_title(dtype)
        panel.grid(axis="x", which="major", alpha=0.3)
    # Of the panel with most names: not every peer has every dtype.
    handles = max((panel.get_legend_handles_labels() for panel in panels), key=lambda h: len(h[1]))
    panels[-1].legend(*handles, loc="lower right", fontsize="small")
    figure.savefig(path, dpi=110)
