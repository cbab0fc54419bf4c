"""Routes in migrations: a row of relay_guard.route is an endpoint."""
import json
from textwrap import dedent

import sqlalchemy as sa
from alembic import op


def literal(value):
    """A column's value as PostgreSQL reads it from a string."""
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    if isinstance(value, tuple):
        return "{" + ",".join(value) + "}"
    return str(value)


def table(*columns):
    return sa.table("route", *map(sa.column, columns), schema="relay_guard")


def add_route(method, path, query, **columns):
    """dict and list become jsonb, a tuple an array; the rest is itself."""
    row = dict(method=method, path=path, query=dedent(query).strip(), **columns)
    values = {name: sa.literal(literal(value), sa.Text)
              for name, value in row.items()}
    op.execute(sa.insert(table(*row)).values(values))


def change_route(method, path, **columns):
    route = table("method", "path", *columns)
    values = {name: sa.null() if value is None else sa.literal(literal(value), sa.Text)
              for name, value in columns.items()}
    op.execute(sa.update(route).values(values)
               .where(route.c.method == sa.literal(method, sa.Text))
               .where(route.c.path == sa.literal(path, sa.Text)))


def drop_route(method, path):
    route = table("method", "path")
    op.execute(sa.delete(route)
               .where(route.c.method == sa.literal(method, sa.Text))
               .where(route.c.path == sa.literal(path, sa.Text)))
