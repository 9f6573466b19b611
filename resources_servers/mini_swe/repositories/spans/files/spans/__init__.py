"""Ranges of days."""

from spans.calendar import add_months, months_of
from spans.span import Span, gaps, merge

__all__ = ["Span", "add_months", "gaps", "merge", "months_of"]
