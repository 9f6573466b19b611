"""The nouns that cross the wire: Responses and Chat Completions bodies, tokens, episodes, rollouts."""
