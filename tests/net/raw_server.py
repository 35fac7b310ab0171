"""A server on loopback that sends exactly what a script tells it to, byte by byte if need be."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable


class Line:
    """One connection, from the server's side. Everything ends when the client or the server goes."""

    def __init__(self, connection: socket.socket, closing: threading.Event) -> None:
        self.connection, self.closing = connection, closing

    def hear(self) -> bytes:
        """The head of a request, and what of its body came with it."""
        head = b""
        while b"\r\n\r\n" not in head and (part := self.connection.recv(65_536)):
            head += part
        return head

    def say(self, data: bytes) -> None:
        self.connection.sendall(data)

    def drip(self, data: bytes, pause: float = 0.05) -> None:
        """One byte at a time, again and again."""
        at = 0
        while not self.closing.wait(pause):
            self.say(data[at : at + 1])
            at = (at + 1) % len(data)

    def wait(self) -> None:
        """Say nothing."""
        self.closing.wait()

    def reset(self) -> None:
        """Break the connection off, without a goodbye."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class RawServer:
    """Runs `script` for each connection in a thread of its own. heads: what was heard; use it in a `with`."""

    def __init__(self, script: Callable[[Line], None]) -> None:
        self.script = script
        self.heads: list[bytes] = []
        self.closing = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes who waits for connections
        for thread in self._threads:
            thread.join(5)
        self._listening.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            connection, _ = self._listening.accept()
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        line = Line(connection, self.closing)
        try:
            if not self.closing.is_set():
                self.heads.append(head := line.hear())
                if head:
                    self.script(line)
        except OSError:
            pass  # the client is gone, which is what it may do
        finally:
            connection.close()


def answer(body: bytes, headers: str = "", status: str = "200 OK") -> bytes:
    """A whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body
