"""Each figure on sets whose answer is known, and the command from a checkpoint to metrics.json."""

import json
from typing import ClassVar

import pytest
import torch
from conftest import TINY, draw_flower, fake_encoder, lively
from PIL import Image, ImageDraw
from torch import nn

from stackgan import StackGAN, pipeline
from stackgan.features import FeatureNetwork
from stackgan.images import from_pictures
from stackgan.ranking import Scorer
from train import colours, evaluate, metrics, scores
from train.columns import Column
from train.data import PhotoData
from train.featureset import load_network, shrunk
from train.heads import train_classifier
from train.spread import deviation, draw_best, pairwise_distance, step_ratio
from train.texts import Texts, file_texts, name_texts

FIGURES = {
    "kid",
    "kid_unseen",
    "kid_64",
    "frechet",
    "precision",
    "recall",
    "inception_score",
    "named_class",
    "r_precision",
    "colour_faithfulness",
    "memorisation",
    "memorisation_discriminator",
    "diversity_over_z",
    "diversity_over_z_pixels",
    "diversity_over_epsilon",
    "diversity_over_epsilon_pixels",
    "interpolation_step_ratio",
}


def fake_network(seen: list[int] | None = None) -> FeatureNetwork:
    """Twelve mean colours of a 2×2 grid in place of EfficientNet; `seen` counts pictures."""

    class Means(nn.Module):
        def forward(self, images):
            if seen is not None:
                seen.append(len(images))
            return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)

    return FeatureNetwork("fake", Means(), 12, 32)


def gaussian(count: int, seed: int, dim: int = 8) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


# ── figures ─────────────────────────────────────────────────────────────────────────────────────


def test_kid_is_nothing_for_equal_sets_and_grows_with_noise():
    one, two = gaussian(400, 0), gaussian(400, 1)
    same = metrics.kid(one, two)
    assert same.interval[0] < 0 < same.interval[1]
    noisy = [metrics.kid(one + noise * gaussian(400, 2), two).value for noise in (1.0, 2.0)]
    assert abs(same.value) < 0.1 * noisy[0] < 0.1 * noisy[1]
    assert metrics.kid(one, two) == same  # whatever the global generator did meanwhile
    assert same.samples == 400


def test_frechet_of_shifted_gaussians_is_the_squared_shift():
    one, two = gaussian(4000, 0, 4), gaussian(4000, 1, 4)
    found = metrics.frechet(one + 1.0, two)
    assert found.value == pytest.approx(4.0, rel=0.1)
    assert found.interval[0] < 4.0 < found.interval[1]


def test_frechet_of_fewer_photographs_than_pictures_is_withheld():
    at_hand = {"pictures": gaussian(400, 0, 4), "real": gaussian(300, 1, 4)}
    found = scores.set_scores(at_hand, gaussian(400, 2, 4), seed=0)["frechet"]
    assert found["value"] is not None
    assert "300 samples do not compare with 400" in found["anchors"]["real"]["reason"]
    at_hand["real"] = torch.cat([at_hand["real"], gaussian(300, 3, 4)])
    found = scores.set_scores(at_hand, gaussian(400, 2, 4), seed=0)["frechet"]
    assert found["anchors"]["real"]["samples"] == 400


def test_frechet_under_a_singular_covariance_is_withheld():
    found = metrics.frechet(gaussian(20, 0, 32), gaussian(20, 1, 32))
    assert found.value is None
    assert "covariance of 32" in found.reason


def test_precision_and_recall_of_equal_and_disjoint_sets():
    one = gaussian(60, 0)
    assert [s.value for s in metrics.precision_recall(one, one)] == [1.0, 1.0]
    assert [s.value for s in metrics.precision_recall(one + 100, one)] == [0.0, 0.0]
    # Pictures of one of two kinds: all look real, half of what is real is missing.
    both = torch.cat([one, one + 100])
    precision, recall = metrics.precision_recall(both[:60].repeat(2, 1), both)
    assert (precision.value, recall.value) == (1.0, 0.5)


def test_inception_score_counts_sure_and_even_classes():
    sure = 30 * torch.eye(5).repeat(20, 1)
    assert metrics.inception_score(sure).value == pytest.approx(5, rel=1e-3)
    assert metrics.inception_score(torch.zeros(50, 5)).value == pytest.approx(1)
    assert metrics.inception_score(sure[:1].repeat(50, 1)).value == pytest.approx(1)


