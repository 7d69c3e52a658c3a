"""HL7v2 over MLLP: what a hospital's integration engine sends becomes FHIR resources.

`er7` reads a message without loss, `mllp` frames it, `inbox` keeps its bytes durably before anything is answered, `map` turns it into
resources whatever order messages arrive in, `ack` answers, `listener` serves, `worker` maps what was only stored.

What must stay true: no message is acknowledged before its bytes are durable; no message is dropped in silence; any order of arrival,
and any number of repeats, ends in the same resources.
"""
