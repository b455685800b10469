"""The benchmark: runs the cases and prints the figures. Started by run.sh.

A case fills the source registry, then runs the tools in turn (A B C A B C …),
each into a target that was emptied before, and looks after each run whether
everything is there. Figures are what was measured here and nothing else; a tool
that failed is reported and gives none.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import images  # noqa: E402
import place  # noqa: E402
from far import RATE, Far  # noqa: E402
from registry import Registry, processor_of_machine  # noqa: E402
from report import report  # noqa: E402
from tools import LIMIT, Failed, prefix_of, tools_of  # noqa: E402


class Bench:
    """Two registries, lines to them, and how often to run what from one to the other."""

    def __init__(self, arguments, registries, wide, narrow):
        self.plugin = arguments.plugin
        self.work = arguments.work
        self.count = 3 if arguments.quick else 5
        self.divisor = place.QUICK if arguments.quick else 1
        self.source, self.target = registries
        self.lines = self.wide = wide
        self.narrow = narrow  # where connections to the source are limited

    def case(self, name):
        say(f"{name}: filling the source")
        self.source.empty()
        filled = images.fill(self.source, name, self.divisor)
        self.lines = self.narrow if name in images.NARROW else self.wide
        ends = self.lines if name in images.FAR else (self.source, self.target)
        if ends is self.lines:
            self.measure_lines(name)
        tools = tools_of(self.plugin, *ends, filled)
        if name == "again":
            tools = [tool for tool in tools if tool.name != "floor"]
            self.prepare_again(tools, filled, ends)
        for number in range(1, self.count + 1):
            for tool in tools:
                if tool.failure:
                    continue
                if name != "again":
                    self.target.empty()
                    self.fresh_home(tool)
                self.run(tool, filled, ends)
                took = f"FAILED: {tool.failure}" if tool.failure else f"{tool.runs[-1]['seconds']:.2f} s"
                say(f"{name}: {tool.label}, run {number} of {self.count}: {took}")
        return {"case": name, "bytes": sum(filled.blobs.values()), "tools": tools}

    def prepare_again(self, tools, filled, ends):
        """Everything into the target; skopeo keeps what it learnt of it."""
        for tool in tools:
            self.fresh_home(tool)
            if tool.name == "skopeo":
                say(f"again: filling the target with {tool.label}")
                self.target.empty()
                self.run(tool, filled, ends)
                tool.runs.clear()

    def measure_lines(self, name):
        """Says how far the registries really are."""
        for line in self.lines:
            first, next_ = (seconds * 1000 for seconds in line.round_trips())
            say(f"{name}: the {line.registry.name} answers a first request in {first:.1f} ms, others in {next_:.1f} ms")

    def run(self, tool, filled, ends):
        """One run; its figures go to the tool's, its failure too."""
        output, before = os.path.join(self.work, "output"), self.meters()
        figures = self.measure(tool, output)
        after = self.meters()
        spent = {key: after[key] - before[key] for key in ("source", "target", "lines", "machine")}
        for key in ("source", "target", "lines"):
            figures[f"{key}_processor"] = spent[key]
        others = spent["machine"] - spent["source"] - spent["target"] - spent["lines"] - figures["processor"]
        figures["other_processor"] = max(others, 0.0)
        figures["from_source"], figures["read"] = self.source.asked(before["source_log"])
        figures["to_target"], _ = self.target.asked(before["target_log"])
        try:
            self.judge(tool, filled, figures, output, prefix_of(ends[0]))
            if ends is self.lines:
                judge_lines(figures, filled, before, after)
            tool.runs.append(figures)
        except Failed as failure:
            tool.failure = str(failure)

    def measure(self, tool, output):
        result, given = os.path.join(self.work, "result.json"), os.path.join(self.work, "input")
        with open(given, "w", encoding="utf-8") as file:
            file.write(tool.stdin)
        python = [sys.executable, "-I", "-S", "-B", os.path.join(HERE, "runner.py")]
        runner = ["setpriv", "--pdeathsig", "TERM", *python, result, str(LIMIT)]
        with open(given, "rb") as stdin, open(output, "wb") as sink:
            process = subprocess.Popen(
                [*runner, *tool.command], stdin=stdin, stdout=sink, stderr=sink, env=self.environment(tool)
            )
        try:
            if process.wait() != 0:
                raise SystemExit(f"bench: error: the runner ended with {process.returncode}")
        finally:
            process.terminate()  # when we are to end in the middle of a run: it ends the tool
            process.wait()
        with open(result, encoding="utf-8") as file:
            return json.load(file)

    def environment(self, tool):
        """Nothing of the user's: no settings, no credentials, no proxy."""
        home = self.home(tool)
        return {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "XDG_DATA_HOME": home,
            "XDG_RUNTIME_DIR": home,
            "KUBECONFIG": "/dev/null",
            # has skopeo keep its notes of where blobs are in the home above; as
            # root it would share the machine's, in /var/lib
            "_CONTAINERS_ROOTLESS_UID": "1000",
        }

    def meters(self):
        """What is counted before and after a run."""
        through = [line.through() for line in self.lines]
        return {
            "machine": processor_of_machine(),
            "source": self.source.processor(),
            "target": self.target.processor(),
            "through": through,
            "lines": sum(line["processor"] for line in through),
            "source_log": self.source.mark(),
            "target_log": self.target.mark(),
        }

    def judge(self, tool, filled, figures, output, prefix):
        """Fails a run that did not do all of its work."""
        if figures["code"] != 0:
            with open(output, encoding="utf-8", errors="replace") as file:
                said = " / ".join(file.read().strip().splitlines()[-4:])
            late = f" after {LIMIT} s" if figures["seconds"] >= LIMIT else ""
            raise Failed(f"ended with {figures['code']}{late}: {said}")
        if tool.name in ("floor", "checked"):
            lacking = images.missing_blobs(self.target, "floor", filled.blobs.items())
            if lacking:
                raise Failed(f"not in the target: {lacking}")
            return
        if figures["to_target"] < len(filled.images):
            raise Failed(f"asked the target only {figures['to_target']} times")
        for repository, digest in filled.images:
            lacking = images.missing(self.target, f"{prefix}/{repository}", digest, "1")
            if lacking:
                raise Failed(f"not in the target: {lacking}")

    def home(self, tool):
        return os.path.join(self.work, f"home-{re.sub('[^a-z0-9]+', '-', tool.label)}")

    def fresh_home(self, tool):
        shutil.rmtree(self.home(tool), ignore_errors=True)
        os.makedirs(self.home(tool))


