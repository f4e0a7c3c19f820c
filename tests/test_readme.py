"""The README's promises: its commands run, its files exist, its front matter is what Spaces reads."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import gradio
import pytest
from conftest import write_imagefolder
from PIL import Image

from stackgan.model import bundled

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.startswith("python -m ")
]
needs_checkpoint = pytest.mark.skipif("flowers" not in bundled(), reason="no bundled checkpoint")


def run(command: str, folder: Path) -> subprocess.CompletedProcess:
    words = [sys.executable, *shlex.split(command)[1:]]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stderr[-2000:]}"
    return done


@needs_checkpoint
def test_quick_start_in_python_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block("python", "from stackgan import Pipeline"), names)
    assert [picture.size for picture in names["output"].sketch_pictures()] == [(64, 64)] * 3
    assert Image.open(tmp_path / "flower.png").size == (256, 256)


@needs_checkpoint
def test_quick_start_commands_draw(tmp_path):
    commands = [c for c in SHELL if c.startswith("python -m stackgan ")]
    assert len(commands) == 5
    for command in commands:
        run(command, tmp_path)
    assert Image.open(tmp_path / "flower.png").size == (256, 256)
    assert Image.open(tmp_path / "sketch.png").size == (64, 64)
    for name in ("bird.png", "gull.png", "bluer.png"):
        assert Image.open(tmp_path / name).size == (256, 256)
    assert Image.open(tmp_path / "between.gif").n_frames > 24


def test_training_commands_train_and_the_result_draws(tmp_path):
    """The "train your own" block as it stands, made short by the options in `brief`."""
    write_imagefolder(tmp_path / "my-photos", 8)
    brief = {
        "train.prepare": "",
        "train.stage1": " --size tiny --recipe paper --batch 4 --images 4 --precision fp32",
        "train.stage2": " --size tiny --recipe paper --batch 4 --images 4 --precision fp32",
        "train.export": "",
    }
    commands = [c for c in SHELL if c.split()[2] in brief]
    assert [c.split()[2] for c in commands] == list(brief)
    for command in commands:
        run(command + brief[command.split()[2]], tmp_path)
    run('python -m stackgan "a red flower" --checkpoint checkpoints/mine --out a.png', tmp_path)
    assert Image.open(tmp_path / "a.png").size == (256, 256)


@pytest.mark.parametrize(
    "module", ["stackgan.benchmark", "train.probe", "train.scorer", "train.evaluate"]
)
def test_measuring_commands_use_flags_that_exist(module, tmp_path):
    [command] = [c for c in SHELL if c.split()[2] == module]
    shown = run(f"python -m {module} --help", tmp_path).stdout
    assert [flag for flag in re.findall(r"--[a-z-]+", command) if flag not in shown] == []


def block(language: str, word: str) -> str:
    """The README's only block of that language with that word in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    [found] = [text for text in blocks if word in text]
    return found


def test_every_endpoint_answers_gradio_client_as_shown(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = block("python", "gradio_client")
    names = {"__name__": "readme"}
    exec(code.replace("http://127.0.0.1:7860", address), names)
    assert Image.open(names["picture"]).size == (256, 256)
    assert Image.open(names["strip"]).format == "PNG"
    assert Path(names["film"]).suffix == ".mp4"
    offered = names["client"].view_api(return_format="dict")["named_endpoints"]
    assert set(re.findall(r'api_name="(/\w+)"', code)) == set(offered)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_every_endpoint_answers_curl_as_shown(address):
    commands = block("bash", "curl").replace("http://127.0.0.1:7860", address)
    done = subprocess.run(
        ["bash", "-c", commands], capture_output=True, text=True, timeout=300, check=True
    )
    events = re.findall(r"^event: (?!heartbeat|generating)(\w+)", done.stdout, re.M)
    assert events == ["complete"] * commands.count("\nask "), done.stdout[-2000:]


def test_front_matter_is_what_spaces_reads():
    matter = dict(
        line.split(": ", 1) for line in README.split("---")[1].strip().splitlines() if ": " in line
    )
    assert matter["sdk"] == "gradio"
    assert (ROOT / matter["app_file"]).is_file()
    assert matter["sdk_version"].split(".")[:1] == gradio.__version__.split(".")[:1]
    assert len(matter["short_description"]) <= 60


def test_every_linked_file_exists():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(links) > 10
    missing = [link for link in links if not (ROOT / link).exists()]
    assert missing == []
