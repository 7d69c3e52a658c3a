"""`python -m app.demo.leash COMMAND…`: a `csor` command that ends in good order when whoever started it has gone, however it went.

Its standard input is a pipe that the demonstration holds open; even a demonstration that was killed lets go of it.
"""

import os
import runpy
import signal
import threading


def _follow() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_follow, daemon=True).start()
    runpy.run_module("app.cli", run_name="__main__")
