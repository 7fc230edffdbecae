# Python's httpx with a client. Arguments: URL, method.
import sys
import time

import httpx

url, method = sys.argv[1:]
client = httpx.Client(timeout=2, trust_env=False)


def ask():
    began = time.monotonic()
    try:
        # Its timeout is one for each read; together they are bounded by the run's own.
        response = client.request(method, url, content="hi" if method == "POST" else None)
        return f"ok {response.text}"
    except httpx.TimeoutException:
        return "timeout"
    except httpx.HTTPError:
        return "timeout" if time.monotonic() - began >= 2 else "error"


for number in range(3):
    if number > 0:
        time.sleep(0.333)
    print(ask(), flush=True)
