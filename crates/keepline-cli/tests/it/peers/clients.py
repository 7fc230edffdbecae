"""Clients of Python against `keepline serve`: each asks the same, and compares every byte.

usage: clients.py LIBRARY URL [AUTHORITY]: prints how many connections the server saw.
"""

import asyncio
import socket
import sys
from urllib.parse import urlsplit

LINES = "".join(f"line {n:017} keepline\n" for n in range(1, 2001)).encode()
UPLOAD = bytes(range(256)) * 400


def script():
    """What is asked, and what comes back: method, path, content, status, expected content."""
    for _ in range(3):
        yield "GET", "/", None, 200, b"Hello, World!"
        yield "GET", "/lines/2000", None, 200, LINES
        yield "GET", "/chunked/100000", None, 200, b"." * 100000
        yield "POST", "/echo", UPLOAD, 200, UPLOAD
        yield "GET", "/status/204", None, 204, b""
        yield "GET", "/status/404", None, 404, b"404 Not Found\n"
        yield "HEAD", "/bytes/100", None, 200, b""
        # An upload that nobody reads.
        yield "POST", "/status/403", UPLOAD, 403, b"403 Forbidden\n"


def check(asked, status, content):
    _, path, _, expected_status, expected = asked
    if status != expected_status or content != expected:
        sys.exit(f"{path}: {status}, {content[:80]!r}")


def requests_library(base, authority):
    import requests

    with requests.Session() as session:
        # Else its environment would say whom it trusts.
        session.trust_env = False
        session.verify = authority or True
        for asked in script():
            answer = session.request(asked[0], base + asked[1], data=asked[2])
            check(asked, answer.status_code, answer.content)
        return session.get(base + "/connection").json()["id"]


def httpx_library(base, authority, http2=False):
    import ssl

    import httpx

    verify = ssl.create_default_context(cafile=authority) if authority else True
    with httpx.Client(verify=verify, http2=http2, trust_env=False) as client:
        for asked in script():
            answer = client.request(asked[0], base + asked[1], content=asked[2])
            check(asked, answer.status_code, answer.content)
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        return client.get(base + "/connection").json()["id"]


async def aiohttp_library(base, authority):
    import ssl

    import aiohttp

    verify = ssl.create_default_context(cafile=authority) if authority else True
    connector = aiohttp.TCPConnector(limit=4, ssl=verify)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(asked):
            async with session.request(asked[0], base + asked[1], data=asked[2]) as answer:
                check(asked, answer.status, await answer.read())

        # At once, over the four connections that it may have.
        await asyncio.gather(*(ask(asked) for asked in script()))
        async with session.get(base + "/stats") as answer:
            return (await answer.json())["opened"]


def by_hand(base, _authority):
    """Pipelined, and a FIN in the middle of a further request: what came whole is answered."""
    parts = urlsplit(base)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        paths = ["/bytes/3", "/lines/2", "/status/404", "/chunked/2"]
        whole = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths)
        connection.sendall(whole.encode() + b"GET /bytes/9 HTTP/1.1\r\nHo")
        connection.shutdown(socket.SHUT_WR)
        answers = b""
        while piece := connection.recv(65536):
            answers += piece
    expected = [b"...", LINES[:64], b"404 Not Found\n", b"2\r\n..\r\n0\r\n\r\n"]
    for content in expected:
        head, _, answers = answers.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 ") or not answers.startswith(content):
            sys.exit(f"{head!r} {answers[:100]!r}")
        answers = answers[len(content) :]
    # The part of a request is refused.
    if not answers.startswith(b"HTTP/1.1 400 ") or answers.count(b"HTTP/1.1 ") != 1:
        sys.exit(f"behind the answers: {answers!r}")
    return 1


def main():
    library, base, *authority = sys.argv[1:]
    authority = authority[0] if authority else None
    if library == "requests":
        connections = requests_library(base, authority)
    elif library == "aiohttp":
        connections = asyncio.run(aiohttp_library(base, authority))
    elif library == "by-hand":
        connections = by_hand(base, authority)
    else:
        connections = httpx_library(base, authority, http2=library == "httpx-http2")
    print(connections)


main()
