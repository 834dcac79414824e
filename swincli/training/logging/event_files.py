"""TensorBoard's event files: written so that they are on the disk, and cut back to where a run goes on from.

A file is a row of records: the length of an event (uint64) and its checksum, the event, and the checksum of that.
TensorBoard's own writer works in a thread, which tells of a full disk by a traceback and cannot sync; hence this one.
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

_NAME = "events.out.tfevents"  # TensorBoard takes every file with "tfevents" in its name, and reads them by name


class EventFile:
    """The events of one session of a run.

    Args:
        folder: Where the files of the run lie.
        images_seen: Where the session starts; the names of files follow the run's course, whatever clocks say.

    Raises:
        OSError: the file cannot be written; so do the methods.
    """

    def __init__(self, folder: Path, images_seen: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"{_NAME}.{images_seen:012d}.{time.time_ns()}").open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        sync_folder(folder)

    def add(self, images_seen: int, summary: Summary) -> None:
        """Append what belongs to a moment of the run, for whoever looks on."""
        self._write(Event(wall_time=time.time(), step=images_seen, summary=summary))

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()

    def sync(self) -> None:
        """Put everything on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write nothing more."""
        self._file.close()


def cut_back(folder: Path, images_seen: int) -> dict[str, int]:
    """Drop all events after `images_seen`, records that a kill cut short, and files with nothing left.

    Returns:
        The images seen at the last event of every tag that is left.
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
    """The events of a file, each with the byte that it ends at; ends where the file is damaged."""
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
