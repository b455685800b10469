"""A line to somewhere far: passes connections on to a port of this machine, and
every byte arrives half a round trip after it was sent, in either direction.

usage: delay.py PORT ROUND_TRIP [RATE]

ROUND_TRIP is in seconds, RATE what each connection brings from there, in bytes per
second (default: as much as there is). The first line on stdout is the port on which
it listens; each line on stdin is answered with what went through so far, as JSON;
where stdin ends, it ends.

What it is like: a line that is long, not narrow, with a store at its end that may
limit each connection. There is no loss and no slow start; a receiver that does not
read holds its sender back, as the windows of TCP do.

A TCP handshake costs a client one round trip before its first byte leaves. No
program can delay the handshake of its own listening socket, the kernel does that;
so what comes first on a new connection is left unread for a round trip. It then
takes as long as on a real line: one and a half round trips until the first byte is
there, two until the answer. (Only the client sees its `connect` return at once.)
"""

import asyncio
import collections
import json
import os
import selectors
import sys
import time

END = object()  # in place of bytes: the sender has no more of them
LOST = object()  # the connection is gone


class Line:
    """What is on its way. All of it takes equally long: one queue, one timer."""

    def __init__(self, loop, port, round_trip, rate):
        self.loop = loop
        self.port = port
        self.round_trip = round_trip
        self.rate = rate
        self.queue = collections.deque()
        self.connections = self.up = self.down = 0  # how many; bytes to and from the registry

    def send(self, receiver, what):
        self.queue.append((self.loop.time() + self.round_trip / 2, receiver, what))
        if len(self.queue) == 1:
            self.loop.call_at(self.queue[0][0], self.deliver)

    def deliver(self):
        now = self.loop.time()
        while self.queue[0][0] <= now:
            _, receiver, what = self.queue[0]
            receiver.arrived(what)
            self.queue.popleft()
            if not self.queue:
                return
        self.loop.call_at(self.queue[0][0], self.deliver)


class End(asyncio.Protocol):
    """One end of one connection. What it reads arrives at the other end."""

    def __init__(self, line, other=None):
        self.line = line
        self.other = other
        self.transport = None
        self.read_all = self.wrote_all = False
        self.held = False  # by a receiver that does not read

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=1 << 20)

    def data_received(self, data):
        self.line.send(self.other, data)

    def eof_received(self):
        self.read_all = True
        self.line.send(self.other, END)
        return not self.wrote_all  # an answer may still be on its way

    def connection_lost(self, _):
        if self.other:
            self.line.send(self.other, LOST)

    def pause_writing(self):
        self.other.held = True
        self.other.transport.pause_reading()

    def resume_writing(self):
        self.other.held = False
        self.other.read_on()

    def read_on(self):
        if not self.held:
            self.transport.resume_reading()

    def arrived(self, what):
        if self.transport.is_closing():
            return
        if what is LOST or (what is END and self.read_all):
            self.transport.close()
        elif what is END:
            self.wrote_all = True
            self.transport.write_eof()
        else:
            self.transport.write(what)


class ClientEnd(End):
    """The end at a client: opens the other one."""

    def connection_made(self, transport):
        super().connection_made(transport)
        self.line.connections += 1
        # not at once: until Python 3.12 its reader is added after this, paused or not
        self.line.loop.call_soon(transport.pause_reading)
        self.opening = asyncio.ensure_future(self.open(self.line.loop.time()))

    async def open(self, accepted):
        loop, line = self.line.loop, self.line
        try:
            _, self.other = await loop.create_connection(lambda: RegistryEnd(line, self), "127.0.0.1", line.port)
        except OSError:
            self.transport.abort()
            return
        await asyncio.sleep(accepted + line.round_trip - loop.time())
        self.transport.resume_reading()

    def data_received(self, data):
        self.line.up += len(data)
        super().data_received(data)


class RegistryEnd(End):
    """The end at the registry, which gives so much a second."""

    next_at = 0.0  # when more may be read
    waiting = False

    def data_received(self, data):
        self.line.down += len(data)
        super().data_received(data)
        if self.line.rate:
            loop = self.line.loop
            self.next_at = max(self.next_at, loop.time()) + len(data) / self.line.rate
            self.waiting = True
            self.transport.pause_reading()
            loop.call_at(self.next_at, self.go_on)

    def go_on(self):
        self.waiting = False
        self.read_on()

    def read_on(self):
        if not self.waiting:
            super().read_on()


def main():
    port, round_trip = int(sys.argv[1]), float(sys.argv[2])
    rate = float(sys.argv[3]) if len(sys.argv) > 3 else None
    # epoll waits whole milliseconds, select microseconds: of 20 ms, that is seen
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    asyncio.set_event_loop(loop)
    line = Line(loop, port, round_trip, rate)
    server = loop.run_until_complete(loop.create_server(lambda: ClientEnd(line), "127.0.0.1", 0, backlog=1024))

    def asked():
        if not os.read(0, 4096):
            loop.stop()
            return
        said = {
            "connections": line.connections,
            "up": line.up,
            "down": line.down,
            "processor": time.process_time(),
        }
        print(json.dumps(said), flush=True)

    loop.add_reader(0, asked)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.run_forever()
    os._exit(0)  # with connections open: nobody is to wait for their end


main()
