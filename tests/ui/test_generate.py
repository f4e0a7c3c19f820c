"""The Generate tab's handlers as plain functions; no browser."""

import math
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import fake_encoder, pixels
from PIL import Image, ImageChops, ImageStat

gr = pytest.importorskip("gradio")

from stackgan.images import read_settings  # noqa: E402
from stackgan.ui.checkpoints import Checkpoints  # noqa: E402
from stackgan.ui.generate import MAX_DRAWN, Generate, Press  # noqa: E402
from stackgan.ui.generate_layout import MAX_BEST_OF, MAX_SAMPLES  # noqa: E402

CAPTION = "this flower has yellow petals"


class Judged:
    """A pipeline with a scorer and known captions of a test's own making; the rest is real.

    Its scorer likes pictures of large seeds.
    """

    def __init__(self, pipeline, can_rank=True, far=False):
        self._pipeline, self.can_rank, self.refined = pipeline, can_rank, 0
        self.known = SimpleNamespace(
            subject="flowers <i>",
            is_far=lambda embeddings: [far] * len(embeddings),
            nearest=lambda embeddings, count: [
                [("a rose", 0.2), ("a tulip", 0.1), ("a daisy", 0.0)][:count] for _ in embeddings
            ],
        )

    def __getattr__(self, name):
        return getattr(self._pipeline, name)

    def score(self, images, inputs):
        assert images.shape[-1] in (64, 256)
        return torch.tensor([record["seed"] / 100 for record in inputs.settings])

    def refine(self, sketches, inputs):
        self.refined += 1
        return self._pipeline.refine(sketches, inputs)


def tab_of(pipeline) -> Generate:
    return Generate(SimpleNamespace(pipeline=lambda name=None: pipeline, names=["flowers"]))


def pressed(tab, handler="draw", **settings):
    """Press Generate; returns the generator of all yields. Keyword arguments replace settings."""
    values = {
        "caption": CAPTION,
        "seed": 7,
        "hold": True,
        "samples": 1,
        "truncation": 1.0,
        "mean": True,
        "epsilon_seed": 0,
        "checkpoint": None,
        "emphasis": 1.5,
        "best_of": 1,
    } | settings
    return getattr(tab, handler)(*Press(**values))


@pytest.fixture
def judged(checkpoints):
    return Judged(checkpoints.pipeline())


@pytest.fixture
def generate(judged):
    """Press Generate; returns what the page shows after each yield. Keyword arguments replace the
    settings."""
    tab = tab_of(judged)
    return lambda handler="draw", **settings: list(on_page(pressed(tab, handler, **settings)))


def on_page(steps):
    """Each yield as the page stands then: what it leaves alone is as before."""
    page = None
    for step in steps:
        pairs = zip(step, page or step, strict=True)
        page = type(step)(*(old if new == gr.skip() else new for new, old in pairs))
        yield page


def same_picture(a, b) -> bool:
    """Nearly: a fast engine may round a batch otherwise than a single picture."""
    return max(ImageStat.Stat(ImageChops.difference(Image.open(a), Image.open(b))).mean) < 2


def picked(drawn, index):
    return Generate(None).pick(drawn, gr.SelectData(None, {"index": index, "value": None}))


def test_the_sketch_is_shown_before_the_picture(generate):
    first, second = generate()
    assert Image.open(first.sketch.value["path"]).size == (64, 64)
    assert first.picture.value is None
    assert first.before_after is None
    assert not first.save_picture.interactive
    assert second.sketch.value["path"] == first.sketch.value["path"]
    assert Image.open(second.picture.value["path"]).size == (256, 256)
    assert CAPTION in second.picture.alt_text


def test_before_and_after_are_of_one_size_and_the_sketch_keeps_its_pixels(generate):
    *_, last = generate()
    before, after = (Image.open(path) for path in last.before_after)
    assert before.size == after.size == (256, 256)
    assert after.tobytes() == pixels(last.picture.value["path"])
    sketch = Image.open(last.sketch.value["path"])
    assert [before.getpixel((4 * i + k, 9)) for i in (0, 7, 63) for k in (0, 3)] == [
        sketch.getpixel((i, 2)) for i in (0, 7, 63) for _ in range(2)
    ]


def test_pictures_are_pngs_that_carry_their_settings_and_a_text(generate):
    *_, last = generate(samples=2, mean=False, epsilon_seed=3, truncation=0.5)
    for stage, paths in ((1, last.drawn.sketches), (2, last.drawn.pictures)):
        for i, path in enumerate(paths):
            assert Image.open(path).format == "PNG"
            assert read_settings(path) == {
                "caption": CAPTION,
                "seed": 7 + i,
                "epsilon_seed": 3 + i,
                "truncation": 0.5,
                "checkpoint": "flowers",
                "emphasis": 1.5,
                "stage": stage,
            }
    assert [item["caption"] for item in last.grid.value] == ["seed 7", "seed 8"]


