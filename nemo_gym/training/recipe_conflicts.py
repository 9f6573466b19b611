"""What contradicts what in a recipe, and what in it has no effect."""

from __future__ import annotations

from nemo_gym.training.recipe_options import COMPARING, ESTIMATORS, WITH_CRITIC
from nemo_gym.training.recipe_reading import GivenOptions

CREDITS_COMPARED = ("final", "return_to_go", "turn_as_trajectory")
"""For estimators that compare: whole rollouts, or turns."""
CREDITS_SUMMED = ("turn", "final")
"""For those that sum rewards over time themselves, and so take no returns."""

NEUTRAL = {"gamma": 1, "gae_lambda": 1, "divide_by_std": True}
"""Values that say what is so anyway: nobody misses their effect."""


def estimator_of(given: GivenOptions) -> str:
    """The advantage estimator meant: named, or else that of the trainer whose keys these are."""
    named = given.values.get("estimator")
    if named is not None:
        return ESTIMATORS[named]
    if given.values.get("bi_level_gae"):
        return "bi_level_gae"
    return "gae" if any(key.startswith("train_cfgs.") for key in given.key_of.values()) else "grpo"


def credit_of(given: GivenOptions) -> str:
    """Where rewards of turns go: named, or else what the estimator and the samples can make use of."""
    named = given.values.get("credit")
    if named is not None:
        return str(named)
    if estimator_of(given) not in COMPARING:
        return "turn"
    return "return_to_go" if given.values.get("step_wise") else "final"


def add_conflicts(given: GivenOptions) -> None:
    """Add a problem for each two options that cannot both be meant."""
    values, key_of = given.values, given.key_of
    estimator, credit = estimator_of(given), credit_of(given)

    def add(name: str, message: str) -> None:
        given.add(key_of[name], message)

    if values.get("bi_level_gae"):
        if values.get("multi_turn") is not True:
            add("bi_level_gae", "needs turns: set `train_cfgs.multi_turn: true`, or leave `bi_level_gae` out")
        if estimator != "bi_level_gae":
            add("estimator", f"is `{values['estimator']}`, but `{key_of['bi_level_gae']}` is true: keep one")
    if values.get("use_conversation_multi_turn") is False:
        if values.get("backend") == "sglang":
            message = "`use_conversation_multi_turn=False` is not supported for SGLang backend; set it to true"
            add("use_conversation_multi_turn", message)
        if values.get("step_wise"):
            add(
                "step_wise", f"needs each turn as a message of its own: `{key_of['use_conversation_multi_turn']}: true`"
            )
    if values.get("merge_prefixes") and not values.get("step_wise"):
        add("merge_prefixes", "merges step-wise samples: set `generator.step_wise_trajectories: true` too")
    if values.get("step_wise") and estimator not in COMPARING:
        message = f"makes a sample of each turn, and `{estimator}` looks along the turns of one sample; use `grpo` or"
        add("step_wise", f"{message} `rloo`, or leave it out")
    if values.get("batched") and values.get("multi_turn", True) and values.get("max_turns", 1) > 1:
        add("batched", f"is for single turns: set it to false, or `{key_of['max_turns']}` to 1")
    if "credit" in values:
        fitting = CREDITS_COMPARED if estimator in COMPARING else CREDITS_SUMMED
        if credit not in fitting:
            listed = ", ".join(f"`{each}`" for each in fitting)
            add("credit", f"`{credit}` does not go with `{estimator}`, which takes {listed}")


def without_effect(given: GivenOptions) -> list[str]:
    """What was given and changes nothing, each in one line."""
    values, key_of = given.values, given.key_of
    estimator, credit = estimator_of(given), credit_of(given)
    reasons: dict[str, str] = {}
    if estimator not in WITH_CRITIC:
        reasons["gae_lambda"] = f"`{estimator}` has no critic"
    if estimator not in ("bi_level_gae", "turn_gae"):
        reasons["high_level_gamma"] = f"`{estimator}` knows no turns"
    if estimator == "turn_gae":
        reasons["gamma"] = "`turn_gae` discounts by `high_level_gamma`"
    elif estimator in COMPARING and credit != "return_to_go":
        reasons["gamma"] = f"`{estimator}` with credit `{credit}` discounts nothing"
    if estimator != "grpo":
        reasons["divide_by_std"] = f"the estimator is `{estimator}`"
    if values.get("multi_turn") is False:
        for name in ("max_turns", "use_environment"):
            reasons[name] = f"`{key_of['multi_turn']}` is false"
    given_away = [name for name in reasons if name in values and values[name] != NEUTRAL.get(name)]
    return [f"`{key_of[name]}` has no effect: {reasons[name]}" for name in given_away]
