"""The command line of the benchmark: reads the options, runs, prints; no more than that.

python -m benchmarks                    the table, both dtypes, every installed peer
python -m benchmarks --check            the same, and exit status 1 when a floor is missed
python -m benchmarks --compare main .   a commit against the files as they are
"""

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import compare, goals, machine, measures, peers, report, rows
from benchmarks.timing import Bench
from benchmarks.worker import Failed, Worker


def parser():
    p = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Microseconds per training step of cbackprop, beside the machine's limit and "
        "the peers that are installed.",
    )
    add = p.add_argument
    add(
        "--rows",
        nargs="+",
        default=["table"],
        metavar="ROW",
        help=f"groups ({', '.join(rows.GROUPS)}), parts of row names, or all; default: table",
    )
    add(
        "--peers",
        nargs="+",
        default=list(peers.NAMES),
        choices=[*peers.NAMES, "none"],
        metavar="PEER",
        help=f"default: all of {', '.join(peers.NAMES)}; none: cbackprop alone",
    )
    add("--dtype", nargs="+", default=list(rows.DTYPES), choices=rows.DTYPES)
    add("--repeat", type=int, default=None, help="rounds of interleaved readings (default 5)")
    add("--seconds", type=float, default=None, help="least length of a reading (default 0.1)")
    add("--quick", action="store_true", help="3 rounds of 0.03 s: a look, not a result")
    add(
        "--measures",
        nargs="*",
        default=None,
        choices=measures.NAMES,
        metavar="NAME",
        help=f"measures beside the table: {', '.join(measures.NAMES)}; given without a name: none; "
        "default: all of them when rows are not chosen",
    )
    add("--memory", action="store_true", help="memory a fit adds on a 512 MB memmap (Linux)")
    add("--all", action="store_true", help="every row, every measure, memory")
    add("--check", action="store_true", help="exit status 1 when a goal is missed")
    add("--targets", action="store_true", help="judge by the targets instead of the floors")
    add(
        "--compare",
        nargs="+",
        metavar="COMMIT",
        help="BASE [HEAD]: time two commits against each other; '.' is the files as they are; "
        "HEAD is the default of the second",
    )
    add("--csv", metavar="FILE")
    add("--json", metavar="FILE")
    add("--plot", metavar="FILE.png")
    return p


def say(text):
    """Progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main(argv=None):
    p = parser()
    options = p.parse_args(argv)
    repeat = options.repeat or (3 if options.quick else 5)
    seconds = options.seconds or (0.03 if options.quick else 0.1)
    wanted_measures = options.measures
    if wanted_measures is None:
        wanted_measures = measures.NAMES if options.all or options.rows == ["table"] else ()
    try:
        chosen = rows.select(["all"] if options.all else options.rows)
    except ValueError as error:
        p.error(str(error))
    if options.compare:
        if len(options.compare) > 2:
            p.error("--compare takes BASE and perhaps HEAD")
        base, head = (*options.compare, "HEAD")[:2]
        for line in compare.compare(
            base, head, chosen, options.dtype, repeat=max(repeat, 7), seconds=seconds, say=say
        ):
            say("")
            print(line, flush=True)
        return 0
    names = [n for n in peers.NAMES if n == peers.OURS or n in options.peers]
    results, measured = [], []
    which = "targets" if options.targets else "floors"
    try:
        with Bench(names, repeat=repeat, seconds=seconds, say=say) as bench:
            for dtype in options.dtype:
                for row in chosen:
                    results.append(bench.measure(row, dtype))
            for result in results:  # one rate for the whole run: the best reading
                result.gemm_rate = bench.rate(result.dtype).best
            if peers.OURS in bench.workers:
                for name in wanted_measures:
                    say(name)
                    measured += bench.ours.call("measure", name, repeat, max(seconds, 0.2))
                if options.memory or options.all:
                    say("memory")
                    measured += measures.run_memory(lambda: Worker(peers.OURS, "all"))
            config, missing = bench.config, bench.missing
    except Failed as error:
        say("")
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    say("")
    times = [t for r in results for t in (r.ours, *r.peers) if t]
    about = machine.describe(config, times)
    of_measures = list(goals.measure_cells(measured, which))
    cells = [*goals.cells(results, which), *of_measures]
    beside = [*goals.cells(results, which, beside=True), *of_measures]
    text = [*machine.lines(about), ""]
    for dtype in options.dtype:
        text += [*report.table([r for r in results if r.dtype == dtype], which), ""]
    text += [*report.measure_lines(measured), *report.checked(results)]
    text += [*report.skipped(results, missing), *report.verdict(cells, which, beside)]
    print("\n".join(text))
    if options.csv:
        report.write_csv(options.csv, results)
    if options.json:
        report.write_json(options.json, results, measured, about)
    if options.plot:
        report.write_plot(options.plot, results)
    return int(options.check and not all(met for *_, met in cells))


if __name__ == "__main__":
    sys.exit(main())
