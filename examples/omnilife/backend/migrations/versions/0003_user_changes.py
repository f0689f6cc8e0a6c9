"""Users count their changes, which names what is cached of them.

The release before goes on running with it. It does not count what it changes, so for as long as both serve, the new
one's statistics can be as old as the cache keeps them: half a minute.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("changes", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("users", "changes")
