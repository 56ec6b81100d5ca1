"""What every member of a cluster must agree on, or runs the same way."""

VERSION = "0.1.0"
