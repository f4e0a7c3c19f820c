import pytest

from stackgan import SIZES, StackGANConfig


def test_paper_size_has_the_paper_dimensions():
    paper = SIZES["paper"]
    assert (paper.condition_dim, paper.noise_dim, paper.discriminator_text_dim) == (128, 100, 128)
    assert paper.sketch_resolution == 64
    assert paper.resolution == 256
    assert paper.residual_blocks == 4
    assert StackGANConfig(resolution=128).residual_blocks == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"resolution": 200}, "200"),
        ({"stages": 3}, "stages"),
        ({"resolution": 64}, "64"),
        ({"noise_dim": 0}, "noise_dim"),
        ({"encoder": None}, "encoder must be a name"),
        ({"text_in_stage2": "false"}, "text_in_stage2 must be true or false"),
        ({"stage2_width": 6}, "stage2_width"),
    ],
)
def test_impossible_settings_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        StackGANConfig(**wrong)
