"""Real runs of a tiny model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from atlas_assets.errors import ModelError
from tools.train_embedded.material import Material
from tools.train_embedded.recipe import Recipe
from tools.train_embedded.tests import samples
from tools.train_embedded.training import NEWEST, State, mean_loss, restore, save, train


def run(folder: Path, recipe: Recipe | None = None, corpus: Material | None = None) -> State:
    *_, last = train(recipe or samples.recipe(), corpus or samples.material(), folder)
    return last


def weights(state: State) -> dict[str, bytes]:
    return {
        name: tensor.detach().numpy().tobytes() for name, tensor in state.network.named_parameters()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> State:
    return run(tmp_path_factory.mktemp("whole"))


def test_the_loss_falls(tmp_path: Path) -> None:
    state = run(tmp_path, samples.recipe(learning_rate=0.01, steps=72, annealed_step=48))
    first, last = state.curve[0], state.curve[-1]
    assert last["train_loss"] < first["train_loss"] - 1.0
    assert last["held_out_loss"] < first["held_out_loss"] - 1.0


def test_every_matrix_reaches_the_target_density_exactly(whole: State) -> None:
    assert whole.curve[-1]["density"] == pytest.approx(0.25, abs=0.01)
    for matrix in whole.matrices:
        rows, entries = matrix.shape[0], matrix.numel()
        assert int(matrix.count_nonzero()) == max(round(0.25 * entries), rows)
        assert int(matrix.count_nonzero(dim=1).min()) >= 1


def test_the_density_on_the_way_is_the_schedules(whole: State) -> None:
    recipe = samples.recipe()
    for point in whole.curve:
        assert point["density"] == pytest.approx(recipe.density_at(point["step"]), abs=0.01)
        assert point["learning_rate"] == recipe.learning_rate_at(point["step"])
    assert [point["step"] for point in whole.curve] == [6, 12, 18, 24]


def test_same_seed_same_bytes(whole: State, tmp_path: Path) -> None:
    assert weights(run(tmp_path / "same")) == weights(whole)
    assert weights(run(tmp_path / "other", samples.recipe(seed=1))) != weights(whole)


def test_the_number_of_cores_does_not_matter(whole: State, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1 if before > 1 else 2)
    try:
        other = run(tmp_path)
    finally:
        torch.set_num_threads(before)
    assert weights(other) == weights(whole)


class KilledError(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_bytes(
    whole: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two saved states, so that steps are done again."""
    step = torch.optim.AdamW.step
    left = [15]

    def killed(self: torch.optim.AdamW, closure: None = None) -> Any:
        if not left[0]:
            raise KilledError
        left[0] -= 1
        return step(self, closure)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(torch.optim.AdamW, "step", killed)
        run(tmp_path)
    assert (tmp_path / NEWEST).exists()
    resumed = run(tmp_path)
    assert weights(resumed) == weights(whole)
    assert resumed.curve == whole.curve
    assert resumed.cpu_seconds > 0


def test_a_finished_run_is_not_run_again(whole: State, tmp_path: Path) -> None:
    done = run(tmp_path)
    again = run(tmp_path)
    assert weights(again) == weights(done) == weights(whole)
    assert (again.wall_seconds, again.curve) == (done.wall_seconds, done.curve)


@pytest.mark.parametrize("optimiser", ["muon", "adamw"])
def test_either_optimiser_goes_on_from_a_state(tmp_path: Path, optimiser: str) -> None:
    recipe = samples.recipe(optimiser=optimiser, steps=18)
    material = samples.material()
    kept = [state.step for state in train(recipe, material, tmp_path)]
    assert kept == [*sorted(step for step in recipe.kept_steps if step < 18), 18]
    told = {"recipe": dataclasses.asdict(recipe), "corpus": material.manifest["sha256"]}
    restored = restore(tmp_path, told, recipe)
    kinds = {
        tuple(sorted(each.state[matrix]))
        for each in restored.optimizers
        for matrix in restored.matrices
        if matrix in each.state
    }
    adamw, muon = ("exp_avg", "exp_avg_sq", "step"), ("momentum_buffer",)
    assert kinds == ({adamw, muon} if optimiser == "muon" else {adamw})


@pytest.mark.parametrize("change", ["recipe", "steps", "corpus"])
def test_the_state_of_another_run_is_refused(tmp_path: Path, change: str) -> None:
    run(tmp_path, samples.recipe(steps=13))
    changes = {"recipe": {"seed": 9}, "steps": {"steps": 14}, "corpus": {}}[change]
    recipe, usual = samples.recipe(**{"steps": 13, **changes}), samples.material()
    another = dataclasses.replace(usual, manifest={**usual.manifest, "sha256": "another"})
    with pytest.raises(ModelError, match="another training"):
        run(tmp_path, recipe, another if change == "corpus" else None)


def foreign(metadata: dict[str, str] | None) -> Callable[[bytes], bytes]:
    return lambda _: safetensors.torch.save({"a": torch.zeros(2)}, metadata)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no safetensors": lambda _: b"no safetensors",
    "empty": lambda _: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "a bit flipped": lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
    "without a state": foreign(None),
    "no JSON": foreign({"state": "{"}),
    "a list": foreign({"state": "[]"}),
    "without a run": foreign({"state": "{}"}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_state_is_named(
    whole: State, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    assert whole.step
    save(tmp_path, {"recipe": "any"}, whole)
    path = tmp_path / NEWEST
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=NEWEST):
        run(tmp_path)


def test_the_held_out_loss_is_the_mean_over_all_predictions(whole: State) -> None:
    rows = samples.stream().ids[: 7 * 20].reshape(7, 20)
    ids = torch.from_numpy(rows)
    with torch.no_grad():
        logits = whole.network(ids[:, :-1]).logits.log_softmax(-1)
    likely = torch.gather(logits, 2, ids[:, 1:, None])
    assert mean_loss(whole.network, rows) == pytest.approx(-float(likely.mean()), rel=1e-5)
