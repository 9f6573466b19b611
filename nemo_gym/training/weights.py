"""New weights for the engine that rollouts are sampled from, as a trainer publishes them after a step.

    weights = TorchModelWeights("http://127.0.0.1:8204")
    weights.publish(model.state_dict(), policy_version=step)

When `publish` returns, every model call that begins is answered by these weights, and says so. It blocks, as trainers
do; where it raises `WeightUpdateError` the old weights are still served, except where the error says otherwise.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from nemo_gym.errors import WeightUpdateError
from nemo_gym.serving.run_token import bearer
from nemo_gym.serving.server_client import find_token

if TYPE_CHECKING:
    from torch import Tensor

TIMEOUT_S = 600.0
WEIGHTS_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
POLL_S = 0.1
SHOWN_NAMES = 5


class PolicyWeights(Protocol):
    """Where a trainer's weights go."""

    def publish(self, state_dict: Mapping[str, Tensor], policy_version: int | str) -> None:
        """Have model calls that begin from now on sampled by these weights. Raises `WeightUpdateError`."""
        ...


class TorchModelWeights:
    """Those of a `torch_model`: sent to it. Calls under way there finish on the weights they began with."""

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """`url`: of the model server, with or without `/v1`. `token`: its run's; None: see `find_token`."""
        self._url, self._timeout_s = _root(url), timeout_s
        self._headers = bearer(token or find_token(self._url))

    def publish(self, state_dict: Mapping[str, Tensor], policy_version: int | str) -> None:
        """Weights that share memory, as tied embeddings do, are sent once."""
        from safetensors.torch import save

        body = save(_without_twins(state_dict))
        with httpx.Client(timeout=self._timeout_s, headers=self._headers) as client:
            url = f"{self._url}/update_weights"
            _post(client, url, content=body, params={"policy_version": str(policy_version)})


