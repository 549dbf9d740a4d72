"""Many streams from the model at once, from inside a sandbox.

Argument: how many. Says `begun` when each has its first piece, and at the end as JSON how many ended well, the longest
pause of any between two pieces in milliseconds, and every error.
"""

import asyncio
import collections
import json
import os
import ssl
import sys
import time

PROXY = ("127.0.0.1", 3128)
HOST = "inference.local"
BODY = json.dumps({"model": "auto", "stream": True, "messages": [{"role": "user", "content": "count"}]}).encode()

begun = ended = 0
longest = 0.0
errors = collections.Counter()


async def stream(room, trust):
    global begun, ended, longest
    async with room:
        reader, writer = await asyncio.open_connection(*PROXY)
        writer.write(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.split(b"\r\n")[0].decode())
        await writer.start_tls(trust, server_hostname=HOST)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.split(b"\r\n")[0].decode())
    said = await reader.read(4096)
    begun += 1
    last = time.monotonic()
    while not said.endswith(b"0\r\n\r\n"):
        piece = await reader.read(4096)
        if not piece:
            raise RuntimeError("it ended early")
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        said = said[-8192:] + piece
    if said.count(b"[DONE]") != 1:
        raise RuntimeError("it did not say that it is done")
    ended += 1
    writer.close()


async def guarded(work):
    try:
        async with asyncio.timeout(240):
            await work
    except Exception as error:
        errors[f"{type(error).__name__}: {error}"] += 1


async def main(count):
    trust = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    # As many handshakes at once as the proxy has room for in its queue.
    room = asyncio.Semaphore(64)
    tasks = [asyncio.ensure_future(guarded(stream(room, trust))) for _ in range(count)]
    while begun + sum(errors.values()) < count:
        await asyncio.sleep(0.05)
    print("begun", flush=True)
    await asyncio.gather(*tasks)
    print(json.dumps({"ended": ended, "longest_ms": round(longest * 1000), "errors": errors}), flush=True)


asyncio.run(main(int(sys.argv[1])))
