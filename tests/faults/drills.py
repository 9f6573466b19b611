"""Drills around the collector: its disk, its output, its user, its end."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from urllib.parse import urlsplit

import orjson

from nemo_gym.schemas.rollout import FailureClass
from tests.e2e.documents import environment
from tests.faults.case import Drill, Scene
from tests.faults.collecting import Outcome, Row, row
from tests.faults.endpoint import BURST
from tests.faults.gym import GONE_S
from tests.faults.server_drills import SERVER_DRILLS

RESUMED = ("+resume_from_cache=true", "+max_attempts=1000")
KILLS, LONG_KILLS = 3, 100
CONSUMER = """\
import asyncio, json, sys, time
from nemo_gym.rollout_collection import RolloutCollectionHelper

async def main():
    rows = [json.loads(line) for line in open(sys.argv[1])]
    for one in RolloutCollectionHelper().run_examples(rows, num_parallel=8):
        row, result = await one
        time.sleep(float(sys.argv[2]))
        print(json.dumps({"worth": row["worth"], "reward": result["reward"]}), flush=True)

asyncio.run(main())
"""


def one_malformed(scene: Scene) -> Outcome:
    """One bad answer among many good ones costs one rollout."""
    rows = [row(200_000 + n, "html" if n == 150 else "nothing") for n in range(300)]
    outcome = scene.collecting(rows).end()
    if outcome.failed.total() != 1:
        outcome.problems.append(f"{outcome.failed.total()} rollouts failed")
    if not (scene.folder / "out_aggregate_metrics.json").exists():
        outcome.problems.append("no metrics are written")
    return outcome


def killed_at_random(scene: Scene) -> Outcome:
    """`kill -9` at random moments, resumed each time; nothing that was once written is lost or counted twice."""
    rows = [_row_for_kills(scene.rng, n) for n in range(200 if scene.is_long else 30)]
    arguments = ("+num_samples_in_parallel=4", "+num_repeats=4", *RESUMED)
    kept: set[bytes] = set()
    problems: list[str] = []
    killed, kills = 0, LONG_KILLS if scene.is_long else KILLS
    started = time.monotonic()
    for _ in range(kills):
        collecting = scene.collecting(rows, *arguments)
        if collecting.until_results(more_than=len(kept)):
            time.sleep(scene.rng.uniform(0, 0.1))
        collecting.process.kill()
        killed += collecting.end().exit_code == -signal.SIGKILL
        whole = collecting.results.read_bytes().split(b"\n")[:-1] if collecting.results.exists() else []
        if not kept <= set(whole):
            problems.append(f"{len(kept - set(whole))} results were lost")
        kept = set(whole)
    if killed < kills / 2:
        problems.append(f"only {killed} of {kills} were killed before they ended")
    for _ in range(BURST + 1):
        outcome = scene.collecting(rows, *arguments).end()
        if not outcome.failed:
            break
    outcome.problems += problems
    outcome.seconds = time.monotonic() - started
    return outcome


def _row_for_kills(rng: random.Random, number: int) -> Row:
    """Long results now and then, which take longer to write; a fifth of the rollouts fails before it completes."""
    fault = "refuses_500_burst" if number % 5 == 0 else "slow"
    return row(100_000 + number, fault) | {"padding": "x" * rng.choice((10, 100_000))}


def full_disk(scene: Scene) -> Outcome:
    """A disk of a few sizes, so that what does not fit is a result, the rows or the metrics; then there is room."""
    rows = [row(n) for n in range(40)]
    problems: list[str] = []
    for kilobytes in (12, 20, 32, 44, 72, 120) if scene.is_long else (44,):
        shutil.rmtree(scene.folder)
        ended = scene.collecting(rows, wrapped=partial(_on_disk_of, kilobytes)).end()
        problems += [f"{kilobytes} kB: {problem}" for problem in ended.problems]
        if ended.exit_code not in (1, 2) or len(ended.message) > 10:
            problems.append(f"{kilobytes} kB: exit code {ended.exit_code}, {len(ended.message)} lines")
        if "cannot be written" not in ended.output:
            problems.append(f"{kilobytes} kB: it does not say what cannot be written: {ended.output[-500:]}")
    again = RESUMED if (scene.folder / "out_run.json").exists() else ("+overwrite=true",)
    outcome = scene.collecting(rows, *again).end()
    outcome.problems += problems
    return outcome


def _on_disk_of(kilobytes: int, command: str) -> str:
    """The command with a small disk under its folder, which is copied back; else with a limit of each file's size."""
    can_mount = subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0
    if not can_mount:
        return f"ulimit -f {kilobytes // 3}; {command}"
    inside = (
        f"mkdir disk && mount -t tmpfs -o size={kilobytes}k tmpfs disk && cp -P tasks.jsonl .nemo_gym disk && "
        f"cd disk && ({command}); code=$?; cd .. && cp disk/out* . ; exit $code"
    )
    return f"unshare -rm bash -c '{inside}'"


