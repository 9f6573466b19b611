"""The nearest right name."""

from __future__ import annotations

from nemo_gym.config.nearest import nearest, suggestion


def test_nearest_finds_the_name_that_was_meant():
    assert nearest("polcy_model", ["policy_model", "judge"]) == "policy_model"
    assert nearest("Judge", ["policy_model", "judge"]) == "judge"


def test_nearest_is_none_when_nothing_is_alike():
    assert nearest("maze", ["policy_model"]) is None
    assert nearest("maze", []) is None


def test_suggestion_lists_the_choices_when_none_is_alike():
    assert suggestion("x", ["b", "a"], kind="servers") == "servers are `a`, `b`"
    assert suggestion("x", [], kind="servers") == "there are no servers"
    assert suggestion("x", (f"server_{index:02}" for index in range(20)), kind="servers").endswith(" and 8 more")
