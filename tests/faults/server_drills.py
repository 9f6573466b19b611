"""Drills around the servers: killed, frozen, stuck, without a launcher, under a clock that jumps."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from nemo_gym.launch.guardian import processes_of
from nemo_gym.schemas.rollout import FailureClass
from tests.faults.case import Drill, OwnGym, Scene
from tests.faults.collecting import Outcome, row
from tests.faults.gym import GONE_S, FaultyGym

KILLED = ("faulty", "faulty_model", "faulty_agent")
OF_SERVERS_GONE = frozenset(
    {
        FailureClass.MODEL_ERROR,
        FailureClass.MODEL_TIMEOUT,
        FailureClass.RESOURCES_ERROR,
        FailureClass.VERIFY_ERROR,
        FailureClass.AGENT_ERROR,
        FailureClass.UNREACHABLE,
        FailureClass.TIMEOUT,
    }
)
JUMPING_CLOCK = '''\
"""Every process that finds this on its path lives with a clock that jumps a day back or forth each half second."""
import time

_steady, _real = time.monotonic, time.time
time.time = lambda: _real() + (86_400 if int(2 * _steady()) % 2 else -86_400)
'''


def killed_at_random(scene: Scene) -> Outcome:
    """Each server with `kill -9` at random moments; it comes back, and in the end every rollout has its result."""
    gym = scene.gym
    rounds = 3 if scene.is_long else 1
    rows = [row(n, "slow") for n in range(450 if scene.is_long else 100)]
    collecting = scene.collecting(rows, "+num_samples_in_parallel=8", "+max_attempts=1000")
    collecting.until_results()
    for name in scene.rng.sample(KILLED, len(KILLED)) * rounds:
        time.sleep(scene.rng.uniform(0.0, 0.3))
        kill(gym, name)
        gym.until_all_ready()
    first = collecting.end()
    last = scene.collecting(rows, "+resume_from_cache=true", "+max_attempts=1000").end()
    last.seconds += first.seconds
    last.problems += first.problems
    last.problems += [f"{first.not_run} rollouts were not run"] if first.not_run else []
    last.problems += [f"failed as {kind}" for kind in first.failed.keys() - OF_SERVERS_GONE]
    said = gym.log.read_text()
    last.problems += [f"no word of {name}" for name in KILLED if f"{name} ended with signal SIGKILL" not in said]
    if not first.failed:
        last.problems.append("no rollout failed: nothing was tested")
    return last


def frozen(scene: Scene) -> Outcome:
    """The model server is stopped for longer than any deadline, then goes on."""
    pid = scene.gym.servers()["faulty_model"].pid
    assert pid is not None
    collecting = scene.collecting([row(n) for n in range(12)], "+num_samples_in_parallel=4")
    os.kill(pid, signal.SIGSTOP)
    try:
        collecting.until_said("failed model_timeout")
    finally:
        os.kill(pid, signal.SIGCONT)
    return collecting.end()


def stuck(scene: Scene) -> Outcome:
    """A `verify()` that never gives the event loop back: its server is started again, the next rollouts complete."""
    rows = [row(0), row(1, verifier="blocks"), row(2), row(3)]
    first = scene.collecting(rows, "+num_samples_in_parallel=1").end()
    scene.gym.until_all_ready()
    said = scene.gym.log.read_text()
    for words in ("faulty ended", "stood still for 4 s", "in looped"):
        if words not in said:
            first.problems.append(f"ng_run does not tell {words!r}: {said[-1000:]}")
    return first


def exits(scene: Scene) -> Outcome:
    """A tool, and a `verify()`, that end their own process."""
    rows = [row(0), row(1, "calls_exit"), row(2), row(3, verifier="exits"), row(4), row(5)]
    outcome = scene.collecting(rows, "+num_samples_in_parallel=1").end()
    scene.gym.until_all_ready()
    return outcome


def launcher_killed(scene: Scene) -> Outcome:
    """`kill -9` of `ng_run` while rollouts run: no process stays, and the collection ends."""
    rows = [row(n, "slow") for n in range(40)]
    collecting = scene.collecting(rows, "+num_samples_in_parallel=20")
    collecting.until_results()
    os.kill(scene.gym.process.pid, signal.SIGKILL)
    scene.gym.process.wait()
    deadline = time.monotonic() + GONE_S
    while (left := processes_of(scene.gym.run_id)) and time.monotonic() < deadline:
        time.sleep(0.05)
    outcome = collecting.end()
    outcome.orphans += [f"pid {pid}" for pid in left]
    return outcome


def launcher_stopped(scene: Scene) -> Outcome:
    """Ctrl-C in the terminal of `ng_run` while rollouts run."""
    rows = [row(n, "slow") for n in range(40)]
    collecting = scene.collecting(rows, "+num_samples_in_parallel=20")
    collecting.until_results()
    scene.gym.process.send_signal(signal.SIGINT)
    scene.gym.process.wait(60)
    return collecting.end()


def clock_jumps(scene: Scene) -> Outcome:
    """All processes live with a clock that jumps."""
    more = {"PYTHONPATH": jumping_clock(scene.gym.folder)["PYTHONPATH"]}
    rows = [*(row(n, "slow") for n in range(40)), *(row(n, "refuses_429_burst_politely") for n in range(40, 44))]
    return scene.collecting(rows, "+num_samples_in_parallel=4", more=more).end()


def jumping_clock(home: Path) -> dict[str, str]:
    folder = home / "clock"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(JUMPING_CLOCK)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}


def kill(gym: FaultyGym, name: str) -> None:
    pid = gym.servers()[name].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


SERVER_DRILLS = (
    Drill("servers are killed at random", killed_at_random, 45, long_deadline_s=90),
    Drill("a server that ends itself", exits, 20, may_fail_as=OF_SERVERS_GONE, only_long=True),
    Drill("a server is frozen", frozen, 30, may_fail_as=frozenset({FailureClass.MODEL_TIMEOUT}), only_long=True),
    Drill("a server is stuck", stuck, 30, may_fail_as=frozenset({FailureClass.RESOURCES_ERROR}), only_long=True),
    Drill("ng_run is killed", launcher_killed, 60, may_fail_as=OF_SERVERS_GONE, only_long=True, own_gym=OwnGym()),
    Drill("ng_run is stopped", launcher_stopped, 60, may_fail_as=OF_SERVERS_GONE, only_long=True, own_gym=OwnGym()),
    Drill("the clock jumps", clock_jumps, 20, only_long=True, own_gym=OwnGym(environment=jumping_clock)),
)
