"""The options of a recipe: which keys say each, what values they take, and which keys are left to the trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nemo_gym.config.nearest import suggestion
from nemo_gym.config.shown import shown

ESTIMATORS = {
    "grpo": "grpo",
    "rloo": "rloo",
    "reinforce++": "reinforce_plus_plus",
    "reinforce_plus_plus": "reinforce_plus_plus",
    "gae": "gae",
    "turn_gae": "turn_gae",
    "bi_level_gae": "bi_level_gae",
}
"""Names that recipes use, and those of `nemo_gym.training.advantages`."""
COMPARING = frozenset({"grpo", "rloo"})
"""Estimators that compare rollouts with each other; the others look along the tokens of one."""
WITH_CRITIC = frozenset({"gae", "turn_gae", "bi_level_gae"})

POLICY_LOSSES = (
    *("regular", "dual_clip", "gspo", "cispo", "rollout_is", "clip_cov", "kl_cov", "sapo", "dppo"),
    *("importance_sampling", "cross_entropy"),
)
LOSSES_WITHOUT_LOG_PROBS = frozenset({"cross_entropy"})
"""All others weigh tokens by how much likelier they became since they were sampled."""


@dataclass(frozen=True)
class Kind:
    """What values a key takes."""

    words: str
    accepts: Callable[[object], bool]
    choices: tuple[str, ...] = ()
    """All of them, where they are few names."""

    def problem_of(self, value: object) -> str | None:
        """What is wrong with a value; None if nothing is."""
        if self.accepts(value):
            return None
        if self.choices and isinstance(value, str):
            return f"there is no `{shown(value)}`; {suggestion(value, self.choices, kind='choices')}"
        return f"must be {self.words}, not `{shown(value)}`"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _choice(*names: str) -> Kind:
    words = "one of " + ", ".join(f"`{name}`" for name in names)
    return Kind(words, lambda value: isinstance(value, str) and value in names, names)


_FLAG = Kind("true or false", lambda value: isinstance(value, bool))
_COUNT = Kind("a whole number from 1", lambda value: _is_whole(value) and value >= 1)  # type: ignore[operator]
_SHARE = Kind("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)  # type: ignore[operator]
_NUMBER = Kind("a number from 0", lambda value: _is_number(value) and value >= 0)  # type: ignore[operator]
_TOP_K = Kind("-1 (off) or a whole number from 1", lambda value: value == -1 or _COUNT.accepts(value))
_TEXT = Kind("a text", lambda value: isinstance(value, str) and bool(value))
_TEXTS = Kind("a list of texts", lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value))
_MAPPING = Kind("a mapping", lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value))
_LOG_PROBS = Kind("0 or 1", lambda value: _is_whole(value) and value in (0, 1))


@dataclass(frozen=True)
class Option:
    """One thing that a recipe decides."""

    keys: tuple[str, ...]
    """The keys that say it. Where several are given they must agree."""
    kind: Kind
    is_trainers: bool = False
    """Whether the trainer has to know it too, so that it is also handed on."""


_GENERATOR, _SAMPLING, _ALGORITHM = "generator", "generator.sampling_params", "trainer.algorithm"

OPTIONS = {
    "multi_turn": Option(("train_cfgs.multi_turn",), _FLAG),
    "max_turns": Option(("train_cfgs.max_turn", "agent_proxy.max_turn", "generator.max_turns"), _COUNT),
    "use_environment": Option(("agent_proxy.use_environment",), _FLAG),
    "environment": Option(("env_cfgs.env_name", "environment.env_class", "experiment"), _TEXT),
    "max_episode_length": Option(("env_cfgs.max_episode_length",), _COUNT),
    "bi_level_gae": Option(("train_cfgs.bi_level_gae",), _FLAG),
    "estimator": Option((f"{_ALGORITHM}.advantage_estimator",), _choice(*ESTIMATORS)),
    "divide_by_std": Option((f"{_ALGORITHM}.grpo_norm_by_std",), _FLAG),
    "gamma": Option(("train_cfgs.gamma", f"{_ALGORITHM}.gamma"), _SHARE),
    "gae_lambda": Option(("train_cfgs.gae_lambda", f"{_ALGORITHM}.lambd"), _SHARE),
    "high_level_gamma": Option(("train_cfgs.high_level_gamma",), _SHARE),
    "credit": Option(("credit",), _choice("final", "turn", "return_to_go", "turn_as_trajectory")),
    "policy_loss": Option((f"{_ALGORITHM}.policy_loss_type",), _choice(*POLICY_LOSSES), is_trainers=True),
    "backend": Option(
        ("generator.backend", "generator.inference_engine.backend"), _choice("vllm", "sglang"), is_trainers=True
    ),
    "gpu_memory_utilization": Option(
        (f"{_GENERATOR}.gpu_memory_utilization", f"{_GENERATOR}.inference_engine.gpu_memory_utilization"),
        _SHARE,
        is_trainers=True,
    ),
    "max_num_seqs": Option(
        (f"{_GENERATOR}.max_num_seqs", f"{_GENERATOR}.inference_engine.max_num_seqs"), _COUNT, is_trainers=True
    ),
    "batched": Option((f"{_GENERATOR}.batched",), _FLAG, is_trainers=True),
    "use_conversation_multi_turn": Option((f"{_GENERATOR}.use_conversation_multi_turn",), _FLAG),
    "step_wise": Option((f"{_GENERATOR}.step_wise_trajectories",), _FLAG),
    "merge_prefixes": Option((f"{_GENERATOR}.merge_stepwise_output",), _FLAG),
    "max_input_length": Option((f"{_GENERATOR}.max_input_length",), _COUNT),
    "rollouts_per_task": Option((f"{_GENERATOR}.n_samples_per_prompt",), _COUNT),
    "chat_template_kwargs": Option((f"{_GENERATOR}.chat_template_kwargs",), _MAPPING),
    "max_output_tokens": Option((f"{_SAMPLING}.max_generate_length",), _COUNT),
    "temperature": Option((f"{_SAMPLING}.temperature",), _NUMBER),
    "top_p": Option((f"{_SAMPLING}.top_p",), _SHARE),
    "min_p": Option((f"{_SAMPLING}.min_p",), _SHARE),
    "top_k": Option((f"{_SAMPLING}.top_k",), _TOP_K),
    "repetition_penalty": Option((f"{_SAMPLING}.repetition_penalty",), _NUMBER),
    "stop": Option((f"{_SAMPLING}.stop",), _TEXTS),
    "logprobs": Option((f"{_SAMPLING}.logprobs",), _LOG_PROBS, is_trainers=True),
    "more_sampling_params": Option((f"{_SAMPLING}.additional_kwargs",), _MAPPING),
}
"""By the name under which code knows it."""

OPTION_OF_KEY = {key: name for name, option in OPTIONS.items() for key in option.keys}

SAMPLING = ("max_output_tokens", "temperature", "top_p", "min_p", "top_k", "repetition_penalty", "stop")
"""Options that go into each row's request under their own names."""
OFF = {"top_k": -1, "min_p": 0, "repetition_penalty": 1}
"""Values that change nothing, and are left out: not every endpoint knows these parameters."""


