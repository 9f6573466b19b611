"""The commands: one small file each. Trainers import `RunHelper` and `GlobalConfigDictParserConfig` from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_gym.config.initial import GlobalConfigDictParserConfig
    from nemo_gym.launch.run_helper import RunHelper

__all__ = ["GlobalConfigDictParserConfig", "RunHelper"]


def __getattr__(name: str) -> object:
    # Imported when they are asked for: most commands need neither, and every command imports this module.
    if name == "RunHelper":
        from nemo_gym.launch.run_helper import RunHelper

        return RunHelper
    if name == "GlobalConfigDictParserConfig":
        from nemo_gym.config.initial import GlobalConfigDictParserConfig

        return GlobalConfigDictParserConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
