"""The page for browsers: its files, its runtime, what it refuses, and its codes of seeds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from swincli.errors import DataError, ResourceError
from swincli.exporting.web_page import PAGE, check_page_folder, find_runtime, write_page
from swincli.synthesis.latents.codes import z_from_seeds

NOTE = {"file": "cats32.safetensors", "model": "ab12", "images_seen": 18000, "swincli": "1", "licence": "CC-BY"}
SIZES = {"size": 32, "num_ws": 8, "latent_dim": 64}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder like that of the npm package."""
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text('{"version": "1.30.0"}')
    (folder / "dist" / "ort.wasm.bundle.min.mjs").write_text("export const env = {}")
    (folder / "dist" / "ort-wasm-simd-threaded.wasm").write_bytes(b"wasm")
    (folder / "dist" / "ort.all.js").write_text("not needed")
    return folder


def graphs(folder: Path) -> None:
    for name in ("mapping.onnx", "synthesis.onnx"):
        (folder / name).write_bytes(b"graph")


def test_a_page_has_all_that_it_needs_and_no_more(package: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_page(site, find_runtime(package), {**NOTE, "classes": ["a", "b"]}, SIZES, graphs)
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    shipped = {"index.html", "style.css", "page.js", "worker.js", "latents.js", "attributes.js"}
    assert files == shipped | {"model.json", "mapping.onnx", "synthesis.onnx", "runtime/ort.js", "runtime/ort.wasm"}
    facts = json.loads((site / "model.json").read_text())
    assert facts["bytes"] == {"runtime/ort.wasm": 4, "mapping.onnx": 5, "synthesis.onnx": 5}
    assert (facts["title"], facts["classes"], facts["size"]) == ("Pictures by cats32", ["a", "b"], 32)
    assert "18,000 images" in facts["about"]
    assert "onnxruntime-web 1.30.0" in facts["about"]
    check_page_folder(site, force=True)
    with pytest.raises(DataError, match=r"--web .*site: holds a page"):
        check_page_folder(site, force=False)


@pytest.mark.parametrize("place", ["", "dist", ".."])
def test_the_runtime_is_found_by_its_package_or_its_files(package: Path, place: str, tmp_path: Path) -> None:
    if place == "..":
        (tmp_path / "node_modules").mkdir()
        package = package.rename(tmp_path / "node_modules" / "onnxruntime-web")
        assert find_runtime(tmp_path).version == "1.30.0"
    else:
        assert find_runtime(package / place).version == "1.30.0"


@pytest.mark.parametrize("missing", ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"])
def test_a_runtime_without_a_file_is_refused_by_its_name(package: Path, missing: str) -> None:
    (package / "dist" / missing).unlink()
    with pytest.raises(ResourceError, match=f"--runtime .*: has no {re.escape(missing)}") as caught:
        find_runtime(package)
    assert "npm install onnxruntime-web" in str(caught.value.hint)


def test_other_files_are_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.pdf").touch()
    with pytest.raises(DataError, match=r"holds thesis\.pdf"):
        check_page_folder(tmp_path, force=True)
    with pytest.raises(DataError, match="is a file"):
        check_page_folder(tmp_path / "thesis.pdf", force=True)


def fail_with_a_full_disk(folder: Path) -> None:  # noqa: ARG001
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_a_sentence_and_leaves_nothing(package: Path, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"writing .*site: no space left"):
        write_page(tmp_path / "site", find_runtime(package), NOTE, SIZES, fail_with_a_full_disk)
    assert list(tmp_path.iterdir()) == [package]


def test_the_page_takes_nothing_from_elsewhere() -> None:
    text = {path.name: path.read_text(encoding="utf-8") for path in PAGE.iterdir()}
    assert not [name for name, content in text.items() if re.search(r"https?://|\bon\w+=\"|style=\"|eval\(", content)]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text["index.html"])
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe-inline" not in policy[1]
    assert "'unsafe-eval'" not in policy[1]
    for name in re.findall(r'(?:src|href)="([^"]+)"', text["index.html"]):
        assert name.startswith("data:") or name in text


def test_every_control_has_a_label() -> None:
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    for name in re.findall(r'<(?:input|select|progress) id="([\w-]+)"', page):
        assert f'for="{name}"' in page


def z_by_node(tmp_path: Path, seed: int, length: int) -> np.ndarray:
    shutil.copyfile(PAGE / "latents.js", tmp_path / "latents.mjs")
    script = f"import('./latents.mjs').then((m) => console.log(JSON.stringify([...m.latentOf({seed}, {length})])))"
    result = subprocess.run(["node", "-e", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    return np.array(json.loads(result.stdout))


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js; the slow test asks a browser")
@pytest.mark.parametrize(("seed", "length"), [(0, 16), (5, 64), (2**32 - 1, 40), (123, 7)])
def test_seeds_give_the_codes_of_pytorch(seed: int, length: int, tmp_path: Path) -> None:
    found, wanted = z_by_node(tmp_path, seed, length), z_from_seeds([seed], length)[0].numpy()
    assert np.abs(found - wanted).max() < 1e-5
