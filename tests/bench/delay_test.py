"""The line (delay.py): it changes no byte, loses no end, and is as long as it says."""

import os
import socket
import sys
import threading
import time
import types
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from far import ROUND_TRIP, Far  # noqa: E402

LIMIT = 20  # seconds until a test that hangs fails
PIECES = [os.urandom(size) for size in (1, 4096, 25_000_000, 70_000, 5_000_000)]


class Line(unittest.TestCase):
    def through(self, serve, use, rate=None):
        """Has one connection served at the far end and used at the near one; gives what `use` gives."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(LIMIT)
            registry = types.SimpleNamespace(port=server.getsockname()[1], name="test")

            def accept():
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(LIMIT)
                    serve(connection)

            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            with Far(registry, rate) as line:
                self.begin = time.monotonic()
                with socket.create_connection(("127.0.0.1", line.port), LIMIT) as client:
                    given = use(client, line)
                thread.join(LIMIT)
                self.assertFalse(thread.is_alive(), "the far end saw no end")
                return given

    def test_bytes_and_ends_arrive_in_both_directions_and_are_counted(self):
        sent = b"".join(PIECES)

        def use(client, line):
            for piece in PIECES:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
            return rest(client), line.through()

        def serve(far):
            time.sleep(0.2)  # what comes meanwhile is more than fits on the way
            far.sendall(rest(far))

        answer, through = self.through(serve, use)
        self.assertTrue(answer == sent, f"{len(answer)} bytes came back of {len(sent)}")
        self.assertEqual((through["connections"], through["up"], through["down"]), (1, len(sent), len(sent)))

    def test_a_first_answer_takes_two_round_trips_and_the_next_ones_one(self):
        def serve(far):
            while got := far.recv(1):
                far.sendall(got)

        def use(client, _):
            took = []
            for _ in range(3):
                begin = time.monotonic()
                client.sendall(b"?")
                client.recv(1)
                self.finished = time.monotonic()
                took.append(self.finished - begin)
            return took

        _, *others = self.through(serve, use)
        # only what is too short is wrong: a busy machine takes longer
        self.assertGreaterEqual(self.finished - self.begin, 4 * ROUND_TRIP)
        for took in others:
            self.assertGreaterEqual(took, ROUND_TRIP)

    def test_a_limited_connection_brings_all_and_no_faster_than_it_is_said_to(self):
        sent = os.urandom(3_000_000)

        def use(client, _):
            answer = rest(client)
            return answer, time.monotonic() - self.begin

        answer, took = self.through(lambda far: far.sendall(sent), use, rate=5_000_000)
        self.assertTrue(answer == sent, f"{len(answer)} bytes came of {len(sent)}")
        # what was read last is not waited for
        self.assertGreaterEqual(took, (len(sent) - (1 << 18)) / 5_000_000)

    def test_a_client_that_goes_away_is_seen_at_the_far_end(self):
        def use(client, _):
            client.sendall(b"request")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closed by a reset

        self.through(rest, use)


def rest(connection):
    """All that comes until the end."""
    pieces = []
    while piece := connection.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


if __name__ == "__main__":
    unittest.main()
