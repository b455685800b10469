#!/usr/bin/env python3
"""Measures how long the plan for 300 workloads with 60 images takes, in a cluster of the test bed.

usage: . DIR/env && plan.py --plugin FILE [--runs N]     (DIR: of tests/testbed/up.sh)

Makes a namespace with 300 Deployments that run nothing, has them planned as a
dry run, and takes them away. A run's figures: from its start to the plan on
the screen, and from the last answer of the API server before that, as its log
tells. Prints the figures, judges none.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

WORKLOADS, IMAGES = 300, 60
LIMIT = 300  # seconds for one command


def deployment(number, image):
    """A Deployment that runs nothing."""
    name = f"w{number:03}"
    return f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: web, image: '{image}'}}]}}
"""


def kubectl(*args, stdin=None):
    subprocess.run(["kubectl", *args], input=stdin, text=True, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)


def plugin_environment():
    """The bed's registries, and nothing of the user's."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "KUBECONFIG")}
    return {
        **keep,
        "IMAGE_CLONER_CONFIG": os.environ["TESTBED_CONFIG"],
        "IMAGE_CLONER_USER": os.environ["TESTBED_TARGET_USER"],
        "IMAGE_CLONER_PASS": os.environ["TESTBED_TARGET_PASS"],
        "IMAGE_CLONER_PULL_USER": os.environ["TESTBED_PULL_USER"],
        "IMAGE_CLONER_PULL_PASS": os.environ["TESTBED_PULL_PASS"],
        "NO_COLOR": "1",
    }


def one_run(command, environment):
    """Seconds from the start to the plan, from the API server's last answer to the plan, and all answers."""
    begun = time.monotonic()
    process = subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    planned = answered = None
    answers, last = 0, ""
    for line in process.stderr:
        last = line
        if planned is not None:
            continue
        if "asked the API server" in line:
            answered = time.monotonic()
            answers += 1
        elif line.startswith("repoint "):
            planned = time.monotonic()
    code = process.wait(timeout=LIMIT)
    if code != 0 or planned is None or answered is None:
        sys.exit(f"plan.py: error: no plan, exit code {code}: {last.strip()}")
    return planned - begun, planned - answered, answers


def main():
    parser = argparse.ArgumentParser(description="how long a plan takes")
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    namespace = f"bench-{os.getpid()}"
    source = f"{os.environ['TESTBED_OPEN_TARGET']}/{namespace}"
    target = f"{os.environ['TESTBED_TARGET']}/{namespace}"
    environment = {**plugin_environment(), "IMAGE_CLONER_REGISTRY": target}
    images = [f"{source}/img-{number:02}:1" for number in range(IMAGES)]
    for image in images:
        subprocess.run(
            [options.plugin, "copy", "busybox:1.36", "--as", image],
            env=environment, check=True, timeout=LIMIT, capture_output=True,
        )
    kubectl("create", "namespace", namespace)
    try:
        workloads = (deployment(number, images[number % IMAGES]) for number in range(WORKLOADS))
        kubectl("apply", "-n", namespace, "-f", "-", stdin="".join(workloads))
        command = [options.plugin, "--v=6", "clone", f"ns/{namespace}", "--dry-run"]
        runs = [one_run(command, environment) for _ in range(options.runs)]
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")
    whole, after, answers = zip(*runs)
    print(f"plan of {WORKLOADS} workloads with {IMAGES} images, median of {len(runs)} runs:")
    print(f"  {statistics.median(after):.2f} s after the last of {answers[0]} answers of the API server"
          f" ({min(after):.2f}-{max(after):.2f})")
    print(f"  {statistics.median(whole):.2f} s in all ({min(whole):.2f}-{max(whole):.2f})")


if __name__ == "__main__":
    main()
