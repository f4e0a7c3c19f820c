"""History, links, dropped PNGs and the zip: handlers as plain functions over a small tab."""

import json
import struct
import zipfile
import zlib

import pytest
from conftest import draw_flower
from PIL import Image
from PIL.PngImagePlugin import PngInfo

gr = pytest.importorskip("gradio")

from stackgan.images import METADATA_KEY, save_png  # noqa: E402
from stackgan.ui import history as bar  # noqa: E402
from stackgan.ui import sharing  # noqa: E402
from stackgan.ui.controls import exchange_examples  # noqa: E402
from stackgan.ui.history import History  # noqa: E402
from stackgan.ui.tab import Tab, record_component, result_record  # noqa: E402

VALUES = {
    "caption": "a “red” flower & more",
    "seed": 7,
    "hold": True,
    "size": 0.5,
    "way": "arc",
    "checkpoint": "flowers",
}


class Studio(Tab):
    """A tab with one control of each kind."""

    name = "Studio"

    def build(self, chooser):
        self.controls = {
            "caption": gr.Textbox("an example"),
            "seed": gr.Number(0, minimum=0),
            "hold": gr.Checkbox(False),
            "size": gr.Slider(0, 1, 1),
            "way": gr.Radio(["line", "arc"], value="line"),
            "checkpoint": chooser,
        }
        self.record = record_component()
        self.pictures = [gr.Gallery()]
        self.draws = {"fn": lambda: None}
        self.exchanges = exchange_examples(chooser, [self.controls["caption"]], lambda _: [""])

    def values(self, settings):
        return VALUES | {"seed": settings["studio seed"]}


@pytest.fixture(scope="module")
def history():
    """The bar of a page with two tabs, built."""
    with gr.Blocks() as page:
        chooser = gr.Dropdown(["flowers", "birds"], value="flowers")
        tabs = [Studio(None), Studio(None)]
        tabs[1].name = "Second"
        about = exchange_examples(chooser, [gr.Textbox()], lambda _: [""])
        with gr.Tabs() as all_tabs:
            for tab in tabs:
                with gr.Tab(tab.name, id=tab.name.lower()):
                    tab.build(chooser)
        made = History(tabs, about)
        made.build(page, all_tabs)
    return made


def record(seed: int = 7, tab: str = "Studio", **values) -> dict:
    values = VALUES | {"seed": seed} | values
    return result_record(tab, f"flower {seed}", values, draw_flower("red"))


def controls_of(history, updates: dict, tab: str = "studio") -> dict:
    controls = history.tabs[tab].controls
    return {name: updates[control] for name, control in controls.items() if control in updates}


def message(error) -> str:
    assert error.value.print_exception is False
    return error.value.message


# What is kept


def test_the_newest_result_comes_first_and_an_equal_one_is_not_repeated():
    kept = []
    for seed in (1, 2, 3):
        kept = sharing.with_record(kept, record(seed))
    assert [r["values"]["seed"] for r in kept] == [3, 2, 1]
    assert sharing.with_record(kept, record(1)) == kept
    other_tab = sharing.with_record(kept, record(1, tab="Second"))
    assert [r["tab"] for r in other_tab] == ["Second", "Studio", "Studio", "Studio"]


def test_a_walk_through_one_result_is_kept_where_it_stands_last():
    kept = sharing.with_record([], record(1))
    for size in (0.1, 0.2, 0.3):
        kept = sharing.with_record(kept, record(2, size=size), sliders=("size",))
    assert [(r["values"]["seed"], r["values"]["size"]) for r in kept] == [(2, 0.3), (1, 0.5)]
    kept = sharing.with_record(kept, record(3), sliders=("size",))
    assert len(kept) == 3
    # What was left for another result stays where it was; a walk that comes back is a new one.
    kept = sharing.with_record(kept, record(2, size=0.4), sliders=("size",))
    assert [r["values"]["size"] for r in kept] == [0.4, 0.5, 0.3, 0.5]


