"""Where alembic connects: the libpq environment, like every other tool here.

Run it as relay_owner.  The history stands in relay.alembic_version, out of the
way of an application that has an alembic of its own in the same database.
"""
from alembic import context
from sqlalchemy import create_engine

SCHEMA = "relay"

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True,
                      version_table_schema=SCHEMA)
    with context.begin_transaction():
        context.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        context.run_migrations()
else:
    with create_engine("postgresql+psycopg2://").connect() as connection:
        with connection.begin():
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        context.configure(connection=connection, version_table_schema=SCHEMA,
                          transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
