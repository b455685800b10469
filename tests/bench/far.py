"""A registry as it is seen from far away: through a line of its own (delay.py),
which ends with the benchmark.

Tools are given the line's address. A registry names its uploads after the host it
was asked by, so that these stay on the line too; what went through says so.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROUND_TRIP = 0.040  # seconds
RATE = 20_000_000  # bytes a second, where a connection is limited


class Far:
    """A registry at the other end of a line; usable as a context."""

    def __init__(self, registry, rate=None):
        self.registry = registry
        self.limits = [str(ROUND_TRIP), *([str(rate)] if rate else [])]
        self.process = None
        self.port = None

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", os.path.join(HERE, "delay.py"), str(self.registry.port), *self.limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._line())
        return self

    def __exit__(self, *_):
        with self.process:  # closes its pipes and waits
            self.process.kill()

    @property
    def host(self):
        return f"localhost:{self.port}"

    def through(self):
        """What went through so far: connections, bytes up and down, its own processor seconds."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self._line())

    def round_trips(self):
        """Seconds that a small request takes: on a new connection, then on the open one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            took = [self._request(connection) for _ in range(10)]
        finally:
            connection.close()
        return took[0], statistics.median(took[1:])

    def _request(self, connection):
        begin = time.monotonic()
        connection.request("GET", "/v2/")
        connection.getresponse().read()
        return time.monotonic() - begin

    def _line(self):
        said = self.process.stdout.readline()
        if not said:
            raise SystemExit(f"bench: error: the line to the {self.registry.name} registry has ended")
        return said
