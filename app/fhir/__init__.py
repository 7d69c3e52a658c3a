"""FHIR R4 (4.0.1) in Python: a library that anyone can lift out and use alone.

`definitions` is the standard as a table; `codec` and `xml` read and write resources without losing a digit; `validation`
judges structure; `fhirpath` and `search` compile expressions; `files` streams resources from disk. A resource is a plain
`dict` with `Decimal` numbers. Nothing here has settings, talks to a network or a store, or knows of children's surgery.
"""
