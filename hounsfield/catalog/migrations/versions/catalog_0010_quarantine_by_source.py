"""What two sources say of the same content stays two."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0010"
down_revision = "catalog_0009"
branch_labels = None
depends_on = None

_NAME = "uq_quarantine_study_key"
_KEY = ("study_key", "code", "digest")


def upgrade() -> None:
    # No two empty values would be the same where they are NULL.
    op.execute("UPDATE quarantine SET source = '' WHERE source IS NULL")
    with op.batch_alter_table("quarantine") as table:
        table.alter_column("source", existing_type=sa.String(length=255), nullable=False)
        table.drop_constraint(_NAME, type_="unique")
        table.create_unique_constraint(_NAME, [*_KEY, "source"])


def downgrade() -> None:
    last = "SELECT max(id) FROM quarantine GROUP BY study_key, code, digest"
    op.execute(f"DELETE FROM quarantine WHERE id NOT IN ({last})")  # noqa: S608
    with op.batch_alter_table("quarantine") as table:
        table.drop_constraint(_NAME, type_="unique")
        table.create_unique_constraint(_NAME, list(_KEY))
        table.alter_column("source", existing_type=sa.String(length=255), nullable=True)
    op.execute("UPDATE quarantine SET source = NULL WHERE source = ''")
