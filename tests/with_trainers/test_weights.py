"""Weights published by a trainer: to a torch_model that serves, and to a vLLM by the requests that it understands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")

from safetensors.torch import load_file  # noqa: E402
from starlette.responses import Response  # noqa: E402

from nemo_gym.errors import WeightUpdateError  # noqa: E402
from nemo_gym.serving.http import HttpClient  # noqa: E402
from nemo_gym.training.weights import TorchModelWeights, VLLMWeights  # noqa: E402
from nemo_gym.upstream.fake_endpoint import FakeEndpoint, Stage  # noqa: E402
from responses_api_models.torch_model.app import TorchModel  # noqa: E402
from responses_api_models.torch_model.tests.tiny_policy import make_model, make_tokenizer, write_policy  # noqa: E402

pytestmark = pytest.mark.training

Json = dict[str, Any]
TOKENIZER = make_tokenizer()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


async def generated(url: str) -> Json:
    """The message that the model server answers greedily."""
    http = HttpClient()
    body = {"messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 20}
    try:
        answer = await http.request("POST", f"{url}/v1/chat/completions", json=body, timeout_s=60)
    finally:
        await http.close()
    message: Json = answer.parse()["choices"][0]["message"]
    return message


# ------------------------------------------------------------------------------------------------------- torch_model


@pytest.mark.parametrize("tied", [True, False])
async def test_a_torch_model_answers_by_the_published_weights(stage: Stage, tmp_path: Path, tied: bool) -> None:
    url = await stage.model(TorchModel, model_path=str(write_policy(tmp_path / "policy", tied=tied)))
    trained = make_model(TOKENIZER, seed=5, tied=tied)
    await asyncio.to_thread(TorchModelWeights(f"{url}/v1").publish, trained.state_dict(), 12)
    message = await generated(url)
    assert message["policy_version"] == 12
    prompt, ids = message["prompt_token_ids"], message["generation_token_ids"]
    assert ids == trained(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].argmax(-1).tolist()


async def test_weights_of_another_model_are_refused_by_name(stage: Stage, tmp_path: Path) -> None:
    url = await stage.model(TorchModel, model_path=str(write_policy(tmp_path / "policy")))
    state = {f"module.{name}": tensor for name, tensor in make_model(TOKENIZER).state_dict().items()}
    with pytest.raises(WeightUpdateError, match=r"none of the model's: `module\.model"):
        await asyncio.to_thread(TorchModelWeights(url).publish, state, 1)
    assert (await generated(url))["policy_version"] == 0


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(WeightUpdateError, match=r"http://127\.0\.0\.1:9/update_weights: no answer"):
        TorchModelWeights("http://127.0.0.1:9").publish({"a": torch.zeros(1)}, 1)


# -------------------------------------------------------------------------------------------------------------- vLLM


class Vllm:
    """What vLLM answers to a trainer, and what its folder held when it was told to read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refusals: dict[str, list[Response]] = {}
        """Answers of a path, in order, before it answers well."""
        self.read: list[Any] = []
        self.endpoint: FakeEndpoint | None = None

    def answer(self, _: Json) -> Response:
        assert self.endpoint is not None
        path = self.endpoint.paths[-1]
        if self.refusals.get(path):
            return self.refusals[path].pop(0)
        if path == "/collective_rpc":
            self.read.append(load_file(self.folder / "model.safetensors"))
        return Response(json.dumps({"success": True}))


@pytest.fixture
async def vllm(stage: Stage, tmp_path: Path) -> Vllm:
    folder = write_policy(tmp_path / "vllm", tied=False)
    vllm = Vllm(folder)
    vllm.endpoint = await stage.endpoint(vllm.answer)
    return vllm


def told(vllm: Vllm) -> list[str]:
    assert vllm.endpoint is not None
    return vllm.endpoint.paths


async def publish(vllm: Vllm, state: Json | None = None, **settings: Any) -> None:
    assert vllm.endpoint is not None
    weights = VLLMWeights(vllm.endpoint.url, vllm.folder, "key", **settings)
    trained = make_model(TOKENIZER, seed=5, tied=False).state_dict() if state is None else state
    await asyncio.to_thread(weights.publish, trained, 3)


