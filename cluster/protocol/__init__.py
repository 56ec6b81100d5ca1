"""The contract: every message and every exchange, version 1."""