def _below(section: str, names: str) -> list[str]:
    return [f"{section}.{name}" for name in names.split()]


PASSED = frozenset(
    [
        *("data", "data_cfgs", "model_cfgs", "logger_cfgs", "lora_cfgs", "bnb_cfgs", "special_tokens"),
        *_below(
            "train_cfgs",
            "epochs seed bf16 fp16 actor_lr critic_lr actor_lr_scheduler_type critic_lr_scheduler_type "
            "actor_lr_warmup_ratio critic_lr_warmup_ratio actor_weight_decay critic_weight_decay adam_betas "
            "actor_gradient_checkpointing critic_gradient_checkpointing gradient_accumulation_steps "
            "per_device_prompt_batch_size per_device_train_batch_size per_device_eval_batch_size kl_coeff "
            "clip_range_ratio clip_range_score clip_range_value ptx_coeff normalize_reward update_iters "
            "eval_strategy eval_interval save_checkpoint load_checkpoint save_total_limit ds_cfgs",
        ),
        *_below(
            "generator",
            "inference_engine num_inference_engines inference_engine_tensor_parallel_size run_engines_locally "
            "weight_sync_backend async_engine enable_prefix_caching enforce_eager max_num_batched_tokens "
            "engine_init_kwargs chat_template append_eos_token_after_stop_str_in_multi_turn eval_sampling_params "
            "eval_n_samples_per_prompt zero_reward_on_non_stop use_cache_salt apply_overlong_filtering "
            "vision_language_generator",
        ),
        *_below("environment", "skyrl_gym"),
        *_below(
            "trainer",
            "placement use_expandable_segments sequence_parallel_backend strategy policy ref critic mtp fully_async "
            "gradient_checkpointing gradient_checkpointing_use_reentrant seed resume_mode resume_path log_path "
            "ckpt_path max_ckpts_to_keep ckpt_interval hf_save_interval export_path bf16 epochs max_training_steps "
            "update_epochs_per_batch train_batch_size policy_mini_batch_size critic_mini_batch_size "
            "micro_train_batch_size_per_gpu micro_forward_batch_size_per_gpu max_tokens_per_microbatch "
            "recompute_old_logprobs_per_minibatch update_ref_every_epoch remove_microbatch_padding eval_batch_size "
            "eval_before_train eval_interval max_prompt_length flash_attn disable_fast_tokenizer project_name run_name "
            "logger enable_ray_gpu_monitor tags dump_data_batch dump_eval_results print_example_interval "
            "num_logger_eval_samples num_logger_train_samples log_example_interval logprobs_chunk_size "
            "fused_lm_head_logprob fused_lm_head_logprob_backend",
        ),
        *_below(
            "trainer.algorithm",
            "kl_ctrl kl_estimator_type use_kl_in_reward use_kl_loss kl_loss_coef use_entropy_loss entropy_loss_coef "
            "temperature advantage_batch_normalize value_head_prefix loss_reduction zero_variance_filter "
            "zero_variance_filter_tol eps_clip_low eps_clip_high clip_ratio_c tis_imp_ratio_cap use_tis "
            "off_policy_correction sapo value_clip dynamic_sampling clip_cov kl_cov cispo dppo max_seq_len",
        ),
    ]
)
"""Keys, and whole sections, that only the trainer heeds: handed on as they are."""

TRAINER_OPTIONS = "trainer_options"
"""Section whose content is handed on unread, for keys that are not in `PASSED`."""
