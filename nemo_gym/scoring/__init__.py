"""Rules that score an answer: text, numbers, choices, lists, weighted parts, and what a judge's text says."""
