"""The history of metrics from a run's log."""

from __future__ import annotations

import json
import math
from pathlib import Path

from swincli.training.logging.metric_history import read_metric_history


def test_a_value_that_is_no_number_is_null_and_the_rest_of_its_line_counts(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    record = {"in_training": True, "images_seen": 8, "protocol": {"fakes": {"num": 5}}}
    log.write_text(json.dumps({**record, "metrics": {"fid": None, "kid": 0.5}}) + "\n")
    found = read_metric_history(log, 5)
    assert math.isnan(found.last["fid"][0])
    assert found.best == {"kid": (0.5, 8)}
