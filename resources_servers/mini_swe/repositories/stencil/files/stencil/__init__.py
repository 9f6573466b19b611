"""Texts with gaps."""

from stencil.parser import StencilError
from stencil.template import Template, render

__all__ = ["StencilError", "Template", "render"]
