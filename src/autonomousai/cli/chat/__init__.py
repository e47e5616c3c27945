"""Asking from the command line: the prompt, who answers, one conversation, and keeping it. Only here sqlite3."""
