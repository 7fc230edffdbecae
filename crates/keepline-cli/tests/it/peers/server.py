"""Python's http.server: 4000 lines for every path; at /tenth it says close with every tenth answer
of a connection. Arguments: port, idle timeout in milliseconds."""

import http.server
import sys

BODY = b"a line of thirty-two characters\n" * 4000


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = int(sys.argv[2]) / 1000
    requests = 0

    def do_GET(self):
        self.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        if self.path == "/tenth" and self.requests % 10 == 0:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
