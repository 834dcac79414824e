"""IPTC's digital source type: what a picture file says about how it was made. Written as XMP, read from any format.

The vocabulary is https://cv.iptc.org/newscodes/digitalsourcetype/. The property belongs to IPTC's extension schema for
XMP (IPTC Photo Metadata Standard); C2PA manifests name the same terms.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path
from typing import Final

TRAINED: Final = "trainedAlgorithmicMedia"
"""Every pixel comes from a model that was trained on pictures."""
COMPOSITE: Final = "compositeWithTrainedAlgorithmicMedia"
"""Other pictures, such as a photograph, together with what such a model made."""
GENERATED: Final = (TRAINED, COMPOSITE, "compositeSynthetic")
"""Terms of pictures that come, at least in part, from a trained algorithm."""

PNG_XMP: Final = "XML:com.adobe.xmp"
"""Keyword of the text chunk (iTXt) in which a PNG has its XMP."""

_URL = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_SPELLED = re.compile(
    rb"digital_?source_?type(?:/|[^A-Za-z]{1,16}(?:rdf:resource[^A-Za-z]{1,4})?)(?:https?://[\w./]*/)?(%s)\b"
    % "|".join(GENERATED).encode(),
    re.IGNORECASE,
)
_WEBP_XMP = 0x04  # flag of the extended header: the file has XMP
_MOST_TEXT = 2**20  # bytes of a compressed text chunk that are read


def xmp_of(term: str) -> bytes:
    """The XMP packet that says a digital source type; the same term gives the same bytes."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"\n'
        f'   Iptc4xmpExt:DigitalSourceType="{_URL}{term}"/>\n'
        " </rdf:RDF>\n"
        "</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    ).encode()


def generated_by(data: bytes) -> str | None:
    """The term of `GENERATED` that a file names, in XMP or a C2PA manifest; None if it names none.

    Formats keep both as plain bytes; only a PNG may compress its text. Two-byte XMP (UTF-16) is not read.

    Args:
        data: The whole file, of any format.
    """
    found = _term(data)
    if found is None and PNG_XMP.encode() + b"\0\x01" in data[:_MOST_TEXT]:
        found = _term(_compressed_text(data))
    return found


def add_to_webp(path: Path, term: str) -> None:
    """Add XMP to an animated WebP, in place; a file without an extended header (a single frame) stays as it is.

    Source: RFC 9649, section 2.7.
    """
    packet = xmp_of(term)
    with path.open("rb+") as file:
        head = file.read(21)
        if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X":
            return
        end = file.seek(0, os.SEEK_END)
        file.write(b"\0" * (end % 2) + b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) % 2))
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))
        file.seek(20)
        file.write(bytes([head[20] | _WEBP_XMP]))


def _term(data: bytes) -> str | None:
    if b"rainedAlgorithmicMedia" not in data and b"compositeSynthetic" not in data:  # many times as fast as the pattern
        return None
    match = _SPELLED.search(data)
    return None if match is None else next(term for term in GENERATED if term.encode().lower() == match[1].lower())


def _compressed_text(data: bytes) -> bytes:
    """The XMP of a PNG whose text chunk is compressed; empty if it is damaged."""
    start = data.index(PNG_XMP.encode()) + len(PNG_XMP) + 3  # after the keyword: 0, compressed, method
    for _ in ("language", "translated keyword"):
        start = data.find(b"\0", start) + 1
    try:
        return zlib.decompressobj().decompress(data[start : start + _MOST_TEXT], _MOST_TEXT)
    except zlib.error:
        return b""
