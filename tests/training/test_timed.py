"""Training by the clock: the rate of every step, its end, what it prints, and that it goes downhill."""

from __future__ import annotations

import pytest
import torch

from genlens.training import timed
from genlens.training.timed import TimedTraining, warmup_cosine


def test_the_rate_rises_then_falls_to_zero() -> None:
    assert warmup_cosine(0.0) == 0 and warmup_cosine(0.015) == pytest.approx(0.5)
    assert warmup_cosine(0.03) == 1 and warmup_cosine(0.515) == pytest.approx(0.5)
    assert warmup_cosine(1.0) == pytest.approx(0, abs=1e-12) and warmup_cosine(2.0) == pytest.approx(0, abs=1e-12)


def test_it_follows_the_clock(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([100.0, 100.0, 101.0, 105.15, 110.0])
    monkeypatch.setattr(timed.time, "monotonic", lambda: next(clock))
    module = torch.nn.Linear(1, 1)
    training, rates = TimedTraining("line", module, 10.0, 0.2, every=2), []
    for step in training.steps():
        loss = module.weight.square().sum()
        training.update(loss, **({"loss": loss, "more": 2 * loss} if step else {}))
        rates.append(training.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.2 * warmup_cosine(share) for share in (0.0, 0.1, 0.515)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("line     0 s  step 0  loss ") and "more" not in lines[0]
    assert lines[1].startswith("line     5 s  step 2  loss ") and "  more " in lines[1] and len(lines) == 2


def test_it_minimises(capsys: pytest.CaptureFixture[str]) -> None:
    point = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor([3.0]))])
    training = TimedTraining("point", point, 0.4, 0.3, clip=None)
    for _ in training.steps():
        training.update((point[0] - 1).square().sum())
    assert abs(float(point[0].detach()) - 1) < 0.1
