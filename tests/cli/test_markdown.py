"""Markdown drawn while it comes: the same screen whatever the pieces, and nothing rewritten but a word that moves down."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autonomousai.cli.render.inline import cell_width
from autonomousai.cli.render.markdown import MarkdownStream

_TOKEN = re.compile(r"\x1b\[[\d;]*[A-Za-z]|.", re.DOTALL)


def written(*pieces: str, width: int = 40, colours: bool = True, close: bool = True) -> str:
    """What is written to the terminal for *pieces*, one after the other."""
    out: list[str] = []
    stream = MarkdownStream(out.append, width=lambda: width, colours=colours)
    for piece in pieces:
        stream.feed(piece)
    if close:
        stream.close()
    return "".join(out)


def screen(shown: str) -> list[tuple[str, str]]:
    """A small terminal: each cell's character and style. It knows what the renderer may send, and fails on all else."""
    lines: list[list[tuple[str, str]]] = [[]]
    style = ""
    for token in _TOKEN.findall(shown):
        if token == "\n":
            lines.append([])
        elif token[0] != "\x1b":
            lines[-1] += [(token, style)] + [("", style)] * (cell_width(token) - 1)
        elif token[-1] == "m":
            style = "" if token == "\x1b[0m" else token[2:-1]
        elif token[-1] == "D":
            taken = int(token[2:-1])
            assert taken <= len(lines[-1]), "it moves within the present line alone"
            del lines[-1][-taken:]
        else:
            assert "\x1b[K" == token
    return [cell for line in lines for cell in (*line, ("\n", ""))][:-1]


def text(*pieces: str, **options: object) -> str:
    """The characters on the screen."""
    return "".join(char for char, _ in screen(written(*pieces, **options)))  # type: ignore[arg-type]


def styled(*pieces: str) -> list[tuple[str, str]]:
    """Runs of text and their style, on the screen."""
    runs: list[tuple[str, str]] = []
    for char, style in screen(written(*pieces)):
        if runs and runs[-1][1] == style:
            runs[-1] = (runs[-1][0] + char, style)
        else:
            runs.append((char, style))
    return runs


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("plain", "plain\n"),
        ("a\nb\n", "a\nb\n"),
        ("# Title", "Title\n"),
        ("#hashtag", "#hashtag\n"),
        ("- one\n* two\n+ three\n", "• one\n• two\n• three\n"),
        ("1. one\n  12) two\n", "1. one\n  12) two\n"),
        ("1984 was a year", "1984 was a year\n"),
        ("> said\n> > and said\n", "│ said\n│ │ and said\n"),
        ("---\n", "─" * 39 + "\n"),
        ("a **b** *c* _d_ `e` ~~f~~", "a b c d e f\n"),
        ("***a*** and **a *b***", "a and a b\n"),
        ("2 * 3 * 4 and snake_case_name and 5*x*2", "2 * 3 * 4 and snake_case_name and 5*x*2\n"),
        ("use **kwargs here\n", "use **kwargs here\n"),
        ("``a ` b`` and a lone ` tick", "a ` b and a lone ` tick\n"),
        (r"\*not\* italic, C:\dir", "*not* italic, C:\\dir\n"),
        ("[here](http://x.org/a_(b)) [x] [y](", "here (http://x.org/a_(b)) [x] [y](\n"),
        ("<http://x.org>", "<http://x.org>\n"),
        ("```py\nx = 1\n\n  y\n```\nz", "```py\nx = 1\n\n  y\n```\nz\n"),
        ("```\nnever closed", "```\nnever closed\n"),
        ("- a\n  ```\n  code\n  ```\n", "• a\n  ```\n  code\n  ```\n"),
        ("| not a table\nx", "| not a table\nx\n"),
        ("\ttabbed", "    tabbed\n"),
        ("", ""),
    ],
)
def test_what_is_shown(given_text: str, shown: str) -> None:
    """Marks are drawn where they are marks, and stay where they are none."""
    assert shown == text(given_text)


def test_emphasis_where_words_have_no_spaces_between_them() -> None:
    """Characters of Chinese, Japanese and Korean do not hold a mark back, as letters do; an underscore stays within words."""
    assert [("これは", ""), ("重要", "1"), ("な", ""), ("点", "3"), ("です_a_\n", "")] == styled("これは**重要**な*点*です_a_")
    assert [("テスト（括弧）", "1"), ("の", ""), ("旧", "9"), ("2**3**4\n", "")] == styled("**テスト（括弧）**の~~旧~~2**3**4")


def test_styles() -> None:
    """Bold, italics, code and headings are styled, and what follows them is not."""
    assert [("a", "1"), (" ", ""), ("b", "3"), (" ", ""), ("c", "36"), (" ", ""), ("d", "9"), ("\n", "")] == styled(
        "**a** *b* `c` ~~d~~"
    )
    assert [("Title", "1;4"), ("\nnext\n", "")] == styled("# Title\nnext")


