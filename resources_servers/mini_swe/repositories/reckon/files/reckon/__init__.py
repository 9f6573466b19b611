"""Arithmetic in text."""

from reckon.evaluator import evaluate
from reckon.tokens import ReckonError, Token, tokenize

__all__ = ["ReckonError", "Token", "evaluate", "tokenize"]
