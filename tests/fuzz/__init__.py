"""Every door for untrusted bytes, thrown at with whatever comes to mind. `python -m tests.fuzz.run --help`."""
