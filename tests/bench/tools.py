"""The commands that are measured: one value a way to copy the images of a case."""

import os
import statistics

HERE = os.path.dirname(os.path.abspath(__file__))
MEGA = 1_000_000
LIMIT = 300  # seconds for one run


class Failed(Exception):
    """A run that gave no figure."""


class Tool:
    """One way to copy the images of a case, and what its runs took."""

    def __init__(self, name, label, command, stdin="", processes=1):
        self.name = name
        self.label = label
        self.command = command
        self.stdin = stdin
        self.processes = processes  # at a time, each with memory of its own
        self.runs = []
        self.failure = None

    def median(self, key):
        """The middle of what was measured."""
        return statistics.median(run[key] for run in self.runs)


def prefix_of(source):
    """Where in the target registry image-cloner's naming rule puts a source's repositories."""
    return f"mirror/{source.host.replace(':', '__')}"


def tools_of(plugin, source, target, filled):
    """The floor first: it warms up what the others read."""
    names = [repository for repository, _ in filled.images]
    urls = [f"http://127.0.0.1:{registry.port}" for registry in (source, target)]
    blobs = "".join(f"{home} {digest}\n" for digest, home in filled.homes.items())
    floor = Tool("floor", "curl", [os.path.join(HERE, "floor.sh"), *urls], blobs, processes=16)
    checked = Tool("checked", "curl and sha256sum", [*floor.command, "check"], blobs, processes=24)

    references = [f"{source.host}/{name}:1" for name in names]
    own = [plugin, "copy", "--to", f"{target.host}/mirror"]
    skopeo = ["skopeo", "--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests"]
    skopeo += ["--src-tls-verify=false", "--dest-tls-verify=false"]
    pairs = [
        (f"docker://{reference}", f"docker://{target.host}/{prefix_of(source)}/{name}:1")
        for reference, name in zip(references, names)
    ]
    if len(names) == 1:
        return [
            floor,
            *([checked] if sum(filled.blobs.values()) > 100 * MEGA else []),  # where hashing is most of the work
            Tool("own", "image-cloner", [*own, *references]),
            Tool("skopeo", "skopeo", [*skopeo, *pairs[0]]),
        ]
    lines = "".join(f"{from_} {to}\n" for from_, to in pairs)
    loop = 'while read -r from to; do "$@" "$from" "$to" </dev/null || exit; done'
    return [
        floor,
        Tool("own", "image-cloner", [*own, "-f", "-"], "".join(f"{r}\n" for r in references)),
        Tool("skopeo", "skopeo, one by one", ["bash", "-c", loop, "bash", *skopeo], lines),
        Tool("skopeo", "skopeo, 8 at a time", ["xargs", "-P8", "-n2", *skopeo], lines, processes=8),
    ]