def test_code_is_coloured_by_its_language() -> None:
    """Keywords, strings and comments have colours of their own, also in a string that began lines above."""
    runs = styled('```python\ndef f():\n    """One\n    two"""  # three\n```')

    assert ("def", "35") in runs
    assert any(words.strip().startswith("two") and style == "32" for words, style in runs)
    assert ("# three", "90") in runs


@pytest.mark.parametrize("language", ["", "no-such-language", "python title=x", "{.python}"])
def test_any_language_is_taken(language: str) -> None:
    """What Pygments does not know is shown as it is."""
    assert f"```{language}\nx = 1\n```\n" == text(f"```{language}\nx = 1\n```")


def test_without_colours_only_weights_are_left() -> None:
    """With NO_COLOR bold stays bold, and nothing is coloured."""
    shown = written("**a** `b`\n```python\ndef f(): pass\n```\n", colours=False)

    assert {"\x1b[1m", "\x1b[0m"} == set(re.findall(r"\x1b\[[\d;]*m", shown))


def test_words_that_do_not_fit_move_to_the_next_line() -> None:
    """Lines break between words, and an item's next line stands under its text."""
    shown = text(*"- one two three four five six seven eight", width=20)

    assert "• one two three\n  four five six\n  seven eight\n" == "\n".join(line.rstrip() for line in shown.split("\n"))


def test_a_word_longer_than_the_line_is_left_to_the_terminal() -> None:
    """An address is not broken by us: it can be copied whole."""
    address = "https://example.org/" + "x" * 60

    assert address in text(*f"see {address} there", width=30)


def test_wide_characters_take_two_columns() -> None:
    """Chinese and Japanese text breaks between any two characters, at the right place."""
    lines = text("日本語のテキストはどこでも折り返せます", width=21).splitlines()

    assert [20, 18] == [cell_width(line) for line in lines]


def test_a_table_is_aligned_when_it_is_whole() -> None:
    """Columns are aligned as their head says, wide characters are counted, and marks inside are drawn."""
    rows = "| Name | Count |\n|:-----|------:|\n| **a** | 1 |\n| 日本 | 12 |\n| x \\| y | |\n"

    assert "Name  │ Count\n──────┼──────\na     │     1\n日本  │    12\nx | y │      \nafter\n" == text(rows + "after")


def test_a_table_wider_than_the_terminal_is_broken_into_lines() -> None:
    """No line is longer than the terminal, and every word is there."""
    rows = "| Key | About |\n|---|---|\n| a | " + "word " * 20 + "|\n"
    lines = text(rows, width=30).splitlines()

    assert all(cell_width(line) < 30 for line in lines)
    assert 20 == "".join(lines).count("word")


def test_the_width_may_change_in_the_midst() -> None:
    """After a resize the next line is as long as the terminal is by then."""
    out: list[str] = []
    width = 20
    stream = MarkdownStream(out.append, width=lambda: width, colours=False)
    stream.feed("one two three four five ")
    width = 60
    stream.feed("six seven eight nine ten eleven")
    stream.close()

    assert ["one two three four", "five six seven eight nine ten eleven"] == [
        line.rstrip() for line in "".join(char for char, _ in screen("".join(out))).splitlines()
    ]


def test_plain_words_are_shown_at_once() -> None:
    """A word is not held back until the next one, nor the space behind it."""
    assert "One, two, " == written("One, ", "two, ", close=False)


def test_what_is_not_decided_is_held_back_and_never_lost() -> None:
    """The beginning of a bold word waits for its end; where none comes it is shown as it is."""
    assert "a " == written("a **bo", close=False)
    assert "a **bo\n" == written("a **bo")
    assert "| a | b |\n" == written("| a | b |")


