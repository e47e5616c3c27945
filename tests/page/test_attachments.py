"""Files that go with a question: texts and PDFs, read in the browser; picked, dropped and pasted; what is none is refused."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pypdf
import pytest
from playwright.async_api import expect

from autonomousai.testing import ScriptedProvider
from tests.cli.test_files_and_schema import pdf
from tests.support.browser import Reader

from .conftest import Serve, Sit
from .test_looks import PHONE, complaints

pytestmark = pytest.mark.asyncio(loop_scope="package")

#: What another program puts on the clipboard, or drags: texts by their types, and files, each `[name, type, base64]`.
TRANSFER = """
([kind, texts, files]) => {
  const transfer = new DataTransfer();
  for (const [type, text] of Object.entries(texts)) transfer.setData(type, text);
  for (const [name, type, data] of files) {
    transfer.items.add(new File([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], name, { type }));
  }
  const input = document.querySelector("#input");
  const options = { bubbles: true, cancelable: true };
  if (kind === "paste") return input.dispatchEvent(new ClipboardEvent(kind, { ...options, clipboardData: transfer }));
  document.body.dispatchEvent(new DragEvent("dragover", { ...options, dataTransfer: transfer }));
  return document.body.dispatchEvent(new DragEvent("drop", { ...options, dataTransfer: transfer }));
}
"""


async def bring(reader: Reader, kind: str, texts: dict[str, str], *files: tuple[str, str, bytes]) -> bool:
    """Paste or drop; whether it is left to the browser to do what it does with it."""
    encoded = [[name, media, base64.b64encode(data).decode()] for name, media, data in files]
    left: bool = await reader.page.evaluate(TRANSFER, [kind, texts, encoded])
    return left


async def pick(reader: Reader, **files: bytes) -> None:
    """Pick files by the button; `_` in a name stands for its point."""
    given: list[Any] = [
        {"name": name.replace("_", "."), "mimeType": "application/octet-stream", "buffer": data} for name, data in files.items()
    ]
    await reader.page.locator("#attach-file").set_input_files(given)


async def test_texts_and_pdfs_go_before_the_question(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """Several, each between tags with its name; they are kept with the question, over a reload, an export, and an edit."""
    reader = await sit(await serve())

    await pick(
        reader, notes_txt="\ufeffGrün\r\nRot".encode(), old_csv="Größe".encode("cp1252"), wide_txt="weit".encode("utf-16")
    )
    await pick(reader, report_pdf=pdf("Sales fell."))
    chips = reader.page.locator(".chip")
    await expect(chips).to_have_text(
        ["notes.txt13 B", "old.csv5 B", "wide.txt10 B", "report.pdf" + size(len(pdf("Sales fell.")))]
    )
    await reader.button("Remove “wide.txt”").click()
    await expect(chips).to_have_count(3)
    assert [] == await complaints(reader)
    await reader.ask("Why?")
    await reader.whole()
    await reader.page.reload()
    await reader.page.locator(".file summary").first.click()
    await expect(reader.page.locator(".file pre").first).to_have_text("Grün\nRot")
    assert [] == await complaints(reader)
    await reader.input.press("ArrowUp")
    await reader.page.get_by_label("Edit your message").fill("Why not?")
    await reader.page.keyboard.press("Enter")
    await reader.whole()

    files = [("notes.txt", "Grün\nRot"), ("old.csv", "Größe"), ("report.pdf", "Sales fell.")]
    before = "".join(f'<file name="{name}">\n{text}\n</file>\n\n' for name, text in files)
    assert [before + "Why?", before + "Why not?"] == [call.messages[-1]["content"] for call in provider.calls]
    async with reader.page.expect_download() as downloading:
        await reader.button("Export all").click()
    document = json.loads((await (await downloading.value).path()).read_text(encoding="utf-8"))
    assert files == [(file["name"], file["text"]) for file in document["conversations"][0]["messages"][0]["files"]]


def size(count: int) -> str:
    """As the page writes it."""
    return f"{count} B"


async def test_files_alone_are_a_question(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """It is called by the name of the first; a name cannot end the tag around it."""
    reader = await sit(await serve())
    await pick(reader, **{'a"b_txt': b"text"})
    await expect(reader.page.locator(".chip")).to_have_count(1)

    await reader.button("Send").click()
    await reader.whole()

    assert '<file name="a\'b.txt">\ntext\n</file>' == provider.calls[0].messages[0]["content"]
    await expect(reader.page.locator("#title")).to_have_text('a"b.txt')


def locked() -> bytes:
    """A PDF that wants a password."""
    writer = pypdf.PdfWriter(io.BytesIO(pdf("Sales fell.")))
    writer.encrypt("sesame", algorithm="RC4-128")
    held = io.BytesIO()
    writer.write(held)
    return held.getvalue()


REFUSED: dict[str, tuple[dict[str, bytes], str]] = {
    "binary": (
        {"photo_zip": b"PK\x03\x04\0\0"},
        "“photo.zip” is neither a text nor a PDF. Save it as one of them, then attach it.",
    ),
    "empty": ({"nothing_txt": b" \n"}, "“nothing.txt” is empty."),
    "too large": ({"big_log": b"x" * 5_000_001}, "“big.log” has 5 MB; at most 5 MB can be read. A part of it will do."),
    "no text": ({"scan_pdf": pdf("")}, "“scan.pdf” holds no text, only pictures of it."),
    "locked": ({"secret_pdf": locked()}, "“secret.pdf” is locked with a password. Save a copy without one, then attach it."),
    "damaged": ({"half_pdf": b"%PDF-1.4\nnothing"}, "“half.pdf” cannot be read: it is no PDF, or a damaged one."),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_neither_text_nor_pdf_is_refused(case: str, serve: Serve, sit: Sit) -> None:
    """In a sentence that says what would do; what came with it is attached."""
    files, words = REFUSED[case]
    reader = await sit(await serve())

    await pick(reader, **files, fine_txt=b"fine")

    await expect(reader.page.locator("#notice")).to_contain_text(words)
    await expect(reader.page.locator(".chip")).to_have_text(["fine.txt4 B"])


async def test_a_pdf_may_have_30_megabytes(serve: Serve, sit: Sit) -> None:
    """One byte more is refused before it is read; it is made in the browser, to which bringing it would take its time."""
    reader = await sit(await serve())

    await reader.page.evaluate(
        """() => {
          const files = new DataTransfer();
          files.items.add(new File(["%PDF-1.7", new Uint8Array(30_000_001 - 8)], "atlas.pdf"));
          document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: files }));
        }"""
    )

    await expect(reader.page.locator("#notice")).to_contain_text("“atlas.pdf” has 30 MB; at most 30 MB can be read.")


async def test_the_files_of_a_conversation_have_a_limit(serve: Serve, sit: Sit) -> None:
    """Two million characters in all, those that were sent included."""
    reader = await sit(await serve())
    await pick(reader, one_txt=b"x" * 1_500_000)
    await expect(reader.page.locator(".chip")).to_have_count(1)
    await reader.ask("Read it")
    await reader.whole()

    await pick(reader, two_txt=b"y" * 600_000)

    await expect(reader.page.locator("#notice")).to_contain_text("more than 2,000,000 characters together")
    await expect(reader.page.locator(".chip")).to_have_count(0)


PNG = ("image.png", "image/png", b"\x89PNG")


async def test_text_wins_over_its_picture_on_the_clipboard(serve: Serve, sit: Sit) -> None:
    """Spreadsheets and word processors bring both; a file of a file manager brings its name as text, and is the file."""
    reader = await sit(await serve())

    cells = await bring(reader, "paste", {"text/plain": "a\tb\n1\t2", "text/html": "<table></table>"}, PNG)
    await expect(reader.page.locator("#notice")).to_be_hidden()
    file = await bring(reader, "paste", {"text/plain": "/home/ann/notes.txt\n"}, ("notes.txt", "text/plain", b"notes"))

    assert (True, False) == (cells, file)
    await expect(reader.page.locator(".chip")).to_have_text(["notes.txt5 B"])
    await bring(reader, "paste", {"text/html": "<img src=x>"}, PNG)
    await expect(reader.page.locator("#notice")).to_contain_text("This model cannot see images.")


async def test_a_long_text_that_is_pasted_is_a_file(serve: Serve, sit: Sit, provider: ScriptedProvider) -> None:
    """From 5,000 characters on; it can be put into the message after all."""
    reader = await sit(await serve())
    assert await bring(reader, "paste", {"text/plain": "x" * 4999})
    await bring(reader, "paste", {"text/plain": "y" * 5000})
    await bring(reader, "paste", {"text/plain": "z" * 6000})
    chips = reader.page.locator(".chip")
    await expect(chips).to_have_text(["pasted-1.txt5 KB", "pasted-2.txt6 KB"])

    await chips.nth(0).get_by_role("button", name="Put it into the message").click()
    await expect(reader.input).to_have_value("y" * 5000)
    await reader.ask("What is it?")
    await reader.whole()

    assert '<file name="pasted-2.txt">\n' + "z" * 6000 + "\n</file>\n\nWhat is it?" == provider.calls[0].messages[0]["content"]


async def test_files_may_be_dropped_anywhere(serve: Serve, sit: Sit) -> None:
    """The browser does not leave the page for them; a text that is dragged is the browser's."""
    reader = await sit(await serve())

    dropped = await bring(reader, "drop", {}, ("a.txt", "text/plain", b"a"), ("b.py", "", b"b"))
    dragged = await bring(reader, "drop", {"text/plain": "some words"})

    assert (False, True) == (dropped, dragged)
    await expect(reader.page.locator(".chip")).to_have_text(["a.txt1 B", "b.py1 B"])
    await expect(reader.page.locator("#composer")).not_to_have_class("dropping")


