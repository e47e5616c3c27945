"""Formulas: what is one, what is none, what of it is shown while it comes, and that no TeX becomes anything else."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from autonomousai.testing import Pause, ScriptedProvider, answer

from .conftest import Serve, Sit
from .test_looks import PHONE, complaints

pytestmark = pytest.mark.asyncio(loop_scope="package")

#: A text, and the formulas in it, each as it is written.
FORMULAS: dict[str, list[str]] = {
    r"The root \(x = \frac{-b}{2a}\) is it.": [r"\(x = \frac{-b}{2a}\)"],
    r"\[E = mc^2\]": [r"\[E = mc^2\]"],
    "\\[\nE = mc^2\n\\]": ["\\[\nE = mc^2\n\\]"],
    "Hence\n\\[\nE = mc^2\n\\]\nand so on": ["\\[\nE = mc^2\n\\]"],
    "\\[\n\nE = mc^2\n\n\\]": ["\\[\n\nE = mc^2\n\n\\]"],
    "$$\na\n= b\n- c\n+ d\n$$": ["$$\na\n= b\n- c\n+ d\n$$"],
    "$$a$$": ["$$a$$"],
    "So $$a_1*b*c_1$$ it is": ["$$a_1*b*c_1$$"],
    "$a_1$ and $b_1$": ["$a_1$", "$b_1$"],
    "$x$, ($y$): **$z$**!": ["$x$", "$y$", "$z$"],
    "$5$ and $2 + 3 = 5$": ["$5$", "$2 + 3 = 5$"],
    r"$5 \text{ apples}$": [r"$5 \text{ apples}$"],
    r"$\$5 + \$6$": [r"$\$5 + \$6$"],
    "\\begin{align}\na &= b \\\\\n  &= c\n\\end{align}": ["\\begin{align}\na &= b \\\\\n  &= c\n\\end{align}"],
    "\\[\n\\begin{bmatrix} 1 & 2 \\\\[2pt] 3 & 4 \\end{bmatrix}\n\\]": [
        "\\[\n\\begin{bmatrix} 1 & 2 \\\\[2pt] 3 & 4 \\end{bmatrix}\n\\]"
    ],
    "1. First:\n   \\[\n   a < b\n   \\]\n2. Second: $c$": ["\\[\na < b\n\\]", "$c$"],
    "- item\n\n  $$\n  a\n  $$": ["$$\na\n$$"],
    "> quoted\n> $$\n> a\n> $$": ["$$\na\n$$"],
    "| a | b |\n|---|---|\n| $x_1$ | \\(y_1\\) |": ["$x_1$", r"\(y_1\)"],
    "## The case of $n$": ["$n$"],
    "It is *so $a*b$ now*": ["$a*b$"],
    "[see $x$](https://ok.invalid)": ["$x$"],
    "数学$x$公式": [],
    "公式 $x$ 公式，$y$。": ["$x$", "$y$"],
    r"\(a\)\(b\)": [r"\(a\)", r"\(b\)"],
}

#: A text in which there is no formula, and what is shown of it.
PLAIN: dict[str, str] = {
    "It costs $5 and $10.": "It costs $5 and $10.",
    "From $5 to 10$ a month": "From $5 to 10$ a month",
    "Between $5k and $10k; $1,000.50 (or US$1,100) in all": "Between $5k and $10k; $1,000.50 (or US$1,100) in all",
    "It has $20 in it, and that has $30 in it.": "It has $20 in it, and that has $30 in it.",
    "A$AP and Ke$ha": "A$AP and Ke$ha",
    "echo $HOME and $PATH": "echo $HOME and $PATH",
    "$AAPL/$MSFT": "$AAPL/$MSFT",
    "Save $$$ and $$$ more": "Save $$$ and $$$ more",
    "a $ b $ c": "a $ b $ c",
    r"\$5 or \$6": "$5 or $6",
    "`$x$` and `\\(y\\)` and ``$$z$$``": "$x$ and \\(y\\) and $$z$$",
    "Write `\\(` before and `\\)` behind": "Write \\( before and \\) behind",
    "An open \\( and \\[ and $x stay": "An open \\( and \\[ and $x stay",
    "An end \\) alone \\]": "An end \\) alone \\]",
    "Empty $$ $$ and \\(\\)": "Empty $$ $$ and \\(\\)",
}

RENDERED = """
async (texts) => {
  const { render } = await import("/page/markdown.js");
  const { unwrap } = await import("/page/tex.js");
  render("$x$");
  while (render("$x$").querySelector(".formula:not(.drawn)")) await new Promise((done) => setTimeout(done, 10));
  return texts.map((text) => {
    const shown = render(text);
    const formulas = [...shown.querySelectorAll(".formula, .tex")];
    return {
      formulas: formulas.map((each) => each.dataset.tex ?? `undrawn: ${each.textContent}`),
      display: formulas.map((each) => each.querySelector("math").getAttribute("display") === "block"),
      text: shown.textContent.trim(),
    };
  });
}
"""


async def test_formulas_are_drawn_wherever_they_stand(serve: Serve, sit: Sit) -> None:
    """In each of the marks, in lists, tables, quotations, headings and links; several lines of one are nothing of Markdown."""
    reader = await sit(await serve())

    got: list[dict[str, Any]] = await reader.page.evaluate(RENDERED, list(FORMULAS))

    for each, (text, formulas) in zip(got, FORMULAS.items(), strict=True):
        assert formulas == each["formulas"], text
        assert [
            not formula.startswith(("$a", "$b", "$c", "$x", "$y", "$z", "$n", "$5", "$2", "$\\", "\\(")) for formula in formulas
        ] == each["display"], text


async def test_what_is_no_formula_stays_what_it_is(serve: Serve, sit: Sit) -> None:
    """Prices, variables of a shell, code, and marks that stand alone: with their backslashes and dollars."""
    reader = await sit(await serve())

    got: list[dict[str, Any]] = await reader.page.evaluate(RENDERED, list(PLAIN))

    for each, (text, shown) in zip(got, PLAIN.items(), strict=True):
        assert ([], shown) == (each["formulas"], each["text"]), text


PREFIXES = """
async (texts) => {
  const { render } = await import("/page/markdown.js");
  render("$x$");
  while (render("$x$").querySelector(".formula:not(.drawn)")) await new Promise((done) => setTimeout(done, 10));
  const seen = (text, partial) => {
    const shown = render(text, { partial });
    const outside = [...shown.querySelectorAll("*")].filter((each) => !each.closest("math"));
    return { tags: [...new Set(outside.map((each) => each.localName))], drawn: shown.querySelectorAll(".drawn").length };
  };
  const ends = (text) => [...text].map((_, index, all) => all.slice(0, index + 1).join(""));
  return texts.map((text) => [seen(text, false), ends(text).map((begun) => seen(begun, true))]);
}
"""


async def test_half_a_formula_is_no_markdown(serve: Serve, sit: Sit) -> None:
    """Cut at every character: a formula that has not ended is its source, and one that was drawn stays so."""
    reader = await sit(await serve())

    got: list[Any] = await reader.page.evaluate(PREFIXES, list(FORMULAS))

    for (end, begun), text in zip(got, FORMULAS, strict=True):
        drawn = 0
        for each in begun:
            if "|---" not in text:  # a table is text, until its second line has come
                half = {"em"} if "strong" in end["tags"] else set()
                assert set(end["tags"]) | {"p", "span", "h3"} | half >= set(each["tags"]), text
            assert drawn <= each["drawn"], text
            drawn = each["drawn"]
        assert drawn == end["drawn"], text


async def test_a_formula_is_its_source_until_it_has_come(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Then it is drawn, while the text goes on; its typeface comes with it."""
    halfway, later = Pause(), Pause()
    provider.play([r"So \[ \frac{a_1*b", halfway, r"*c_1}{2} \]", later, *answer(" it is.")])
    reader = await sit(await serve())
    await reader.ask("Show me")

    await expect(reader.text.locator(".tex")).to_have_text(r"\[ \frac{a_1*b")
    assert 0 == await reader.text.locator("em").count()
    halfway.release()
    await expect(reader.text.locator("math mfrac")).to_be_visible()
    later.release()
    await reader.whole()

    await expect(reader.text).to_contain_text("it is.")
    await expect(reader.text.locator(".tex")).to_have_count(0)
    assert await reader.page.evaluate("document.fonts.ready.then(() => document.fonts.check('16px STIX2', 'x'))")
    assert [] == await complaints(reader)


