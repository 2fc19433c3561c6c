"""Alembic's entry: one connection handed over, two branches, one version table each."""

from alembic import context

config = context.config

context.configure(
    connection=config.attributes["connection"],
    version_table=f"alembic_version_{config.attributes['branch']}",
)
with context.begin_transaction():
    context.run_migrations()