class VLLMWeights:
    """Those of one vLLM or several: written into the folder they were started from, which they then read again.

    Calls under way are finished on the old weights first, those that arrive meanwhile wait: by vLLM's `/pause` and
    `/resume`. A vLLM without them goes on on the new weights in the midst of a call, which no version tells.
    """

    def __init__(
        self,
        vllm_url: str | Sequence[str],
        folder: str | Path,
        api_key: str = "",
        model_server_url: str | None = None,
        *,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`vllm_url`: with or without `/v1`; vLLM must run with VLLM_SERVER_DEV_MODE=1. `folder`: its model's, as seen
        from here. `model_server_url`: of the `vllm_model` before it, which is told the version, and `token` that of its
        run; None: see `find_token`."""
        self._urls = [_root(url) for url in ([vllm_url] if isinstance(vllm_url, str) else vllm_url)]
        self._folder, self._timeout_s = Path(folder), timeout_s
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._model_server_url = _root(model_server_url) if model_server_url is not None else None
        told = self._model_server_url
        self._model_server_headers = bearer(token or find_token(told)) if told is not None else {}

    def publish(self, state_dict: Mapping[str, Tensor], policy_version: int | str) -> None:
        """Names and shapes are those of the folder's model.safetensors, which is replaced.

        Refuses models with tied embeddings: vLLM goes on with the old output layer there, and says nothing.
        """
        weights = _without_twins(state_dict)
        self._check_folder()
        _check_same(weights, self._folder / WEIGHTS_FILE)
        with httpx.Client(timeout=self._timeout_s, headers=self._headers) as client, self._paused(client):
            self._write(weights)
            for url in self._urls:
                _post(client, f"{url}/collective_rpc", json={"method": "reload_weights"})
            for url in self._urls:
                self._reset_prefix_cache(client, url)
                _post(client, f"{url}/update_weight_version", json={"new_version": str(policy_version)}, may_lack=True)
            if self._model_server_url is not None:
                with httpx.Client(timeout=self._timeout_s, headers=self._model_server_headers) as other:
                    _post(other, f"{self._model_server_url}/policy_version", json={"policy_version": policy_version})

    def _check_folder(self) -> None:
        config = self._folder / "config.json"
        if not config.is_file() or not (self._folder / WEIGHTS_FILE).is_file():
            sharded = (self._folder / INDEX_FILE).exists()
            hint = "its weights are in several files; save them as one" if sharded else "is it vLLM's model folder?"
            raise WeightUpdateError(f"{self._folder}: config.json and {WEIGHTS_FILE} must lie there: {hint}")
        values: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
        if values.get("tie_word_embeddings") or (values.get("text_config") or {}).get("tie_word_embeddings"):
            raise WeightUpdateError(
                f"{config}: `tie_word_embeddings` is true, and vLLM keeps the old output layer when it reads such "
                "weights again. Set it to false, save the output layer as a weight of its own, start vLLM on that, and "
                "train the model untied"
            )

    def _write(self, weights: Mapping[str, Tensor]) -> None:
        from safetensors.torch import save_file

        written = self._folder / f"{WEIGHTS_FILE}.new"
        save_file(dict(weights), written, metadata={"format": "pt"})
        written.replace(self._folder / WEIGHTS_FILE)

    @contextmanager
    def _paused(self, client: httpx.Client) -> Iterator[None]:
        """No call is under way within the block; every vLLM goes on after it, whatever happens."""
        paused = []
        try:
            for url in self._urls:
                if _post(client, f"{url}/pause", params={"mode": "wait"}, may_lack=True):
                    paused.append(url)
            yield
        finally:
            for url in paused:
                _post(client, f"{url}/resume")

    def _reset_prefix_cache(self, client: httpx.Client, url: str) -> None:
        """Until it is done: vLLM refuses while a call still uses the cache."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            answer = _post(client, f"{url}/reset_prefix_cache")
            if answer is None or not answer.content or answer.json().get("success", True):
                return
            if time.monotonic() > deadline:
                raise WeightUpdateError(
                    f"{url}: the weights are new, but the prefix cache still holds what the old ones computed: calls "
                    "use it without end"
                )
            time.sleep(POLL_S)


def _root(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")


def _without_twins(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, contiguous, each memory once, under the name that comes first."""
    seen: set[tuple[object, ...]] = set()
    kept = {}
    for name, tensor in state_dict.items():
        memory = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and memory in seen:
            continue
        seen.add(memory)
        kept[name] = tensor.detach().cpu().contiguous()
    return kept


def _check_same(weights: Mapping[str, Tensor], file: Path) -> None:
    """Raises `WeightUpdateError` where names or shapes are not those of the file."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as stored:
        shapes = {name: list(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    given = {name: list(tensor.shape) for name, tensor in weights.items()}
    problems = [
        f"{len(names)} {what}: {', '.join(f'`{name}`' for name in sorted(names)[:SHOWN_NAMES])}"
        for what, names in (("are missing", shapes.keys() - given), ("are unknown there", given.keys() - shapes))
        if names
    ]
    problems += [
        f"`{name}` has shape {given[name]}, there {shapes[name]}"
        for name in shapes
        if name in given and given[name] != shapes[name]
    ]
    if problems:
        raise WeightUpdateError(f"the weights are not those of {file}: {'; '.join(problems[:SHOWN_NAMES])}")


def _post(client: httpx.Client, url: str, *, may_lack: bool = False, **sent: Any) -> httpx.Response | None:
    """The answer; None where there is no such route and `may_lack`. Raises `WeightUpdateError` for other refusals."""
    try:
        answer = client.post(url, **sent)
    except httpx.HTTPError as error:
        raise WeightUpdateError(f"{url}: no answer: {error or type(error).__name__}") from error
    if answer.status_code == 404 and may_lack:
        return None
    if answer.status_code == 404 and url.endswith("/collective_rpc"):
        raise WeightUpdateError(f"{url}: vLLM has no such route; start it with VLLM_SERVER_DEV_MODE=1")
    if answer.status_code >= 300:
        raise WeightUpdateError(f"{url}: HTTP {answer.status_code}: {_reason(answer)}")
    return answer


def _reason(answer: httpx.Response) -> str:
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
    return str(message)
