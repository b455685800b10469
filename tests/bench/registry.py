"""A registry of the benchmark's own: Debian's docker-registry on a free loopback
port, with its storage in a folder that can be emptied.

Anonymous, plain HTTP. Its access log says what a tool has asked of it. The
process ends with the benchmark, even where that is killed.
"""

import http.client
import os
import re
import shutil
import socket
import subprocess
import time

CONFIGURATION = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: "{data}"}}
  cache: {{blobdescriptor: inmemory}}
http:
  addr: 127.0.0.1:{port}
  secret: bench
"""

# 127.0.0.1 - - [date] "GET /v2/… HTTP/1.1" 200 1234 "" "agent"
LOGGED = re.compile(r'"([A-Z]+) \S+ HTTP/1\.1" (\d+) (\d+) ')
TICKS = os.sysconf("SC_CLK_TCK")


def processor_of_machine():
    """Processor seconds that anything on this machine has used so far."""
    with open("/proc/stat", encoding="utf-8") as file:
        user, nice, system, _idle, _wait, irq, softirq = map(int, file.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


class Registry:
    """One registry; usable as a context."""

    def __init__(self, folder, name):
        self.folder = os.path.join(folder, name)
        self.name = name
        self.process = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def host(self):
        return f"localhost:{self.port}"

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def start(self):
        os.makedirs(os.path.join(self.folder, "data"))
        configuration = os.path.join(self.folder, "config.yml")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(data=os.path.join(self.folder, "data"), port=self.port))
        # setpriv becomes the registry: the process id is the registry's
        with open(self._log("access"), "wb") as access, open(self._log("error"), "wb") as errors:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", configuration],
                stdin=subprocess.DEVNULL,
                stdout=access,
                stderr=errors,
                env={"PATH": os.environ["PATH"], "HOME": self.folder},
            )
        deadline = time.monotonic() + 20
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(self._log("error"), encoding="utf-8", errors="replace") as file:
                    raise SystemExit(f"bench: error: the {self.name} registry does not start:\n{file.read()[-2000:]}")
            time.sleep(0.02)

    def stop(self):
        if self.process is not None:
            self.process.kill()  # its storage goes away: nothing to be kept
            self.process.wait()
            self.process = None

    def empty(self):
        """Starts again with nothing in it, on the same port."""
        self.stop()
        shutil.rmtree(self.folder)
        self.start()

    def mark(self):
        """A place in the access log, for `asked`."""
        return os.path.getsize(self._log("access"))

    def asked(self, since):
        """How many requests there were since the mark, and the bytes given in answer."""
        with open(self._log("access"), encoding="utf-8", errors="replace") as file:
            file.seek(since)
            found = LOGGED.findall(file.read())
        return len(found), sum(int(size) for method, _, size in found if method == "GET")

    def processor(self):
        """Processor seconds it has used so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def _log(self, kind):
        return os.path.join(self.folder, f"{kind}.log")

    def _answers(self):
        connection = self.connect()
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
