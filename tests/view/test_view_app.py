"""What the page can ask for: pictures, directions, attention, walks, downloads, projection; errors as sentences."""

from __future__ import annotations

import base64
import io
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sampled_models import sample
from viewed_pages import OWN, answer_of, photograph, pixels_of


def reports_of(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


def test_every_file_of_the_page_is_served(page: Any) -> None:
    names = set(re.findall(r'"/page/([a-z.]+)"', page.client.get("/").text))
    scripts = {name for name in names if name.endswith(".js")}
    while scripts:
        text = page.client.get(f"/page/{scripts.pop()}").text
        new = set(re.findall(r"from '\./([a-z]+\.js)'", text)) - names
        names, scripts = names | new, scripts | new
    assert len(names) > 10
    assert {page.client.get(f"/page/{name}").status_code for name in names} == {200}


@pytest.mark.parametrize(
    ("look", "options", "name"),
    [
        ("seed=12&truncation=0.7", ["--seeds", "12", "--truncation", "0.7"], "seed-000012.png"),
        ("seed=3", ["--seeds", "3"], "seed-000003.png"),
        ("seed=3&mix=5@0:1", ["--mix", "3:5@0-1"], "seed-000003-mix-000005.png"),
    ],
)
def test_a_png_has_the_bytes_of_sample(
    page: Any, shown_model: Path, tmp_path: Path, look: str, options: list[str], name: str
) -> None:
    answer = page.client.get(f"/api/picture.png?{look}")
    assert f'filename="{name}"' in answer.headers["content-disposition"]
    assert sample(shown_model, tmp_path, "--quiet", "--batch", "1", *options) == 0
    assert answer.content == (tmp_path / name).read_bytes()


def test_sliders_change_the_picture_and_their_way_does_not_matter(page: Any) -> None:
    changes = ("", "&mix=2@2:0.5", "&mix=2@0:1,1:1,2:1", "&edit=pca:0@all=3", "&truncation=0.5")
    looks = [f"seed=1{change}" for change in changes]
    with page.socket() as channel:
        shown = {look: pixels_of(page.ask(channel, kind="picture", look=look)[1][0]) for look in looks}
        again = pixels_of(page.ask(channel, kind="picture", look="seed=1")[1][0])
        other = pixels_of(page.ask(channel, kind="picture", look="seed=2")[1][0])
    assert (again == shown["seed=1"]).all()
    assert all((shown[look] != shown["seed=1"]).any() for look in looks[1:])
    assert (shown["seed=1&mix=2@0:1,1:1,2:1"] == other).all()


def test_small_pictures_of_many_seeds_come_in_parts(page: Any) -> None:
    with page.socket() as channel:
        page.number += 1
        seeds, found = list(range(14)), {}
        request = {"kind": "tiles", "look": "truncation=0.5", "seeds": seeds}
        channel.send_json({"slot": "grid", "number": page.number, **request})
        while len(found) < 14:
            header, parts = answer_of(channel.receive_bytes())
            found |= dict(zip(header["seeds"], parts, strict=True))
        single = page.ask(channel, kind="picture", look="seed=7&truncation=0.5")[1][0]
    assert header["last"]
    assert abs(pixels_of(found[7]) - pixels_of(single)).max() <= 1


def test_directions_and_the_layers_of_attention(page: Any) -> None:
    with page.socket() as channel:
        found, _ = page.ask(channel, "directions", kind="directions", layers="coarse")
        wrong, _ = page.ask(channel, "directions", kind="directions", layers="fine")
    assert [family["title"] for family in found["families"]] == ["PCA", "SeFa", "Named"]
    first = found["families"][0]["directions"][0]
    assert (first["name"], first["label"]) == ("pca:0", "PCA 0")
    assert 0 < first["share"] <= 1
    attention = page.client.get("/api/about").json()["model"]["attention"]
    assert attention["first"] in attention["layers"]
    assert "no fine layers" in wrong["error"]


def test_attention_of_a_point(page: Any) -> None:
    with page.socket() as channel:
        found, _ = page.ask(channel, "attention", kind="attention", look="seed=1", layer="16.2", point=[3, 9])
        outside, _ = page.ask(channel, "attention", kind="attention", look="seed=1", layer="16.2", point=[16, 0])
    assert found["resolution"] == 16
    for one in found["maps"]:
        left, top, right, bottom = one["window"]
        assert left <= 3 < right
        assert top <= 9 < bottom
    assert "outside" in outside["error"]


def test_codes_are_saved_and_read_again(page: Any, shown_model: Path, tmp_path: Path) -> None:
    looks = ["seed=4&truncation=0.6", "seed=5&mix=6@1:0.3"]
    saved = page.client.post("/api/latents", json={"looks": looks}, headers=OWN)
    assert 'filename="2-pictures.npz"' in saved.headers["content-disposition"]
    file = tmp_path / "kept.npz"
    file.write_bytes(saved.content)
    assert sample(shown_model, tmp_path, "--latents", str(file), "--quiet", "--batch", "1") == 0
    codes = page.client.post("/api/codes?name=kept.npz", content=saved.content, headers=OWN).json()["codes"]
    with page.socket() as channel:
        for index, (look, code) in enumerate(zip(looks, codes, strict=True)):
            drawn = page.ask(channel, kind="picture", look=look)[1][0]
            from_code = page.ask(channel, kind="picture", look=f"code={code}")[1][0]
            assert drawn == from_code
            assert (pixels_of(drawn) == pixels_of((tmp_path / f"latent-{index:04d}.png").read_bytes())).all()
    damaged = page.client.post("/api/codes?name=x.npz", content=saved.content[:50], headers=OWN)
    assert (damaged.status_code, "x.npz" in damaged.json()["error"]) == (503, True)


def test_a_photograph_is_projected_while_pictures_are_answered(page: Any) -> None:
    reports = reports_of(
        page.client.post("/api/project?name=me.png&steps=3&space=w%2B", content=photograph(), headers=OWN)
    )
    *progress, last = reports
    assert progress[-1]["progress"]["step"] == 3
    assert pixels_of(base64.b64decode(progress[-1]["progress"]["picture"])).shape == (16, 16, 3)
    assert last["done"]["warnings"] == []
    with page.socket() as channel:
        assert page.ask(channel, kind="picture", look=f"code={last['done']['code']}")[1]


def png_that_declares(width: int, height: int) -> bytes:
    """A small file that declares many pixels."""
    content = bytearray(photograph())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "query", "said"),
    [
        (png_that_declares(40_000, 20_000), "", "too large"),
        (png_that_declares(10_000, 6_000), "", "over 50 million pixels"),
        (b"hello", "", "not an image"),
        (b"", "", "empty file"),
        (photograph()[:200], "", "damaged"),
        (photograph(), "&steps=999999", "999999 steps"),
        (photograph(), "&space=z", "in z"),
    ],
    ids=["800-megapixels", "60-megapixels", "text", "empty", "cut", "steps", "space"],
)
def test_uploads_that_are_refused_are_said(page: Any, content: bytes, query: str, said: str) -> None:
    (report,) = reports_of(page.client.post(f"/api/project?name=me.png{query}", content=content, headers=OWN))
    assert said in report["error"]