FORMULAS = [
    r"\(a_1 * b_2 * c\)",
    r"Let \( x \in \{1, 2\} \) and \(y\_z\), so.",
    r"\[ \left[ \frac{-b \pm \sqrt{b^2}}{2a} \right] \]",
    r"$x$ and $a_{1}^*b^*$, $\{y\}$ and $9.8 \, \text{m/s}^2$ and $10^{-3}\,m$",
    r"$$\{x\}$$ and $$ *y* \\ z $$",
    r"\begin{align*} a &= b \\ c &= *d* \end{align*}",
    "\\[\n  - a_1 \\\\\n  # \\{b\\} *c*\n\\]",
    "$$\n\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}\n> 0\n$$",
    "that is \\[ x\n= *y* \\]",
    "\\begin{cases}\n1. \\\\\n\\end{cases}",
    r"\(never *closed",
    r"a lone \] and \)",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_come_through_as_they_are(formula: str) -> None:
    """Backslashes, stars and underlines of LaTeX are no marks of Markdown, on one line or on several."""
    assert f"{formula}\n" == text(formula, width=200)
    assert f"{formula}\n" == text(*formula, width=200)


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        (r"\(x\) **b** \_", r"\(x\) b _"),
        (r"**b \(a**c\)** *i*", r"b \(a**c\) i"),
        ("\\[\nx_1\n\\] so **b**\n- c", "\\[\nx_1\n\\] so b\n• c"),
        ("\\[ never closed\n*x*\n\n*y*", "\\[ never closed\n*x*\n\ny"),
        ("> \\[\n> - x\n> \\]\n> *y*", "│ \\[\n│ - x\n│ \\]\n│ y"),
        ("- \\[\n  - x\n  \\]\n- y", "• \\[\n  - x\n  \\]\n• y"),
        ("| $a_1$ | \\(b\\) |\n|---|---|\n| $\\{x\\}$ | *y* |", "$a_1$   │ \\(b\\)\n────────┼──────\n$\\{x\\}$ │ y"),
        ("$5 is *less* than $6, **$7** and \\$8", "$5 is less than $6, $7 and $8"),
        ("$1,000.50 or $2M *a year*", "$1,000.50 or $2M a year"),
        ("a $ is *money*, and so is `a$b`", "a $ is money, and so is a$b"),
        ("$HOME is `$x` and *so* on", "$HOME is $x and so on"),
        ("- $$ – *cheap*\n- $$$ – *dear*", "• $$ – cheap\n• $$$ – dear"),
    ],
)
def test_what_is_no_formula_is_drawn(given_text: str, shown: str) -> None:
    """Beside formulas marks are marks, and a price begins none."""
    assert f"{shown}\n" == text(given_text)
    assert f"{shown}\n" == text(*given_text)


def test_words_behind_a_price_are_shown_at_once() -> None:
    """A `$` that may begin a formula holds nothing back but the marks behind it, and a price not even those."""
    assert "It costs $5 a month, " == text("It costs $5 a month, ", close=False)
    assert "It costs $5, not more, " == text("It costs $5, *not* more, ", close=False)
    assert "The set $x " == text("The set $x *y", close=False)


FAR_MARKS = [("**", "**"), ("`", "`"), ("[", "](u)"), ("\\(", "\\)"), ("a $$", "$$"), ("$a *", "*$"), ("\\[*", "*\\]")]


@pytest.mark.parametrize("words", [78, 79, 80, 90])
@pytest.mark.parametrize(("begin", "end"), FAR_MARKS)
def test_a_mark_is_closed_near_by_whatever_the_pieces(begin: str, end: str, words: int) -> None:
    """One that is not closed within 400 characters is text, in an answer that came whole too."""
    given_text = f"{begin}{'word ' * words}x{end} *y*"

    assert screen(written(given_text)) == screen(written(*given_text))


@pytest.mark.parametrize(
    "given_text",
    ["**a `b** c` d**", r"**a \(b** c\) d**", "___", "> ___\n", f"see {'x' * 60} there", f"{'x' * 78} y", f"🦀🦀{'x' * 40}"],
)
def test_the_pieces_do_not_matter_where_they_once_did(given_text: str) -> None:
    """A star inside code that has not ended, a rule that begins as a mark, a word longer than the line, one of emoji."""
    assert screen(written(given_text)) == screen(written(*given_text))


PIECES = st.sampled_from(
    [
        *("**", "*", "_", "`", "```", "~~", "[t](http://x)", "[", "](", ")", "\\"),
        *("\n", "\n\n", "\r\n", "# ", "- ", "1. ", "> ", "| a | b |\n", "|---|--:|\n", "---\n", "    "),
        *("$", "$$", "$5", "\\(", "\\)", "\\[", "\\]", "\\begin{a}", "\\end{a}"),
        *(" ", "word", "日本", "x_y", "🦀", "é", "```python\n", "def f(): # c"),
    ]
)


@given(st.lists(PIECES, max_size=25), st.data(), st.integers(12, 60))
def test_the_pieces_do_not_matter(parts: list[str], data: st.DataObject, width: int) -> None:
    """However the text is cut, the screen is the same in the end."""
    whole = "".join(parts).replace("\r\n", "\n")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=len(whole))))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    assert screen(written(whole, width=width)) == screen(written(*pieces, width=width))


@given(st.text(alphabet="ab *_`[]()#>-|\\~$\n日", max_size=80))
def test_no_word_is_lost(given_text: str) -> None:
    """Whatever stands between the marks is on the screen."""
    shown = text(given_text)

    assert [char for char in given_text if char in "ab日"] == [char for char in shown if char in "ab日"]
