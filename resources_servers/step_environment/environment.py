"""A whole environment: guess a number; the environment says whether it is higher or lower."""

import re

from nemo_gym.environments import BaseEnvironment


class HigherLower(BaseEnvironment):
    def step(self, response, ground_truth):
        self.current_turn += 1
        found = re.search(r"\d{1,9}", response)
        if found and int(found[0]) == ground_truth:
            return 1.0, None, True
        if self.current_turn >= self.max_turns:
            return 0.0, None, True
        if not found:
            return 0.0, "Say a number.", False
        return 0.0, "Higher." if int(found[0]) < ground_truth else "Lower.", False
