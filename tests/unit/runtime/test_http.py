"""The small HTTP client: what it sends."""

import socket
import threading

from kubegrid.runtime import http


def test_a_secret_of_any_characters_is_sent_as_utf_8() -> None:
    received = b""

    def answer(listener: socket.socket) -> None:
        nonlocal received
        connection, _ = listener.accept()
        with connection:
            while b"\r\n\r\n" not in received:
                received += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer, args=(listener,))
        server.start()
        assert http.get(f"127.0.0.1:{listener.getsockname()[1]}", "/", "10 € für Ä") is True
        server.join()
    assert "Authorization: Bearer 10 € für Ä\r\n".encode() in received
