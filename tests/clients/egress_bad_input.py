"""What nobody should send, from inside a sandbox: says as JSON, by name, how each was ended.

Argument: the name of one kind.
"""

import collections
import json
import os
import random
import resource
import socket
import struct
import sys
import time

PROXY = ("127.0.0.1", 3128)


def answer(stream, limit=30.0):
    """The first line of what comes, "closed" for an end without one, "nothing" if neither comes."""
    stream.settimeout(limit)
    got = b""
    try:
        while b"\r\n" not in got:
            piece = stream.recv(4096)
            if not piece:
                break
            got += piece
    except TimeoutError:
        return "nothing"
    except OSError:
        pass
    return got.split(b"\r\n")[0].decode("latin-1") or "closed"


def say(*pieces):
    stream = socket.create_connection(PROXY)
    try:
        for piece in pieces:
            stream.sendall(piece)
    except OSError:
        pass  # It may be refused before it is taken.
    return answer(stream)


def connect(target):
    return say(b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")


def refused():
    hello = bytes.fromhex("16030100c8010000c40303") + os.urandom(20)
    return {
        "port 0": connect(b"allowed.test:0"),
        "port 65536": connect(b"allowed.test:65536"),
        "no port": connect(b"allowed.test"),
        "no UTF-8": connect(b"\xff\xfe.test:443"),
        "NUL": connect(b"allowed.test\0.other.test:443"),
        "long name": connect(b"a" * 300 + b".test:443"),
        "1 MB header": say(b"GET http://allowed.test/ HTTP/1.1\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n"),
        "1 MB target": say(b"GET http://allowed.test/" + b"x" * (1 << 20) + b" HTTP/1.1\r\n\r\n"),
        "endless lines": say(b"GET http://allowed.test/ HTTP/1.1\r\n", *[b"a: b\r\n" * 100] * 2000),
        "garbage": say(os.urandom(1 << 16)),
        "TLS to the proxy": say(hello),
    }


def hello():
    """Half a ClientHello in a tunnel, and no more."""
    stream = socket.create_connection(PROXY)
    stream.sendall(b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test\r\n\r\n")
    first = answer(stream)
    stream.sendall(bytes.fromhex("16030100c8010000c40303") + os.urandom(20))
    return {"tunnel": first, "half": answer(stream, 60.0)}


def slow():
    """Heads that come a byte at a time and never end."""
    streams = [socket.create_connection(PROXY) for _ in range(200)]
    ended = collections.Counter()
    begun = time.monotonic()
    while streams and time.monotonic() < begun + 60:
        left = []
        for stream in streams:
            try:
                stream.send(b"G")
                stream.setblocking(False)
                try:
                    line = stream.recv(4096).split(b"\r\n")[0].decode() or "closed"
                    ended[line] += 1
                    continue
                except BlockingIOError:
                    left.append(stream)
            except OSError as error:
                ended[type(error).__name__] += 1
        streams = left
        time.sleep(0.5)
    return {"ended": ended, "left": len(streams)}


def connections():
    """As many as may be open at once, again and again until it were 10,000; each says nothing."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened, ended = 0, collections.Counter()
    while opened < 10_000:
        streams = []
        for _ in range(min(4_000, most - 100, 10_000 - opened)):
            streams.append(socket.create_connection(PROXY, timeout=60))
            opened += 1
        time.sleep(2.0)
        for stream in streams:
            stream.setblocking(False)
            try:
                ended[stream.recv(4096).split(b"\r\n")[0].decode() or "closed"] += 1
            except BlockingIOError:
                ended["open"] += 1
            except OSError:
                ended["reset"] += 1
            stream.close()
    return {"opened": opened, "ended": ended}


def names():
    """100,000 questions for names that nobody may know, each its own, as fast as they go; then one that is allowed."""
    server = next(l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver"))
    stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stream.connect((server, 53))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    codes = collections.Counter()

    def take(limit):
        try:
            stream.settimeout(limit)
            codes[stream.recv(512)[3] & 15] += 1
            return True
        except (TimeoutError, BlockingIOError):
            return False

    for number in range(100_000):
        label = f"n{number}x{random.getrandbits(32)}".encode()
        question = struct.pack(">HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0)
        question += bytes([len(label)]) + label + b"\x04evil\x04test\0\0\x01\0\x01"
        stream.send(question)
        while take(0.0):
            pass
    while take(2.0):
        pass
    return {"codes": codes, "allowed": bool(socket.getaddrinfo("allowed.test", 80))}


print(json.dumps({"refused": refused, "hello": hello, "slow": slow, "connections": connections, "names": names}[sys.argv[1]]()))
