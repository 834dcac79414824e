"""Files in `../shared` next to a checkout; tests that need them are skipped if they are missing."""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
CATS = SHARED / "data" / "afhq_cat_256.zip"
PARITY = SHARED / "parity"
