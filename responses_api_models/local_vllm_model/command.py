"""How vLLM is started: its command line, and the GPUs that each replica gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

RESERVED = frozenset({"model", "served_model_name", "host", "port", "api_key", "uds"})
"""Arguments that this server sets itself."""


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """`{"max_model_len": 4096, "enforce_eager": True}` → `["--max-model-len", "4096", "--enforce-eager"]`.

    `False` becomes `--no-...`, a list several values, a mapping JSON; `None` leaves the argument out.
    """
    words: list[str] = []
    for name, value in arguments.items():
        flag = name.removeprefix("--").replace("_", "-")
        match value:
            case None:
                continue
            case True:
                words.append(f"--{flag}")
            case False:
                words.append(f"--no-{flag}")
            case dict():
                words += [f"--{flag}", json.dumps(value)]
            case list() | tuple():
                words += [f"--{flag}", *map(str, value)]
            case _:
                words += [f"--{flag}", str(value)]
    return words


def serve_command(python: str, model: str, port: int, arguments: Mapping[str, Any]) -> list[str]:
    """The command that serves `model` on a port of this machine."""
    where = ["--model", model, "--served-model-name", model, "--host", "127.0.0.1", "--port", str(port)]
    return [python, "-m", "vllm.entrypoints.openai.api_server", *where, *flags(arguments)]


async def knows_argument(python: str, name: str, environment: Mapping[str, str]) -> bool:
    """Whether the vLLM of an interpreter has an argument, `enable_scale_out` say; False where it has no vLLM."""
    process = await asyncio.create_subprocess_exec(
        python,
        "-c",
        _FIND_ARGUMENT,
        name,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


_FIND_ARGUMENT = """\
import sys
from importlib.util import find_spec
from pathlib import Path

[folder] = find_spec("vllm").submodule_search_locations
files = (Path(folder) / "entrypoints").rglob("cli_args.py")
sys.exit(not any(f"{sys.argv[1]}:" in file.read_text() for file in files))
"""
"""Reads, instead of loading vLLM, which takes many seconds."""


def gpus_of_replicas(gpus: Sequence[int], replicas: int) -> list[list[int]]:
    """An even share of the GPUs for each replica. Raises ValueError where they cannot be shared evenly."""
    if not gpus or len(gpus) % replicas:
        raise ValueError(f"{len(gpus)} GPUs cannot be shared evenly by {replicas} replicas")
    share = len(gpus) // replicas
    return [list(gpus[start : start + share]) for start in range(0, len(gpus), share)]