def test_what_is_kept_has_a_bound_in_number_and_in_size(monkeypatch):
    kept = []
    for seed in range(sharing.MAX_RECORDS + 5):
        kept = sharing.with_record(kept, record(seed))
    assert len(kept) == sharing.MAX_RECORDS
    assert kept[0]["values"]["seed"] == sharing.MAX_RECORDS + 4
    monkeypatch.setattr(sharing, "MAX_STORED", 3 * len(json.dumps(record())))
    kept = sharing.with_record(kept, record(9999))
    assert 1 < len(kept) <= 3
    assert kept[0]["values"]["seed"] == 9999


def test_a_full_history_fits_into_what_a_browser_gives_a_site():
    captions = "ü" * 4000  # eight captions of 500 characters: the most that a tab takes
    noisy = Image.effect_noise((256, 256), 90)
    one = result_record("Words", captions[:200], VALUES | {"captions": captions}, noisy)
    kept = []
    for seed in range(sharing.MAX_RECORDS):
        kept = sharing.with_record(kept, one | {"values": one["values"] | {"seed": seed}})
    assert len(kept) == sharing.MAX_RECORDS
    assert len(json.dumps(kept, ensure_ascii=False).encode()) * 4 / 3 < 5 * 2**20


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "garbage",
        {"version": 0},
        [None, 3, [], {}, {"tab": "Studio"}],
        [record() | {"thumbnail": 'x" onerror="alert(1)'}],
        [record() | {"thumbnail": "https://example.org/x.webp"}],
        [record() | {"values": [1]}],
    ],
)
def test_storage_of_another_form_is_left_out(history, stored):
    assert sharing.sound_records(stored) == []
    assert history.show(stored).visible is False
    records, _, strip, link = history.keep(record(), stored, [])
    assert [r["values"]["seed"] for r in records] == [7]
    assert len(strip.raw_samples) == 1
    assert "seed=7" in link


def test_a_result_that_is_none_changes_nothing(history):
    assert history.keep(None, [record()], []) == (gr.skip(),) * 4


def test_titles_are_escaped_on_their_cards(history):
    bad = record() | {"title": '<script>"&', "tab": "<b>"}
    [[card]] = history.strip([bad]).raw_samples
    assert "<script>" not in card
    assert "<b>" not in card
    assert 'title="&lt;script&gt;&quot;&amp;"' in card


def test_the_storage_is_found_again_after_a_restart(history):
    # Left to itself, Gradio draws both anew for every process.
    page = gr.context.Context.root_block or history.tabs_shown.parent
    [stored] = [b for b in page.blocks.values() if isinstance(b, gr.BrowserState)]
    assert {"storage_key": stored.storage_key, "secret": stored.secret} == bar.STORAGE


# Brought back


def test_a_click_sets_every_control_of_its_tab_and_starts_its_drawing(history):
    stored = [record(2, tab="Second"), record(1)]
    updates = history.restore(0, stored)
    assert controls_of(history, updates, "second") == VALUES | {"seed": 2}
    assert updates[history.tabs_shown].selected == updates[history.selected] == "second"
    assert sharing.read_link(updates[history.links["second"]])[1] == VALUES | {"seed": 2}
    assert history.starts["second"] in updates
    assert history.starts["studio"] not in updates
    again = history.restore(0, stored)
    assert again[history.starts["second"]] != updates[history.starts["second"]]


def test_what_is_opened_has_the_other_tabs_exchange_their_examples(history):
    """A link to birds is not to leave flowers' captions everywhere else."""
    blocks = history.tabs_shown.parent
    start = history.starts["studio"]._id
    exchanging = [
        event
        for event in blocks.fns.values()
        if (start, "change") in event.targets and "exchanged" in event.fn.__qualname__
    ]
    boxes = [box for event in exchanging for box in event.outputs]
    assert len(boxes) == 2  # the second tab's, and that of the tab without results
    assert history.tabs["second"].controls["caption"] in boxes
    assert history.tabs["studio"].controls["caption"] not in boxes


@pytest.mark.parametrize("index", [None, -1, 1, 60])
def test_a_click_on_what_is_gone_is_told(history, index):
    with pytest.raises(gr.Error) as error:
        history.restore(index, [record()])
    assert "no longer in the history" in message(error)


