"""Compression on the wire: zstd (RFC 8878), where both sides say so in HTTP's own headers."""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NAME = "zstd"
#: Smaller contents are sent as they are.
WORTH_BYTES = 512
LEVEL = 1


class NotCompressed(ValueError):
    """The content is no zstd frame, is cut, or would become larger than allowed."""


def compress(content: bytes) -> bytes:
    return zstd.compress(content, level=LEVEL)


def decompress(content: bytes, limit: int) -> bytes:
    """At most `limit` bytes; never unpacks more. NotCompressed otherwise."""
    unpacker = zstd.ZstdDecompressor()
    try:
        unpacked = unpacker.decompress(content, max_length=limit + 1)
    except (zstd.ZstdError, MemoryError) as error:
        raise NotCompressed(f"not {NAME}: {error}") from None
    if len(unpacked) > limit:
        raise NotCompressed(f"over {limit} bytes when unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise NotCompressed(f"not one whole {NAME} frame")
    return unpacked
