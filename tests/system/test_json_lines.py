"""Logs of JSON lines: whole lines are read, damaged ones are told apart."""

from __future__ import annotations

from pathlib import Path

from swincli.system.json_lines import read_json_lines, read_records


def test_lines_of_all_kinds(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [b'{"a": "\xe2\x80\xa8"}', b"", b"\xff\xfe", b"[1]", b"{", b"\0" * 9, b"[" * 100_000, b'{"a": 2}', b'{"a"']
    log.write_bytes(b"\n".join(lines))
    assert list(read_records(log)) == [{"a": "\u2028"}, {"a": 2}]
    found = list(read_json_lines(log))
    assert [line.content for line in found] == [line for line in lines if line]
    assert [line.is_cut for line in found] == [False] * 7 + [True]
    assert list(read_records(tmp_path / "none")) == []
