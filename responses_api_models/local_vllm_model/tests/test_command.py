"""The command line of vLLM and the shares of the GPUs."""

from __future__ import annotations

import pytest

from responses_api_models.local_vllm_model.command import flags, gpus_of_replicas


def test_arguments_become_flags_as_vllm_reads_them() -> None:
    arguments = {
        "max_model_len": 4096,
        "enforce_eager": True,
        "enable_prefix_caching": False,
        "seed": None,
        "middleware": ["a.b", "c.d"],
        "override_generation_config": {"top_k": 20},
    }
    assert flags(arguments) == [
        *("--max-model-len", "4096"),
        "--enforce-eager",
        "--no-enable-prefix-caching",
        *("--middleware", "a.b", "c.d"),
        *("--override-generation-config", '{"top_k": 20}'),
    ]


def test_gpus_are_shared_evenly() -> None:
    assert gpus_of_replicas([4, 5, 6, 7], 2) == [[4, 5], [6, 7]]
    with pytest.raises(ValueError, match="3 GPUs cannot be shared evenly by 2 replicas"):
        gpus_of_replicas([0, 1, 2], 2)
