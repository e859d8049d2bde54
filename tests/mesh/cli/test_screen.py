"""What reaches the terminal."""

from __future__ import annotations

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from mesh.cli import screen
from mesh.errors import NodeUnreachable


def test_control_characters_of_strangers_do_not_reach_the_terminal() -> None:
    text = "red \x1b[31m\x9b31m\a and\r\nütf-8 ✓\u202e"
    assert screen.plain(text) == "red \\x1b[31m\\x9b31m\\x07 and\\r\nütf-8 ✓\\u202e"


def test_only_the_first_line_of_a_text_stands_in_a_table() -> None:
    assert screen.one_line("\n  first\nsecond") == "first"
    assert screen.one_line("") == ""
    assert screen.one_line("x" * 20, chars_max=10) == "x" * 9 + "…"


def test_text_of_strangers_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    made = screen.table("topic", "error")
    made.add_row("[red]a[/red]", ":smile: [/]")
    screen.show(made)
    assert capsys.readouterr().out == "topic        error\n[red]a[/red] :smile: [/]\n"


def test_nothing_that_is_shown_ends_in_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    screen.show(screen.facts([("a", "1"), ("longer", "22")]), screen.titled("below", Text("x")))
    assert capsys.readouterr().out == "a       1\nlonger  22\n\nbelow\n  x\n"


def test_texts_are_never_broken_and_their_further_lines_stand_below_the_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    path = "/srv/" * 10 + "failing.py"
    screen.show(Text(path), screen.facts([("error", f"in {path}\nand\n\nmore")]), screen.titled("below", Text(path)))
    shown = f"{path}\nerror  in {path}\n       and\n\n       more\n\nbelow\n  {path}\n"
    assert capsys.readouterr().out == shown


def test_without_a_terminal_every_row_of_a_table_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    made = screen.table("id>", "names", "error")
    made.add_row("1", screen.stacked("n" * 200, "t" * 300), "e" * 400)
    screen.show(screen.titled("rows", made))
    assert capsys.readouterr().out.splitlines()[3] == f"   1 {'n' * 200}, {'t' * 300} {'e' * 400}"


def test_two_names_in_a_cell_stand_one_below_the_other_where_there_is_a_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    made = screen.table("names")
    made.add_row(screen.stacked("upper", "lower"))
    screen.show(made)
    assert capsys.readouterr().out == "names\nupper\nlower\n"


def test_what_is_too_long_for_a_column_goes_on_below_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    made = screen.table("id>", "name")
    made.add_row("100", "abcdefghijklmnop")
    screen.show(made)
    assert capsys.readouterr().out == " id name\n100 abcdefgh\n    ijklmnop\n"


def test_states_have_colours_on_a_terminal_only() -> None:
    coloured = Console(force_terminal=True, color_system="standard", width=80)
    with coloured.capture() as captured:
        coloured.print(screen.state("dead"), end="")
    assert captured.get() == "\x1b[31mdead\x1b[0m"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(force_terminal=True, color_system="standard", width=80)
    with console.capture() as captured:
        console.print(screen.state("dead"), end="")
    assert captured.get() == "dead"


def test_watching_without_a_terminal_prints_every_look_until_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    looks = iter(["one", "two"])

    def look() -> RenderableType:
        text = next(looks, None)
        if text is None:
            raise KeyboardInterrupt
        return Text(text)

    screen.watch(0.001, look)
    assert capsys.readouterr().out == "one\ntwo\n"


def test_watching_on_a_terminal_goes_on_while_the_node_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Console(force_terminal=True, width=80, record=True, color_system=None)
    monkeypatch.setattr(screen, "console", lambda: out)
    answers: list[object] = ["first", NodeUnreachable("no node answers"), "back", KeyboardInterrupt()]

    def look() -> RenderableType:
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return Text(str(answer))

    screen.watch(0.001, look)
    seen = out.export_text()
    assert [text in seen for text in ("first", "no node answers (still asking)", "back")] == [True, True, True]


def test_watching_fails_when_the_first_look_finds_no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> RenderableType:
        raise NodeUnreachable("no node answers")

    with pytest.raises(NodeUnreachable):
        screen.watch(0.001, look)
