"""One request by hand: is the right answer there, and how long is it?"""

import socket

from .process import VoidRun

HELLO = b"Hello, World!"


def answer_length(port: int) -> int:
    """Length of the whole answer to GET /; a wrong answer voids the run."""
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            while not answer.endswith(HELLO):
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
    except OSError as error:
        raise VoidRun(f"{error} after {answer[:300]!r}") from None
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = head.lower().split(b"\r\n")
    if not head.startswith(b"HTTP/1.1 200") or body != HELLO:
        raise VoidRun(f"wrong answer: {answer[:300]!r}")
    if b"connection: close" in fields or b"content-length: 13" not in fields:
        raise VoidRun(f"an answer that ends the connection or has no length: {head!r}")
    return len(answer)
