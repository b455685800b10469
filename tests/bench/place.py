"""Chooses the folder for the registries' storage and prints it.

usage: place.py [--quick] [--dir FOLDER] CASE...

In memory (/dev/shm) where the cases fit into it and leave the machine enough, so
that no disk is measured; else the folder for temporary files. A folder that is
named is used or refused.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import images  # noqa: E402

MEGA = 1_000_000
MEMORY = "/dev/shm"
LEFT = 1_500 * MEGA  # of memory, for the registries, the tools and everybody else
QUICK = 16  # how many times smaller the layers are in a quick run


def needed(cases, divisor):
    """What both registries store at most, one case after the other."""
    largest = max(images.size(case, divisor) for case in cases)
    return largest * 21 // 10 + 100 * MEGA


def free_memory():
    """What may still be used, of the machine's memory and of what a container may use."""
    with open("/proc/meminfo", encoding="ascii") as file:
        said = dict(line.split(":", 1) for line in file)
    free = int(said["MemAvailable"].split()[0]) * 1024
    limit, used = (contents(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    return min(free, int(limit) - int(used)) if limit and used and limit != "max" else free


def contents(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def room(folder):
    """Bytes that the registries may store in a folder."""
    free = shutil.disk_usage(folder).free
    return min(free, free_memory() - LEFT) if kind(folder) == "tmpfs" else free


def kind(folder):
    """The name of a folder's file system; tmpfs is memory."""
    said = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dir")
    parser.add_argument("cases", nargs="+", choices=tuple(images.CASES))
    arguments = parser.parse_args()
    wanted = needed(arguments.cases, QUICK if arguments.quick else 1)
    lacking = []
    for folder in [arguments.dir] if arguments.dir else [MEMORY, tempfile.gettempdir()]:
        if not os.path.isdir(folder):
            lacking.append(f"{folder} is no folder")
        elif room(folder) < wanted:
            lacking.append(f"{folder} has {max(room(folder), 0) // MEGA} MB to spare")
        else:
            said = "".join(f" ({reason})" for reason in lacking)
            print(f"bench: stores up to {wanted // MEGA} MB in {folder}{said}", file=sys.stderr)
            print(os.path.abspath(folder))
            return
    raise SystemExit(f"bench: error: needs {wanted // MEGA} MB for the registries: {', '.join(lacking)}")


if __name__ == "__main__":
    main()