def test_sample_i_is_the_picture_of_seed_plus_i(generate):
    *_, batch = generate(samples=3)
    *_, alone = generate(seed=9)
    batch, alone = batch.drawn.pictures[2], alone.drawn.pictures[0]
    assert read_settings(batch) == read_settings(alone)
    assert same_picture(batch, alone)


def test_sixteen_noises_come_batch_by_batch_into_the_grid(generate):
    first, half, last = generate(samples=16)
    sides = [
        {Image.open(item["image"]["path"]).width for item in step.grid.value}
        for step in (first, half, last)
    ]
    assert sides == [{64}, {64, 256}, {256}]
    assert [len(step.grid.value) for step in (first, half, last)] == [16] * 3
    assert (first.grid.visible, last.save_picture.label) == (True, "Download 16 pictures")


def test_what_the_visitor_changes_while_it_draws_is_not_undone(judged):
    first, half, last = pressed(tab_of(judged), samples=16, mean=False)
    noise = ("seed", "mean", "epsilon_seed")
    assert [getattr(first, name) for name in noise] == [7, False, 0]
    for step in (half, last):
        assert all(getattr(step, name) == gr.skip() for name in noise)
    large = ("sketch", "picture", "before_after")
    assert all(getattr(step, name) != gr.skip() for step in (first, half) for name in large)
    assert all(getattr(last, name) == gr.skip() for name in large)


def test_one_noise_has_no_grid(generate):
    assert generate()[-1].grid.visible == "hidden"


def test_held_noise_stays_and_free_noise_is_fresh_and_shown(generate):
    assert generate(hold=True)[-1].seed == 7
    seeds = {generate(hold=False)[-1].seed for _ in range(4)}
    assert len(seeds | {7}) > 2
    *_, free = generate(hold=False, seed=None)
    assert read_settings(free.drawn.pictures[0])["seed"] == free.seed
    assert f"seed {free.seed}" in free.report


def test_resample_z_keeps_epsilon_and_resample_epsilon_keeps_z(generate):
    *_, z = generate("resample_z", mean=False, epsilon_seed=5, best_of=4)
    assert z.seed == z.drawn.settings[0]["seed"] != 7
    assert (z.mean, z.epsilon_seed) == (False, 5)
    *_, epsilon = generate("resample_epsilon", hold=False, best_of=4)
    assert epsilon.drawn.settings[0]["seed"] == 7
    assert epsilon.seed == 7
    assert epsilon.mean is False
    assert pixels(epsilon.drawn.pictures[0]) != pixels(generate()[-1].drawn.pictures[0])


def test_a_click_makes_a_picture_the_held_noise(generate):
    *_, last = generate(samples=9, mean=False, epsilon_seed=3)
    held = picked(last.drawn, 4)
    assert (held.seed, held.mean, held.epsilon_seed) == (11, False, 7)
    assert (held.hold, held.samples, held.best_of) == (True, 1, 1)
    assert held.picture.value["path"] == last.drawn.pictures[4]
    assert pixels(held.before_after[1]) == pixels(last.drawn.pictures[4])
    assert "Seed 11 is held" in held.report
    # A result of its own: its link and its card draw this picture, large and alone.
    alone = held.record["values"]
    assert (alone["seed"], alone["samples"], alone["epsilon_seed"]) == (11, 1, 7)
    assert alone.keys() == last.record["values"].keys()
    assert held.record["thumbnail"] != last.record["thumbnail"]

    settings = {"seed": held.seed, "mean": held.mean, "epsilon_seed": held.epsilon_seed}
    *_, again = generate(**settings)
    assert same_picture(again.drawn.pictures[0], last.drawn.pictures[4])


def test_a_click_on_pictures_that_are_gone_is_told_in_words(generate):
    *_, last = generate(samples=2)
    with pytest.raises(gr.Error, match="no longer kept here"):
        picked(None, 0)
    for path in last.drawn.pictures:
        Path(path).unlink()
    with pytest.raises(gr.Error, match="no longer here"):
        picked(last.drawn, 1)


def test_a_picture_is_picked_when_all_are_there(generate):
    first, *_ = generate(samples=9)
    with pytest.raises(gr.Error, match="still being drawn"):
        picked(first.drawn, 4)


