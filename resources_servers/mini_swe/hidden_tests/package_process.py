"""The process in which the package under test runs: does what the tests ask for, and knows nothing of them.

Runs inside the sandbox. The first process never imports the package; for each test it forks one that does.
"""

from __future__ import annotations

import importlib
import operator
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resources_servers.mini_swe.hidden_tests.wire import Channel, ChannelError, decode, encode


def _exit_context(manager: Any, error: Any) -> Any:
    return manager.__exit__(None if error is None else type(error), error, None)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "import": importlib.import_module,
    "get": getattr,
    "set": setattr,
    "del": delattr,
    "call": lambda function, args, kwargs: function(*args, **kwargs),
    "enter": lambda manager: manager.__enter__(),
    "exit": _exit_context,
    "isinstance": isinstance,
    "same": operator.is_,
    **{
        one.__name__: one
        for one in (bool, len, str, repr, hash, iter, next, reversed, int, float, abs, round, format, dir)
    },
    **{name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge", "contains")},
    **{name: getattr(operator, name) for name in ("getitem", "setitem", "delitem")},
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")},
    **{name: getattr(operator, name) for name in ("and_", "or_", "xor", "neg", "pos", "invert", "lshift", "rshift")},
}
"""All that can be asked for."""


class PackageSide:
    """Answers one test's requests; objects that it gave references to are kept while the test runs."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._objects: list[Any] = []

    def serve(self) -> None:
        """Until the tests hang up."""
        while True:
            _, name, args = self._channel.receive()
            self._channel.send(self._answer(name, args))

    def _answer(self, name: str, args: list[Any]) -> list[Any]:
        try:
            result = OPERATIONS[name](*(decode(one, self._resolve) for one in args))
            return ["value", encode(result, self._refer)]
        except ChannelError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the package raises is an answer
            return ["raised", self._refer(error), self._error_args(error), _text(error)]

    def _refer(self, value: Any) -> dict[str, Any]:
        self._objects.append(value)
        reference: dict[str, Any] = {"object": len(self._objects) - 1}
        kind = value if isinstance(value, type) else type(value)
        if issubclass(kind, BaseException):
            reference["mro"] = [f"{one.__module__}.{one.__qualname__}" for one in kind.__mro__]
            reference["is_class"] = kind is value
        return reference

    def _error_args(self, error: BaseException) -> Any:
        try:
            return encode(error.args, self._refer)
        except Exception:  # noqa: BLE001 - an exception class may define anything
            return {"tuple": []}

    def _resolve(self, data: dict[str, Any]) -> Any:
        if "object" in data:
            return self._objects[data["object"]]
        return self._callback(data["function"])

    def _callback(self, number: int) -> Callable[..., Any]:
        def call_test(*args: Any, **kwargs: Any) -> Any:
            """A function of the test: it is called there."""
            self._channel.send(["callback", number, encode(args, self._refer), encode(kwargs, self._refer)])
            while True:
                kind, *content = self._channel.receive()
                if kind == "value":
                    return decode(content[0], self._resolve)
                if kind == "raised":
                    raise RuntimeError(f"a function of the test raised: {content[0]}")
                # The test's function asks something of the package, while the package waits for it.
                self._channel.send(self._answer(content[0], content[1]))

        return call_test


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - as above
        return ""
    return text if type(text) is str else ""


def main() -> None:
    """Fork a process for each socket that comes in over the one given as file 0; its number is the answer."""
    requests = socket.socket(fileno=0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.path.insert(0, str(Path.cwd()))
    while True:
        _, handles, _, _ = socket.recv_fds(requests, 1, 1)
        if not handles:
            return
        child = os.fork()
        if child == 0:
            break
        os.close(handles[0])
        requests.sendall(child.to_bytes(4, "big"))
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    requests.close()
    null = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(null, handle)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    try:
        PackageSide(Channel(socket.socket(fileno=handles[0]))).serve()
    except BaseException:  # noqa: BLE001 - nobody is left to be told
        os._exit(0)
