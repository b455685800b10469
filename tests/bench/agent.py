#!/usr/bin/env python3
"""Measures the agent's convergence beside a bare client, on a test bed without a node.

N Deployments without replicas, whose image is in the target already, are repointed by the agent with the
rollout limit lifted; then they are put back, and curl sends the very same patches and events, 16 at a time.
Prints both times, the agent's memory, the time to its first repoint, and what it asked for while there was
nothing to do; judges none.

usage: agent.py [--count N] [--agent FILE] [--runs N] [--rest SECONDS] [--no-bare]
(with the bed's environment: . DIR/env)

Nothing stays behind but an image in the bed's target registry.
"""

import argparse
import base64
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.parse

SPACE = "bench-agent"
IMAGE = "busybox:1.36"


def kubectl(*words, feed=None):
    run = subprocess.run(["kubectl", *words], input=feed, capture_output=True, text=True, check=True)
    return run.stdout


def deployment(number):
    name = f"web-{number:05}"
    pod = {"containers": [{"name": "web", "image": IMAGE}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


class Api:
    """Where the API server is, and curl's way in."""

    def __init__(self, folder):
        config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server = cluster["server"]
        self.folder = folder
        self.common = []
        for key, option, source in [
            ("certificate-authority", "cacert", cluster),
            ("client-certificate", "cert", user),
            ("client-key", "key", user),
        ]:
            path = source.get(key)
            if path is None:
                path = os.path.join(folder, option)
                with open(path, "wb") as file:
                    file.write(base64.b64decode(source[f"{key}-data"]))
            self.common.append(f'{option} = "{path}"')

    def send(self, requests):
        """Sends these, 16 at a time; the seconds that took."""
        parts = []
        for number, (method, path, kind, body) in enumerate(requests):
            file = os.path.join(self.folder, f"body-{number}")
            with open(file, "w", encoding="utf-8") as body_file:
                json.dump(body, body_file)
            parts.append(
                "\n".join(
                    [
                        f'url = "{self.server}{path}"',
                        f'request = "{method}"',
                        f'header = "Content-Type: {kind}"',
                        f'data-binary = "@{file}"',
                        f'output = "{os.devnull}"',
                        "fail",
                        *self.common,
                    ]
                )
            )
        file = os.path.join(self.folder, "requests")
        with open(file, "w", encoding="utf-8") as requests_file:
            requests_file.write("\nnext\n".join(parts))
        began = time.monotonic()
        curl = ["curl", "-sS", "--no-progress-meter", "--parallel", "--parallel-immediate", "--parallel-max", "16", "-K", file]
        subprocess.run(curl, check=True)
        return time.monotonic() - began


def requests_of(objects):
    """The patches and events that repointed these: the same that the agent sent."""
    requests = []
    for before, after in objects:
        name = after["metadata"]["name"]
        image = after["spec"]["template"]["spec"]["containers"][0]["image"]
        record = after["metadata"]["annotations"]["image-cloner.io/originals"]
        spot = "/spec/template/spec/containers/0/image"
        annotations = before["metadata"].get("annotations")
        key = "/metadata/annotations/image-cloner.io~1originals"
        patch = [
            {"op": "test", "path": "/spec/template/spec/containers/0/name", "value": "web"},
            {"op": "test", "path": spot, "value": IMAGE},
            {"op": "replace", "path": spot, "value": image},
            {"op": "add", "path": key, "value": record}
            if annotations
            else {"op": "add", "path": "/metadata/annotations", "value": {"image-cloner.io/originals": record}},
        ]
        path = f"/apis/apps/v1/namespaces/{SPACE}/deployments/{name}?fieldManager=image-cloner"
        requests.append(("PATCH", path, "application/json-patch+json", patch))
        event = {
            "metadata": {"name": f"{name}.bare", "namespace": SPACE},
            "involvedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": SPACE, "name": name},
            "reason": "Repointed",
            "message": f"web is {image} now",
            "type": "Normal",
            "source": {"component": "image-cloner"},
            "firstTimestamp": "2026-01-01T00:00:00Z",
            "lastTimestamp": "2026-01-01T00:00:00Z",
            "count": 1,
        }
        path = f"/api/v1/namespaces/{SPACE}/events?fieldManager=image-cloner"
        requests.append(("POST", path, "application/json", event))
    return requests


def listed(what):
    objects = json.loads(kubectl("get", what, "-n", SPACE, "-o", "json"))["items"]
    return sorted(objects, key=lambda it: it["metadata"]["name"])


def fill(count):
    """As many Deployments, as if nobody had touched them."""
    kubectl("delete", "namespace", SPACE, "--ignore-not-found", "--wait=true")
    kubectl("create", "namespace", SPACE)
    items = {"apiVersion": "v1", "kind": "List", "items": [deployment(n) for n in range(count)]}
    kubectl("create", "-f", "-", feed=json.dumps(items))
    settle(count)


def settle(count):
    """Waits until their controller has seen all of them."""
    while True:
        objects = listed("deployments")
        seen = [it for it in objects if it.get("status", {}).get("observedGeneration") == it["metadata"]["generation"]]
        if len(seen) == count:
            return
        time.sleep(2)


def agent(arguments, folder):
    """Starts it, waits until all are repointed and told of; its figures."""
    target = os.environ["TESTBED_OPEN_TARGET"] + "/bench"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "KUBECONFIG": os.environ["KUBECONFIG"],
        "IMAGE_CLONER_CONFIG": os.environ["TESTBED_CONFIG"],
        "IMAGE_CLONER_REGISTRY": target,
        "IMAGE_CLONER_NAMESPACES": SPACE,
        "IMAGE_CLONER_MAX_ROLLOUTS": "0",
        "RUST_LOG": "warn,image_cloner=info,image_cloner::cluster::request=debug",
        "RUST_BACKTRACE": "1",
        # as install-agent sets it
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    }
    log = os.path.join(folder, "log")
    words = [arguments.agent, "--metrics-bind-address=0", "--health-probe-bind-address=0"]
    help_text = subprocess.run([arguments.agent, "--help"], capture_output=True, text=True, check=True).stdout
    words = [words[0], *[word for word in words[1:] if word.split("=")[0] in help_text]]
    with open(log, "w", encoding="utf-8") as file, subprocess.Popen(words, env=environment, stderr=file) as process:
        try:
            patches = events = 0
            while patches < arguments.count or events < arguments.count:
                time.sleep(0.5)
                if process.poll() is not None:
                    raise SystemExit(f"the agent ended, see\n{open(log, encoding='utf-8').read()[-3000:]}")
                text = open(log, encoding="utf-8").read()
                patches = len(re.findall(r"method=PATCH .*status=\"ok\"", text))
                events = len(re.findall(r"method=POST .*/events.*status=\"ok\"", text))
            time.sleep(arguments.rest)
            memory = memory_of(process.pid)
            idle = open(log, encoding="utf-8").read()[len(text) :].count("method=")
        finally:
            process.kill()
    lines = text.splitlines()
    at = lambda line: line.split()[0]  # noqa: E731
    began = at(next(line for line in lines if "starting" in line))
    first = at(next(line for line in lines if "reference updated" in line))
    ended = at([line for line in lines if re.search(r"method=(PATCH|POST) ", line)][-1])
    others = len(re.findall(r"method=GET", text))
    return seconds(began, first), seconds(began, ended), memory, others, idle


