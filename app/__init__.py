"""CSOR: a FHIR R4 server for Children's Surgery Outcome Reporting. The map of the rooms is in docs/explanation/rooms.md."""

__version__ = "0.1.0"
