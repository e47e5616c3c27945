"""Markdown drawn on a terminal while it comes. Knows no command; only here Pygments."""
