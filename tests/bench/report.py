"""Prints what was measured: a table to quote, a table to look into, and what the
figures mean. Gives no verdict."""

import statistics

MEGA = 1_000_000

WHAT = {
    "eight": "8 platforms x 7 layers",
    "big": "3 layers of 512 MB",
    "layers": "100 layers of 64 KiB",
    "sixty": "60 images, common base",
    "again": "the same again, all there",
    "far-layers": "100 layers of 64 KiB, 40 ms",
    "far-ten": "10 images, common base, 40 ms",
    "far-big": "a layer of 256 MB, 40 ms, 20 MB/s",
}


def report(results, count, divisor):
    """Prints all; gives the exit code: 1 where something could not be measured."""
    print_main(results)
    print()
    print_details(results)
    failures = [(result["case"], tool) for result in results for tool in result["tools"] if tool.failure]
    for case, tool in failures:
        print(f"\n{case}: {tool.label} FAILED: {tool.failure}")
    print()
    print_notes(count, divisor)
    return 1 if failures else 0


def best(result, name):
    """A tool's fastest way, by its median."""
    measured = [tool for tool in result["tools"] if tool.name == name and tool.runs and not tool.failure]
    return min(measured, key=lambda tool: tool.median("seconds"), default=None)


def print_main(results):
    rows = []
    for result in results:
        own, skopeo, floor = (best(result, name) for name in ("own", "skopeo", "floor"))
        rows.append(
            (
                result["case"],
                WHAT[result["case"]],
                megabytes(result["bytes"]),
                seconds(own),
                seconds(skopeo),
                factor(skopeo, own),
                seconds(floor),
                factor(own, floor),
                memory(own),
                memory(skopeo),
            )
        )
    heads = ("case", "what", "MB", "image-cloner s", "skopeo s", "ratio", "curl s", "x floor", "peak MB", "skopeo's")
    table(heads, rows)


def print_details(results):
    rows = []
    for result in results:
        for tool in result["tools"]:
            if not tool.runs or tool.failure:
                continue
            walls = [run["seconds"] for run in tool.runs]
            rows.append(
                (
                    result["case"],
                    tool.label,
                    f"{min(walls):.2f}",
                    f"{statistics.median(walls):.2f}",
                    f"{max(walls):.2f}",
                    f"{tool.median('processor'):.2f}",
                    f"{tool.median('source_processor'):.2f}",
                    f"{tool.median('target_processor'):.2f}",
                    f"{tool.median('lines_processor'):.2f}",
                    f"{tool.median('other_processor'):.2f}",
                    f"{tool.median('from_source'):.0f}",
                    f"{tool.median('to_target'):.0f}",
                    megabytes(tool.median("read")),
                )
            )
    heads = ("case", "tool", "best s", "median s", "worst s", "cpu s", "source cpu s", "target cpu s", "line cpu s")
    table((*heads, "other cpu s", "to source", "to target", "MB read"), rows)


def print_notes(count, divisor):
    print(f"""\
Seconds are medians of {count} runs, in turn, each into an empty target (`again`: a full
one). ratio: skopeo's seconds by image-cloner's; above 1, image-cloner is faster.
Of several images skopeo runs once for each, one by one and 8 at a time; the first
table has the faster of the two. curl: each blob once, GET piped into PUT, eight at
a time, no digest checked on the way, no manifests; for small blobs it is mostly the
start of its processes, and for far registries of connections, a new one a request.
x floor: image-cloner's seconds by curl's; below 1, it is faster than that. curl and
sha256sum: the same with every byte hashed on the way, as a copy has to. MB are
1,000,000 bytes: first the distinct blobs of the images, then the peak memory of a
process in the worst run (8 x: of each of eight).
40 ms: of round trip, to either registry, for every byte; a new connection takes one
more; bandwidth is not limited. 20 MB/s: what each connection brings from the source,
as stores behind registries limit them; the line itself is not full then.
cpu s: processor seconds of the tool, of the two registries, of the two lines that
delay and of everything else on the machine: where that is not small, others were at
work and the seconds suffer.
to source, to target: requests. MB read: what the source gave.""")
    if divisor > 1:
        print(f"QUICK: layers are {divisor} times smaller than said: no figures to publish.")


def seconds(tool):
    return f"{tool.median('seconds'):.2f}" if tool else "-"


def factor(slower, faster):
    return f"{slower.median('seconds') / faster.median('seconds'):.2f}" if slower and faster else "-"


def memory(tool):
    if not tool:
        return "-"
    each = f"{max(run['memory'] for run in tool.runs) / MEGA:.0f}"
    return each if tool.processes == 1 else f"{tool.processes} x {each}"


def megabytes(size):
    return f"{size / MEGA:.1f}"


def table(heads, rows):
    """A table that is readable as it is and as Markdown; the first two columns are text."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]

    def line(row):
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        return f"| {' | '.join(cells)} |"

    print(line(heads))
    print(f"|{'|'.join('-' * (w + 2) if i < 2 else '-' * (w + 1) + ':' for i, w in enumerate(widths))}|")
    for row in rows:
        print(line(row))
