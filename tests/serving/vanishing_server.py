"""Asks a server that vanishes without a word, and prints how that was noticed: run in a network of its own.

`unshare -Urn python tests/serving/vanishing_server.py <seconds>`: the network is taken down in the middle of a request.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import uvloop

from nemo_gym.errors import RequestError
from nemo_gym.serving import connection
from nemo_gym.serving.http import HttpClient


def set_network(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


async def main() -> None:
    set_network("up")
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await asyncio.sleep(600)

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    asking = asyncio.ensure_future(HttpClient().request("GET", url, timeout_s=120))
    await asked.wait()
    set_network("down")
    try:
        await asking
    except RequestError as error:
        sys.stdout.write(f"{type(error).__name__} {error}\n")
    sys.stdout.flush()
    os._exit(0)  # the server still waits


if __name__ == "__main__":
    connection.GONE_AFTER_S = int(sys.argv[1])
    uvloop.run(main())
