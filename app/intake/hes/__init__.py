"""Hospital Episode Statistics: a CSV of consultant episodes becomes stays, operations, diagnoses and deaths of known children.

Invariants: the file is streamed; no row disappears (it is imported, or kept with its line and the reason); importing the same file, or
the same episodes in another file, changes nothing; a row is linked to a child only by a number that proves it.
"""
