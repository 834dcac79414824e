"""Colour: profiles by their curves, strips, orientation by EXIF alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from profiles import linear_profile

from swincli.data.images import colour
from swincli.data.images.colour import to_rgb
from swincli.data.images.decode import decode

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def srgb_named(name: str) -> bytes:
    """The profile of sRGB with another description, which lcms writes in UTF-16."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    old = ImageCms.getProfileDescription(profile).strip()
    new = name[: len(old)].ljust(len(old))
    return profile.tobytes().replace(old.encode("utf-16-be"), new.encode("utf-16-be"))


def test_a_linear_profile_is_converted_whatever_its_name(encode: Any) -> None:
    half = Image.new("RGB", (8, 8), (128, 128, 128))
    got = np.asarray(decode(encode(half, icc_profile=linear_profile(b"RGB ", b"linear sRGB")), "x"), int)
    assert np.abs(got - 188).max() <= 2


def test_a_profile_of_srgb_changes_nothing_whatever_its_name(encode: Any, noise: Any) -> None:
    original = noise(16, 16)
    profiles = [srgb_named("sRGB built-in"), srgb_named("my monitor")]
    assert profiles[0] != profiles[1]
    for profile in profiles:
        assert np.array_equal(decode(encode(original, icc_profile=profile), "x"), original)


def make_p(image: Image.Image) -> Image.Image:
    palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = 3
    return palette


MODES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "RGBA": lambda image: Image.merge("RGBA", (*image.split(), image.getchannel(0))),
    "LA": lambda image: Image.merge("LA", (image.getchannel(0), image.getchannel(1))),
    "La": lambda image: Image.merge("LA", (image.getchannel(0), image.getchannel(1))).convert("La"),
    "P": make_p,
    "CMYK": lambda image: image.convert("CMYK"),
    "1": lambda image: image.convert("1"),
    "L": lambda image: image.convert("L"),
    "I;16": lambda image: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257),
    "YCbCr": lambda image: image.convert("YCbCr"),
    "RGB": lambda image: image,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("profile", [None, linear_profile(b"RGB ")])
def test_strips_give_the_same_pixels(mode: str, profile: Any, noise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    image = MODES[mode](noise(30, 40))
    if profile is not None:
        image.info["icc_profile"] = profile
    whole = to_rgb(image, "x", (0, 0, 255))
    monkeypatch.setattr(colour, "_STRIP_PIXELS", 100)
    assert np.array_equal(to_rgb(image, "x", (0, 0, 255)), whole)


def test_nothing_is_copied_where_nothing_is_to_be_done(noise: Any) -> None:
    image = noise(8, 8)
    assert to_rgb(image, "x", (255, 255, 255)) is image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_in_xmp_turns_nothing(kind: str, encode: Any) -> None:
    tall = Image.new("RGB", (16, 32))
    place: dict[str, Any] = {"xmp": XMP}
    if kind == "PNG":
        place = {"pnginfo": PngInfo()}
        place["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif kind == "TIFF":
        place = {"tiffinfo": {700: XMP}}
    exif = Image.Exif()
    exif[0x0132] = "2026:01:01 00:00:00"
    for more in ({}, {"exif": exif} if kind != "TIFF" else {}):
        data = encode(tall, kind, **place, **more)
        assert XMP[-40:] in data
        assert decode(data, "x").size == (16, 32)


def test_exif_wins_over_xmp(encode: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    assert decode(encode(Image.new("RGB", (16, 32)), "JPEG", xmp=XMP, exif=exif), "x").size == (16, 32)
    exif[0x0112] = 8
    assert decode(encode(Image.new("RGB", (16, 32)), "JPEG", xmp=XMP, exif=exif), "x").size == (32, 16)
