"""Habits have a color.

The release before goes on running with it: what it inserts without a color gets the default.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("habits", sa.Column("color", sa.String(7), nullable=False, server_default="#2f6feb"))


def downgrade() -> None:
    op.drop_column("habits", "color")
