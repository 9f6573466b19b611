"""Runs hidden tests, each against the package in a process of its own. The package's code never runs in this one.

Runs inside the sandbox, as `python -I -S -c <loader>`: told everything over stdin, it prints one line of JSON with the
token that it was given, which no other process there can read.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.abc
import importlib.machinery
import json
import os
import signal
import socket
import subprocess
import sys
import time
import types
import unittest
from collections.abc import Sequence
from typing import Any

from resources_servers.mini_swe.hidden_tests.remote import Package, RemoteModule
from resources_servers.mini_swe.hidden_tests.wire import Channel, ChannelError

PR_SET_DUMPABLE = 4
MAX_TEXT = 300


class RemotePackages(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports of these packages give modules that live in the package's process."""

    def __init__(self, packages: Sequence[str], package: Package) -> None:
        self._packages, self._package = frozenset(packages), package

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in self._packages:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return RemoteModule(spec.name, self._package)

    def exec_module(self, module: types.ModuleType) -> None:
        self._package.import_module(module)

    def forget(self) -> None:
        """The next test imports them anew."""
        for name in list(sys.modules):
            if name.partition(".")[0] in self._packages:
                del sys.modules[name]


class PackageProcesses:
    """Starts a process per test, forked from one that has imported nothing of the package."""

    def __init__(self, source: str) -> None:
        self._requests, theirs = socket.socketpair()
        self._parent = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", source],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()

    def start(self) -> tuple[socket.socket, int]:
        """A connection to a fresh process, and its number."""
        ours, theirs = socket.socketpair()
        try:
            self._requests.settimeout(10.0)
            socket.send_fds(self._requests, [b"x"], [theirs.fileno()])
            return ours, int.from_bytes(self._requests.recv(4), "big")
        except OSError as error:
            raise ChannelError(f"no process for the package can be started: {error}") from None
        finally:
            theirs.close()


def run_test(test: str, order: dict[str, Any], processes: PackageProcesses) -> str | None:
    """None where the test passes, else what is wrong."""
    file, _, name = test.partition(".")
    source = order["tests"].get(f"{file}.py")
    if source is None:
        return "there is no such test file"
    connection, process = processes.start()
    channel = Channel(connection)
    channel.deadline = time.monotonic() + order["test_timeout_s"]
    packages = RemotePackages(order["packages"], Package(channel))
    sys.meta_path.insert(0, packages)
    try:
        module = types.ModuleType(file)
        exec(compile(source, f"<{file}.py>", "exec"), module.__dict__)
        case = unittest.defaultTestLoader.loadTestsFromName(name, module)
        if case.countTestCases() != 1:
            return "there is no such test"
        result = unittest.TestResult()
        case.run(result)
    except (Exception, ChannelError) as error:  # noqa: BLE001 - the package may raise anything at import
        return f"{type(error).__name__}: {error}"[:MAX_TEXT]
    finally:
        sys.meta_path.remove(packages)
        packages.forget()
        connection.close()
        if process:
            _kill(process)
    wrong = result.errors + result.failures
    if wrong:
        return wrong[0][1].strip().splitlines()[-1][:MAX_TEXT]
    if result.testsRun != 1 or result.skipped or result.expectedFailures or result.unexpectedSuccesses:
        return "the test did not run to its end"
    return None


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def main(order: dict[str, Any]) -> None:
    """Run the tests named in `order`, and print the verdict."""
    if sys.platform == "linux":
        # No other process of this user may look into this one, where the tests and the token are.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    processes = PackageProcesses(order["package_process"])
    verdict: dict[str, str | None] = {}
    for test in order["names"]:
        try:
            verdict[test] = run_test(test, order, processes)
        except ChannelError as error:
            verdict[test] = str(error)
    sys.stdout.write(json.dumps({"token": order["token"], "verdict": verdict}) + "\n")
    sys.stdout.flush()
    os._exit(0)
