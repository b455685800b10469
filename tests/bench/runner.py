"""Runs one command and writes what it took, as the kernel counted it.

usage: runner.py RESULT LIMIT COMMAND...

RESULT gets JSON: seconds on the wall, seconds of processor time (of the command
and of everything it waited for), the peak resident memory of its largest process
in bytes, and the exit code. After LIMIT seconds the command's process group is
ended. A program of its own, and a small one: the kernel counts into a process's
peak also what its parent had resident when it was started, so that no figure can
be below this program's own some 10 MB.
"""

import json
import os
import signal
import sys
import threading
import time


def main():
    result, limit, command = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    begin = time.monotonic()
    # a group of its own, which can be ended as a whole
    pid = os.posix_spawnp(command[0], command, os.environ, setpgroup=0)

    def end(*_):
        os.killpg(pid, signal.SIGKILL)

    late = threading.Timer(limit, end)
    late.daemon = True
    late.start()
    signal.signal(signal.SIGTERM, end)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - begin
    late.cancel()
    with open(result, "w", encoding="ascii") as file:
        json.dump(
            {
                "seconds": seconds,
                "processor": usage.ru_utime + usage.ru_stime,
                "memory": usage.ru_maxrss * 1024,
                "code": os.waitstatus_to_exitcode(status),
            },
            file,
        )


main()
