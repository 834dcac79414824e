"""IPTC's digital source type: written into XMP, and read from what others write."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, PngImagePlugin

from swincli.data.images.digital_source import COMPOSITE, PNG_XMP, TRAINED, add_to_webp, generated_by, xmp_of

URL = "http://cv.iptc.org/newscodes/digitalsourcetype/"
IMAGE = Image.new("RGB", (16, 16), "red")


def saved(kind: str, **options: object) -> bytes:
    content = BytesIO()
    IMAGE.save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_xmp_of_every_format_is_read(kind: str) -> None:
    assert generated_by(saved(kind)) is None
    xmp = {"xmp": xmp_of(TRAINED)} if kind != "TIFF" else {"tiffinfo": {700: xmp_of(TRAINED)}}
    assert generated_by(saved(kind, **xmp)) == TRAINED


@pytest.mark.parametrize("zipped", [False, True])
def test_a_png_may_compress_it(zipped: bool) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt(PNG_XMP, xmp_of(COMPOSITE).decode(), zip=zipped)
    data = saved("PNG", pnginfo=text)
    assert (b"TrainedAlgorithmicMedia" in data) is not zipped
    assert generated_by(data) == COMPOSITE
    packet = ElementTree.fromstring(Image.open(BytesIO(data)).info["xmp"])
    schema = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
    assert packet[0][0].attrib[f"{schema}DigitalSourceType"] == URL + COMPOSITE
    if zipped:
        assert generated_by(data[: data.index(PNG_XMP.encode()) + 30]) is None


@pytest.mark.parametrize(
    ("text", "term"),
    [
        (f"<Iptc4xmpExt:DigitalSourceType>\n  {URL}{TRAINED}\n</Iptc4xmpExt:DigitalSourceType>", TRAINED),
        (f'<e:DigitalSourceType rdf:resource="https{URL[4:]}compositeSynthetic"/>', "compositeSynthetic"),
        (f'Iptc4xmpExt:DigitalSourceType="{TRAINED}"', TRAINED),
        (f"qdigitalSourceTypexF{URL}{TRAINED}eaction", None),  # another term that begins like it
        (f"qdigitalSourceTypexF{URL}{TRAINED}\xa5action", TRAINED),  # C2PA
        (f'DigitalSourceType="{URL}digitalCapture" comment="not {TRAINED}"', None),
        (f"an essay about {TRAINED}", None),
        ("", None),
    ],
)
def test_spellings(text: str, term: str | None) -> None:
    assert generated_by(text.encode("latin-1")) == term


@pytest.mark.parametrize("frames", [2, 1])
def test_an_animated_webp_gets_it_later(tmp_path: Path, frames: int) -> None:
    path = tmp_path / "walk.webp"
    IMAGE.save(path, save_all=True, append_images=[Image.new("RGB", (16, 16), "blue")] * (frames - 1))
    before = path.read_bytes()
    add_to_webp(path, TRAINED)
    assert generated_by(path.read_bytes()) == (TRAINED if frames > 1 else None)
    assert frames > 1 or path.read_bytes() == before
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == frames
        assert bool(image.info.get("xmp")) == (frames > 1)
        image.seek(frames - 1)
        image.load()
