"""Figures with matplotlib."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genlens.errors import UserError
from genlens.reports import plots

RESULT_PLOTS = (plots.plot_ranking, plots.plot_repeats)


def drawn(axes: Axes) -> bytes:
    buffer = io.BytesIO()
    axes.figure.savefig(buffer, format="png")
    return buffer.getvalue()


@pytest.mark.parametrize("plot", RESULT_PLOTS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(names=["tv"]),
        dict(names=[f"a long concept name with a number {k}" for k in range(40)]),
        dict(names=["$x^2$", "\\frac{"]),
        dict(ci_low=np.full(6, np.nan), ci_high=np.full(6, np.nan), q_value=np.full(6, np.nan)),
        dict(repeats=np.full((6, 4), np.nan), importance=np.full(6, np.nan)),
    ],
)
def test_result_plots_return_axes_and_leave_no_figure_behind(invent, plot, changes: dict) -> None:
    result = invent(**changes)
    before = plt.get_fignums()
    axes = plot(result)
    assert isinstance(axes, Axes)
    assert drawn(axes).startswith(b"\x89PNG")
    assert plt.get_fignums() == before
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == result.ranking()["concept"].tolist()
    assert axes.yaxis_inverted()


@pytest.mark.parametrize("plot", RESULT_PLOTS)
def test_given_axes_are_used(invent, plot) -> None:
    axes = Figure().add_subplot()
    assert plot(invent(), axes) is axes
    assert plot(invent(), ax=axes) is axes


def test_result_plot_draws_the_ranking(invent) -> None:
    axes = invent().plot()
    assert axes.get_xlabel() == "Importance: fall of AUROC when permuted, 95% interval over rows"


def test_weak_concepts_are_hollow(invent) -> None:
    axes = plots.plot_ranking(invent())
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"]
    assert faces == [plots.BLUE] * 4 + ["white"] * 2


def test_independent_permutation_heat_map(invent_checks) -> None:
    names = ["a", "b", "$c$"]
    check = invent_checks(names, ("passed", "failed", "passed"))[1]
    axes = plots.plot_independent_permutation(check)
    assert drawn(axes).startswith(b"\x89PNG")
    np.testing.assert_allclose(axes.images[0].get_array(), check.matrix)
    assert "\N{MINUS SIGN}.31" in [text.get_text() for text in axes.texts]
    large = invent_checks([f"c{k}" for k in range(30)], ("passed", "passed", "passed"))[1]
    assert not plots.plot_independent_permutation(large).texts


def test_effective_generation(invent_checks) -> None:
    check = invent_checks(["a", "b"], ("failed", "passed", "passed"))[0]
    axes = plots.plot_effective_generation(check)
    assert drawn(axes).startswith(b"\x89PNG")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["target", "a", "b"]


def test_what_is_missing_is_named(invent, invent_checks) -> None:
    reproducible = invent_checks(["a", "b"], ("passed", "passed", "passed"))[2]
    with pytest.raises(UserError, match="'reproducible-generation' has no matrix to plot"):
        plots.plot_independent_permutation(reproducible)
    with pytest.raises(UserError, match="'reproducible-generation' has no scores on real and generated images"):
        plots.plot_effective_generation(reproducible)
    with pytest.raises(UserError, match="no sampled permutations to plot; repeat it with `n_repeats` >= 1"):
        plots.plot_repeats(invent(repeats=np.zeros((6, 0))))
