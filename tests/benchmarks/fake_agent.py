"""An agent that costs next to nothing, and its head server: `python -m tests.benchmarks.fake_agent`.

Every `/run` is answered with the same rollout of some 14 KB, whatever the row; the collector gives each its keys. It
writes its port to stdout in one line, and ends when its stdin is closed.
"""

from __future__ import annotations

import os

from tests.benchmarks.http_connection import HttpConnection, http_answer, serve
from tests.benchmarks.task_rows import task_row

AGENT = "fake_agent"
_OUTPUT_TEXT = "It is cold there, 3 degrees, and the wind will not let up before the evening. " * 40
_answers: dict[bytes, bytes] = {}


class FakeAgentConnection(HttpConnection):
    """Answers what a collector asks."""

    def answer(self, method: bytes, path: bytes, body: bytes) -> None:
        self.transport.write(_answers.get(path, _NOT_FOUND))


def result(tool_calls: int = 3) -> dict[str, object]:
    """A rollout as an agent answers it: the row, the response, what the agent recorded."""
    params = task_row(0)["responses_create_params"]
    text = {"type": "output_text", "text": _OUTPUT_TEXT, "annotations": []}
    message = {"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": [text]}
    call = {"type": "function_call", "id": "fc", "call_id": "c", "name": "get_weather", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": _OUTPUT_TEXT[:1000]}
    turn = {
        "index": 0, "model_call": 0, "started_at": 1.8e9, "duration_s": 0.5, "model_s": 0.4, "tools_s": 0.1,
        "step_s": 0.0, "tool_calls": 1, "output_items": 2, "input_tokens": 120, "output_tokens": 40, "reward": None,
        "terminated": False, "truncated": False, "info": {},
    }  # fmt: skip
    return {
        **task_row(0),
        "response": {"id": "resp", "object": "response", "output": [*[call, output] * tool_calls, message]},
        "reward": 1.0,
        "extracted_answer": "a coat",
        "stop_reason": "completed",
        "mode": "multi_step",
        "mode_reason": "the row has tools",
        "responses_create_params": params,
        "turns": [{**turn, "index": index, "model_call": index} for index in range(tool_calls + 1)],
        "timings": {"total_s": 2.1, "seed_s": 0.1, "model_s": 1.6, "tools_s": 0.3, "step_s": 0.0, "verify_s": 0.1},
        "usage": {"input_tokens": 480, "output_tokens": 160, "total_tokens": 640},
    }


def instance(url: str) -> dict[str, object]:
    """This agent, as a head server lists it."""
    return {
        "process_name": AGENT, "server_type": "responses_api_agents", "name": AGENT, "dir_path": "/",
        "entrypoint": "app.py", "host": "127.0.0.1", "port": int(url.rpartition(":")[2]), "url": url, "urls": [url],
        "pid": os.getpid(), "config_path": AGENT, "start_time": 0.0,
    }  # fmt: skip


_NOT_FOUND = http_answer(404, {"error": {"type": "not_found", "message": "no such route"}})


def main() -> None:
    """Answer until stdin is closed."""

    def prepare(port: int) -> None:
        _answers[b"/server_instances"] = http_answer(200, [instance(f"http://127.0.0.1:{port}")])

    _answers[b"/run"] = http_answer(200, result())
    _answers[b"/metrics_mode"] = http_answer(200, "default")
    serve(FakeAgentConnection, prepare)


if __name__ == "__main__":
    main()
