"""Listening sockets, bound before any server starts: every address is known, and no port is raced for.

Connections made while a server is still starting, or restarting, wait in its socket's backlog.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

BACKLOG = 8192
_TAKEN = (errno.EADDRINUSE, errno.EACCES)


class PortTaken(OSError):
    """Somebody listens at an address that was asked for explicitly."""


def listen_on(host: str, port: int) -> socket.socket:
    """A listening socket at exactly that address; port 0 takes a free one. Raises PortTaken or OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # At once: two sockets that are bound with SO_REUSEADDR collide only when one listens.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(error.errno, _taken_text(port)) from error
        raise
    return listener


def listen_on_free_port(host: str, low: int | None = None, high: int | None = None) -> socket.socket:
    """A listening socket at a free port of `host`, from `low` to `high` inclusive where those are given.

    Raises PortTaken where none is free in that range, OSError where the host is not one of this machine's.
    """
    if low is None or high is None:
        return listen_on(host, 0)
    for port in range(low, high + 1):
        try:
            return listen_on(host, port)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
    raise PortTaken(errno.EADDRINUSE, f"no port from {low} to {high} is free on {host}; widen the range")


def find_open_port(disallowed_ports: Collection[int] = (), *, host: str = "127.0.0.1") -> int:
    """A port that is free now. Somebody else may take it before you do; leave ports to the launcher where you can."""
    while True:
        with listen_on(host, 0) as listener:
            port = int(listener.getsockname()[1])
        if port not in disallowed_ports:
            return port


def url_of(listener: socket.socket) -> str:
    """The URL at which others reach it; a socket bound to all addresses is reached at this machine's own."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = _own_address()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def holder_of(port: int) -> str | None:
    """Who listens on a TCP port here, as `python3 (pid 4711)`; None where that cannot be seen (Linux only)."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with suppress(OSError):
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _taken_text(port: int) -> str:
    holder = holder_of(port)
    if holder and holder.endswith(f"(pid {os.getpid()})"):
        holder = "another server of this run"
    by = f" by {holder}" if holder else ""
    return f"port {port} is taken{by}; choose another, or leave it out to get a free one"


def _listening_inodes(port: int) -> frozenset[str]:
    listening, wanted = "0A", f":{port:04X}"
    inodes = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            rows: Sequence[list[str]] = [line.split() for line in Path(table).read_text().splitlines()[1:]]
            inodes += [f"socket:[{row[9]}]" for row in rows if row[1].endswith(wanted) and row[3] == listening]
    return frozenset(inodes)


def _own_address() -> str:
    # Connecting a datagram socket sends nothing: it only makes the kernel choose the interface that leads outside.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
