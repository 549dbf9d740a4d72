"""Feeds the router through `chunk_invariance`: however an answer is cut, the caller reads the same text.

argv: URL of the router, port of its upstream, which is this script. The "filter" under test is the whole way from the
upstream's pieces to the caller's text. The upstream puts the placeholder that it was sent where the text says MARK.
"""

import http.server
import json
import re
import sys
import threading
import urllib.request

from chunk_invariance import assert_chunk_invariant, two_part_splits

ROUTER, PORT = sys.argv[1], int(sys.argv[2])
EMAIL = "greta.lindqvist@northwind-labs.com"
pieces = []
mark = ""


class Upstream(http.server.BaseHTTPRequestHandler):
    """Streams `pieces` as deltas of the chat dialect, or answers with the marked prompt."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global mark
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        found = re.search(r"<EMAIL_[^>]*>", json.dumps(body, ensure_ascii=False))
        assert found, f"no placeholder in {body}"
        mark = found.group(0)
        chunks = [{"role": "assistant", "content": ""}] + [{"content": piece} for piece in pieces]
        events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in chunks]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        text = "".join(f"data: {json.dumps(base | event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def through_the_router(chunks):
    """The text that the caller reads when the upstream answers with `chunks`."""
    global pieces
    pieces = list(chunks)
    body = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": f"mail {EMAIL}"}]}
    ask = urllib.request.Request(ROUTER + "/v1/chat/completions", json.dumps(body).encode(),
                                 {"content-type": "application/json"})
    with urllib.request.urlopen(ask, timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    data = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    yield "".join(part["choices"][0]["delta"].get("content") or "" for part in data if part.get("choices"))


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    list(through_the_router(["first, to learn the placeholder"]))
    text = f"I wrote to {mark} and to {mark}; <not a mark> a < b."
    whole = text.replace(mark, EMAIL)
    checked = assert_chunk_invariant(through_the_router, lambda _: whole, text, splits="all-two-part")
    assert checked > len(list(two_part_splits(text))) - 2
    letters = list(through_the_router(list(text)))
    assert letters == [whole], letters
    print(f"{checked} splits; all is well")


main()
