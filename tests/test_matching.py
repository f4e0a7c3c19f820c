"""The matching term: towers that learn from photographs, and what they ask of pictures."""

import json
import math

import pytest
import torch
from conftest import run1
from trainers import make_trainer

from train import stage1
from train.matching import learn_matcher, matching_loss


class Cosines:
    """A scorer whose towers leave what they are given: pictures and sentences are compared as they are."""

    log_scale = torch.tensor(math.log(10.0))

    def pictures(self, features):
        return torch.nn.functional.normalize(features, dim=1)

    texts = pictures


def test_the_loss_is_the_surprise_at_the_own_sentence():
    own = torch.eye(3, 5)
    others = torch.eye(5)[3:]
    right = matching_loss(Cosines(), own, own, others)
    assert right == pytest.approx(math.log(1 + 4 * math.exp(-10)), abs=1e-5)
    undecided = matching_loss(Cosines(), torch.ones(3, 5), own, others)
    assert undecided == pytest.approx(math.log(5))
    # A picture of another sentence of the batch, and of one that is no picture's.
    for wrong in (own.roll(1, 0), others[:1].expand(3, -1)):
        assert matching_loss(Cosines(), wrong, own, others) == pytest.approx(10, abs=0.01)


def test_the_same_words_are_no_wrong_ones():
    own = torch.eye(2, 4)
    twice = torch.cat([own, own])  # two pictures of each sentence
    once = matching_loss(Cosines(), own, own, own[:0])
    assert matching_loss(Cosines(), twice, twice, own[:0]) == pytest.approx(once.item(), abs=1e-6)
    assert matching_loss(Cosines(), own, own, own) == pytest.approx(once.item(), abs=1e-6)


def silent(arrays, stage1_run, out, stage: int, weight: float, monkeypatch):
    """A run in which nothing but the matching term asks anything of G, always of one batch."""
    weights = {"kl_weight": 0.0, "matching_weight": weight}
    weights |= (
        {"diversity_weight": 0.0} if stage == 1 else {"pair_weight": 0.0, "consistency_weight": 0.0}
    )
    trainer = make_trainer(arrays, stage1_run, out, stage, learning_rate=1e-3, **weights)
    inputs = trainer._next_inputs()
    inputs = inputs._replace(weight=torch.zeros(()))
    monkeypatch.setattr(trainer, "_next_inputs", lambda: inputs)
    return trainer


def test_pictures_learn_to_fit_their_sentences(arrays, stage1_run, tmp_path, monkeypatch):
    torch.manual_seed(0)
    trainer = silent(arrays, stage1_run, tmp_path, 1, 1.0, monkeypatch)
    found = []
    for _ in range(30):
        trainer.train_step()
        found.append(trainer.stats.take()["matching"])
    assert sum(found[-4:]) < 0.7 * sum(found[:4])


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_g_learns_from_the_term_alone(arrays, stage1_run, tmp_path, stage, weight, monkeypatch):
    trainer = silent(arrays, stage1_run, tmp_path, stage, weight, monkeypatch)
    before = {k: p.clone() for k, p in trainer.generator.named_parameters()}
    trainer.train_step()
    changed = [not torch.equal(p, before[k]) for k, p in trainer.generator.named_parameters()]
    if weight:
        assert sum(changed) > 0.8 * len(changed)
        assert not any(p.requires_grad for p in trainer.matcher.parameters())
    else:
        assert not any(changed)
        assert trainer.matcher is None
        assert trainer.stats.take()["matching"] == 0


@pytest.mark.parametrize("name_share", [0.0, 0.5])
def test_a_resumed_run_keeps_its_towers(arrays, stage1_run, tmp_path, name_share, monkeypatch):
    learned = []
    monkeypatch.setattr(
        "train.loop.learn_matcher", lambda *a, **b: learned.append(1) or learn_matcher(*a, **b)
    )

    def run(name, steps):
        (tmp_path / name).mkdir(exist_ok=True)
        torch.manual_seed(0)
        trainer = make_trainer(
            arrays, stage1_run, tmp_path / name, 1, matching_weight=0.5, name_share=name_share
        )
        if (tmp_path / name / "state.pt").exists():
            trainer.resume()
        for _ in range(steps):
            trainer.train_step()
        trainer.snapshot()
        return trainer

    unbroken = run("unbroken", 4)
    run("broken", 2)
    assert len(learned) == 2
    resumed = run("broken", 2)
    assert len(learned) == 2
    for part in ("matcher", "model", "discriminator"):
        one, other = (getattr(t, part).state_dict() for t in (unbroken, resumed))
        for key, value in one.items():
            torch.testing.assert_close(other[key], value, rtol=0, atol=0)


def test_the_papers_discriminator_has_no_towers(arrays, tmp_path, capsys):
    command = ["--recipe", "paper", "--matching-weight", "0.5", "--images", "8"]
    assert run1(arrays, tmp_path / "run", *command) == 2
    error = capsys.readouterr().err
    assert "--matching-weight 0.5 would do nothing" in error
    assert "frozen features" in error


def test_ctrl_c_ends_the_learning_of_towers_at_once_and_loses_nothing(
    arrays, tmp_path, capsys, monkeypatch
):
    def pressed(*_, **__):
        raise KeyboardInterrupt

    command = ["--seed", "3", "--images", "8"]
    assert run1(arrays, tmp_path / "run", *command) == 0
    resume = ["--out", str(tmp_path / "run"), "--resume", "--matching-weight", "0.5"]
    before = (tmp_path / "run" / "state.pt").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("train.loop.learn_matcher", pressed)
        assert stage1.main([*resume, "--images", "16"]) == 130
    assert (tmp_path / "run" / "state.pt").read_bytes() == before
    assert stage1.main([*resume, "--images", "16"]) == 0
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert "own caption ranks first" in printed.out
    [changed] = json.loads((tmp_path / "run" / "config.json").read_text())["changes"]
    assert changed["to"] == {"matching_weight": 0.5}
