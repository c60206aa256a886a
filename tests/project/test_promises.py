"""The page of promises names tests that exist, and each of its promises names one."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text("utf-8")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def names_in(file):
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_test_on_the_page_exists():
    named = set(_TEST.findall(PAGE))
    assert named
    assert {each for each in named if each[1] not in names_in(each[0])} == set()


def test_each_promise_has_a_test():
    tables = re.findall(r"^\| Promise .*\n\| ---.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) > 20
    assert [row for row in rows if not _TEST.search(row)] == []
