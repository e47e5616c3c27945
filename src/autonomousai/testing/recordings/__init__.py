"""Requests and answers as files: what is written down, what is removed, what matches, and the proxy between."""
