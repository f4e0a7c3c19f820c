"""Checkpoints from a Hub: a server on this machine that answers as the real one does."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from running_app import ROOT

REPOSITORY = "someone/stackgan-tiny"
COMMIT = "0" * 39 + "1"
CUT = b"a file whose second half never comes"
LOAD = """
import sys
from stackgan import CheckpointError, StackGAN
try:
    model = StackGAN.from_pretrained(sys.argv[1])
except CheckpointError as error:
    print(error)
else:
    print(model.config.noise_dim, model.stage1.to_rgb[0].weight.double().sum().item())
    print(*sorted(model.companions), model.companions["known.safetensors"].read_bytes())
"""


@pytest.fixture
def hub(tmp_path):
    """A Hub of one repository → (its folder, its address)."""
    folder = tmp_path / "repository"

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(False)

        def do_GET(self):
            self.answer(True)

        def answer(self, with_body):
            file = folder / self.path.rpartition("/")[2]
            if not self.path.startswith(f"/{REPOSITORY}/resolve/main/"):
                status, error = 404, "RepoNotFound"
            elif not file.is_file():
                status, error = 404, "EntryNotFound"
            else:
                status, error = 200, None
            body = b"" if error else file.read_bytes()
            self.send_response(status)
            self.send_header("X-Repo-Commit", COMMIT)
            if error:
                self.send_header("X-Error-Code", error)
            else:
                self.send_header("ETag", f'"{file.name}-{len(body)}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                cut = file.name == "scorer.safetensors" and body == CUT
                self.wfile.write(body[: len(body) // 2] if cut else body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def loaded(name, address, home, **environment):
    """What another process prints that loads the checkpoint: huggingface_hub reads its address once."""
    variables = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(home), **environment}
    command = [sys.executable, "-c", LOAD, name]
    answer = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120, check=True
    )
    return answer.stdout.splitlines()


def test_a_repository_brings_weights_and_what_lies_beside_them(tiny_model, hub, tmp_path):
    folder, address = hub
    tiny_model.save_pretrained(folder)
    (folder / "known.safetensors").write_bytes(b"known")  # and no scorer
    weights, companions = loaded(REPOSITORY, address, tmp_path / "home")
    weight = tiny_model.stage1.to_rgb[0].weight.double().sum().item()
    assert weights == f"{tiny_model.config.noise_dim} {weight}"
    assert companions == "README.md known.safetensors b'known'"

    # One that breaks off is not there either: none of them is needed to draw.
    (folder / "scorer.safetensors").write_bytes(CUT)
    assert loaded(REPOSITORY, address, tmp_path / "another home")[1] == companions
    (folder / "scorer.safetensors").unlink()

    # Once fetched it loads without the network, as a Space does that starts again.
    offline = loaded(REPOSITORY, address, tmp_path / "home", HF_HUB_OFFLINE="1")
    assert offline == [weights, companions]


def test_a_repository_that_is_not_there_is_explained(hub, tmp_path):
    (line,) = loaded("someone/else", hub[1], tmp_path / "home")
    assert line.startswith("no checkpoint 'someone/else': neither a folder, nor bundled")


@pytest.mark.parametrize("config", [None, '{"model_type": "bert"}'])
def test_a_repository_of_another_kind_is_explained(tiny_model, hub, tmp_path, config):
    folder, address = hub
    tiny_model.save_pretrained(folder)
    if config is None:
        (folder / "model.safetensors").unlink()
    else:
        (folder / "config.json").write_text(config)
    (line,) = loaded(REPOSITORY, address, tmp_path / "home")
    assert REPOSITORY in line
    assert ("model.safetensors" if config is None else "'model_type'") in line
