"""What becomes known of one file of a source as it goes by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """One file of a source, and what came of it.

    Attributes:
        name: Its path inside the source.
        size: Bytes of the file; None where it could not be read.
        digest: SHA-256 of those bytes.
        width: In pixels, upright and before anything is cut off; None where it could not be decoded.
        height: Likewise.
        mode: Pillow's name for the pixels of the file, such as "RGB", "L", "P", "CMYK" or "I;16".
        kind: "PNG", "JPEG", "WEBP", "TIFF", "BMP" or "GIF".
        upscaled: Whether it was smaller than what it became.
        label: The name of its label, where there are labels.
        reason: Why it was left out; None where it was kept.
        same_as: Of a duplicate, the name of the picture that was kept.
        part: Of several parts that pictures are spread over, the one that it went to.
        place: Its index in the store, or in the store of that part.
    """

    name: str
    size: int | None = None
    digest: bytes | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    kind: str | None = None
    upscaled: bool = False
    label: str | None = None
    reason: str | None = None
    same_as: str | None = None
    part: str = ""
    place: int | None = None

    @property
    def kept(self) -> bool:
        """Whether it went into the store."""
        return self.place is not None
