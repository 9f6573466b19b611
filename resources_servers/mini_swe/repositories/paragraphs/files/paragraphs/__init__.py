"""Plain text in lines of a given width."""

from paragraphs.columns import table
from paragraphs.lines import dedent, fill, indent, justify, wrap

__all__ = ["dedent", "fill", "indent", "justify", "table", "wrap"]
