"""Model endpoints that refuse: whatever is asked, the same status and message."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class PatientServer(ThreadingHTTPServer):
    request_queue_size = 128
    """Connections that may wait: with the usual 5, some of many at once are lost and come again after a second."""


@contextmanager
def endpoint_answering(status: int, message: str) -> Iterator[str]:
    """Its base URL, for as long as the context lasts."""
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()

    class Refusal(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = PatientServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """A port at which nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
