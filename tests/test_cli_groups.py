"""Dataclasses of options that a command takes whole: the command line has their fields, the command gets them made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from genlens.cli.groups import grouped


@dataclass(frozen=True)
class Base:
    steps: Annotated[int, typer.Option(min=1, help="Steps.")] = 4
    tags: Annotated[list[str] | None, typer.Option("--tag", help="Tags.")] = None


@dataclass(frozen=True)
class More(Base):
    fast: Annotated[bool, typer.Option("--fast", help="Quick.")] = False

    def __post_init__(self) -> None:
        if self.fast and self.steps > 9:
            raise typer.BadParameter("--fast takes at most 9 steps.")


@dataclass(frozen=True)
class Needed:
    name: Annotated[str, typer.Option(help="A name.")]


def line(*arguments: str) -> tuple[int, str]:
    """Exit code and output of a command of both kinds of parameter."""
    app = typer.Typer()

    @app.command()
    @grouped
    def draw(
        *,
        caption: str,
        needed: Needed,
        drawing: More,
        seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    ) -> None:
        """Draw."""
        print(caption, needed, drawing, seed)

    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


def test_a_command_gets_its_groups_made() -> None:
    assert line("cat", "--name", "n", "--steps", "7", "--tag", "a", "--tag", "b", "--fast", "--seed", "3") == (
        0,
        f"cat {Needed('n')} {More(7, ['a', 'b'], True)} 3\n",
    )
    assert line("cat", "--name", "n") == (0, f"cat {Needed('n')} {More()} 0\n")


@pytest.mark.parametrize(
    "wrong", [["cat"], ["cat", "--name", "n", "--steps", "0"], ["cat", "--name", "n", "--fast", "--steps", "10"]]
)
def test_a_wrong_value_of_a_field_is_a_wrong_command_line(wrong: list[str]) -> None:
    code, output = line(*wrong)
    assert code == 2 and "Traceback" not in output


def test_two_groups_must_not_share_an_option() -> None:
    def twice(*, one: Base, two: More) -> None:
        """Nothing."""

    with pytest.raises(ValueError, match="duplicate parameter name: 'steps'"):
        grouped(twice)


def test_help_lists_fields_where_the_group_stands() -> None:
    code, output = line("--help")
    places = [output.index(name) for name in ("--name", "--steps", "--tag", "--fast", "--seed")]
    assert code == 0 and places == sorted(places)
