"""Servers for one test: `Double`, what it asserts, the ways to make one, and those that fixtures make."""
