"""Memory that runs out is no damage of the file; libraries print nothing by themselves."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiff_files import write_tiff

from swincli.data.images import decode as module
from swincli.data.images.decode import PIXEL_BYTES, decode, memory_need, open_picture
from swincli.data.images.rejected import ImageError
from swincli.data.preparing import decode_crop
from swincli.data.preparing.decode_crop import DecodeOptions, decode_and_crop
from swincli.errors import ResourceError

LIMITED = """
import io, resource
from PIL import Image
from swincli.data.preparing.decode_crop import DecodeOptions, decode_and_crop
from swincli.errors import ResourceError
buffer = io.BytesIO()
Image.new("RGBA", (4000, 4000)).save(buffer, "PNG", compress_level=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20, -1))
try:
    decode_and_crop(buffer.getvalue(), "large.png", DecodeOptions(16))
except ResourceError as error:
    print(error.message)
"""


def run_out(*_: Any, **__: Any) -> Any:
    raise MemoryError


@pytest.mark.parametrize(("module_", "name"), [(module, "to_rgb"), (decode_crop, "crop_and_resize")])
def test_too_little_memory_is_an_error_of_resources(
    module_: Any, name: str, encode: Any, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_, name, run_out)
    monkeypatch.setattr(module, "_is_free", lambda _: False)
    with pytest.raises(ResourceError, match=r"^x: not enough memory for a picture of 40 x 30 px$") as caught:
        decode_and_crop(encode(noise(40, 30)), "x", DecodeOptions(16))
    assert "--workers" in str(caught.value.hint)


def test_a_file_that_asks_for_too_much_is_damaged(encode: Any, noise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "to_rgb", run_out)
    with pytest.raises(ImageError, match="damaged: it asks for more memory"):
        decode(encode(noise(4, 4)), "x")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
def test_a_real_limit_of_memory() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    assert done.stdout == "large.png: not enough memory for a picture of 4,000 x 4,000 px\n"


def test_the_need_follows_the_declared_size(encode: Any) -> None:
    assert memory_need(encode(Image.new("L", (70, 30))), None) == 70 * 30 * PIXEL_BYTES
    for kind in ("JPEG", "TIFF", "WEBP", "BMP", "GIF"):
        assert memory_need(encode(Image.new("L", (70, 30)), kind), None) == 70 * 30 * PIXEL_BYTES
    large = encode(Image.new("L", (640, 320)), "JPEG")
    assert memory_need(large, None) == 640 * 320 * PIXEL_BYTES
    assert memory_need(large, 40) == 80 * 40 * PIXEL_BYTES
    bomb = bytearray(encode(Image.new("L", (1, 1))))
    bomb[16:24] = b"\x7f" * 8
    for data in (b"", b"no image", large[:30], bytes(bomb)):
        assert memory_need(data, None) == 0


def test_libraries_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    data = write_tiff(np.zeros((64, 64, 3), np.uint8), photometric=2, bits=8, compression=8, rows=8)
    place = data.index(b"x\x9c") + 8
    with pytest.raises(ImageError, match=r"^x: damaged: "):
        open_picture(data[:place] + bytes(16) + data[place + 16 :], "x")
    assert capfd.readouterr().err == ""
