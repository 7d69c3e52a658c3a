"""A simulated nation, played through the front doors, and compared at the end with what the simulator knows.

The truth (`nation.py`) never touches the store: the server learns of it only by messages, forms, files and links.
"""
