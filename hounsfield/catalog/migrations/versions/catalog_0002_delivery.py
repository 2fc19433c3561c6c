"""How a delivery was proven, and since when it is tried."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0002_delivery"
down_revision = "catalog_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "deliveries", sa.Column("trying_since", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("deliveries", sa.Column("proof", sa.String(length=16), nullable=True))
    # Till now there was one way only.
    op.execute("UPDATE deliveries SET proof = 'query' WHERE state = 'confirmed'")


def downgrade() -> None:
    op.drop_column("deliveries", "proof")
    op.drop_column("deliveries", "trying_since")
