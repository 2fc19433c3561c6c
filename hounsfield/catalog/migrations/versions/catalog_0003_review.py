"""What the release gate found, what people decided on it, and which key named a study."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0003"
down_revision = "catalog_0002_delivery"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # There was one key before there could be two.
    op.add_column(
        "studies", sa.Column("key_version", sa.Integer(), nullable=False, server_default="1")
    )
    op.create_table(
        "gate_results",
        sa.Column("result_id", sa.String(length=64), nullable=False),
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("product_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("findings_digest", sa.String(length=64), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("run_id", sa.String(length=255), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("result_id", name=op.f("pk_gate_results")),
    )
    op.create_index(op.f("ix_gate_results_study_key"), "gate_results", ["study_key"])
    op.create_index(op.f("ix_gate_results_product_id"), "gate_results", ["product_id"])
    op.create_table(
        "reviews",
        sa.Column("review_id", sa.String(length=64), nullable=False),
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("product_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("findings_digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("pictures", sa.String(length=64), nullable=False),
        sa.Column("masks", sa.JSON(), nullable=False),
        sa.Column("reviewer", sa.String(length=255), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("dag_id", sa.String(length=255), nullable=False),
        sa.Column("run_id", sa.String(length=255), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("review_id", name=op.f("pk_reviews")),
    )
    op.create_index(op.f("ix_reviews_study_key"), "reviews", ["study_key"])
    op.create_index(op.f("ix_reviews_product_id"), "reviews", ["product_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_reviews_product_id"), table_name="reviews")
    op.drop_index(op.f("ix_reviews_study_key"), table_name="reviews")
    op.drop_table("reviews")
    op.drop_index(op.f("ix_gate_results_product_id"), table_name="gate_results")
    op.drop_index(op.f("ix_gate_results_study_key"), table_name="gate_results")
    op.drop_table("gate_results")
    op.drop_column("studies", "key_version")
