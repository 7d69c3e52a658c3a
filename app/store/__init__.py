"""Where everything is kept: resources with their versions, the search index, the change feed, records and jobs.

`protocol.py` says what a store promises, `open.py` makes one from a URL, `sqlite/` is the embedded one, `consumer.py` follows the
feed, `jobs.py` keeps work to be done. What must stay true is in the docstring of `protocol.py`, and `tests/contract/` holds every
store to it.
"""

from app.store.open import open_store

__all__ = ["open_store"]
