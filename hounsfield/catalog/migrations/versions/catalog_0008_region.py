"""Which region a study may not leave."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0008"
down_revision = "catalog_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("studies", sa.Column("region", sa.String(length=255), nullable=True))


def downgrade() -> None:
    op.drop_column("studies", "region")
