"""Comma-separated rows."""

from rowreader.reader import RowError, read_records, read_rows
from rowreader.writer import write_rows

__all__ = ["RowError", "read_records", "read_rows", "write_rows"]
