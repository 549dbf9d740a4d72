"""Receives spans by OTLP over HTTP and decodes them with the classes that the OpenTelemetry project publishes.

argv: PORT, FOLDER. Each export becomes FOLDER/N.bin (the bytes as they came, heads included) and, last, FOLDER/N.json.
"""

import gzip
import itertools
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

NUMBERS = itertools.count()


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes(holder):
    return {item.key: plain(item.value) for item in holder.attributes}


def told(span, resource, scope):
    return {
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind),
        "trace": span.trace_id.hex(),
        "span": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "status": Status.StatusCode.Name(span.status.code),
        "attributes": attributes(span),
        "resource": attributes(resource),
        "scope": scope.name,
        "events": len(span.events),
        "links": len(span.links),
    }


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        clear = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
        request = ExportTraceServiceRequest.FromString(clear)
        spans = [
            told(span, group.resource, part.scope)
            for group in request.resource_spans
            for part in group.scope_spans
            for span in part.spans
        ]
        export = {"path": self.path, "headers": dict(self.headers.items()), "spans": spans}
        name = os.path.join(sys.argv[2], str(next(NUMBERS)))
        with open(name + ".bin", "wb") as raw:
            raw.write(str(self.headers).encode() + clear)
        with open(name + ".part", "w") as text:
            json.dump(export, text)
        os.replace(name + ".part", name + ".json")
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
