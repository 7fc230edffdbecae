"""One request by hand: is the right answer there, and how long is it?"""

import socket
import ssl

from .process import VoidRun
from .work import Work


def answer_length(port: int, work: Work) -> int:
    """Length of the whole answer; a wrong answer voids the run."""
    head, body = exchange(port, work)
    fields = head.lower().split(b"\r\n")
    if not head.startswith(b"HTTP/1.1 200") or body != work.body_bytes():
        raise VoidRun(f"wrong answer: {head[:300]!r} and {len(body)} bytes")
    if b"connection: close" in fields or f"content-length: {work.body}".encode() not in fields:
        raise VoidRun(f"an answer that ends the connection or has no length: {head!r}")
    return len(head) + 4 + len(body)


def exchange(port: int, work: Work) -> tuple[bytes, bytes]:
    """Head without its end, and body."""
    line = f"{'POST' if work.post else 'GET'} {work.path} HTTP/1.1\r\n"
    length = f"Content-Length: {work.post}\r\n" if work.post else ""
    request = f"{line}Host: 127.0.0.1:{port}\r\n{length}\r\n".encode() + b"x" * work.post
    answer = b""
    try:
        with _connect(port, work) as connection:
            connection.sendall(request)
            while not _is_whole(answer, work):
                piece = connection.recv(1 << 20)
                if not piece:
                    break
                answer += piece
    except OSError as error:
        raise VoidRun(f"{error} after {answer[:300]!r}") from None
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def _is_whole(answer: bytes, work: Work) -> bool:
    end = answer.find(b"\r\n\r\n")
    return end >= 0 and len(answer) >= end + 4 + work.body


def _connect(port: int, work: Work) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    if not work.tls:
        return plain
    # Whose certificate it is doesn't matter here; that it is TLS 1.3 does.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context.wrap_socket(plain)