def test_an_upload_of_too_many_bytes_is_not_read(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swincli.view.server.app.MOST_BYTES", 1000)
    declared = page.client.post("/api/project?name=me.png", content=bytes(2000), headers=OWN)
    streamed = page.client.post("/api/project", content=(bytes(600) for _ in range(9)), headers=OWN)
    for answer in (declared, streamed):
        assert answer.status_code == 404
        assert "larger than 1000 B" in answer.json()["error"]


WALK = {"keys": ["seed=1", "seed=2&truncation=0.5"], "curve": "linear", "easing": "none", "loop": False, "frames": 3}


def test_a_walk_is_played_and_written(page: Any) -> None:
    av = pytest.importorskip("av")
    walk = {**WALK, "fps": 10, "enlarge": 2}
    with page.socket() as channel:
        ends = [page.ask(channel, kind="walk", walk=walk, frame=frame)[1][0] for frame in (0, 2)]
        keys = [page.ask(channel, kind="picture", look=look)[1][0] for look in WALK["keys"]]
    assert ends == keys
    *progress, last = reports_of(page.client.post("/api/render", json={"walk": walk}, headers=OWN))
    assert progress[-1]["progress"] == {"step": 3, "steps": 3}
    video = page.client.get(f"/api/file/{last['done']['file']}")
    assert video.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(video.content)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(32, 32, 3)] * 3
    assert np.abs(frames[0] - pixels_of(keys[0]).repeat(2, 0).repeat(2, 1)).mean() < 12


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keys": ["seed=1"]}, "needs 2 to"),
        ({"keys": []}, "1 to 200 pictures"),
        ({"frames": 10**6}, "frames a step"),
        ({"curve": "circle"}, "unknown curve"),
        ({"fps": "many"}, "fps is missing or of the wrong kind"),
        ({"keys": ["seed=1", "code=000000000000"]}, "not here any more"),
    ],
)
def test_walks_that_cannot_be_are_said(page: Any, changes: dict[str, Any], said: str) -> None:
    walk = {**WALK, "fps": 10, "enlarge": 1, **changes}
    answer = page.client.post("/api/render", json={"walk": walk}, headers=OWN)
    assert said in answer.text


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"kind": "picture", "look": "seed=x"}, "seed=x"),
        ({"kind": "picture", "look": 5}, "look is missing"),
        ({"kind": "picture", "look": "mix=1@7:1"}, "levels 0-2"),
        ({"kind": "picture", "look": "class=cat"}, "unconditional"),
        ({"kind": "picture", "look": "edit=pca:99@all=1"}, "no such direction"),
        ({"kind": "picture", "look": "edit=smile:a@all=1"}, "unknown kind of direction"),
        ({"kind": "picture", "look": "edit=pca:0@fine=1"}, "no fine layers"),
        ({"kind": "tiles", "look": "", "seeds": [-1]}, "seeds must be"),
        ({"kind": "attention", "look": "", "layer": "7", "point": [0, 0]}, "no layer 7"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_requests_are_answered_by_sentences(page: Any, request_: dict[str, Any], said: str) -> None:
    with page.socket() as channel:
        header, _ = page.ask(channel, **request_)
    assert said in header["error"]


def test_what_is_no_request_is_said_and_the_channel_goes_on(page: Any) -> None:
    with page.socket() as channel:
        for text in ("", "[1]", '{"slot": "a"}', '{"slot": "a", "number": 1, "kind": "shell"}', "[" * 100_000):
            channel.send_text(text)
            assert channel.receive_json()["event"] == "error"
        assert page.ask(channel, kind="picture", look="")[1]
