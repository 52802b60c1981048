"""zstd, with one compressor kept: making one costs more than compressing a record does."""

from __future__ import annotations

import sys

from perdure.errors import Malformed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 3
PACK_LEVEL = 9
"""For what is written once and off a save's path. Design 0009 has the figures it was chosen by."""

# Its methods take an internal lock, so threads may share it; a frame is flushed in one call.
_compressor = zstd.ZstdCompressor(level=LEVEL)


def compress(data: bytes, level: int = LEVEL, random_bytes: int = 0) -> bytes:
    """One zstd frame that states its content size.

    `random_bytes` at the beginning get a block of their own, so that the codes of the rest are made
    for the rest alone.
    """
    if level == LEVEL and not random_bytes:
        _compressor.set_pledged_input_size(len(data))
        return _compressor.compress(data, zstd.ZstdCompressor.FLUSH_FRAME)
    compressor = zstd.ZstdCompressor(level=level)
    compressor.set_pledged_input_size(len(data))
    random = compressor.compress(data[:random_bytes], zstd.ZstdCompressor.FLUSH_BLOCK)
    return random + compressor.compress(data[random_bytes:], zstd.ZstdCompressor.FLUSH_FRAME)


def claimed_bytes(start: bytes, otherwise: int) -> int:
    """The content size that a frame's first 18 bytes state; `otherwise` where they do not."""
    try:
        return zstd.get_frame_info(start).decompressed_size or otherwise
    except zstd.ZstdError:
        return otherwise


def decompress(frame: bytes, bytes_max: int) -> bytes:
    """The content of one frame; its stated size is checked before anything is allocated.

    Raises:
        Malformed: not one whole frame, or larger than `bytes_max`.
    """
    try:
        size: int | None = zstd.get_frame_info(frame).decompressed_size
        if size is None or size > bytes_max:
            raise Malformed(f"compressed bytes claim {size} bytes; at most {bytes_max} are allowed")
        decompressor = zstd.ZstdDecompressor()
        data = decompressor.decompress(frame, max_length=size)
    except zstd.ZstdError as error:
        raise Malformed(f"not a zstd frame: {error}") from error
    if len(data) != size or not decompressor.eof or decompressor.unused_data:
        raise Malformed("a zstd frame that is cut short or followed by more")
    return data
