"""Recipes, data order, averages: closed forms and refusals."""

from __future__ import annotations

import pytest
import torch

from genlens.errors import UserError
from genlens.training.ema import Ema
from genlens.training.finetune_data import rows_of, split
from genlens.training.finetune_recipe import FinetuneRecipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, r"`batch` must be an integer >= 1; got 0"),
        ({"batch": 6, "accumulation": 4}, r"`batch` must be a multiple of `accumulation`; got 6 and 4"),
        ({"ema": 1.0}, r"`ema` must be a number"),
        ({"rate": 0.0}, r"`rate` must be a number"),
        ({"rate": float("nan")}, r"`rate` must be a number"),
        ({"min_snr": -1.0}, r"`min_snr` must be a number"),
        ({"caption_dropout": 1.5}, r"`caption_dropout` must be a number in \[0, 1\]; got 1.5"),
        ({"schedule": "step"}, r"`schedule` must be one of constant, linear, cosine"),
        ({"precision": "int8"}, r"`precision` must be one of no, bf16, fp16"),
        ({"times": (0.5, 0.5)}, r"`times` must be two shares, 0 <= least < most <= 1; got"),
        ({"lora_rank": 0}, r"`lora_rank` must be an integer >= 1"),
    ],
)
def test_values_out_of_range(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FinetuneRecipe(**change)  # type: ignore[arg-type]


def test_rates() -> None:
    constant = FinetuneRecipe(steps=10, rate=1.0, warmup=3)
    assert [constant.rate_at(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    linear = FinetuneRecipe(steps=4, rate=1.0, schedule="linear")
    assert [linear.rate_at(step) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]
    cosine = FinetuneRecipe(steps=4, rate=1.0, schedule="cosine")
    assert [cosine.rate_at(step) for step in (0, 2)] == pytest.approx([1.0, 0.5])


def test_only_a_constant_rate_may_be_made_longer() -> None:
    assert FinetuneRecipe(steps=10).identity() == FinetuneRecipe(steps=20).identity()
    short, long = (FinetuneRecipe(steps=steps, schedule="cosine") for steps in (10, 20))
    assert short.identity() != long.identity()


def test_every_epoch_has_every_row_once_whatever_the_batch() -> None:
    rows = [row for step in range(7) for row in rows_of(step, 3, 7, 0)]
    assert all(sorted(rows[epoch * 7 : epoch * 7 + 7]) == list(range(7)) for epoch in range(3))
    assert rows[:7] != rows[7:14]
    assert rows == [row for step in range(3) for row in rows_of(step, 7, 7, 0)]
    assert rows != [row for step in range(7) for row in rows_of(step, 3, 7, 1)]


def test_split() -> None:
    train, kept = split(10, 3, 0)
    assert sorted(train + kept) == list(range(10)) and len(kept) == 3
    assert split(10, 3, 0) == (train, kept) != split(10, 3, 1)
    with pytest.raises(UserError, match="`held_out` must be less than the number of rows, 10; got 10"):
        split(10, 10, 0)


def test_ema_is_the_weighted_sum_and_gives_the_weights_back() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    average, expected = Ema({"w": weight}, 0.5), 0.0
    for step in range(1, 6):
        with torch.no_grad():
            weight.fill_(step)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert average.values["w"].tolist() == pytest.approx([expected] * 2)
    with average.swapped_in():
        assert weight.tolist() == pytest.approx([expected] * 2)
    assert weight.tolist() == [5.0, 5.0]
    other = Ema({"w": weight}, 0.5)
    other.load(average.values)
    assert torch.equal(other.values["w"], average.values["w"])
