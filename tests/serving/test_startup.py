"""What a server starts before its first request: waited for, failing in its own words, cancelled when told to stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from nemo_gym.config.instance import GymConfig, ServerInstance
from nemo_gym.errors import LaunchError
from nemo_gym.launch.gym import running_gym
from nemo_gym.serving.http import HttpClient
from nemo_gym.serving.run_token import bearer

SERVER = """
import asyncio
from pathlib import Path

from nemo_gym.base_resources_server import SimpleResourcesServer
from nemo_gym.errors import LaunchError

MARKS = Path(__file__).parent


class EngineResourcesServer(SimpleResourcesServer):
    async def startup(self):
        {startup}

    async def shutdown(self):
        await super().shutdown()
        (MARKS / "freed").touch()

    def setup_webserver(self):
        app = super().setup_webserver()
        app.get("/engine")(self.engine)
        return app

    async def engine(self):
        return {{"started": (MARKS / "started").exists()}}


if __name__ == "__main__":
    EngineResourcesServer.run_webserver()
"""


def config_of(folder: Path, startup: str, **values: object) -> GymConfig:
    (folder / "app.py").write_text(SERVER.format(startup=startup))
    instance = ServerInstance(
        name="engine",
        server_type="resources_servers",
        implementation="engine",
        folder=folder,
        entrypoint="app.py",
        host="127.0.0.1",
        port=None,
        num_workers=1,
        settings={"entrypoint": "app.py"},
        source="engine.yaml",
    )
    return GymConfig(values=values, instances={"engine": instance}, sources=("engine.yaml",))


def logs_in(folder: Path) -> str:
    return "".join(log.read_text() for log in folder.glob(".nemo_gym/runs/*/engine.log"))


@pytest.mark.parametrize("in_process", [False, True])
async def test_the_first_request_is_answered_after_the_startup(tmp_path: Path, in_process: bool) -> None:
    config = config_of(tmp_path, '(MARKS / "started").touch()', in_process=in_process)
    http = HttpClient()
    async with running_gym(config, cwd=tmp_path) as gym:
        url = gym.directory["engine"].urls[0] + "/engine"
        answer = await http.request("GET", url, headers=bearer(gym.token), timeout_s=20)
        assert answer.parse() == {"started": True}
        await http.close()
    assert (tmp_path / "freed").exists()


@pytest.mark.parametrize("in_process", [False, True])
async def test_a_startup_that_fails_ends_the_run_with_its_own_words(tmp_path: Path, in_process: bool) -> None:
    config = config_of(tmp_path, 'raise LaunchError("no engine here")', in_process=in_process)
    with pytest.raises(LaunchError, match="no engine here"):
        async with running_gym(config, cwd=tmp_path):
            pass
    assert "Traceback" not in logs_in(tmp_path)


async def test_a_server_that_is_still_starting_can_be_told_to_stop(tmp_path: Path) -> None:
    code = """
import asyncio, socket, sys
from nemo_gym.serving.process import serve

async def startup():
    print("starting", flush=True)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise

async def app(scope, receive, send): ...

asyncio.run(serve(app, socket.create_server(("127.0.0.1", 0)), on_ready=lambda: print("ready"), handles_signals=True,
    startup=startup))
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"starting\n"
        process.send_signal(signal.SIGTERM)
        assert await process.stdout.read() == b"cancelled\n"
        await process.wait()
