"""Moves between tiers that are not finished, and when a product was verified last."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0004"
down_revision = "catalog_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "open_moves",
        sa.Column("product_id", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("product_id", name=op.f("pk_open_moves")),
    )
    op.add_column("products", sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(op.f("ix_products_verified_at"), "products", ["verified_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_products_verified_at"), table_name="products")
    op.drop_column("products", "verified_at")
    op.drop_table("open_moves")
