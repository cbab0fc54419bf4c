"""Medians, and the tables that show them."""
from statistics import median


def middle(results, field):
    return median(getattr(result, field) for result in results)


def ratio(ours, theirs, field):
    """The median of ours to theirs within a round."""
    return median(getattr(a, field) / getattr(b, field) for a, b in zip(ours, theirs))


def quotient(ours, theirs):
    return median(a / b for a, b in zip(ours, theirs))


def difference(ours, theirs):
    return median(a - b for a, b in zip(ours, theirs))


def verdict(*reached):
    return "reached" if all(reached) else "missed"


def print_table(*rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
    print(flush=True)
