"""`_inherit_from`: variants of an instance that say only what differs."""

from __future__ import annotations

BOTH = "maze.yaml,model.yaml"


def load_variant(workplace, text: str, *argv: str):
    workplace.write("variant.yaml", text)
    return workplace.load(f"+config_paths=[{BOTH},variant.yaml]", *argv)


def test_an_instance_takes_from_another_what_it_does_not_say(workplace):
    text = """
patient_agent:
  _inherit_from: maze_agent
  responses_api_agents: {walker: {max_steps: 99}}
"""
    config = load_variant(workplace, text, "+maze_agent.responses_api_agents.walker.seed=7")
    variant, base = config.instances["patient_agent"], config.instances["maze_agent"]
    assert variant.settings == {**base.settings, "max_steps": 99}
    assert variant.settings["seed"] == 7 and base.settings["max_steps"] == 20


def test_a_section_within_an_instance_takes_from_a_dotted_path(workplace):
    text = """
patient_agent:
  responses_api_agents:
    walker:
      _inherit_from: maze_agent.responses_api_agents.walker
      max_steps: 99
"""
    settings = load_variant(workplace, text).instances["patient_agent"].settings
    assert settings["resources_server"]["name"] == "maze" and "_inherit_from" not in settings


def test_inheritance_goes_through_several_variants_and_files_in_any_order(workplace):
    text = """
third: {_inherit_from: second, responses_api_agents: {walker: {max_steps: 3}}}
second: {_inherit_from: maze_agent, responses_api_agents: {walker: {max_steps: 2, speed: 2}}}
"""
    config = load_variant(workplace, text)
    walker = config.instances["third"].settings
    assert (walker["max_steps"], walker["speed"], walker["entrypoint"]) == (3, 2, "app.py")


def test_a_variant_of_a_base_that_is_not_there_names_the_nearest(workplace):
    workplace.write("variant.yaml", "patient_agent: {_inherit_from: maze_agnt}\n")
    assert workplace.mistakes(f"+config_paths=[{BOTH},variant.yaml]") == [
        "variant.yaml: `patient_agent._inherit_from`: there is no section `maze_agnt` in the configuration; "
        "did you mean `maze_agent`?"
    ]


def test_a_circle_is_named(workplace):
    workplace.write(
        "variant.yaml", "a: {_inherit_from: b, x: 1}\nb: {_inherit_from: a, y: 1}\nc: {d: {_inherit_from: c}}\n"
    )
    mistakes = workplace.mistakes(f"+config_paths=[{BOTH},variant.yaml]")
    assert mistakes == [
        "variant.yaml: `a._inherit_from`: goes in a circle: `a` -> `b` -> `a`",
        "variant.yaml: `c.d._inherit_from`: goes in a circle: `c.d` -> `c.d`",
    ]
