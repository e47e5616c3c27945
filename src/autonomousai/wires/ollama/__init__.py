"""Ollama's own API, as its clients speak it (Ollama API reference)."""
