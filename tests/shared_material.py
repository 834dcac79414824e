"""Material that lies beside a checkout, in `../shared`; tests that need it are skipped where it does not."""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
CATS = SHARED / "data" / "afhq_cat_256.zip"
PARITY = SHARED / "parity"
