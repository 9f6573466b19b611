"""A tiny agent and head server in one process, for tests: a row says how it is to be answered.

Row fields: `reward`; `delay_s` to wait first; `padding`, the length of the answer, or `items`, its output; `behaviour`,
one of `fail`, `fail_terminal`, `fail_first`, `no_persist`, `status_<code>`, `no_reward`, `nan_reward`, `list`,
`garbage`, `hang`.
`POST /set` changes `broken_metrics`, `metrics_mode` and `num_agents` and forgets what was seen; `GET /seen` tells what
ran.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SEEN: dict[str, list[Any]] = {"started": [], "cancelled": [], "aggregated": []}
SETTINGS: dict[str, Any] = {"broken_metrics": False, "metrics_mode": "own"}
RUNNING = {"now": 0, "most": 0}
OWN_URL = ""


async def run(request: Request) -> Response:
    row = await request.json()
    SEEN["started"].append([row["_ng_task_index"], row["_ng_rollout_index"], row["_ng_attempt_index"]])
    RUNNING["now"] += 1
    RUNNING["most"] = max(RUNNING["most"], RUNNING["now"])
    answering = asyncio.create_task(answer(row))
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            SEEN["cancelled"].append([row["_ng_task_index"], row["_ng_rollout_index"]])
            return Response(status_code=499)
        return answering.result()
    finally:
        gone.cancel()
        RUNNING["now"] -= 1


async def answer(row: dict[str, Any]) -> Response:
    await asyncio.sleep(row.get("delay_s", 0))
    behaviour = row.get("behaviour", "")
    if behaviour == "hang":
        await asyncio.sleep(3600)
    if behaviour in ("fail", "fail_terminal", "no_persist") or (
        behaviour == "fail_first" and row["_ng_attempt_index"] == 0
    ):
        kind = "context_overflow" if behaviour == "fail_terminal" else "model_error"
        facts = {"_ng_failure_class": kind, "_ng_failure_terminal": behaviour == "fail_terminal"}
        detail = {"failure_class": kind, "stage": "model", "server": "policy_model", "message": "the model gave up"}
        kept = {"_ng_no_persist": True} if behaviour == "no_persist" else {}
        return JSONResponse({**row, **facts, **kept, "_ng_failure": detail})
    if behaviour.startswith("status_"):
        return JSONResponse({"detail": "as asked"}, status_code=int(behaviour.removeprefix("status_")))
    odd = {"no_reward": b'{"x": 1}', "nan_reward": b'{"reward": null}', "list": b"[1]", "garbage": b"<html>"}
    if behaviour in odd:
        return Response(odd[behaviour], media_type="application/json")
    reward = row.get("reward", (row["_ng_task_index"] + row["_ng_rollout_index"]) % 2)
    usage = {"input_tokens": 5, "output_tokens": 2}
    items = row.get("items") or [{"type": "message", "content": "x" * row.get("padding", 10)}]
    body = {"id": "r", "output": items, "usage": usage}
    # The order of keys is that of a real agent: the reward comes late.
    return JSONResponse({**row, "response": body, "reward": reward, "turns": [{"index": 0}], "usage": usage})


async def aggregate(request: Request) -> Response:
    if SETTINGS["broken_metrics"]:
        return JSONResponse({"detail": "broken"}, status_code=500)
    body = await request.json()
    SEEN["aggregated"] = body["verify_responses"]
    rewards = [answer["reward"] for answer in body["verify_responses"]]
    own = {"mean/reward": sum(rewards) / len(rewards), "own/number": len(rewards)}
    return JSONResponse({"group_level_metrics": [], "agent_metrics": own, "key_metrics": own})


async def metrics_mode(request: Request) -> Response:
    return JSONResponse(SETTINGS["metrics_mode"])


async def instances(request: Request) -> Response:
    port = int(OWN_URL.rpartition(":")[2])
    facts = {
        "server_type": "responses_api_agents", "name": "tiny_agent", "dir_path": "/", "entrypoint": "app.py",
        "host": "127.0.0.1", "port": port, "url": OWN_URL, "urls": [OWN_URL], "pid": os.getpid(),
        "config_path": "tiny", "start_time": 0.0,
    }  # fmt: skip
    agents = [{**facts, "process_name": name} for name in ("tiny_agent", "other_agent")]
    model = {**facts, "process_name": "policy_model", "server_type": "responses_api_models"}
    return JSONResponse([*agents[: SETTINGS.get("num_agents", 1)], model])


async def seen(request: Request) -> Response:
    return JSONResponse({**SEEN, "most_running": RUNNING["most"]})


async def change(request: Request) -> Response:
    SETTINGS.update(await request.json())
    SEEN.update(started=[], cancelled=[], aggregated=[])
    RUNNING["most"] = 0
    return JSONResponse({})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    global OWN_URL
    listen = socket.create_server(("127.0.0.1", 0), backlog=1024)
    OWN_URL = f"http://127.0.0.1:{listen.getsockname()[1]}"
    sys.stdout.write(OWN_URL + "\n")
    sys.stdout.flush()
    threading.Thread(target=end_with_parent, daemon=True).start()
    routes = [
        Route("/run", run, methods=["POST"]),
        Route("/aggregate_metrics", aggregate, methods=["POST"]),
        Route("/metrics_mode", metrics_mode),
        Route("/server_instances", instances),
        Route("/seen", seen),
        Route("/set", change, methods=["POST"]),
    ]
    uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="warning")).run(sockets=[listen])


if __name__ == "__main__":
    main()