def two_collectors(scene: Scene) -> Outcome:
    """The second is refused; the first does not notice, and is interrupted when that is known."""
    rows = [row(n, "slow") for n in range(400)]
    first = scene.collecting(rows, "+num_samples_in_parallel=2")
    first.until_results()
    second = subprocess.run(
        ["bash", "-c", first.command],
        cwd=scene.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    first.process.send_signal(signal.SIGINT)
    outcome = first.end()
    if second.returncode != 2 or "another collection is writing to it now" not in second.stderr:
        outcome.problems.append(f"the second collector ended with exit code {second.returncode}: {second.stderr}")
    return outcome


def slow_consumer(scene: Scene) -> Outcome:
    """A trainer that takes results one by one and blocks its own event loop between them."""
    pause_s = 0.2 if scene.is_long else 0.03
    rows = [row(n) for n in range(50)]
    (scene.folder / "tasks.jsonl").write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in rows))
    (scene.folder / "consumer.py").write_text(CONSUMER)
    started = time.monotonic()
    command = [sys.executable, str(scene.folder / "consumer.py"), str(scene.folder / "tasks.jsonl"), str(pause_s)]
    run = subprocess.run(command, cwd=scene.gym.folder, env=environment(), capture_output=True, text=True, timeout=60)
    taken = [orjson.loads(line) for line in run.stdout.splitlines()]
    outcome = Outcome(run.returncode, run.stderr, time.monotonic() - started, len(rows), len(taken))
    wrong = [each for each in taken if each["reward"] != each["worth"]]
    outcome.problems += [f"reward {each['reward']}, worth {each['worth']}" for each in wrong]
    return outcome


def unread_stream(scene: Scene) -> Outcome:
    """A client that asks for a stream and does not read it: nothing piles up, and with the client it ends."""
    server = scene.gym.servers()["faulty_model"]
    url = urlsplit(server.url)
    header = (scene.gym.folder / ".nemo_gym" / "latest" / "authorization").read_text().strip()
    body = orjson.dumps({"input": "fault=endless_stream row=300000", "stream": True})
    head = f"POST /v1/responses HTTP/1.1\r\nhost: x\r\n{header}\r\ncontent-type: application/json\r\n"
    outcome = Outcome(0, "", 0.0)
    before = server.memory_bytes or 0
    started = time.monotonic()
    with socket.create_connection((url.hostname, url.port)) as client:
        client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        if b"delta" not in client.recv(65536) + client.recv(65536):
            outcome.problems.append("no stream has begun")
        time.sleep(2.0)
        grown = (scene.gym.servers()["faulty_model"].memory_bytes or 0) - before
    if grown > 30_000_000:
        outcome.problems.append(f"the model server has grown by {grown} bytes")
    deadline = time.monotonic() + GONE_S
    while scene.gym.endpoint.in_progress and time.monotonic() < deadline:
        time.sleep(0.05)
    if scene.gym.endpoint.in_progress:
        outcome.problems.append("the endpoint is still streaming")
    outcome.seconds = time.monotonic() - started
    return outcome


def interrupted_once(scene: Scene) -> Outcome:
    """What runs may finish, nothing more is begun."""
    collecting = scene.collecting([row(n, "slow") for n in range(300)], "+num_samples_in_parallel=2")
    collecting.until_results()
    collecting.process.send_signal(signal.SIGINT)
    return collecting.end()


def interrupted_twice(scene: Scene) -> Outcome:
    """What runs is cancelled, down to the endpoint."""
    collecting = scene.collecting([row(0), *(row(n, "silence") for n in range(1, 9))])
    collecting.until_results()
    collecting.process.send_signal(signal.SIGINT)
    collecting.until_said("again to cancel them now")
    collecting.process.send_signal(signal.SIGINT)
    outcome = collecting.end()
    time.sleep(0.5)
    if scene.gym.endpoint.in_progress:
        outcome.problems.append(f"{scene.gym.endpoint.in_progress} requests to the endpoint still wait")
    return outcome


DRILLS = (
    Drill(
        "one malformed answer in 300",
        one_malformed,
        20,
        may_fail_as=frozenset({FailureClass.MODEL_ERROR}),
        only_long=True,
    ),
    Drill("the collector is killed at random", killed_at_random, 40, long_deadline_s=400),
    Drill("the disk is full", full_disk, 15, long_deadline_s=60),
    Drill("two collectors with one output", two_collectors, 20, exit_code=130, leaves_not_run=True, only_long=True),
    Drill("a consumer that takes its time", slow_consumer, 20, only_long=True),
    Drill("a stream that nobody reads", unread_stream, 15, only_long=True),
    Drill(
        "Ctrl-C",
        interrupted_once,
        15,
        exit_code=130,
        leaves_not_run=True,
        says=("+resume_from_cache=true",),
        only_long=True,
    ),
    Drill(
        "Ctrl-C twice", interrupted_twice, 15, exit_code=130, leaves_not_run=True, says=("not run 8",), only_long=True
    ),
    *SERVER_DRILLS,
)
