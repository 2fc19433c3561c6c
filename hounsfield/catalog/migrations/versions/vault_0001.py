"""The vault's first tables."""

import sqlalchemy as sa
from alembic import op

revision = "vault_0001"
down_revision = None
branch_labels = ("vault",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vault_studies",
        sa.Column("study_key", sa.String(length=64), nullable=False),
        sa.Column("patient_key", sa.String(length=64), nullable=False),
        sa.Column("study_date", sa.String(length=8), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("study_key"),
    )
    op.create_index(
        op.f("ix_vault_studies_patient_key"), "vault_studies", ["patient_key"], unique=False
    )
    op.create_index(
        op.f("ix_vault_studies_study_date"), "vault_studies", ["study_date"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_vault_studies_study_date"), table_name="vault_studies")
    op.drop_index(op.f("ix_vault_studies_patient_key"), table_name="vault_studies")
    op.drop_table("vault_studies")
