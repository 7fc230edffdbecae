"""What is asked of the programs: how much, how, and over how many connections."""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
HELLO = 13
LARGE = MIB
# Requests in flight on a connection, where they are pipelined.
PIPELINE = 16


@dataclass(frozen=True)
class Work:
    # Bytes of each answer.
    body: int = HELLO
    # Bytes of each request's content; 0: GET.
    post: int = 0
    # Of a load; for a pooled client the requests in flight, which decide how many it has.
    connections: int = 64
    # Requests in flight on each connection.
    pipeline: int = 1
    tls: bool = False
    # Different origins that a client's requests go round.
    origins: int = 1
    # A connection is closed after so many requests, by the side that is not measured.
    close_every: int = 0

    @property
    def is_common(self) -> bool:
        """That of the main tables, at which every program is measured."""
        return self in (Work(), Work(pipeline=PIPELINE))

    @property
    def path(self) -> str:
        """What is not made by the program itself is a file in its directory."""
        return "/" if self.body == HELLO else "/body"

    def body_bytes(self) -> bytes:
        text = b"Hello, World!"
        return (text * (self.body // len(text) + 1))[: self.body]

    def load_options(self) -> list[str]:
        """For the load programs of the bench, which share a command line."""
        options = ["-c", str(self.connections), "--body-bytes", str(self.body)]
        options += ["--post-bytes", str(self.post), "--pipeline", str(self.pipeline)]
        return options

    def serve_options(self) -> list[str]:
        """For the server programs of the bench, which share a command line too."""
        return ["--body-bytes", str(self.body), "--post-bytes", str(self.post)]