def test_the_best_of_many_are_shown_with_their_scores(generate):
    first, *_, last = generate(samples=2, best_of=5)
    assert len(first.drawn.sketches) == 10
    assert [record["seed"] for record in last.drawn.settings] == [16, 15]
    assert [record["score"] for record in last.drawn.settings] == [0.16, 0.15]
    assert [item["caption"] for item in last.grid.value] == [
        "seed 16 · score 0.16",
        "seed 15 · score 0.15",
    ]
    assert "best 2 of 10" in last.report
    assert "scores 0.16 … 0.15" in last.report
    for path, sketch, seed in zip(last.drawn.pictures, last.drawn.sketches, (16, 15), strict=True):
        assert read_settings(path)["score"] == seed / 100
        assert read_settings(sketch)["seed"] == seed


def test_the_record_draws_the_same_pictures_again(generate):
    for settings in (
        {"hold": False},
        {"samples": 2, "best_of": 3},
        {"best_of": 4, "mean": False, "epsilon_seed": 20},
    ):
        *steps, last = generate(**settings)
        assert all(step.record == gr.skip() for step in steps)
        assert last.record["tab"] == "Generate"
        *_, again = generate(**last.record["values"])
        for old, new in zip(last.drawn.pictures, again.drawn.pictures, strict=True):
            assert read_settings(old)["seed"] == read_settings(new)["seed"]
            assert same_picture(old, new)


def test_a_single_winner_is_recorded_without_the_ranking(generate):
    *_, last = generate(best_of=4, mean=False, epsilon_seed=20)
    values = last.record["values"]
    assert (values["seed"], values["epsilon_seed"], values["best_of"]) == (10, 20, 1)
    assert (last.seed, last.epsilon_seed) == (7, 20)  # the same press ranks the same again


def test_a_winner_that_is_then_held_is_what_was_seen(generate):
    first, *_, last = generate(hold=False, best_of=4, mean=False, epsilon_seed=20)
    assert last.seed == last.drawn.settings[0]["seed"] == first.seed
    assert (last.mean, last.epsilon_seed) == (False, 20)  # candidates differ in z alone
    *_, held = generate(seed=last.seed, mean=False, epsilon_seed=last.epsilon_seed)
    assert same_picture(held.drawn.pictures[0], last.drawn.pictures[0])
    *_, several = generate(hold=False, samples=2, best_of=2)
    assert several.seed == several.drawn.settings[0]["seed"] - 3  # theirs are no row


def test_a_winners_files_tell_its_score(generate):
    *_, last = generate(best_of=4)
    for path in (*last.drawn.sketches, *last.drawn.pictures):
        assert read_settings(path)["score"] == last.drawn.settings[0]["score"] == 0.1


def test_best_of_gives_way_to_many_samples(generate):
    *_, last = generate(samples=MAX_SAMPLES, best_of=4)
    assert last.drawn.candidates == MAX_DRAWN
    assert last.record["values"]["best_of"] == MAX_DRAWN // MAX_SAMPLES


def test_more_than_a_press_may_draw_is_refused_to_a_program(judged):
    with pytest.raises(gr.Error, match=f"33 drawings, and {MAX_DRAWN} are the limit"):
        tab_of(judged).api(CAPTION, samples=11, best_of=3)


def test_a_single_winner_is_seen_when_it_is_known_its_sketch_first(generate):
    sketch, picture = generate(best_of=4)
    assert sketch.drawn.settings == picture.drawn.settings
    assert (sketch.drawn.pictures, len(picture.drawn.pictures)) == ((), 1)
    assert sketch.grid.visible == picture.grid.visible == "hidden"
    assert "best of 4" in picture.report
    assert "chosen in" in picture.report


def test_a_png_draws_its_picture_again(generate):
    *_, last = generate(best_of=4, mean=False, epsilon_seed=20)
    values = Generate(None).values(read_settings(last.drawn.pictures[0]))
    assert values == last.record["values"]
    *_, again = generate(**values)
    assert pixels(again.drawn.pictures[0]) == pixels(last.drawn.pictures[0])


def test_a_png_of_another_tab_is_not_taken():
    own = {"caption": "a", "seed": 1, "epsilon_seed": None, "truncation": 1, "checkpoint": "f"}
    # Drawn when pictures had no emphasis yet: then captions were read as they are.
    assert Generate(None).values(own)["emphasis"] == 1
    assert Generate(None).values({**own, "radius": 2}) is None
    assert Generate(None).values({"captions": ["a", "b"], "seed": None}) is None


def test_the_record_holds_every_control(generate, checkpoints):
    with gr.Blocks():
        tab = Generate(checkpoints)
        tab.build(gr.Dropdown(["flowers"]))
    *_, last = generate()
    assert list(last.record["values"]) == list(tab.controls)
    assert last.record["values"]["checkpoint"] == "flowers"


def test_an_unfamiliar_caption_is_drawn_with_a_word_about_what_is_known(checkpoints):
    tab = tab_of(Judged(checkpoints.pipeline(), far=True))
    first, last = pressed(tab, caption="a red lorry")
    for step in (first, last):
        assert "has seen only flowers &lt;i&gt;" in step.report
        assert "“a rose” and “a tulip”" in step.report
    assert len(last.drawn.pictures) == 1