async def test_pdf_js_is_loaded_for_pdfs_alone(serve: Serve, sit: Sit) -> None:
    """And nothing else than the page's own files for it."""
    reader = await sit(await serve())
    asked: list[str] = []
    reader.context.on("request", lambda request: asked.append(request.url))
    await pick(reader, notes_txt=b"notes")
    await expect(reader.page.locator(".chip")).to_have_count(1)
    before = list(asked)

    await pick(reader, report_pdf=pdf("Sales fell."))
    await expect(reader.page.locator(".chip")).to_have_text(["notes.txt5 B", "report.pdf586 B"])

    assert [] == before
    assert (
        {"pdf-text.js", "pdf.min.mjs"}
        <= {Path(url).name for url in asked}
        <= {"pdf-text.js", "pdf.min.mjs", "pdf.worker.min.mjs"}
    )
    assert all(url.startswith(reader.url) for url in asked)


async def test_each_conversation_has_its_own(serve: Serve, sit: Sit) -> None:
    """What is attached in one is not sent in another, and is there when one comes back."""
    reader = await sit(await serve())
    await reader.ask("First")
    await reader.whole()
    await pick(reader, notes_txt=b"notes")
    await expect(reader.page.locator(".chip")).to_have_count(1)

    await reader.button("New conversation").click()
    await expect(reader.page.locator(".chip")).to_have_count(0)
    await reader.conversation("First").click()

    await expect(reader.page.locator(".chip")).to_have_count(1)


async def test_files_fit_a_phone(serve: Serve, sit: Sit) -> None:
    """With long names too: nothing sticks out."""
    reader = await sit(await serve(), **PHONE)
    await pick(reader, **{"n" * 120 + "_txt": b"text", "short_txt": b"text"})
    await expect(reader.page.locator(".chip")).to_have_count(2)
    assert [] == await complaints(reader)
    await reader.button("Send").tap()
    await reader.whole()

    assert await reader.page.locator("#scroller").evaluate("(box) => box.scrollWidth <= box.clientWidth")
    assert await reader.page.locator("main").evaluate("(box) => box.scrollWidth <= box.clientWidth")
    assert [] == await complaints(reader)