def test_r_precision_of_a_perfect_and_a_random_scorer():
    own, groups = gaussian(300, 0, 32), torch.arange(300)
    perfect = metrics.ranks_first(own, own, groups, own, groups, among=100)
    assert perfect.mean() == 1
    random = metrics.ranks_first(gaussian(300, 1, 32), own, groups, own, groups, among=100)
    assert random.mean() < 0.05  # chance is 0.01
    one_of_two = metrics.ranks_first(gaussian(300, 1, 32), own, groups, own, groups, among=2)
    assert 0.4 < one_of_two.mean() < 0.6


def test_captions_of_the_same_photo_are_no_rivals():
    own = gaussian(2, 0).repeat_interleave(2, dim=0)
    groups = torch.tensor([0, 0, 1, 1])
    assert metrics.ranks_first(own, own, groups, own, groups, among=100).mean() == 1


def test_the_same_words_for_another_photo_are_no_rival():
    own = gaussian(100, 0, 16)
    own[50:] = own[:50]
    groups = torch.arange(100)
    assert metrics.ranks_first(own, own, groups, own, groups, among=100).mean() == 1


def test_all_columns_are_ranked_among_as_many_captions():
    """One of few comes first more often than one of many, so their shares would not compare."""

    class Judge:
        about: ClassVar = {"features": "seen"}
        texts = pictures = staticmethod(lambda x: x)

    def column(count: int, seed: int) -> Column:
        texts = Texts([""] * count, gaussian(count, seed, 32), torch.arange(count), count)
        return Column(texts, {"seen": [gaussian(count, seed + 1, 32)]})

    found = scores.r_precision({"pictures": column(400, 0), "real": column(4, 2)}, Judge())
    assert found["among"] == 4
    assert found["chance"] == 0.25
    assert 0.15 < found["value"] < 0.35


def test_nearest_finds_copies():
    known = gaussian(50, 0)
    distances, places = metrics.nearest(3 * known[[7, 3]], known)
    assert places.tolist() == [7, 3]
    assert distances.abs().max() < 1e-6
    assert metrics.nearest(known, known, skip_self=True)[0].min() > 1e-3


def test_interval_covers_the_mean_and_shrinks_with_samples():
    few, many = (metrics.mean_score(gaussian(n, 0, 1)[:, 0]) for n in (50, 5000))
    assert many.interval[0] < 0 < many.interval[1]
    width = [score.interval[1] - score.interval[0] for score in (few, many)]
    assert width[1] == pytest.approx(width[0] / 10, rel=0.3)


def test_spread_measures_know_equal_pictures_and_even_steps():
    pictures = torch.rand(1, 3, 8, 8).repeat(4, 1, 1, 1)
    assert deviation(pictures) == pytest.approx(0, abs=1e-6)
    assert pairwise_distance(pictures.flatten(1)) == pytest.approx(0, abs=1e-6)
    assert pairwise_distance(torch.eye(3)) == pytest.approx(1)
    angles = torch.linspace(0, 1, 9)
    even = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert step_ratio(even) == pytest.approx(1, rel=1e-3)
    jump = torch.cat([even[:1].repeat(4, 1), even[-1:].repeat(5, 1)])
    assert step_ratio(jump) == pytest.approx(8)


def test_classifier_tells_classes_apart_and_is_checked_on_unseen_photos():
    classes = torch.arange(200) % 4
    features = gaussian(200, 0) + 4 * torch.eye(8)[classes]
    network, accuracy = train_classifier(features, 10 + classes)
    assert accuracy.value > 0.9
    assert accuracy.samples == 20
    assert (network(features).argmax(1) == classes).double().mean() > 0.95
    with pytest.raises(ValueError, match="no classes"):
        train_classifier(features, torch.zeros(200))


# ── colours ─────────────────────────────────────────────────────────────────────────────────────

SHADES = {
    "red": ["#d81e28", "#a01018"],
    "orange": ["#f08010", "#ff9a20"],
    "yellow": ["#f0d228", "#ffee60"],
    "pink": ["#f080b0", "#ff5fa8"],
    "purple": ["#8030b0", "#6a3fa0"],
    "blue": ["#3040d0", "#6090f0"],
    "white": ["#f4f4ee", "#e8e8f0"],
}


