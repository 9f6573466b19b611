"""Arithmetic with months."""

import calendar
from datetime import date

from spans.span import Span


def add_months(day, count):
    """The same day of the month `count` months later (or earlier); the month's last day where there is no such day."""
    month = day.month - 1 + count
    year, month = day.year + month // 12, month % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def months_of(span):
    """The span cut at the ends of months, in order."""
    parts = []
    first = span.first
    while first <= span.last:
        month_end = date(first.year, first.month, calendar.monthrange(first.year, first.month)[1])
        parts.append(Span(first, min(month_end, span.last)))
        first = add_months(first.replace(day=1), 1)
    return parts
