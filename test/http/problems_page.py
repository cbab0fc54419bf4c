#!/usr/bin/python3
"""test/http/problems_page.py [--write]: the tables of docs/problems.md, from the database that libpq's
environment names; test/with_server sh -c 'ops/create_database && PGDATABASE=relay test/http/problems_page.py --write'"""
import pathlib
import re
import sys

import psycopg2

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/problems.md"
HEAD = "| status | code | when | what to do |\n|---|---|---|---|\n"
CATALOG = "SELECT status, code, meaning, suggestion FROM relay_guard.problem_catalog()"
RAISED = """
    SELECT DISTINCT s.key::int, p.key, p.value ->> 'detail', p.value ->> 'suggestion'
    FROM relay_guard.route r, jsonb_each(r.responses) s,
         jsonb_each(CASE jsonb_typeof(s.value) WHEN 'object' THEN s.value ELSE '{}' END) p
    WHERE s.key >= '400' AND p.value <> 'null' AND r.path NOT LIKE '/test/%'
      AND NOT EXISTS (SELECT FROM relay_guard.problem_catalog() c WHERE c.status = s.key::int AND c.code = p.key)
    ORDER BY 1, 2"""


def table(rows):
    return HEAD + "".join(f"| {status} | `{code}` | {when} | {suggestion} |\n" for status, code, when, suggestion in rows)


def with_tables(page, query):
    """The page with the tables as the database has them; query runs SQL."""
    tables = iter((table(query(CATALOG)), table(query(RAISED))))
    return re.sub(re.escape(HEAD) + r"(\|[^\n]*\n)*", lambda _: next(tables), page)


def main():
    connection = psycopg2.connect("")
    with connection.cursor() as cursor:
        def query(statement):
            cursor.execute(statement)
            return cursor.fetchall()
        page = with_tables(PAGE.read_text(), query)
    if "--write" in sys.argv:
        PAGE.write_text(page)
    else:
        print(page, end="")


if __name__ == "__main__":
    main()