def test_a_record_of_before_a_control_existed_takes_the_page_s_first_value(history):
    old = record()
    del old["values"]["size"]
    old["values"]["gone"] = 3
    assert controls_of(history, history.restore(0, [old])) == VALUES | {"size": 1}


def test_a_link_reads_back_as_what_it_was_made_of(history):
    tricky = ["7", "true", "null", '"quoted"', "ü & ? = # + %", "a\nb", "", "[" * 5000]
    for caption in tricky:
        values = VALUES | {"caption": caption, "seed": None}
        query = sharing.link_query("Studio", values)
        assert query.isascii()
        assert sharing.read_link(query) == ("studio", values)
        assert controls_of(history, history.open_link(query)) == values
    many = {"names": ["a", "b, c"], "size": 0.1}
    assert sharing.read_link(sharing.link_query("Studio", many)) == ("studio", many)


def test_a_short_link_leaves_the_other_controls_as_they_start(history):
    updates = history.open_link("?tab=studio&caption=a+red+flower&__theme=dark")
    assert controls_of(history, updates) == {
        "caption": "a red flower",
        "seed": 0,
        "hold": False,
        "size": 1,
        "way": "line",
        "checkpoint": "flowers",
    }
    held = controls_of(history, history.open_link("?tab=studio&caption=a+red+flower&seed=41"))
    assert (held["seed"], held["hold"]) == (41, True)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?tab=nowhere", "no tab 'nowhere'"),
        ("?tab=", "no tab ''"),
        ("?tab=studio&checkpoint=cats", "“checkpoint” is one of flowers, birds"),
        ("?tab=studio&checkpoint=%5B%22flowers%22%5D", "“checkpoint” is one of"),
        ("?tab=studio&seed=seven", "“seed” is a number"),
        ("?tab=studio&seed=-1", "“seed” is a number from 0"),
        ("?tab=studio&seed=NaN", "“seed” is a number"),
        ("?tab=studio&size=2", "“size” is a number from 0 to 1"),
        ("?tab=studio&size=null", "“size” is a number from 0 to 1"),
        ("?tab=studio&hold=yes", "“hold” is true or false"),
        ("?tab=studio&caption=7", "“caption” is a text"),
        ("?tab=studio&caption=" + "x" * 20_000, "“caption” is a text"),
        ("?tab=studio&way=" + "%3Cb%3E" * 50, "“way” is one of line, arc"),
        ("?tab=studio&" + "&".join(f"a{i}=1" for i in range(200)), "link cannot be drawn"),
    ],
)
def test_a_bad_link_is_told_in_words(history, query, words):
    with pytest.raises(gr.Error) as error:
        history.open_link(query)
    assert words in message(error)
    assert message(error).startswith("This link cannot be drawn here")
    assert "<b>" not in message(error)
    assert len(message(error)) < 300


# PNGs


def test_a_png_made_here_brings_its_settings(history, tmp_path):
    save_png(draw_flower("red"), tmp_path / "a.png", {"studio seed": 5})
    updates = history.open_png(str(tmp_path / "a.png"))
    assert controls_of(history, updates) == VALUES | {"seed": 5}
    assert history.starts["studio"] in updates


def foreign_files(folder):
    draw_flower("red").save(folder / "plain.png")
    draw_flower("red").save(folder / "photo.jpg")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    save_png(draw_flower("red"), folder / "whole.png", {"studio seed": 5})
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:40])
    whole = (folder / "whole.png").read_bytes()
    odd = struct.pack(">I", 5) + b"cHRM" + bytes(5)  # a chunk of half its length, after the pixels
    odd += struct.pack(">I", zlib.crc32(odd[4:]))
    (folder / "odd.png").write_bytes(whole[:-12] + odd + whole[-12:])
    for name, text in {"words": "hello", "list": "[1]", "deep": "[" * 100_000}.items():
        info = PngInfo()
        info.add_itxt(METADATA_KEY, text)
        draw_flower("red").save(folder / f"{name}.png", pnginfo=info)
    info = PngInfo()
    info.add_itxt(METADATA_KEY, json.dumps({"studio seed": 5}))
    Image.new("1", (2048, 2048)).save(folder / "large.png", pnginfo=info)
    info = PngInfo()
    info.add_itxt(METADATA_KEY, "x" * 5_000_000, zip=True)
    draw_flower("red").save(folder / "bomb.png", pnginfo=info)


