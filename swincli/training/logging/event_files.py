"""TensorBoard event files: written with fsync, and truncated to the images seen from which a run goes on.

A file is a sequence of records: length of the event (uint64), checksum of the length, event, checksum of the event.
TensorBoard's own writer runs in a thread, which prints a traceback when the disk is full and cannot sync.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter

from swincli.system.atomic_files import sync_folder

_NAME = "events.out.tfevents"  # TensorBoard reads every file with "tfevents" in its name, sorted by name


class EventFile:
    """The event file of one session of a run.

    Args:
        folder: The run's TensorBoard folder.
        images_seen: Images seen at the start of the session. It is part of the file name, so files sort by the run's
            progress and not by clock.

    Raises:
        OSError: the file cannot be written; the methods raise it too.
    """

    def __init__(self, folder: Path, images_seen: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"{_NAME}.{images_seen:012d}.{time.time_ns()}").open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        sync_folder(folder)

    def add(self, images_seen: int, summary: Summary) -> None:
        """Append a summary at `images_seen`; TensorBoard can read it at once."""
        self._write(Event(wall_time=time.time(), step=images_seen, summary=summary))

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()

    def sync(self) -> None:
        """Fsync the file."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def truncate_events(folder: Path, images_seen: int) -> dict[str, int]:
    """Drop all events after `images_seen`, records that a kill cut short, and empty files.

    Returns:
        Images seen at the last remaining event of each tag.
    """
    last: dict[str, int] = {}
    for path in sorted(folder.glob(f"{_NAME}.*")):
        keep, tags = 0, []
        for end, event in read_events(path):
            if event.step > images_seen:
                break
            keep = end
            tags += [(value.tag, event.step) for value in event.summary.value]
        if not tags:
            path.unlink()
        elif keep < path.stat().st_size:
            os.truncate(path, keep)
        last |= dict(tags)
    return last


def read_events(path: Path) -> Iterator[tuple[int, Event]]:
    """Yield each event of a file with its end offset in bytes; stops where the file is damaged."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            length, checksum = struct.unpack("<QI", head)
            if checksum != masked_crc32c(head[:8]) or file.tell() + length + 4 > size:
                return
            try:
                event = Event.FromString(file.read(length + 4)[:length])
            except DecodeError:
                return
            yield file.tell(), event
