# An application for servers of Python, by ASGI.
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = [(b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, World!"})
