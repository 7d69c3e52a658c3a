"""The store for more than one machine: a MongoDB replica set (or sharded cluster), any number of processes before it.

| file | knows |
| --- | --- |
| `connection.py` | concerns, the sentences at start, MongoDB's errors as ours |
| `schema.py` | collections, indexes, migrations |
| `words.py` | index entries as arrays of a document |
| `conditions.py`, `clauses.py`, `order.py`, `search.py` | a `Plan` as filters: values, clauses, `_sort`, the page |
| `transaction.py`, `claims.py`, `rounds.py` | what one commit does, what makes guards safe, several callers in one transaction |
| `feed.py` | numbers without gaps, without a hot counter |
| `reads.py` | reads by id, those of one moment together |
| `records.py`, `history.py`, `upkeep.py`, `moving.py` | the rest |
| `store.py` | the protocol itself, wired from the above |

What must stay true: every write is a majority's and journaled before it is answered; what a transaction judges it also writes, or claims; every filter on
resources carries the owner filter.
"""
