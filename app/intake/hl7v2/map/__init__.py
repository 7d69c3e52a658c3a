"""From a message to resources, in two steps.

`reading.read` is pure: a message becomes slots, each a small part of a resource as of an event time. `apply` joins them with what earlier
(or later) messages said, slot by slot, and writes what changed. Codes come from `mappings/hl7v2/`; only rules are code.
"""
