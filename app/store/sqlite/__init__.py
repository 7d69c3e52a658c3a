"""The embedded store: one SQLite file in WAL mode, one writer thread with group commit, readers beside it.

| file | knows |
| --- | --- |
| `schema.py` | tables, indexes and their migrations |
| `connection.py` | pragmas, and how SQLite's errors become ours |
| `rows.py` | index entries as rows |
| `writer.py` | the thread that commits, several callers at a time |
| `transaction.py` | what one commit does |
| `conditions.py`, `clauses.py`, `order.py`, `search.py` | a `Plan` as SQL: values, clauses, `_sort`, the page |
| `records.py`, `history.py`, `upkeep.py` | the rest of the protocol |
| `store.py` | the protocol itself, wired from the above |

What must stay true: only the writer thread writes; nothing is answered before COMMIT returned at `synchronous=FULL`; every
statement that reads resources carries the owner filter or checks the owners that it read.
"""
