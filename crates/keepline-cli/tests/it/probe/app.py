# An application for servers of Python, by WSGI.
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "13")])
    return [b"Hello, World!"]
