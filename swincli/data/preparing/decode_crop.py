"""From the bytes of one picture to a square: decode, crop, resize, and if wanted encode and hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from swincli.data.images.colour import WHITE, Colour
from swincli.data.images.crop_resize import Crop, Filter, Gamma, choose_region, crop_and_resize
from swincli.data.images.decode import Jpeg, open_picture, out_of_memory
from swincli.data.images.digital_source import generated_by
from swincli.data.images.frames import count_frames
from swincli.data.images.perceptual_hash import PerceptualHash, perceptual_hash
from swincli.data.images.rejected import ImageError
from swincli.data.preparing.survey import SourceRecord
from swincli.data.store.codecs import Encoding, encode

NOT_SQUARE: Final = "not square"
_OVERSAMPLING: Final = 4  # a JPEG is shrunk while decoding only to this multiple of the resolution: < 0.3 levels error


@dataclass(frozen=True)
class DecodeOptions:
    """How a picture becomes a square.

    Attributes:
        resolution: Side of the square in pixels.
        crop: How the picture is cropped. "none" rejects pictures that are not square.
        filter: Resampling filter.
        background: Colour under transparent pixels.
        gamma: "srgb" resizes the stored values, "linear" resizes linear light.
        min_size: A crop with a shorter side, in pixels of the file, is rejected.
        jpeg: "fast" shrinks a large JPEG while it is decoded, "exact" decodes every pixel.
        hashed: Whether to compute the perceptual hash, which finds near duplicates.
        digested: Whether to compute the SHA-256 of the pixels, which finds exact duplicates.
        encoding: File format to encode the square to; "raw" for none.
    """

    resolution: int
    crop: Crop = "center"
    filter: Filter = "lanczos"
    background: Colour = WHITE
    gamma: Gamma = "srgb"
    min_size: int = 1
    jpeg: Jpeg = "fast"
    hashed: bool = False
    digested: bool = False
    encoding: Encoding = "raw"

    @property
    def enough(self) -> int | None:
        """Shorter side in pixels to which a JPEG may be shrunk while it is decoded; None for not at all."""
        exact = self.jpeg == "exact" or self.gamma == "linear"  # a JPEG decoder averages stored values, not light
        return None if exact else _OVERSAMPLING * self.resolution


@dataclass(frozen=True)
class DecodedPicture:
    """A decoded and cropped picture, or the reason why it was rejected.

    Attributes:
        record: Facts of the file; its `reason` says why it was rejected.
        pixels: uint8 [H, W, 3]; None if the picture was rejected.
        encoded: The pixels as a file, if `DecodeOptions.encoding` asks for one.
        perceptual_hash: The perceptual hash of the pixels, if `DecodeOptions.hashed`.
        digest: SHA-256 of the pixels, if `DecodeOptions.digested`.
    """

    record: SourceRecord
    pixels: NDArray[np.uint8] | None = None
    encoded: bytes | None = None
    perceptual_hash: PerceptualHash | None = None
    digest: bytes | None = None


def decode_and_crop(data: bytes, name: str, options: DecodeOptions) -> DecodedPicture:
    """Decode a picture, crop it and resize it to a square.

    Args:
        data: The whole file.
        name: Name of the file in the record.
        options: Size, crop and all else.

    Raises:
        ResourceError: Memory does not suffice.
    """
    digest = hashlib.sha256(data).digest()
    record = SourceRecord(name, len(data), digest)
    try:
        picture = open_picture(data, name, options.background, options.enough)
    except ImageError as error:
        return DecodedPicture(replace(record, reason=error.reason))
    width, height = picture.width, picture.height
    region = choose_region(width, height, options.crop, digest)
    upscaled = region.width < options.resolution
    record = replace(record, width=width, height=height, mode=picture.mode, kind=picture.kind, upscaled=upscaled)
    record = replace(record, frames=count_frames(data, picture.kind), generated=generated_by(data))
    if min(region.width, region.height) < options.min_size:
        return DecodedPicture(replace(record, reason=f"too small: {width} x {height} px"))
    if options.crop == "none" and width != height:
        return DecodedPicture(replace(record, reason=f"{NOT_SQUARE}: {width} x {height} px"))
    try:
        pixels = crop_and_resize(picture, region, options.resolution, options.filter, options.gamma)
    except MemoryError as error:
        raise out_of_memory(name, width, height) from error
    encoded = None if options.encoding == "raw" else encode(pixels, options.encoding)
    hashed = perceptual_hash(pixels) if options.hashed else None
    return DecodedPicture(record, pixels, encoded, hashed, pixel_digest(pixels) if options.digested else None)


def pixel_digest(pixels: NDArray[np.uint8]) -> bytes:
    """SHA-256 of pixels."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).digest()
