"""What stands around a figure, in words."""

from __future__ import annotations

import pytest

from atlas_assets.stages.figures.caption import Caption, layers_to_show
from atlas_assets.stages.setting import Setting


def test_a_caption_names_model_setting_and_readout() -> None:
    caption = Caption("some/model", "published", Setting(0.1, 0.2))
    assert caption.line() == "model some/model · ε=0.1, C=0.2 · readout published"
    sweep = Caption("some/model", "last_token")
    assert sweep.line("nine settings") == "model some/model · nine settings · readout last_token"


@pytest.mark.parametrize(
    ("n_layers", "shown", "note"),
    [
        (6, (3, 5), None),
        (5, (3,), "The last layer of the model is 4; layer 5 is left out."),
        (2, (1,), "The last layer of the model is 1; layers 3 and 5 are left out and layer 1 is "),
    ],
)
def test_layers_that_the_model_lacks_are_said_to_be_left_out(n_layers, shown, note) -> None:
    found, notes = layers_to_show(n_layers, (3, 5))
    assert found == shown
    assert [text.startswith(note or "") for text in notes] == [True] * (note is not None)
