# An ASGI application: many lines everywhere; what is posted comes back.
LINES = b"a line of thirty-two characters\n" * 4000


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    content, more = b"", True
    while more:
        event = await receive()
        content += event.get("body", b"")
        more = event.get("more_body", False)
    body = content if scope["method"] == "POST" else LINES
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})
