"""What a checkpoint knows: nearest captions, what is far, its file, and how a pipeline finds it."""

import logging

import pytest
import torch
from conftest import fake_encoder
from safetensors import safe_open
from safetensors.torch import save_file

from stackgan import Pipeline, StackGAN
from stackgan.known import KnownCaptions
from stackgan.model import KNOWN

CAPTIONS = ["a red flower", "a yellow flower", "a blue flower"]


@pytest.fixture
def known() -> KnownCaptions:
    """Three captions and a name that no caption says, in six dimensions."""
    embeddings = 5 * torch.eye(6)[:4]
    return KnownCaptions("flowers", CAPTIONS, embeddings, 0.6, names=["tulip"])


def test_nearest_captions_come_best_first(known):
    sentence = torch.tensor([[0.1, 2.0, 1.0, 9.0, 0, 0], [3.0, 0, 0, 0, 0, 0]])
    first, second = known.nearest(sentence, count=2)
    assert [caption for caption, _ in first] == ["a yellow flower", "a blue flower"]
    assert second[0] == ("a red flower", pytest.approx(1.0))
    assert first[0][1] > first[1][1]
    assert len(known.nearest(sentence, count=50)[0]) == 3, "names of classes are no captions"
    assert known.nearest(sentence[:0], count=1) == []


def test_far_is_what_neither_a_caption_nor_a_name_comes_near(known):
    red, between, tulip, car = torch.eye(6)[0], torch.eye(6)[:2].sum(0), *torch.eye(6)[3:5]
    assert known.is_far(torch.stack([red, between, tulip, car])) == [False, False, False, True]
    assert known.is_far(torch.stack([0.01 * red + car, 100 * red])) == [True, False]


def test_saved_captions_are_the_same_but_for_rounding(known, tmp_path):
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(4, 384, generator=generator)
    known = KnownCaptions("Blumen & Blüten", CAPTIONS, embeddings, 0.6, names=["tulip"])
    known.save(tmp_path / "known.safetensors")
    again = KnownCaptions.load(tmp_path / "known.safetensors")
    assert (again.subject, again.captions, again.names) == ("Blumen & Blüten", CAPTIONS, ["tulip"])
    assert again.threshold == 0.6
    sentences = torch.randn(20, 384, generator=generator)
    difference = again.closeness(sentences) - known.closeness(sentences)
    assert difference.abs().max() < 5e-3
    assert (tmp_path / "known.safetensors").stat().st_size < 3000, "a byte a number"


def test_captions_and_embeddings_pair_off():
    with pytest.raises(ValueError, match="pair off"):
        KnownCaptions("flowers", CAPTIONS, torch.eye(4), 0.6)


def test_other_files_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no captions")
    KnownCaptions("flowers", CAPTIONS, torch.eye(len(CAPTIONS)), 0.6).save(
        tmp_path / "a.safetensors"
    )
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        about = file.metadata()
    save_file({"embeddings": torch.zeros(4)}, tmp_path / "flat.safetensors", about)
    for name in ("other", "text", "missing", "flat"):
        with pytest.raises(ValueError, match=f"{name}.safetensors is no file of known captions"):
            KnownCaptions.load(tmp_path / f"{name}.safetensors")


def test_pipeline_reads_what_lies_beside_the_weights(tiny_model, tmp_path, caplog):
    folder = tmp_path / "flowers"
    tiny_model.save_pretrained(folder)

    def pipeline() -> Pipeline:
        return Pipeline.from_pretrained(folder, encoder=fake_encoder, engine="plain")

    assert pipeline().known is None
    KnownCaptions("flowers", CAPTIONS, fake_encoder(CAPTIONS), 0.6).save(folder / KNOWN)
    found = pipeline()
    [nearest] = found.known.nearest(found.prepare("a yellow flower").embeddings, count=1)
    assert nearest[0][0] == "a yellow flower"
    with caplog.at_level(logging.WARNING):
        KnownCaptions("flowers", CAPTIONS, torch.eye(3), 0.6).save(folder / KNOWN)
        assert pipeline().known is None, "embeddings of another encoder"
        (folder / KNOWN).write_text("damaged")
        assert pipeline().known is None
    assert "numbers" in caplog.text
    assert "no file of known captions" in caplog.text


def test_what_lies_beside_the_weights_is_saved_with_them(tiny_model, tmp_path):
    folder = tmp_path / "flowers"
    tiny_model.save_pretrained(folder)
    KnownCaptions("flowers", CAPTIONS, fake_encoder(CAPTIONS), 0.6).save(folder / KNOWN)
    (folder / "README.md").write_text("# My own card")
    model = StackGAN.from_pretrained(folder)
    model.save_pretrained(tmp_path / "copy")  # what push_to_hub uploads
    for name in (KNOWN, "README.md"):
        assert (tmp_path / "copy" / name).read_bytes() == (folder / name).read_bytes()
    model.save_pretrained(folder)
    assert KnownCaptions.load(folder / KNOWN).captions == CAPTIONS
