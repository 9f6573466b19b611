"""How a server reads requests from a connection: as uvicorn does, but no head longer than one can be meant to be."""

from __future__ import annotations

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together."""
LINGER_S = 2.0
"""So long what a client still sends after it was refused is thrown away; then the connection is closed."""

_BODY = orjson.dumps(
    {"error": {"type": "headers_too_large", "message": f"URL and headers have more than {MAX_HEAD_BYTES} bytes"}}
)
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class RequestProtocol(HttpToolsProtocol):
    """Answers 431, and closes the connection, as soon as a request's head is too long."""

    _in_head = False
    _unread_bytes = 0
    """Received since the last head was complete."""

    _refused = False

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unread_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._unread_bytes = 0
        elif self._unread_bytes > MAX_HEAD_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._unread_bytes > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            raise ValueError("the head is too long")  # ends the parsing, and is answered below
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if self._in_head and self._unread_bytes > MAX_HEAD_BYTES:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self.transport.write(_REFUSAL)
        # Closing while there is more to read would tear down the answer with it, before the client has seen it.
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)
