"""What `ng_status` says of the longest waits: one sentence each, as far down as it is known, the longest first."""

from __future__ import annotations

from nemo_gym.cli.longest_waits import SHOWN, Told, sentences
from nemo_gym.serving.in_flight import InFlightReport, Waiting
from nemo_gym.serving.runs import ServerStatus

TYPES = {"agent": "responses_api_agents", "env": "resources_servers"}


def status(name: str) -> ServerStatus:
    server_type = TYPES.get(name, "responses_api_models")
    facts = {"implementation": name, "url": f"http://{name}", "state": "ready", "restarts": 0, "started_at": 0.0}
    return ServerStatus.model_validate(
        {"name": name, "worker": 0, "server_type": server_type, "pid": 5, "memory_bytes": None, **facts}
    )


def rollout(task: int, what: str, whom: str, waiting_s: float) -> Waiting:
    return waiting("/run", f"r{task}", what, whom, waiting_s, task)


def waiting(
    path: str, rollout_id: str | None, what: str, whom: str, waiting_s: float, task: int | None = None
) -> Waiting:
    return Waiting(
        path=path,
        rollout_id=rollout_id,
        task_index=task,
        rollout_index=None if task is None else 0,
        what=what,
        whom=whom,
        waiting_s=waiting_s,
        total_s=waiting_s,
    )


def told(**waits: list[Waiting]) -> list[Told]:
    return [Told(status(name), InFlightReport(requests=len(each), longest=each)) for name, each in waits.items()]


def test_a_rollouts_wait_is_followed_from_server_to_server() -> None:
    answers = told(
        agent=[rollout(3, "verify", "env", 34.25)],
        env=[waiting("/verify", "r3", "POST /v1/responses", "judge", 34.0)],
        judge=[waiting("/v1/responses", "r3", "an answer", "http://endpoint/v1", 33.5)],
    )
    assert sentences(answers, 3) == [
        "task 3, rollout 0 (agent): verify of env for 34.2 s; there: POST /v1/responses of judge for 34.0 s; "
        "there: an answer of http://endpoint/v1 for 33.5 s"
    ]


def test_what_belongs_to_no_rollout_stands_alone() -> None:
    answers = told(agent=[], judge=[waiting("/v1/responses", None, "a free slot", "http://endpoint/v1", 120.0)])
    assert sentences(answers, 3) == ["/v1/responses (judge): a free slot of http://endpoint/v1 for 120 s"]


def test_a_handler_that_waits_for_nothing_is_at_work_itself() -> None:
    answers = told(agent=[rollout(0, "tool f", "env", 9.0)], env=[waiting("/f", "r0", "", "", 9.0)])
    assert sentences(answers, 3) == [
        "task 0, rollout 0 (agent): tool f of env for 9.0 s; there: /f is at work for 9.0 s"
    ]


def test_nothing_that_a_client_sent_acts_on_the_terminal() -> None:
    answers = told(judge=[waiting("/\x1b[2J\n/v1", "r\x07", "", "", 9.0)])
    [line] = sentences(answers, 3)
    assert line.isprintable() and "/�[2J�/v1" in line


def test_short_waits_are_not_told() -> None:
    assert sentences(told(agent=[rollout(0, "model call 1", "policy", 2.9)]), 3) == []


def test_of_many_the_longest_are_told_and_the_others_counted() -> None:
    answers = told(agent=[rollout(task, "model call 1", "policy", 10.0 + task) for task in range(SHOWN + 4)])
    lines = sentences(answers, 3)
    assert [line.split(",")[0] for line in lines[:SHOWN]] == [f"task {task}" for task in range(SHOWN + 3, 3, -1)]
    assert lines[SHOWN:] == ["and 4 more, of which wait 4 for policy"]


def test_a_server_that_does_not_answer_comes_first() -> None:
    answers = [*told(agent=[rollout(0, "verify", "env", 9.0)]), Told(status("env"), None, silent=True)]
    lines = sentences(answers, 3)
    assert lines[0].startswith("env (pid 5) does not answer")
    assert lines[1] == "task 0, rollout 0 (agent): verify of env for 9.0 s"
