"""The entries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table of the entries."""
    op.create_table(
        "entries",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("model", sa.String(256), nullable=False),
        sa.Column("wire", sa.String(64), nullable=False),
        sa.Column("upstream", sa.String(256)),
        sa.Column("attempts", sa.Text, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("lost_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger),
        sa.Column("cache_write_tokens", sa.BigInteger),
        sa.Column("reasoning_tokens", sa.BigInteger),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("cost", sa.Double),
        sa.Column("first_ms", sa.BigInteger),
        sa.Column("total_ms", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("splices", sa.Integer, nullable=False),
        sa.Column("cache", sa.String(16)),
        sa.Column("hedged", sa.Boolean, nullable=False),
    )
    op.create_index("entries_by_time", "entries", ["time"])
    op.create_index("entries_by_key", "entries", ["key", "time"])
