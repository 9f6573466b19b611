"""Whether a model computes the same in a batch, with a cache, as alone: asked once, before it is served."""

from __future__ import annotations

from collections import deque

import torch
from transformers import PreTrainedModel

from nemo_gym.errors import LaunchError
from responses_api_models.torch_model.batch import Batch, Limits, Snapshot
from responses_api_models.torch_model.continuation import Continuation
from responses_api_models.torch_model.prefix_store import BLOCK, PrefixStore
from responses_api_models.torch_model.sampling import Sampling

LENGTHS = (3, 2 * BLOCK + 5, 2 * BLOCK + 5)
"""Of prompts: of different lengths, and one twice, so that there is padding and a beginning that is known."""
SAMPLED = 3
TOLERANCE, COARSE_TOLERANCE = 1e-3, 0.5
"""The second for types with fewer digits than float32."""
CACHE_BYTES = 1 << 28


def check_batching(model: PreTrainedModel) -> None:
    """Raises `LaunchError` where log-probs are not those of a plain forward pass: the model needs another cache."""
    vocabulary = int(model.get_input_embeddings().num_embeddings)
    asked = [
        Continuation(
            [(7 * place + 1) % vocabulary for place in range(length)],
            Sampling(temperature=0),
            max_tokens=SAMPLED,
            end_ids=frozenset(),
            decode=str,
        )
        for length in LENGTHS
    ]
    waiting = deque(asked)
    batch = Batch(Snapshot("check", model, PrefixStore(CACHE_BYTES)), Limits(len(LENGTHS), 8 * BLOCK))
    with torch.inference_mode():
        while waiting or not batch.is_empty:
            batch.admit(waiting)
            batch.step()
        difference = max(_difference(model, one) for one in asked)
    allowed = TOLERANCE if model.dtype == torch.float32 else COARSE_TOLERANCE
    if not difference <= allowed:
        raise LaunchError(
            f"{type(model).__name__}: log-probs in a batch differ from a plain forward pass by {difference:g}; "
            "torch_model serves models with full attention and rotary or learned positions"
        )


def _difference(model: PreTrainedModel, one: Continuation) -> float:
    if not one.log_probs:
        return float("nan")
    logits = model(torch.tensor([one.ids], device=model.device)).logits[0, one.prompt_length - 1 : -1]
    plain = torch.log_softmax(logits.float(), dim=-1)
    generated = one.ids[one.prompt_length :]
    return max(abs(float(plain[place, token]) - one.log_probs[place]) for place, token in enumerate(generated))
