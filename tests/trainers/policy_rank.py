"""One rank of a trainer's policy, as a process: an OpenAI-compatible server that speaks tokens, and insists.

It answers from a script (user's question → its turns). What it samples is spelled in single bytes, what it reads in
pairs of them, so that re-tokenizing what it said gives other ids; and its template drops earlier reasoning. Only who
sends back the token fields of its answers gets prompts that extend each other.

    python policy_rank.py script.json [number of answers after which it dies]
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TEMPERATURE, TOP_P = 0.7, 0.95
MAX_MODEL_LEN = 4000
PAIRS = 1000
"""First id of those that stand for two bytes."""
END = 256
ROLES = {"system": 257, "developer": 257, "user": 258, "assistant": 259, "tool": 260}

Json = dict[str, Any]


def encode(text: str) -> list[int]:
    data = text.encode()
    pairs = [PAIRS + 256 * data[index] + data[index + 1] for index in range(0, len(data) - 1, 2)]
    return pairs + ([data[-1]] if len(data) % 2 else [])


def sampled(message: Json) -> list[int]:
    """Ids of what the policy says in one turn."""
    return [*said(message, with_reasoning=True).encode(), END]


def said(message: Json, *, with_reasoning: bool) -> str:
    calls = "".join(
        f"{call['function']['name']}{call['function']['arguments']}" for call in message["tool_calls"] or ()
    )
    thought = f"<think>{message['reasoning_content']}</think>" if with_reasoning else ""
    return thought + (message["content"] or "") + calls


def template(messages: Iterable[Json]) -> list[int]:
    ids: list[int] = []
    for message in messages:
        is_policy = message["role"] == "assistant"
        text = said({"tool_calls": None, **message}, with_reasoning=False) if is_policy else text_of(message["content"])
        ids += [ROLES[message["role"]], *encode(text), END]
    return ids


def text_of(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def prompt_of(messages: Sequence[Json]) -> list[int]:
    """The rendered prompt, its prefix corrected from the token fields of the last turn that has them."""
    known = max((index for index, each in enumerate(messages) if each.get("generation_token_ids")), default=-1)
    prefix = messages[known]["prompt_token_ids"] + messages[known]["generation_token_ids"] if known >= 0 else []
    return [*prefix, *template(messages[known + 1 :]), ROLES["assistant"]]


def log_prob(previous: int, token: int) -> float:
    return -((31 * previous + 17 * token) % 13 + 1) / 10


def log_probs(prompt: Sequence[int], generation: Sequence[int]) -> list[float]:
    before = [prompt[-1], *generation[:-1]]
    return [log_prob(previous, token) for previous, token in zip(before, generation, strict=True)]


class Refusal(Exception):
    """HTTP 400 with that message."""


def complete(body: Json, script: dict[str, list[Json]]) -> Json:
    for name, value in (("temperature", TEMPERATURE), ("top_p", TOP_P)):
        if body.get(name) != value:
            raise Refusal(f"`{name}` is {body.get(name)!r}: the policy is sampled with {value}, and that must be said")
    if body.get("n") not in (None, 1):
        raise Refusal("`n` must be 1")
    messages = body["messages"]
    prompt = prompt_of(messages)
    if len(prompt) >= MAX_MODEL_LEN:
        length = f"This model's maximum context length is {MAX_MODEL_LEN} tokens. However, you requested {len(prompt)}"
        raise Refusal(f"{length} tokens. Please reduce the length of the messages.")
    question = next(text_of(message["content"]) for message in messages if message["role"] == "user")
    step = sum(message["role"] == "assistant" for message in messages)
    answer: Json = {"role": "assistant", "reasoning_content": f"step {step}", "content": None, "tool_calls": None}
    answer |= script[question][step]
    generation = sampled(answer)
    answer |= {
        "prompt_token_ids": prompt,
        "generation_token_ids": generation,
        "generation_log_probs": log_probs(prompt, generation),
    }
    pieces = [
        {"token": f"token_id:{token}", "logprob": value, "bytes": None, "top_logprobs": []}
        for token, value in zip(generation, answer["generation_log_probs"], strict=True)
    ]
    choice = {
        "index": 0,
        "message": answer,
        "finish_reason": "tool_calls" if answer["tool_calls"] else "stop",
        "logprobs": {"content": pieces} if body.get("logprobs") else None,
    }
    usage = {"prompt_tokens": len(prompt), "completion_tokens": len(generation)}
    usage["total_tokens"] = len(prompt) + len(generation)
    head = {"id": f"chatcmpl-{time.time_ns()}", "object": "chat.completion", "created": 0, "model": body["model"]}
    return head | {"choices": [choice], "usage": usage}


class Rank(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: dict[str, list[Json]]
    answers_left: int
    lock = threading.Lock()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with Rank.lock:
            Rank.answers_left -= 1
        if Rank.answers_left < 0:
            os._exit(1)
        try:
            if self.path == "/tokenize":
                ids = prompt_of(body["messages"])
                self.answer(200, {"count": len(ids), "tokens": ids, "max_model_len": MAX_MODEL_LEN})
            elif self.path == "/v1/chat/completions":
                self.answer(200, complete(body, self.script))
            else:
                self.answer(404, {"detail": "Not Found"})
        except Refusal as refusal:
            error = {"message": str(refusal), "type": "BadRequestError", "param": None, "code": 400}
            self.answer(400, {"error": error})

    def do_GET(self) -> None:
        model = {"id": "policy", "object": "model", "max_model_len": MAX_MODEL_LEN}
        self.answer(200, {"object": "list", "data": [model]})

    def answer(self, status: int, content: Json) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    Rank.script = json.loads(Path(sys.argv[1]).read_text())
    Rank.answers_left = int(sys.argv[2]) if len(sys.argv) > 2 else sys.maxsize
    threading.Thread(target=end_with_parent, daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Rank)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/v1\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
