"""The ledger: what each answer used and cost, one entry an answer, and where the entries are kept.

Made at an answer's end, and written by a thread of its own: nothing of it is in a request's way. SQLAlchemy and Alembic are
imported here alone, and only where a database is configured.
"""
