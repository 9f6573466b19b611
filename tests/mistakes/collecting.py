"""Mistakes that show when rollouts are collected: no servers, task rows, output files, models, rewards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.documents import shell
from tests.mistakes.endpoint import free_port
from tests.mistakes.mistake import Mistake
from tests.mistakes.project import ROW

ALL_FAILED = "10 rollouts in a row have failed, the last with model_error"


def collecting(agent: str = "quiz_agent", rows: str = "rows.jsonl", output: str = "out.jsonl", more: str = "") -> str:
    paths = f"+input_jsonl_fpath={rows} +output_jsonl_fpath={output}"
    return f"ng_collect_rollouts +agent_name={agent} {paths} {more}".rstrip()


def row_with(**params: object) -> str:
    return json.dumps({"responses_create_params": params, "expected": "yes"}) + "\n"


@contextmanager
def nothing_listening(folder: Path) -> Iterator[Mapping[str, str]]:
    yield {"port": str(free_port())}


@contextmanager
def collected_before(folder: Path) -> Iterator[Mapping[str, str]]:
    shell(collecting(more="+limit=1"), folder)
    yield {}


NO_SERVERS = (
    Mistake(
        "rollouts without servers",
        collecting(more="+head_server.port={port}"),
        circumstance=nothing_listening,
        says=("no running servers found", "connection refused", "Start them in this folder with ng_run"),
        exit_code=1,
    ),
    Mistake(
        "status where nothing runs",
        "ng_status +head_server.port={port}",
        circumstance=nothing_listening,
        says=("no running servers found", "connection refused", "Start them in this folder with ng_run"),
        exit_code=1,
    ),
    Mistake(
        "a misspelt option",
        "ng_collect_rollouts +agentname=quiz_agent +input_jsonl_fpath=rows.jsonl +output_jsonl_fpath=out.jsonl",
        says=("command line: `agentname`", "did you mean `agent_name`?"),
    ),
    Mistake(
        "an option of the wrong type",
        collecting(more="+num_repeats=often"),
        says=("command line: `num_repeats`: must be a whole number, not `often`",),
    ),
)

TASK_ROWS = (
    Mistake(
        "a task file that is not there",
        collecting(rows="row.jsonl"),
        says=("row.jsonl: cannot be read", "did you mean `rows.jsonl`?"),
    ),
    Mistake(
        "an empty task file",
        collecting(),
        files={"rows.jsonl": ""},
        says=("rows.jsonl", "no task rows"),
    ),
    Mistake(
        "a line that is no JSON",
        collecting(),
        files={"rows.jsonl": ROW + ROW[:40] + "\n"},
        says=("rows.jsonl:2", "no JSON"),
    ),
    Mistake(
        "a row without responses_create_params",
        collecting(),
        files={"rows.jsonl": '{"question": "Yes?"}\n'},
        says=("rows.jsonl:1", "no `responses_create_params`"),
    ),
    Mistake(
        "a row without input",
        collecting(),
        files={"rows.jsonl": ROW + row_with(temperature=1)},
        says=("rows.jsonl:2", "has no `input`"),
    ),
    Mistake(
        "a row of chat format",
        collecting(),
        files={"rows.jsonl": '{"messages": [{"role": "user", "content": "Yes?"}]}\n'},
        says=("rows.jsonl:1", "a chat-format row", "ng_prepare_data +convert_chat=true"),
    ),
    Mistake(
        "an item of a type that does not exist",
        collecting(),
        files={"rows.jsonl": row_with(input=[{"type": "mesage", "role": "user", "content": "Yes?"}])},
        says=("1 bad_row, as in task 0", "input[0].type: `mesage` is no item type; did you mean `message`?"),
        exit_code=1,
    ),
    Mistake(
        "a row without a field that the environment needs",
        collecting(),
        files={"rows.jsonl": ROW.replace("expected", "expectd")},
        says=("1 bad_row, as in task 0", "stage verify, server quiz", "expected: Field required"),
        exit_code=1,
    ),
)

ARGUMENTS = (
    Mistake(
        "an agent that does not run",
        collecting(agent="quiz_agnet"),
        says=("no agent `quiz_agnet` is running; did you mean `quiz_agent`?",),
    ),
    Mistake(
        "rows without an agent where several run",
        "ng_collect_rollouts +input_jsonl_fpath=rows.jsonl +output_jsonl_fpath=out.jsonl",
        says=("rows.jsonl: 20 bad rows", "lines 1, 2, 3 and 17 more", "give +agent_name=…", "`quiz_agent`"),
    ),
    Mistake(
        "an output file that exists",
        collecting(),
        circumstance=collected_before,
        says=("out.jsonl", "+resume_from_cache=true", "+overwrite=true"),
    ),
    Mistake(
        "resuming with other arguments",
        collecting(more="+limit=2 +resume_from_cache=true"),
        circumstance=collected_before,
        says=("out.jsonl: holds a different collection: `limit` was 1, is 2", "+overwrite=true"),
    ),
    Mistake(
        "an output folder that cannot be written",
        collecting(output="rows.jsonl/out.jsonl"),
        says=("rows.jsonl/out.jsonl: cannot be written: rows.jsonl is a file",),
    ),
    Mistake(
        "a request parameter that does not exist",
        collecting(more="'+responses_create_params={temprature: 1}'"),
        says=("command line: `responses_create_params`", "`temprature`", "did you mean `temperature`?"),
    ),
)

MODELS = (
    Mistake(
        "a model endpoint that is down",
        collecting(agent="down_agent"),
        says=(ALL_FAILED, "20 model_error", "server down_model", "/v1", "connection refused"),
        exit_code=1,
    ),
    Mistake(
        "a wrong API key",
        collecting(agent="refusing_agent"),
        says=(ALL_FAILED, "20 model_error", "server refusing_model", "HTTP 401: Incorrect API key"),
        exit_code=1,
    ),
    Mistake(
        "a model that the endpoint does not have",
        collecting(agent="lacking_agent"),
        says=(ALL_FAILED, "20 model_error", "server lacking_model", "HTTP 404: The model `gpt-none`"),
        exit_code=1,
    ),
)

REWARDS = tuple(
    Mistake(
        f"a verify() that {how}",
        collecting(agent="careless_agent"),
        files={"rows.jsonl": json.dumps({"responses_create_params": {"input": "Yes?"}, "how": how.split()[0]}) + "\n"},
        says=("1 verify_error, as in task 0 (stage verify, server careless)", *words),
        exit_code=1,
    )
    for how, words in {
        "gives a reward that is no number": ("BaseVerifyResponse cannot be built: reward", "finite number"),
        "forgets the reward": ("BaseVerifyResponse cannot be built: reward: Field required",),
        "sends something else": ("the answer of verify() has no `reward`",),
        "raises an exception": ("KeyError: 'yes'",),
    }.items()
)


def with_servers(mistakes: tuple[Mistake, ...]) -> Iterator[Mistake]:
    for mistake in mistakes:
        yield Mistake(**{**vars(mistake), "needs_servers": True})


COLLECTING = (*NO_SERVERS, *with_servers((*TASK_ROWS, *ARGUMENTS, *MODELS, *REWARDS)))
