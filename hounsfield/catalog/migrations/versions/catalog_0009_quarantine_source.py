"""Which source says that more of a study is to come."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0009"
down_revision = "catalog_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("quarantine", sa.Column("source", sa.String(length=255), nullable=True))


def downgrade() -> None:
    op.drop_column("quarantine", "source")
