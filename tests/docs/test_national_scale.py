"""The page on the national scale says what was measured, and what it tells an administrator to do leaves a store that works."""

import json
import re

from pymongo import MongoClient

from app.security.access import SYSTEM
from app.store.mongo.schema import INDEXES
from app.store.protocol import Put
from bench.national import FIGURES, PAGE, tables, with_tables
from tests.contract.builders import patient
from tests.support import empty_mongo_url, open_mongo_store


def test_the_page_says_what_was_measured() -> None:
    page, figures = PAGE.read_text(), json.loads(FIGURES.read_text())
    assert with_tables(page, figures) == page
    assert figures["children"]["resource"] >= 100_000
    for table in tables(figures).values():
        assert table in page


def test_no_query_of_the_day_goes_the_wrong_way() -> None:
    """At that size: no scan of a collection, and no search through more than a part of a type's resources."""
    figures = json.loads(FIGURES.read_text())
    largest = max(figures["types"].values())
    for query in figures["queries"]:
        assert query["scans"] == [], query
        assert query["documents"] <= largest // 4, query


async def test_the_store_works_with_the_indexes_that_sharding_needs(mongodb: str) -> None:
    """The page's own lines, run as it says; then written to, numbered and checked."""
    url = await empty_mongo_url(mongodb)
    store = await open_mongo_store(mongodb)
    lines = re.findall(r'dropIndex\("(\w+)"\)', PAGE.read_text())
    assert lines == [index.document["name"] for index in INDEXES["version"] if index.document.get("unique")]
    with MongoClient(url) as client:
        versions = client.get_default_database().version
        try:
            for index in INDEXES["version"]:
                told = index.document
                if told.get("unique"):
                    versions.drop_index(told["name"])
                    plain = {name: told[name] for name in ("name", "partialFilterExpression") if name in told}
                    versions.create_index(list(told["key"].items()), **plain)
            for n in range(3):
                await store.commit(SYSTEM, [Put(patient("a", f"N{n}")), Put(patient(f"p{n}"))])
            assert [change.seq for change in await store.feed(0)] == [1, 2, 3, 4, 5, 6]
            assert await store.check() == []
        finally:
            await store.close()
            for name in lines:
                versions.drop_index(name)
            versions.create_indexes(INDEXES["version"])