@pytest.mark.parametrize("ground", ["#286e32", "#4a3520", "#101510"])
@pytest.mark.parametrize("colour", SHADES)
def test_drawn_flowers_have_their_colour(colour, ground):
    pictures = []
    for shade in SHADES[colour]:
        picture = Image.new("RGB", (96, 96), ground)
        pen = ImageDraw.Draw(picture)
        pen.ellipse([20, 20, 76, 76], shade)
        pen.ellipse([42, 42, 54, 54], "#e0c020")  # the stamens
        pictures.append(picture)
    assert colours.dominant_colours(from_pictures(pictures)) == [colour] * 2


def test_leaves_have_no_petal_colour():
    leaves = Image.new("RGB", (64, 64), "#286e32")
    assert colours.dominant_colours(from_pictures([leaves])) == [None]


def test_a_small_bird_is_told_from_its_sky():
    picture = Image.new("RGB", (256, 256), "#7aa8e0")
    ImageDraw.Draw(picture).ellipse([130, 90, 220, 150], "#d81818")
    assert colours.dominant_colours(from_pictures([picture]), "bird") == ["red"]
    blue = Image.new("RGB", (256, 256), "#50702a")  # and its blue counts where the ground has none
    ImageDraw.Draw(blue).ellipse([90, 70, 190, 170], "#7aa8e0")
    assert colours.dominant_colours(from_pictures([blue]), "bird") == ["blue"]


def test_a_speck_is_no_bird_however_little_else_differs_from_the_ground():
    picture = Image.new("RGB", (256, 256), "#5a4020")
    ImageDraw.Draw(picture).rectangle([124, 124, 131, 131], "white")
    assert colours.dominant_colours(from_pictures([picture]), "bird") == [None]


@pytest.mark.parametrize(
    ("caption", "colour"),
    [
        ("this flower has petals that are yellow and has brown stamen", "yellow"),
        ("a flower with long, pink petals and a green stem", "pink"),
        ("the petals on this flower are white with a yellow center", "white"),
        ("a bright red flower", "red"),
        ("violet petals surround the pistil", "purple"),
        ("this flower is purple and white in color", None),
        ("this flower has large round petals", None),
        ("a flower with yellow stamen", None),
        ("green petals", None),
        ("something red", None),
    ],
)
def test_captions_that_name_one_petal_colour(caption, colour):
    assert colours.named_colour(caption) == colour


def test_birds_may_be_black_or_brown():
    caption = "this bird is black with a yellow beak"
    assert colours.subject_of([caption]) == "bird"
    assert colours.named_colour(caption, "bird") == "black"
    assert colours.named_colour("a black flower", "flower") is None


# ── the command ─────────────────────────────────────────────────────────────────────────────────


def test_shrunk_photographs_keep_colour_and_lose_detail():
    flower = from_pictures([draw_flower("red", 256)])
    noisy = (flower + 0.5 * torch.randn(flower.shape)).clamp(-1, 1)
    again = shrunk(noisy)
    assert again.shape == noisy.shape
    assert (again.mean() - noisy.mean()).abs() < 0.01
    assert again.diff(dim=3).abs().mean() < 0.3 * noisy.diff(dim=3).abs().mean()


