"""What a folder must hold to be served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training extras: make test-training")

from transformers import MistralConfig, MistralForCausalLM  # noqa: E402

from nemo_gym.errors import LaunchError  # noqa: E402
from responses_api_models.torch_model.checkpoint import Checkpoint  # noqa: E402
from responses_api_models.torch_model.self_check import check_batching  # noqa: E402
from responses_api_models.torch_model.tests.tiny_policy import CONTEXT, make_tokenizer, write_policy  # noqa: E402

pytestmark = pytest.mark.training

TOKENIZER = make_tokenizer()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_policy(tmp_path)


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def load(folder: Path) -> Checkpoint:
    return Checkpoint.load(str(folder), device="cpu", dtype="float32")


def test_a_folder_is_loaded(folder: Path) -> None:
    checkpoint = load(folder)
    assert checkpoint.model.dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in checkpoint.model.parameters())
    assert (checkpoint.context_length, checkpoint.end_ids) == (CONTEXT, {TOKENIZER.eos_token_id})


def test_every_end_of_the_generation_config_ends_an_answer(folder: Path) -> None:
    change(folder / "generation_config.json", eos_token_id=[3, 5])
    assert load(folder).end_ids == {3, 5, TOKENIZER.eos_token_id}


def test_layers_that_see_only_a_window_are_refused(folder: Path) -> None:
    change(folder / "config.json", use_sliding_window=True, sliding_window=8, max_window_layers=0, layer_types=None)
    with pytest.raises(LaunchError, match="sliding"):
        load(folder)


def test_a_model_whose_every_layer_has_a_window_is_served_up_to_its_size(folder: Path) -> None:
    for window, length in ((100, 100), (10 * CONTEXT, CONTEXT), (None, CONTEXT)):
        config = MistralConfig(
            vocab_size=len(TOKENIZER),
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=CONTEXT,
            sliding_window=window,
        )
        MistralForCausalLM(config).save_pretrained(folder)
        assert load(folder).context_length == length


def test_a_model_that_computes_otherwise_in_a_batch_is_refused(folder: Path) -> None:
    model = load(folder).model
    check_batching(model)
    forward = model.forward

    def without_positions(*ids: Any, **given: Any) -> Any:
        return forward(*ids, **{**given, "position_ids": None})

    model.forward = without_positions
    with pytest.raises(LaunchError, match="differ from a plain forward pass"):
        check_batching(model)


def test_weights_that_are_missing_are_told(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(LaunchError, match="cannot be loaded as a causal language model"):
        load(folder)


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    change(folder / "config.json", model_type="vit", architectures=["ViTModel"])
    with pytest.raises(LaunchError, match="cannot be loaded as a causal language model"):
        load(folder)