@pytest.mark.parametrize(
    "name",
    ["plain", "photo.jpg", "empty", "text", "cut", "words", "list", "deep", "large", "bomb", "odd"],
)
def test_any_other_file_is_told_in_words(history, tmp_path, name, monkeypatch):
    monkeypatch.setattr(sharing, "MAX_PIXELS", 1024 * 1024)
    foreign_files(tmp_path)
    with pytest.raises(gr.Error) as error:
        history.open_png(str(tmp_path / (name if "." in name else f"{name}.png")))
    assert "no picture made here" in message(error)


def test_a_file_that_is_too_large_is_not_even_opened(history, tmp_path, monkeypatch):
    save_png(draw_flower("red"), tmp_path / "a.png", {"studio seed": 5})
    monkeypatch.setattr(sharing, "MAX_UPLOAD", 100)
    with pytest.raises(gr.Error) as error:
        history.open_png(str(tmp_path / "a.png"))
    assert "too large" in message(error)


@pytest.mark.parametrize("settings", [{}, {"studio seed": "x"}, {"studio seed": [1]}])
def test_edited_settings_of_a_png_are_told_in_words(history, tmp_path, settings):
    save_png(draw_flower("red"), tmp_path / "a.png", settings)
    with pytest.raises(gr.Error) as error:
        history.open_png(str(tmp_path / "a.png"))
    assert "fit none of these tabs" in message(error) or "“seed”" in message(error)


# The zip


def test_the_zip_holds_this_visit_s_files_and_what_draws_them_again(history, tmp_path):
    files = []
    for seed in (1, 2):
        path = tmp_path / f"seed{seed}.png"
        save_png(draw_flower("red"), path, {"studio seed": seed})
        _, files, _, _ = history.keep(record(seed), [], files, [(str(path), "text")], None)
    with zipfile.ZipFile(history.zip(files)) as archive:
        assert set(archive.namelist()) == {
            "01-studio/seed1.png",
            "02-studio/seed2.png",
            "records.json",
        }
        records = json.loads(archive.read("records.json"))
        archive.extract("02-studio/seed2.png", tmp_path)
    assert [r["files"] for r in records] == [["01-studio/seed1.png"], ["02-studio/seed2.png"]]
    assert records[1]["values"] == VALUES | {"seed": 2}
    assert sharing.png_settings(tmp_path / "02-studio/seed2.png") == {"studio seed": 2}


def test_files_that_are_gone_are_left_out_of_the_zip(history, tmp_path):
    _, files, _, _ = history.keep(record(), [], [], str(tmp_path / "gone.png"))
    assert history.zip(files) is None
    assert history.zip([]) is None


def test_a_result_whose_files_are_in_the_zip_adds_none(history, tmp_path):
    """A picture picked out of a grid has a link and a card of its own, and its files already."""
    grid = [(str(tmp_path / f"{i}.png"), "") for i in range(3)]
    stored, files, _, _ = history.keep(record(1), [], [], grid)
    stored, picked, _, link = history.keep(record(2), stored, files, grid)
    assert picked == files
    assert [r["values"]["seed"] for r in stored] == [2, 1]
    assert "seed=2" in link


def test_a_visit_s_files_have_a_bound(history):
    files = []
    for seed in range(4):
        many = [(f"{seed}-{i}.png", "") for i in range(bar.MAX_FILES // 2)]
        _, files, _, _ = history.keep(record(seed), [], files, many)
    assert [entry["record"]["values"]["seed"] for entry in files] == [3, 2]


def test_clearing_forgets_records_and_files_of_who_is_sure(history):
    stored, files, strip = history.clear(True)
    assert (stored, files) == ([], [])
    assert strip.visible is False
    assert history.clear(False) == (gr.skip(),) * 3
