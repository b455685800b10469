#!/usr/bin/env python3
"""Runs a command on a terminal of its own, answers its questions, and draws what the screen then shows.

usage: picture.py OUT.svg PROMPT=ANSWER... -- SHOWN COMMAND...

SHOWN is the command line as it is drawn; COMMAND is what runs. Standard library only.
"""

import fcntl
import html
import os
import pty
import re
import select
import struct
import sys
import termios
import time

COLUMNS, ROWS, PATIENCE = 80, 60, 120
CELL, LINE, PAD, SIZE = 8.4, 19, 16, 14
BACKGROUND, PLAIN = "#0d1117", "#e6edf3"
COLOURS = {31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea", 90: "#8b949e"}
ESCAPE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")


class Screen:
    """As much of a terminal as prompts and progress bars need: rows of (character, style)."""

    def __init__(self):
        self.rows, self.row, self.column, self.style = [[]], 0, 0, ("", False, False)

    def line(self):
        while len(self.rows) <= self.row:
            self.rows.append([])
        return self.rows[self.row]

    def put(self, character):
        if self.column == COLUMNS:
            self.row, self.column = self.row + 1, 0
        line = self.line()
        line.extend([(" ", ("", False, False))] * (self.column + 1 - len(line)))
        line[self.column] = (character, self.style)
        self.column += 1

    def paint(self, codes):
        colour, bold, dim = self.style
        for code in codes or [0]:
            if code == 0:
                colour, bold, dim = "", False, False
            elif code == 1:
                bold = True
            elif code == 2:
                dim = True
            elif code == 22:
                bold = dim = False
            elif code == 39:
                colour = ""
            elif code in COLOURS:
                colour = COLOURS[code]
        self.style = (colour, bold, dim)

    def control(self, parameters, command):
        if parameters.startswith("?"):
            return
        numbers = [int(number) for number in parameters.split(";") if number]
        first = numbers[0] if numbers else 1
        if command == "m":
            self.paint(numbers)
        elif command == "A":
            self.row = max(0, self.row - first)
        elif command == "B":
            self.row += first
        elif command == "C":
            self.column = min(COLUMNS, self.column + first)
        elif command == "D":
            self.column = max(0, self.column - first)
        elif command == "G":
            self.column = first - 1
        elif command == "K":
            erase = numbers[0] if numbers else 0
            if erase == 2:
                self.line().clear()
            elif erase == 0:
                del self.line()[self.column :]
        elif command == "J":
            del self.line()[self.column :]
            del self.rows[self.row + 1 :]

    def feed(self, text):
        at = 0
        while at < len(text):
            found = ESCAPE.match(text, at)
            if found:
                self.control(*found.groups())
                at = found.end()
                continue
            character = text[at]
            at += 1
            if character == "\r":
                self.column = 0
            elif character == "\n":
                self.row += 1
                self.line()
            elif character == "\b":
                self.column = max(0, self.column - 1)
            elif character >= " ":
                self.put(character)


def record(command, answers, screen):
    """Runs the command to its end; gives its exit code."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS))
        os.environ.pop("NO_COLOR", None)
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    end, pending, seen = time.monotonic() + PATIENCE, list(answers), b""
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 0.5)
        if not ready:
            if pending and pending[0][0] in seen.decode(errors="replace"):
                os.write(terminal, pending.pop(0)[1].encode() + b"\r")
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    else:
        sys.exit(f"picture.py: {command[0]} did not end; it printed:\n{seen.decode(errors='replace')}")
    screen.feed(seen.decode(errors="replace"))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def spans(line):
    """The runs of one style in a row: (column, text, style)."""
    found, start = [], 0
    for at in range(1, len(line) + 1):
        if at == len(line) or line[at][1] != line[start][1]:
            text = "".join(character for character, _ in line[start:at])
            if text.strip():
                found.append((start, text, line[start][1]))
            start = at
    return found


def draw(rows, label):
    height = LINE * len(rows) + 2 * PAD
    width = int(CELL * COLUMNS + 2 * PAD)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        f"<title>{html.escape(label)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}" stroke="#30363d"/>',
        f'<g fill="{PLAIN}" font-size="{SIZE}" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" xml:space="preserve">',
    ]
    for number, line in enumerate(rows):
        y = PAD + LINE * number + SIZE
        for column, text, (colour, bold, dim) in spans(line):
            stripped = text.rstrip()
            style = f' fill="{colour}"' if colour else ""
            style += ' font-weight="bold"' if bold else ""
            style += ' opacity="0.7"' if dim else ""
            # the length keeps columns straight whatever font the reader has
            length = f"{CELL * len(stripped):.1f}"
            out.append(
                f'<text x="{PAD + CELL * column:.1f}" y="{y}" textLength="{length}"{style}>{html.escape(stripped, quote=False)}</text>'
            )
    return "\n".join(out + ["</g>", "</svg>", ""])


def main():
    arguments = sys.argv[1:]
    split = arguments.index("--")
    out, answers = arguments[0], [tuple(pair.split("=", 1)) for pair in arguments[1:split]]
    shown, command = arguments[split + 1], arguments[split + 2 :]
    screen = Screen()
    screen.feed("\x1b[32m$\x1b[0m \x1b[1m" + shown + "\x1b[0m\r\n")
    # 3: done, and something was left as the picture shows
    code = record(command, answers, screen)
    if code not in (0, 3):
        text = "\n".join("".join(character for character, _ in row) for row in screen.rows)
        sys.exit(f"picture.py: exit code {code}:\n{text}")
    rows = screen.rows
    while rows and not "".join(character for character, _ in rows[-1]).strip():
        rows.pop()
    with open(out, "w", encoding="utf-8") as file:
        file.write(draw(rows, "A terminal: " + shown))


main()
