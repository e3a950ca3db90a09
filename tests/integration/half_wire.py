"""A TCP relay on loopback that can lose what goes one way: the connection stays up, and one side is not heard any more."""

import contextlib
import socket
import threading

CHUNK_BYTES = 65536


class HalfWire:
    """Relays connections to `port`. While `mute`, what its target says is lost; `mend` breaks the connections that lost some."""

    def __init__(self, port: int) -> None:
        self.mute = False
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def mend(self) -> None:
        self.mute = False
        self._break()

    def close(self) -> None:
        self._listener.close()
        self._break()

    def _break(self) -> None:
        for end in self._sockets[:]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                self._sockets += near, far
                threading.Thread(target=self._relay, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._relay, args=(far, near, True), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                if not (answers and self.mute):
                    sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
