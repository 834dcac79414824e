"""ICC profiles for tests."""

from __future__ import annotations

import struct


def linear_profile(space: bytes, name: bytes = b"linear light") -> bytes:
    """A minimal ICC profile, version 2: sRGB's primaries or grey, without its curve."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    text = name + b"\0"
    curve = b"curv" + struct.pack(">IIH", 0, 1, 256) + b"\0\0"  # a power of 256 / 256
    tags = {
        b"desc": b"desc" + struct.pack(">II", 0, len(text)) + text + b"\0" * 79,
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": xyz(0.4361, 0.2225, 0.0139), b"gXYZ": xyz(0.3851, 0.7169, 0.0971)}
        tags |= {b"bXYZ": xyz(0.1431, 0.0606, 0.7141), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    size = start + len(body)
    header = struct.pack(">I4xI4s4s4s", size, 0x02100000, b"mntr", space, b"XYZ ").ljust(36, b"\0") + b"acsp"
    return header.ljust(68, b"\0") + xyz(0.9642, 1.0, 0.8249)[8:] + b"\0" * 48 + table + body
