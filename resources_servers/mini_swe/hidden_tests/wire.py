"""Values as they cross between the tests and the package under test: plain ones by value, all others by reference."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_MESSAGE_BYTES = 4_000_000
SEQUENCES: dict[str, type] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
AS_TEXT: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "float": (float, repr, float),  # those that JSON has no word for
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "date": (date, date.isoformat, date.fromisoformat),
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "timedelta": (
        timedelta,
        lambda value: str(value // timedelta(microseconds=1)),
        lambda text: timedelta(0, 0, int(text)),
    ),
    "decimal": (Decimal, str, Decimal),
    "fraction": (Fraction, str, Fraction),
}


class ChannelError(BaseException):
    """The other side is gone, silent, or says what nobody can read. No `Exception`: no test expects it by accident."""


def encode(value: Any, refer: Callable[[Any], dict[str, Any]]) -> Any:
    """`value` as JSON. Of exactly these types by value, never of a class derived from them: such a one could compare
    as it likes. Whatever else becomes what `refer` makes of it.
    """
    kind = type(value)
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
        return value
    for name, sequence in SEQUENCES.items():
        if kind is sequence:
            return {name: [encode(item, refer) for item in value]}
    if kind is dict:
        return {"dict": [[encode(key, refer), encode(item, refer)] for key, item in value.items()]}
    for name, (exact, write, _) in AS_TEXT.items():
        if kind is exact:
            return {name: write(value)}
    return refer(value)


def decode(data: Any, resolve: Callable[[dict[str, Any]], Any]) -> Any:
    """The value of what `encode` wrote; `resolve` finds what was referred to."""
    if not isinstance(data, dict):
        return data
    for name, content in data.items():
        if name in SEQUENCES:
            return SEQUENCES[name](decode(item, resolve) for item in content)
        if name == "dict":
            return {decode(key, resolve): decode(item, resolve) for key, item in content}
        if name in AS_TEXT:
            return AS_TEXT[name][2](content)
    return resolve(data)


class Channel:
    """JSON lines over a socket, each way."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""
        self.deadline: float | None = None
        """On the monotonic clock; None: waits for ever."""

    def send(self, message: list[Any]) -> None:
        try:
            self._connection.settimeout(self._seconds_left())
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ChannelError(f"the package's process cannot be reached: {error}") from None

    def receive(self) -> list[Any]:
        while b"\n" not in self._read:
            if len(self._read) > MAX_MESSAGE_BYTES:
                raise ChannelError("a value of the package is too large")
            try:
                self._connection.settimeout(self._seconds_left())
                data = self._connection.recv(65_536)
            except TimeoutError:
                raise ChannelError("the package took too long") from None
            except OSError as error:
                raise ChannelError(f"the package's process cannot be reached: {error}") from None
            if not data:
                raise ChannelError("the package's process ended")
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            raise ChannelError("the package's process sent what is no message") from None
        if not isinstance(message, list) or not message:
            raise ChannelError("the package's process sent what is no message")
        return message

    def _seconds_left(self) -> float | None:
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ChannelError("the package took too long")
        return left
