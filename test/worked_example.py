"""The examples of docs/formats.md, as data."""
import re


def worked_example(page):
    """{name: value} of a page's indented lines; hexadecimal goes on over lines."""
    example, last = {}, None
    for line in page.splitlines():
        start = re.fullmatch(r"    (\w[\w ]*) = (.*)", line)
        if start:
            last, example[start[1]] = start[1], start[2]
        elif last and re.fullmatch(r"        [0-9a-f ]+", line):
            example[last] += line
        else:
            last = None
    return {name: bytes.fromhex(value) if re.fullmatch(r"[0-9a-f ]+", value) else value
            for name, value in example.items()}