def test_inception_without_its_weights_is_explained(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        load_network("inception", str(tmp_path / "nowhere.pth"))
    (tmp_path / "damaged.pth").write_text("no weights")
    with pytest.raises(ValueError, match="--inception-weights"):
        load_network("inception", str(tmp_path / "damaged.pth"))


@pytest.fixture
def command(arrays, tmp_path, monkeypatch):
    """Runs the command on a tiny two-stage checkpoint → (exit code, metrics.json or None)."""
    lively(StackGAN(TINY)).save_pretrained(tmp_path / "model")
    monkeypatch.setattr(evaluate, "load_network", lambda *_: fake_network())
    monkeypatch.setattr(pipeline, "load_encoder", lambda *_: fake_encoder)
    monkeypatch.setenv("STACKGAN_ENGINE", "plain")

    def run(*extra, checkpoint=tmp_path / "model"):
        out = tmp_path / "metrics.json"
        given = ["--checkpoint", str(checkpoint), "--data", str(arrays), "--out", str(out)]
        code = evaluate.main([*given, "--samples", "12", *map(str, extra)])
        return code, json.loads(out.read_text()) if out.exists() else None

    return run


def test_every_promised_figure_is_written(command, tmp_path, capsys):
    torch.manual_seed(0)
    Scorer(12, 16, "fake", TINY.encoder).save(tmp_path / "scorer.safetensors")
    code, found = command(
        "--scorer", tmp_path / "scorer.safetensors", "--nearest", tmp_path / "nearest.png"
    )
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert set(found) == {"about", *FIGURES}
    assert found["about"]["samples"] == 12
    for name in FIGURES - {"frechet", "kid_unseen", "memorisation_discriminator"}:
        figure = found[name]
        assert figure["value"] is not None, name
        low, high = figure["interval"]
        assert low <= high
        assert figure["samples"] > 0
        assert figure["features"] in ("fake", "pixels")
        assert figure["stage1"]["value"] is not None
    assert "covariance" in found["frechet"]["reason"]
    assert found["kid"]["anchors"]["real"]["samples"] == 4
    assert found["kid"]["anchors"].keys() == {"real", "shrunk"}
    # Through 64×64 a photograph is the same whether it was shrunk before or not.
    through = found["kid_64"]["anchors"]
    assert through["real"]["value"] == pytest.approx(through["shrunk"]["value"], abs=1e-6)
    assert found["r_precision"]["among"] == 4
    assert found["r_precision"]["chance"] == 0.25
    assert found["inception_score"]["classifier"]["classes"] == 2
    assert found["named_class"]["chance"] == 0.5
    assert (
        found["named_class"]["anchors"]["real"]
        == found["inception_score"]["classifier"]["accuracy"]
    )
    assert found["memorisation"]["quantiles"]["pictures"]["0.50"] == pytest.approx(
        found["memorisation"]["value"], abs=1e-4
    )
    # The drawn flowers are plain discs: the rule sees on photographs what their captions say.
    assert found["colour_faithfulness"]["anchors"]["real"]["value"] == 1.0
    for title in ("KID", "R-precision", "Stage-II", "published"):
        assert title in captured.out
    assert Image.open(tmp_path / "nearest.png").width > 128
    assert not list(tmp_path.glob("*.partial"))


def test_the_discriminator_looks_for_the_nearest_too(command, stage2_run, tmp_path):
    figure = tmp_path / "nearest.png"
    command("--nearest", figure)
    one = Image.open(figure).height
    code, found = command("--discriminator", stage2_run, "--nearest", figure)
    assert code == 0
    own = found["memorisation_discriminator"]
    assert own["value"] is not None
    assert own["quantiles"].keys() == found["memorisation"]["quantiles"].keys()
    assert own["features"] == "the discriminator's"
    assert own["quantiles"] != found["memorisation"]["quantiles"]
    # Its nearest photographs stand in rows of their own under the other network's.
    assert Image.open(figure).height - one > 0.7 * (one - 128)


def test_every_picture_is_the_best_of_its_own_seeds(command, tmp_path, monkeypatch):
    drawer = pipeline.Pipeline(lively(StackGAN(TINY)), fake_encoder, engine="plain")
    embeddings = fake_encoder(["a red flower", "a blue flower"])
    seeds = list(range(10, 16))
    plain = [draw_best(drawer, embeddings, seeds[i::3]) for i in range(3)]
    monkeypatch.setattr(
        pipeline.Pipeline, "score", lambda self, images, inputs: images.mean(dim=(1, 2, 3))
    )
    best = draw_best(drawer, embeddings, seeds, best_of=3)
    for picture in range(2):
        candidates = torch.stack([drawn["pictures"][picture] for drawn in plain])
        brightest = int(candidates.mean(dim=(1, 2, 3)).argmax())
        for name, images in best.items():
            torch.testing.assert_close(images[picture], plain[brightest][name][picture])
    monkeypatch.setattr(pipeline.Pipeline, "can_rank", True)
    code, found = command("--best-of", "3")
    assert (code, found["about"]["best_of"]) == (0, 3)


def test_without_emphasis_the_words_do_not_count(command):
    code, found = command("--emphasis", "0")
    assert (code, found["about"]["emphasis"]) == (0, 0)
    assert found["interpolation_step_ratio"]["value"] == 1.0  # no sentence leads anywhere
    code, found = command()
    assert (code, found["about"]["emphasis"]) == (0, 1)
    assert found["interpolation_step_ratio"]["value"] > 1.0


def test_two_runs_agree_and_without_a_scorer_the_reason_is_told(command):
    first, second = command()[1], command()[1]
    # Up to rounding: where arrays lie in memory changes the order of sums.
    rounded = [
        json.loads(json.dumps(found), parse_float=lambda x: round(float(x), 9))
        for found in (first, second)
    ]
    assert rounded[0] == rounded[1]
    assert first["r_precision"]["value"] is None
    assert "train.scorer" in first["r_precision"]["reason"]


def test_pictures_asked_for_by_name_are_held_to_their_class(arrays):
    data = PhotoData(arrays, 64)
    texts = name_texts(data, data.train, 5)
    classes = [data.meta["classes"][c] for c in data.class_ids[data.train].unique().tolist()]
    assert texts.distinct == len(classes) == 2
    assert {f"a {name}" for name in classes} == set(texts.captions)
    torch.testing.assert_close(texts.embeddings, fake_encoder(texts.captions), atol=5e-3, rtol=0)
    assert name_texts(data, data.train[:1], 5).distinct == 1, "the classes looked at, only"
    known, labels = (
        torch.eye(2).repeat_interleave(20, 0),
        torch.tensor([3, 8]).repeat_interleave(20),
    )
    known = known + 0.01 * gaussian(40, 0, 2)
    drawn = {"pictures": torch.eye(2)[[0, 1, 1, 0]]}
    asked = torch.tensor([3, 8, 3, 3])  # the third shows the other class
    found = scores.class_scores(drawn, known, labels, 0, drawn, asked)["named_class"]
    assert found["value"] == 0.75
    assert found["chance"] == 0.5
    found = scores.class_scores(drawn, known, labels, 0, {}, torch.zeros(0))["named_class"]
    assert found["value"] is None
    assert "no names" in found["reason"]


def test_own_captions_are_drawn_and_broken_lines_named(command, tmp_path, capsys):
    path = tmp_path / "captions.jsonl"
    lines = ['{"caption": "a red flower"}', "{oops", '{"captions": ["a blue flower", "blue"]}']
    path.write_text("\n".join([*lines, '{"file_name": "no words"}', '{"caption": "  "}']))
    code, found = command("--captions", path)
    assert code == 0
    assert found["about"]["captions"] == str(path)
    err = capsys.readouterr().err
    for number in (2, 4, 5):
        assert f"captions.jsonl line {number}" in err
    texts = file_texts(path, fake_encoder, 6, report=lambda problem: None)
    assert sorted(texts.captions[:2]) in (
        ["a blue flower", "a red flower"],
        ["a red flower", "blue"],
    )
    assert set(texts.captions) == {"a red flower", "a blue flower", "blue"}
    assert texts.distinct == 2


def test_a_checkpoint_of_one_stage_has_one_column(command, tmp_path):
    lively(StackGAN(TINY.stage1_alone())).save_pretrained(tmp_path / "sketcher")
    code, found = command(checkpoint=tmp_path / "sketcher")
    assert code == 0
    assert found["about"]["stages"] == 1
    assert found["kid"]["stage1"] is None
    assert found["kid"]["value"] is not None


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--samples", "2"], "--samples"),
        (["--captions", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--scorer", "nowhere.safetensors"], "no file of train.scorer"),
        (["--discriminator", "nowhere"], "no folder of train.stage1"),
        (["--out", "nowhere/metrics.json"], "no such folder"),
        (["--data", "nowhere"], "nowhere"),
        (["--checkpoint", "./nowhere"], "nowhere"),
        (["--seed", "-1"], "--seed"),
        (["--best-of", "2"], "brings no scorer to choose by"),
        (["--emphasis", "2.1"], "--emphasis is a number from 0 to 2"),
        (["--best-of", "0"], "--best-of is a whole number from 1 to 16"),
    ],
)
def test_bad_input_is_one_line(command, extra, words, capsys):
    try:
        code, _ = command(*extra)
    except SystemExit as error:
        code = error.code
    assert code == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_an_empty_caption_file_is_refused(command, tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_text("\n\n")
    assert command("--captions", tmp_path / "empty.jsonl")[0] == 2
    assert "holds no caption" in capsys.readouterr().err