async def test_what_is_no_tex_is_its_source(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """A formula with a mistake, one without an end, and one that is too long are shown as they were written."""
    long = "$$" + "x" * 10_001 + "$$"
    provider.play(answer(r"Wrong: \(\frac{1\) and \(\unknowncommand\) and $\left( x$; open: \[ x" + f"\n\n{long}"))
    reader = await sit(await serve())
    await reader.ask("Show me")
    await reader.whole()

    await expect(reader.text.locator(".tex")).to_have_text([r"\(\frac{1\)", r"\(\unknowncommand\)", r"$\left( x$", long])
    await expect(reader.text).to_contain_text(r"open: \[ x")
    await expect(reader.text.locator("math")).to_have_count(0)


TEX_ATTACKS = [
    r"\href{javascript:globalThis.pwned=1}{x}",
    r"\url{javascript:globalThis.pwned=1}",
    r"\includegraphics{https://evil.invalid/x.png}",
    r"\class{send}{x}",
    r"\id{composer}{x}",
    r"\style{position:fixed;inset:0;background:url(https://evil.invalid/x)}{x}",
    r"\data{x=1}{x}",
    r"\htmlData{x=1}{x}",
    r"\color{red;background:url(https://evil.invalid/x)}{x}",
    r"\colorbox{url(https://evil.invalid/x)}{x}",
    r"\text{<script>globalThis.pwned=1</script><img src=x onerror=globalThis.pwned=1>}",
    r"\text{</math><img src=x onerror=globalThis.pwned=1>}",
    r"<mglyph src=x><style><!--</style><img title='--&gt;&lt;img src=1 onerror=globalThis.pwned=1&gt;'>",
    r"\label{composer}x\tag{<img src=x>}",
    r"\def\a{\a\a}\a",
    r"\rule{10000em}{10000em}",
    r"\kern-1000em x",
    r"\raisebox{-1000em}{x}",
    r"\gdef\frac{\text{stolen}}",
    r"\frac{1}{2}",
]

SEEN_IN_MATH = """
(text) => {
  const all = [...text.querySelectorAll(".formula *")];
  return {
    tags: [...new Set(all.map((element) => element.localName))],
    attributes: [...new Set(all.flatMap((element) => element.getAttributeNames()))],
    styles: [...new Set(all.flatMap((element) => [...(element.style ?? [])]))],
    height: text.scrollHeight,
  };
}
"""


async def test_no_tex_becomes_anything_else(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """No link, picture, class or style of an author's, no endless macro, nothing far away, and none changes the next one."""
    provider.play(answer("\n\n".join(f"\\({attack}\\)" for attack in TEX_ATTACKS)))
    reader = await sit(await serve())
    asked: list[str] = []
    reader.context.on("request", lambda request: asked.append(request.url))
    await reader.ask("Attack")
    await reader.whole()
    await expect(reader.text.locator("mfrac")).to_have_count(1)

    seen: dict[str, Any] = await reader.text.evaluate(SEEN_IN_MATH)

    assert not {"a", "img", "script", "style", "maction", "annotation-xml", "mglyph", "semantics"} & set(seen["tags"])
    assert not {"href", "src", "id", "onerror"} & set(seen["attributes"])
    assert [] == [name for name in seen["styles"] if name in {"position", "inset", "top", "left", "background-image"}]
    assert 3_000 > seen["height"]
    assert [] == [url for url in asked if not url.startswith((reader.url, "data:"))]
    assert await reader.page.evaluate("globalThis.pwned ?? null") is None
    await expect(reader.page.locator(".text .send, .text #composer, [data-x]")).to_have_count(0)


async def test_a_copied_formula_is_its_source(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Of the message by its button, of what is selected, and of the formula alone; other text is copied as it is shown."""
    text = "The root \\(x_1\\) of\n\n\\[\na^2\n\\]\n\nis *so*."
    provider.play(answer(text))
    reader = await sit(await serve(), permissions=["clipboard-read", "clipboard-write"])
    await reader.ask("Show me")
    await reader.whole()
    await expect(reader.text.locator("math")).to_have_count(2)

    async def copied(script: str) -> str:
        await reader.page.evaluate(script)
        await reader.page.keyboard.press("ControlOrMeta+c")
        found: str = await reader.page.evaluate("navigator.clipboard.readText()")
        return found

    await reader.answer.get_by_role("button", name="Copy", exact=True).click()
    await expect(reader.page.locator("#announcer")).to_have_text("Copied.")
    assert text == await reader.page.evaluate("navigator.clipboard.readText()")
    whole = await copied("getSelection().selectAllChildren(document.querySelector('.text'))")
    assert ["The root \\(x_1\\) of", "\\[", "a^2", "\\]", "is so."] == [line for line in whole.split("\n") if line]
    assert "\\(x_1\\)" == await copied("getSelection().selectAllChildren(document.querySelector('.text math'))")
    assert "so" == await copied("getSelection().selectAllChildren(document.querySelector('.text em'))")


async def test_a_wide_formula_scrolls_in_its_place(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """On a phone nothing sticks out, and the formula can be reached with the keyboard."""
    provider.play(answer("\\[ " + " + ".join(f"a_{{{n}}}" for n in range(60)) + " \\]"))
    reader = await sit(await serve(), **PHONE)
    await reader.ask("Show me")
    await reader.whole()
    await expect(reader.text.locator("math")).to_be_visible()

    assert await reader.page.locator("#scroller").evaluate("(box) => box.scrollWidth <= box.clientWidth")
    assert await reader.text.locator(".display").evaluate("(box) => box.scrollWidth > box.clientWidth && box.tabIndex === 0")
    assert [] == await complaints(reader)


async def test_temml_is_loaded_for_formulas_alone(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """A page without any asks for nothing of it."""
    provider.play(answer("It costs $5."), answer("$x$"))
    reader = await sit(await serve(), open=False)
    asked: list[str] = []
    reader.context.on("request", lambda request: asked.append(request.url))
    await reader.open()
    await reader.ask("Hello")
    await reader.whole()
    before = [url for url in asked if "temml" in url]

    await reader.ask("And?")
    await expect(reader.text.locator("math")).to_be_visible()

    assert [] == before
    assert [url for url in asked if "temml" in url]
