"""The command line of vLLM and the shares of the GPUs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from responses_api_models.local_vllm_model.command import flags, gpus_of_replicas, knows_argument


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


@pytest.mark.parametrize(("named", "known"), [("enable_scale_out: bool = False", True), ("enable_scale: bool", False)])
async def test_an_argument_is_known_where_vllms_own_list_has_it(tmp_path: Path, named: str, known: bool) -> None:
    folder = tmp_path / "vllm" / "entrypoints" / "launchers"
    folder.mkdir(parents=True)
    (tmp_path / "vllm" / "__init__.py").write_text("raise SystemExit('vLLM is not to be loaded')")
    (folder / "cli_args.py").write_text(f"class Arguments:\n    {named}\n")
    assert await knows_argument(sys.executable, "enable_scale_out", {"PYTHONPATH": str(tmp_path)}) is known


async def test_without_vllm_no_argument_is_known() -> None:
    assert not await knows_argument(sys.executable, "enable_scale_out", {})