def test_a_familiar_caption_is_drawn_without_a_word(generate, judged):
    assert "has seen only" not in generate()[-1].report
    judged.known = None
    assert "has seen only" not in generate()[-1].report


def test_best_of_is_off_where_nothing_can_rank(checkpoints):
    tab = tab_of(Judged(checkpoints.pipeline(), can_rank=False))
    control = tab.offer_ranking(None)
    assert not control.interactive
    assert "brings no scorer" in control.info
    assert tab_of(Judged(checkpoints.pipeline())).offer_ranking(None).interactive
    *_, last = pressed(tab, best_of=2)  # as the page begins, before it knows
    assert (last.drawn.candidates, last.record["values"]["best_of"]) == (1, 1)
    with pytest.raises(gr.Error, match="no scorer to rank"):
        tab.api(CAPTION, best_of=2)


def test_no_batch_is_drawn_for_somebody_who_left(judged):
    steps = pressed(tab_of(judged), samples=MAX_SAMPLES, best_of=2)
    next(steps)
    next(steps)
    assert judged.refined == 1
    steps.close()
    assert judged.refined == 1


def test_a_checkpoint_of_one_stage_ranks_its_sketches(checkpoint_folder):
    checkpoints = Checkpoints(str(checkpoint_folder / "sketches"), encoder=fake_encoder)
    *_, last = pressed(tab_of(Judged(checkpoints.pipeline())), best_of=3)
    assert (len(last.drawn.sketches), last.drawn.pictures, last.before_after) == (1, (), None)
    assert last.record["values"]["seed"] == 9


def test_one_picture_downloads_as_itself_and_several_as_a_zip(generate):
    *_, one = generate()
    assert read_settings(one.save_picture.value["path"])["stage"] == 2
    assert one.save_picture.interactive
    *_, many = generate(samples=3)
    assert many.save_picture.label == "Download 3 pictures"
    with zipfile.ZipFile(many.save_picture.value["path"]) as archive:
        assert len(archive.namelist()) == 3


def test_captions_are_escaped_where_they_are_shown_as_html(generate):
    *_, last = generate(caption="a <b>red</b> flower")
    assert "&lt;b&gt;red" in last.report


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"caption": ""}, "caption is empty"),
        ({"caption": " ?! "}, "caption is empty"),
        ({"caption": None}, "a caption is a sentence"),
        ({"caption": "flower " * 200}, "500 are the limit"),
        ({"seed": 1e30}, "seed is a whole number from 0 to 4294967295"),
        ({"seed": -1}, "seed is a whole number"),
        ({"seed": 1.5}, "seed is a whole number"),
        ({"seed": math.nan}, "seed is a whole number"),
        ({"seed": 10**400}, "seed is a whole number"),
        ({"seed": "seven"}, "seed is a whole number"),
        ({"seed": None}, "not nothing"),
        ({"samples": MAX_SAMPLES + 1}, "number of samples is a whole number from 1 to 16"),
        ({"samples": True}, "number of samples"),
        ({"best_of": MAX_BEST_OF + 1}, "best of is a whole number from 1 to 16"),
        ({"best_of": None}, "best of is a whole number"),
        ({"truncation": math.inf}, "Truncation is a number from 0 to 1.5"),
        ({"emphasis": 2.5}, "Emphasis is a number from 0 to 2"),
        ({"truncation": "a" * 1000}, "Truncation is a number"),
        ({"mean": False, "epsilon_seed": None}, "ε seed must not be empty"),
        ({"mean": False, "epsilon_seed": 2**40}, "ε seed is a whole number"),
    ],
)
def test_bad_settings_of_generate_are_told_in_words(generate, settings, words):
    with pytest.raises(gr.Error) as error:
        generate(**settings)
    assert words.lower() in error.value.message.lower()
    assert len(error.value.message) < 300
    assert error.value.print_exception is False


@pytest.mark.parametrize("name", ["/etc", ["flowers"], "x" * 1000])
def test_a_checkpoint_that_is_not_offered_is_told_in_words(checkpoints, name):
    with pytest.raises(gr.Error, match="here is no checkpoint") as error:
        list(pressed(Generate(checkpoints), checkpoint=name))
    assert len(error.value.message) < 300


def test_a_folder_of_a_bundled_name_is_no_checkpoint(tmp_path, monkeypatch):
    """Photographs may lie where the page is started."""
    names = Checkpoints().names
    for name in names:
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    offered = Checkpoints(encoder=fake_encoder)
    assert offered.pipeline(names[0]).name == names[0]
