"""Load from inside a sandbox: tunnels that echo, and kept connections with requests over TLS, all at once.

Arguments: tunnels, kept connections, seconds. At its end it says as JSON what it did and every error that it saw.
"""

import asyncio
import collections
import json
import os
import ssl
import sys
import time

PROXY = ("127.0.0.1", 3128)
HOST = "allowed.test"
# Not what begins like TLS: that would be refused for being none.
PIECE = b"\0" + os.urandom(4095)

done = {"tunnels": 0, "echoed": 0, "kept": 0, "requests": 0}
errors = collections.Counter()


async def tunnel(port):
    reader, writer = await asyncio.open_connection(*PROXY)
    writer.write(f"CONNECT {HOST}:{port} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.split(b"\r\n")[0].decode())
    return reader, writer


async def echo(opened, end):
    reader, writer = await tunnel(7000)
    done["tunnels"] += 1
    await opened.wait()
    while time.monotonic() < end():
        writer.write(PIECE)
        if await reader.readexactly(len(PIECE)) != PIECE:
            raise RuntimeError("other bytes came back")
        done["echoed"] += len(PIECE)
        await asyncio.sleep(0.25)
    writer.close()
    await writer.wait_closed()


async def ask(opened, end, trust):
    reader, writer = await tunnel(443)
    await writer.start_tls(trust, server_hostname=HOST)
    done["kept"] += 1
    request = f"GET /kept HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    await opened.wait()
    while time.monotonic() < end():
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.split(b"\r\n")[0].decode())
        names = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
        await reader.readexactly(int(names[b"content-length"]))
        done["requests"] += 1
        await asyncio.sleep(0.25)
    writer.close()


async def guarded(work):
    try:
        async with asyncio.timeout(300):
            await work
    except Exception as error:
        errors[f"{type(error).__name__}: {error}"] += 1


async def main(tunnels, kept, seconds):
    opened = asyncio.Event()
    trust = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    finish = [float("inf")]
    end = lambda: finish[0]
    work = [echo(opened, end) for _ in range(tunnels)] + [ask(opened, end, trust) for _ in range(kept)]
    tasks = [asyncio.ensure_future(guarded(one)) for one in work]
    while done["tunnels"] + done["kept"] + sum(errors.values()) < tunnels + kept:
        await asyncio.sleep(0.05)
    print("open", flush=True)
    # Whoever watches looks at what is open and idle before it goes on.
    await asyncio.to_thread(sys.stdin.readline)
    finish[0] = time.monotonic() + seconds
    opened.set()
    await asyncio.gather(*tasks)
    print(json.dumps({**done, "errors": errors}), flush=True)


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
