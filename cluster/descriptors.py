"""Descriptors: a service asks for as many as it may need; many systems allow 1,024 at first."""

import resource

DESCRIPTORS = 8_192  # connections both ways (the door lets 1,024 in), files, and room to spare


def allow_descriptors() -> None:
    """As many, or what the system allows at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
