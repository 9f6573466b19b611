"""Task files: checked, converted, repeated, shuffled, and what is in them."""
