"""The token engine of torch_model: a checkpoint, the thread that samples from it, and weights that are replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from nemo_gym.errors import EngineRefusedError
from nemo_gym.ledger.engine import Generation
from nemo_gym.ledger.prompts import context_overflow
from nemo_gym.serving.error_answers import error_response
from responses_api_models.torch_model.batch import Limits, Snapshot
from responses_api_models.torch_model.chat_template import ChatTemplate
from responses_api_models.torch_model.checkpoint import Checkpoint, with_weights
from responses_api_models.torch_model.continuation import Continuation
from responses_api_models.torch_model.prefix_store import PrefixStore
from responses_api_models.torch_model.sampling import Sampling
from responses_api_models.torch_model.self_check import check_batching
from responses_api_models.torch_model.weight_file import read_weights
from responses_api_models.torch_model.worker import Worker

Json = dict[str, Any]
T = TypeVar("T")


class TorchEngine:
    """A `TokenEngine`. Nothing here keeps the event loop waiting: texts, weights and sampling have a thread each."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        limits: Limits,
        *,
        policy_version: int | str = 0,
        context_length: int | None = None,
        prefix_cache_bytes: int = 0,
        num_threads: int = 1,
    ) -> None:
        """`context_length`: shorter than the model's own; None: as long. `num_threads`: of torch, in this process.

        Raises `LaunchError` for a model that cannot be sampled in batches.
        """
        torch.set_num_threads(num_threads)
        check_batching(checkpoint.model)
        self._template = ChatTemplate(checkpoint.tokenizer, checkpoint.end_ids)
        self._end_ids = checkpoint.end_ids
        self._context_length = min(context_length or checkpoint.context_length, checkpoint.context_length)
        self._vocabulary = int(checkpoint.model.get_input_embeddings().num_embeddings)
        self._prefix_cache_bytes = prefix_cache_bytes
        self._worker = Worker(Snapshot(policy_version, checkpoint.model, PrefixStore(prefix_cache_bytes)), limits)
        self._texts = ThreadPoolExecutor(1, "torch_model texts")
        self._weights = ThreadPoolExecutor(1, "torch_model weights")

    @property
    def policy_version(self) -> int | str:
        """The weights that requests begin on now."""
        return self._worker.snapshot.policy_version

    async def render(self, request: Json) -> list[int]:
        try:
            return await self._in(self._texts, self._template.render, request)
        except ValueError as error:
            raise _refused(str(error)) from error

    async def encode(self, text: str) -> list[int]:
        return await self._in(self._texts, self._template.encode, text)

    async def generate(self, prompt_ids: Sequence[int], request: Json, rollout_key: str) -> Generation:
        try:
            sampling = Sampling.of(request)
        except ValueError as error:
            raise _refused(str(error)) from error
        if not prompt_ids:
            raise _refused("the prompt holds no token: there is nothing to go on from")
        if not 0 <= min(prompt_ids) <= max(prompt_ids) < self._vocabulary:
            raise _refused(f"the prompt holds ids that are none of the model's {self._vocabulary}")
        left = self._context_length - len(prompt_ids)
        if left < 1:
            raise context_overflow(len(prompt_ids), self._context_length)
        continuation = Continuation(
            prompt_ids,
            sampling,
            max_tokens=min(left, sampling.max_tokens or left),
            end_ids=self._end_ids,
            decode=self._template.decode,
        )
        self._worker.submit(continuation)
        generation = await asyncio.wrap_future(continuation.answer)
        if not request.get("logprobs"):
            return generation
        logprobs = await self._in(self._texts, self._template.logprobs, generation.ids, generation.log_probs)
        return replace(generation, logprobs=logprobs)

    async def read(self, generation: Generation, request: Json) -> Json:
        stops = Sampling.of(request).stop
        tools_declared = bool(request.get("tools")) and request.get("tool_choice") != "none"
        return await self._in(
            self._texts, lambda: self._template.read(generation.ids, stops, tools_declared=tools_declared)
        )

    async def context_length(self) -> int | None:
        return self._context_length

    async def update_weights(self, source: bytes | Path, policy_version: int | str) -> None:
        """Have requests from now on begin on these weights: a safetensors file's bytes, or a folder with such files.

        Raises `WeightUpdateError` where they do not fit the model; then nothing is changed.
        """
        await self._in(self._weights, self._replace, source, policy_version)

    async def close(self) -> None:
        """Cancel what is under way and end all threads."""
        await asyncio.to_thread(self._worker.close)
        self._texts.shutdown(cancel_futures=True)
        self._weights.shutdown(cancel_futures=True)

    def _replace(self, source: bytes | Path, policy_version: int | str) -> None:
        model = with_weights(self._worker.snapshot.model, read_weights(source))
        # What the old weights computed of earlier prompts is of no use to the new ones.
        self._worker.replace(Snapshot(policy_version, model, PrefixStore(self._prefix_cache_bytes)))

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)


def _refused(message: str) -> EngineRefusedError:
    answer = error_response(400, "invalid_request_error", message)
    return EngineRefusedError(answer.status_code, bytes(answer.body))
