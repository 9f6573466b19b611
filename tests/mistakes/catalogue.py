"""Every mistake, in the order in which users meet them."""

from __future__ import annotations

from tests.mistakes.collecting import COLLECTING
from tests.mistakes.configuration import CONFIGURATION
from tests.mistakes.recipes import RECIPES
from tests.mistakes.servers import SERVERS

MISTAKES = (*CONFIGURATION, *RECIPES, *SERVERS, *COLLECTING)
