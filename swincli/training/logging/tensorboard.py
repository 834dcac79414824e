"""The TensorBoard tracker: scalars, sample grids and the recipe, by images seen."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import text

from swincli.training.logging.event_files import EventFile, truncate_events


class TensorBoardLog:
    """Appends to RUN/tensorboard; events that it already has are not written twice.

    Args:
        folder: The run's TensorBoard folder.
        images_seen: Images seen at the start of the session; later events are dropped.

    Raises:
        OSError: the folder cannot be written; the methods raise it too.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path, images_seen: int) -> None:
        self._last = truncate_events(folder, images_seen)
        self._file = EventFile(folder, images_seen)

    def scalars(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Write scalars by tag."""
        self._add(images_seen, [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])

    def image(self, images_seen: int, tag: str, picture: Image.Image) -> None:
        """Write one RGB image."""
        encoded = io.BytesIO()
        picture.save(encoded, format="PNG")
        content = Summary.Image(
            encoded_image_string=encoded.getvalue(), width=picture.width, height=picture.height, colorspace=3
        )
        self._add(images_seen, [Summary.Value(tag=tag, image=content)])

    def text(self, images_seen: int, tag: str, content: str) -> None:
        """Write a text, shown verbatim."""
        indented = "".join(f"    {line}\n" for line in content.splitlines())  # a code block in Markdown
        (value,) = text(tag, indented).value
        value.tag = tag  # PyTorch adds a suffix to the tag
        self._add(images_seen, [value])

    def _add(self, images_seen: int, values: list[Summary.Value]) -> None:
        new = [value for value in values if self._last.get(value.tag, -1) < images_seen]
        if new:
            self._file.add(images_seen, Summary(value=new))
            self._last |= {value.tag: images_seen for value in new}

    def flush(self) -> None:
        """Fsync the event file."""
        self._file.sync()

    def close(self) -> None:
        """Fsync and close the event file."""
        self._file.sync()
        self._file.close()