# What a registry wrote and nobody read, of a connection that was given up: both sides' buffers.
GIVEN_UP = 8_000_000


def judge_lines(figures, filled, before, after):
    """Fails a run that went past the lines: all that it read and wrote is to have come through them."""
    gone = [{key: new[key] - old[key] for key in new} for old, new in zip(before["through"], after["through"])]
    size = sum(filled.blobs.values())
    read = max(size, figures["read"] - GIVEN_UP)
    for name, through, wanted in (("source", gone[0]["down"], read), ("target", gone[1]["up"], size)):
        if through < wanted:
            raise Failed(f"{wanted} bytes are to go through the line to the {name}, and {through} did")


def facts(plugin, work):
    """What was measured, on what, and when."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        f"{now:%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({model.group(1) if model else platform.machine()}), "
        f"Linux {platform.release()}, storage on {place.kind(work)}; image-cloner {version(plugin, 'version')}, "
        f"skopeo {version('skopeo')}, docker-registry {version('docker-registry')}, curl {version('curl')}"
    )


def version(program, asked="--version"):
    environment = {**os.environ, "KUBECONFIG": "/dev/null"}
    said = subprocess.run([program, asked], capture_output=True, text=True, check=False, env=environment).stdout
    found = re.search(r"\d+\.\d+[^\s,]*", said)
    return found.group(0) if found else "of unknown version"


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("cases", nargs="+", choices=tuple(images.CASES))
    return parser.parse_args()


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        registries = [stack.enter_context(Registry(arguments.work, name)) for name in ("source", "target")]
        wide = [stack.enter_context(Far(registry)) for registry in registries]
        narrow = [stack.enter_context(Far(registries[0], RATE)), wide[1]]
        bench = Bench(arguments, registries, wide, narrow)
        results = [bench.case(name) for name in arguments.cases]
        code = report(results, bench.count, bench.divisor)
        print(f"\n{facts(arguments.plugin, arguments.work)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
