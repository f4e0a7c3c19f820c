import socket

import pytest
import torch

from stackgan.text import MAX_CAPTION_CHARACTERS, SentenceEncoder, clean_caption, load_encoder


class CountingModel:
    """Stands in for sentence-transformers: counts what it is asked."""

    def __init__(self):
        self.asked = []

    def encode(self, captions, **_):
        self.asked += captions
        return torch.stack([torch.full((4,), float(len(c))) for c in captions])


@pytest.mark.parametrize(
    "caption",
    [
        *("", "   ", "?!…", "x" * (MAX_CAPTION_CHARACTERS + 1)),
        *(7, ["flower"] * 1000, "a red flower \ud83d"),
    ],
)
def test_unusable_captions_are_explained(caption):
    with pytest.raises(ValueError, match="caption") as error:
        clean_caption(caption)
    assert not isinstance(error.value, UnicodeError)
    assert len(str(error.value).encode()) < 200


def test_white_space_is_folded():
    assert clean_caption("  a red\n\tflower ") == "a red flower"


def test_repeated_captions_are_encoded_once():
    model = CountingModel()
    encoder = SentenceEncoder("fake", 4, lambda: model)
    first = encoder(["one", "three", "one"])
    again = encoder(["three"])
    assert model.asked == ["one", "three"]
    torch.testing.assert_close(first[1], again[0])
    assert first[:, 0].tolist() == [3, 5, 3]


def test_wrong_dimension_names_both():
    encoder = SentenceEncoder("fake", 8, CountingModel)
    with pytest.raises(ValueError, match=r"4 numbers.*8"):
        encoder(["a flower"])


@pytest.mark.parametrize(
    "error", [OSError("no network"), ImportError("no such package"), Exception("peer closed")]
)
def test_an_encoder_that_cannot_be_loaded_is_told_in_words(error, capsys):
    def load():
        raise error

    encoder = SentenceEncoder("some/encoder", 4, load)
    encoder.warm().join()
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    with pytest.raises(ValueError, match=f"'some/encoder' cannot be loaded: {error}"):
        encoder(["a flower"])


def test_unknown_encoder_is_named():
    with pytest.raises(ValueError, match="no-such-encoder"):
        load_encoder("no-such-encoder", 4)


def test_bundled_minilm_needs_no_network_and_tells_colours_apart(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a host was asked"))
    encoder = load_encoder("all-MiniLM-L6-v2", 384)
    a, b, c = encoder(["a red flower", "a red blossom", "a small brown bird on a branch"])
    assert a.shape == (384,)
    assert a.norm() == pytest.approx(1, abs=1e-3)
    assert a @ b > a @ c
