"""A process that commits under load and says on stdout which commits were acknowledged. `python -m tests.store.writer_process URL NAME [COUNT]`"""

import asyncio
import itertools
import os
import sys

from app.security.access import SYSTEM
from app.store.open import open_store
from app.store.protocol import Put, PutRecord, Record


async def main(url: str, name: str, count: int) -> None:
    store = open_store(url)
    await store.open()
    numbers = iter(range(count)) if count else itertools.count()

    async def write() -> None:
        for number in numbers:
            id = f"{name}-{number}"
            await store.commit(
                SYSTEM,
                [
                    Put({"resourceType": "Patient", "id": id, "name": [{"family": f"F{number % 50}"}]}),
                    Put({"resourceType": "Observation", "id": id, "status": "final", "subject": {"reference": f"Patient/{id}"}}),
                    PutRecord(Record("k", id)),
                ],
            )
            # One write call a line: a kill leaves no half line that could be taken for a whole one.
            os.write(1, f"{id}\n".encode())

    await asyncio.gather(*(write() for _ in range(16)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0))