async def test_vllm_reads_the_new_weights_with_no_call_under_way_and_forgets_what_it_cached(
    vllm: Vllm, stage: Stage
) -> None:
    server = await stage.endpoint(lambda _: Response("{}"))
    await publish(vllm, model_server_url=server.url)
    assert told(vllm) == ["/pause", "/collective_rpc", "/reset_prefix_cache", "/update_weight_version", "/resume"]
    assert vllm.endpoint is not None
    assert vllm.endpoint.asked[1] == {"method": "reload_weights"}
    assert vllm.endpoint.asked[3] == {"new_version": "3"}
    assert {headers["authorization"] for headers in vllm.endpoint.headers} == {"Bearer key"}
    [read] = vllm.read
    trained = make_model(TOKENIZER, seed=5, tied=False).state_dict()
    assert read.keys() == trained.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in trained.items())
    assert (server.paths, server.asked) == (["/policy_version"], [{"policy_version": 3}])
    assert "authorization" not in server.headers[0], "vLLM's key is none of the model server's business"


async def test_an_older_vllm_without_pause_and_version_reads_them_too(vllm: Vllm) -> None:
    vllm.refusals = {path: [Response("no", 404)] for path in ("/pause", "/update_weight_version")}
    await publish(vllm)
    assert told(vllm) == ["/pause", "/collective_rpc", "/reset_prefix_cache", "/update_weight_version"]


async def test_the_cache_is_reset_until_vllm_says_that_it_is(vllm: Vllm) -> None:
    busy = [Response('{"success": false}') for _ in range(2)]
    vllm.refusals = {"/reset_prefix_cache": busy}
    await publish(vllm)
    assert told(vllm).count("/reset_prefix_cache") == 3


async def test_a_vllm_that_cannot_read_them_goes_on_and_the_trainer_is_told(vllm: Vllm) -> None:
    vllm.refusals = {"/collective_rpc": [Response('{"error": {"message": "out of memory"}}', 500)]}
    with pytest.raises(WeightUpdateError, match="HTTP 500: out of memory"):
        await publish(vllm)
    assert told(vllm)[-1] == "/resume"


async def test_a_vllm_without_its_development_routes_is_told_apart(vllm: Vllm) -> None:
    vllm.refusals = {"/pause": [Response("", 404)], "/collective_rpc": [Response("", 404)]}
    with pytest.raises(WeightUpdateError, match="VLLM_SERVER_DEV_MODE=1"):
        await publish(vllm)


async def test_tied_embeddings_are_refused_before_anything_is_written(vllm: Vllm) -> None:
    config = vllm.folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "tie_word_embeddings": True}))
    before = (vllm.folder / "model.safetensors").read_bytes()
    with pytest.raises(WeightUpdateError, match="`tie_word_embeddings` is true"):
        await publish(vllm)
    assert (vllm.folder / "model.safetensors").read_bytes() == before
    assert told(vllm) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"lm_head.weight": None}, "1 are missing: `lm_head.weight`"),
        ({"more": torch.zeros(1)}, "1 are unknown there: `more`"),
        ({"model.norm.weight": torch.zeros(3)}, r"`model.norm.weight` has shape \[3\], there \[64\]"),
    ],
)
async def test_weights_that_are_not_the_folders_are_refused(vllm: Vllm, change: Json, why: str) -> None:
    state = {**make_model(TOKENIZER, tied=False).state_dict(), **change}
    before = (vllm.folder / "model.safetensors").read_bytes()
    with pytest.raises(WeightUpdateError, match=why):
        await publish(vllm, {name: tensor for name, tensor in state.items() if tensor is not None})
    assert (vllm.folder / "model.safetensors").read_bytes() == before
    assert told(vllm) == []


async def test_a_folder_that_is_no_models_is_refused(vllm: Vllm) -> None:
    (vllm.folder / "model.safetensors").unlink()
    with pytest.raises(WeightUpdateError, match="is it vLLM's model folder"):
        await publish(vllm)
    (vllm.folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(WeightUpdateError, match="save them as one"):
        await publish(vllm)
