# Python's requests with a session. Arguments: URL, method.
import sys
import time

import requests

url, method = sys.argv[1:]
session = requests.Session()
session.trust_env = False


def ask():
    began = time.monotonic()
    try:
        # Its timeout is one for each read; together they are bounded by the run's own.
        response = session.request(method, url, data="hi" if method == "POST" else None, timeout=2)
        return f"ok {response.text}"
    except requests.exceptions.Timeout:
        return "timeout"
    except requests.exceptions.RequestException:
        return "timeout" if time.monotonic() - began >= 2 else "error"


for number in range(3):
    if number > 0:
        time.sleep(0.333)
    print(ask(), flush=True)
