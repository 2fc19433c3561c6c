"""The catalog's first tables."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0001"
down_revision = None
branch_labels = ("catalog",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("object", sa.String(length=255), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_events")),
    )
    op.create_index(op.f("ix_audit_events_object"), "audit_events", ["object"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("SOPInstanceUID", sa.String(length=64), nullable=False),
        sa.Column("SOPClassUID", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("prediction_id", sa.String(length=64), nullable=False),
        sa.Column("destination", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint(
            "SOPInstanceUID", "destination", name=op.f("uq_deliveries_SOPInstanceUID")
        ),
    )
    op.create_index(
        op.f("ix_deliveries_SOPInstanceUID"), "deliveries", ["SOPInstanceUID"], unique=False
    )
    op.create_index(
        op.f("ix_deliveries_prediction_id"), "deliveries", ["prediction_id"], unique=False
    )
    op.create_index(op.f("ix_deliveries_study_key"), "deliveries", ["study_key"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("stage", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("dag_id", sa.String(length=255), nullable=False),
        sa.Column("run_id", sa.String(length=255), nullable=False),
        sa.Column("task_id", sa.String(length=255), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_at"), "events", ["at"], unique=False)
    op.create_index(op.f("ix_events_study_key"), "events", ["study_key"], unique=False)
    op.create_table(
        "labels",
        sa.Column("label_id", sa.String(length=64), nullable=False),
        sa.Column("series_key", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=255), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("label_id", name=op.f("pk_labels")),
    )
    op.create_index(op.f("ix_labels_series_key"), "labels", ["series_key"], unique=False)
    op.create_table(
        "predictions",
        sa.Column("prediction_id", sa.String(length=64), nullable=False),
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("series_key", sa.String(length=255), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("volume_digest", sa.String(length=64), nullable=False),
        sa.Column("product_id", sa.String(length=64), nullable=False),
        sa.Column("findings", sa.Integer(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("numbers", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", name=op.f("pk_predictions")),
    )
    op.create_index(op.f("ix_predictions_created_at"), "predictions", ["created_at"], unique=False)
    op.create_index(op.f("ix_predictions_model"), "predictions", ["model"], unique=False)
    op.create_index(op.f("ix_predictions_study_key"), "predictions", ["study_key"], unique=False)
    op.create_table(
        "products",
        sa.Column("product_id", sa.String(length=64), nullable=False),
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("series_key", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("input_digest", sa.String(length=64), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("tier", sa.String(length=32), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("run_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("product_id", name=op.f("pk_products")),
    )
    op.create_index(op.f("ix_products_created_at"), "products", ["created_at"], unique=False)
    op.create_index(op.f("ix_products_digest"), "products", ["digest"], unique=False)
    op.create_index(op.f("ix_products_input_digest"), "products", ["input_digest"], unique=False)
    op.create_index(op.f("ix_products_study_key"), "products", ["study_key"], unique=False)
    op.create_index("ix_products_study_kind", "products", ["study_key", "kind"], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("resolved", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint("study_key", "code", "digest", name=op.f("uq_quarantine_study_key")),
    )
    op.create_index(op.f("ix_quarantine_study_key"), "quarantine", ["study_key"], unique=False)
    op.create_table(
        "snapshots",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("cohort", sa.JSON(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("mlflow_run_id", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_snapshots")),
    )
    op.create_index(op.f("ix_snapshots_name"), "snapshots", ["name"], unique=False)
    op.create_table(
        "studies",
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("patient_key", sa.String(length=255), nullable=False),
        sa.Column("project", sa.String(length=255), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("modalities", sa.String(length=255), nullable=False),
        sa.Column("body_part", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("manufacturer", sa.String(length=255), nullable=False),
        sa.Column("study_date", sa.String(length=8), nullable=False),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("series_count", sa.Integer(), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("legal_hold", sa.Boolean(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("study_key", name=op.f("pk_studies")),
    )
    op.create_index(op.f("ix_studies_patient_key"), "studies", ["patient_key"], unique=False)
    op.create_index(op.f("ix_studies_received_at"), "studies", ["received_at"], unique=False)
    op.create_index(op.f("ix_studies_state"), "studies", ["state"], unique=False)
    op.create_index(op.f("ix_studies_study_date"), "studies", ["study_date"], unique=False)
    op.create_table(
        "study_locks",
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("holder", sa.String(length=255), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("study_key", name=op.f("pk_study_locks")),
    )
    op.create_table(
        "series",
        sa.Column("series_key", sa.String(length=255), nullable=False),
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("modality", sa.String(length=16), nullable=False),
        sa.Column("body_part", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("manufacturer", sa.String(length=255), nullable=False),
        sa.Column("slice_thickness_mm", sa.Double(), nullable=True),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_key"], ["studies.study_key"], name=op.f("fk_series_study_key_studies")
        ),
        sa.PrimaryKeyConstraint("series_key", name=op.f("pk_series")),
    )
    op.create_index(op.f("ix_series_modality"), "series", ["modality"], unique=False)
    op.create_index(op.f("ix_series_study_key"), "series", ["study_key"], unique=False)
    op.create_table(
        "snapshot_members",
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("volume_digest", sa.String(length=64), nullable=False),
        sa.Column("study_key", sa.String(length=255), nullable=False),
        sa.Column("series_key", sa.String(length=255), nullable=False),
        sa.Column("split", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot"], ["snapshots.digest"], name=op.f("fk_snapshot_members_snapshot_snapshots")
        ),
        sa.PrimaryKeyConstraint("snapshot", "volume_digest", name=op.f("pk_snapshot_members")),
    )
    op.create_index(
        op.f("ix_snapshot_members_study_key"), "snapshot_members", ["study_key"], unique=False
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_snapshot_members_study_key"), table_name="snapshot_members")
    op.drop_table("snapshot_members")
    op.drop_index(op.f("ix_series_study_key"), table_name="series")
    op.drop_index(op.f("ix_series_modality"), table_name="series")
    op.drop_table("series")
    op.drop_table("study_locks")
    op.drop_index(op.f("ix_studies_study_date"), table_name="studies")
    op.drop_index(op.f("ix_studies_state"), table_name="studies")
    op.drop_index(op.f("ix_studies_received_at"), table_name="studies")
    op.drop_index(op.f("ix_studies_patient_key"), table_name="studies")
    op.drop_table("studies")
    op.drop_index(op.f("ix_snapshots_name"), table_name="snapshots")
    op.drop_table("snapshots")
    op.drop_index(op.f("ix_quarantine_study_key"), table_name="quarantine")
    op.drop_table("quarantine")
    op.drop_index("ix_products_study_kind", table_name="products")
    op.drop_index(op.f("ix_products_study_key"), table_name="products")
    op.drop_index(op.f("ix_products_input_digest"), table_name="products")
    op.drop_index(op.f("ix_products_digest"), table_name="products")
    op.drop_index(op.f("ix_products_created_at"), table_name="products")
    op.drop_table("products")
    op.drop_index(op.f("ix_predictions_study_key"), table_name="predictions")
    op.drop_index(op.f("ix_predictions_model"), table_name="predictions")
    op.drop_index(op.f("ix_predictions_created_at"), table_name="predictions")
    op.drop_table("predictions")
    op.drop_index(op.f("ix_labels_series_key"), table_name="labels")
    op.drop_table("labels")
    op.drop_index(op.f("ix_events_study_key"), table_name="events")
    op.drop_index(op.f("ix_events_at"), table_name="events")
    op.drop_table("events")
    op.drop_index(op.f("ix_deliveries_study_key"), table_name="deliveries")
    op.drop_index(op.f("ix_deliveries_prediction_id"), table_name="deliveries")
    op.drop_index(op.f("ix_deliveries_SOPInstanceUID"), table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index(op.f("ix_audit_events_object"), table_name="audit_events")
    op.drop_table("audit_events")
