"""The environment checker: does a resources server keep what every environment promises?

python -m nemo_gym.env_checker resources_servers/calendar
"""

from nemo_gym.env_checker.check import CheckReport, check_environment, examine_environment

__all__ = ["CheckReport", "check_environment", "examine_environment"]
