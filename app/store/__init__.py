"""Durability, and who may see what. Two stores, one contract: `protocol.py`. Above this room nobody knows SQL or BSON."""