def memory_of(process):
    """What it holds now, that part of it which is no file's, and the most it held: in MB."""
    status = open(f"/proc/{process}/status", encoding="utf-8").read()
    figures = [int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024 for name in ("VmRSS", "RssAnon", "VmHWM")]
    return "{:.1f} MB resident ({:.1f} anonymous), {:.1f} at most".format(*figures)


def seconds(start, end):
    number = lambda text: sum(  # noqa: E731
        float(part) * unit for part, unit in zip(text.rstrip("Z").split("T")[1].split(":"), (3600, 60, 1))
    )
    return (number(end) - number(start)) % 86400


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rest", type=float, default=20, help="seconds without work before memory is looked at")
    parser.add_argument("--no-bare", action="store_true", help="without curl's part")
    parser.add_argument("--agent", default="target/release/image-cloner-agent")
    arguments = parser.parse_args()
    for number in range(arguments.runs):
        with tempfile.TemporaryDirectory() as folder:
            fill(arguments.count)
            before = listed("deployments")
            first, whole, memory, others, idle = agent(arguments, folder)
            after = listed("deployments")
            print(
                f"run {number + 1}: agent {whole:.2f} s, first repoint {first:.2f} s, {others} reads; {memory}; "
                f"{idle} requests in {arguments.rest:.0f} s at rest",
                flush=True,
            )
            if arguments.no_bare:
                continue
            requests = requests_of(zip(before, after))
            fill(arguments.count)
            bare = Api(folder).send(requests)
        print(f"       bare client {bare:.2f} s, {whole / bare:.2f} times", flush=True)
    kubectl("delete", "namespace", SPACE, "--wait=false")


if __name__ == "__main__":
    main()
