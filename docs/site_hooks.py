"""What MkDocs is told beside mkdocs.yml: the documents at the root become pages, and links between them and docs/ stay right.

On the site, docs/ is the root: README.md is its first page, and ``docs/x.md`` there is ``x.md`` here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

#: Documents outside of docs/, and what they are called on the site.
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md", "LICENSE": "LICENSE.md"}

HERO = """\
---
hide: [navigation, toc]
title: autonomousai
---

<div class="hero" markdown>
![](images/logo.svg){{ width="92" }}
<div markdown>
# {title}

{promise}
</div>
<div class="ways" markdown>
[The first answer](tutorial.md){{ .md-button .md-button--primary }}
[With an OpenAI key](guides/openai-key.md){{ .md-button }}
[With Ollama](guides/ollama.md){{ .md-button }}
[As a gateway](guides/gateway.md){{ .md-button }}
[In pytest](guides/pytest.md){{ .md-button }}
</div>
</div>

"""


def on_config(config: Any) -> Any:
    """One line for all decisions, in the order of their numbers: an author need not say so here."""
    decisions = [f"decisions/{path.name}" for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))]
    _replace(config.nav, "decisions/", ["decisions/README.md", *decisions])
    return config


def _replace(items: list[Any], old: str, new: list[str]) -> None:
    for item in items:
        for name, value in item.items() if isinstance(item, dict) else ():
            if value == old:
                item[name] = new
            elif isinstance(value, list):
                _replace(value, old, new)


def on_files(files: Files, config: Any) -> Files:
    """Add the documents of the root."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        if not name.endswith(".md"):
            text = f"# Licence\n\n{text}"
        if page == "index.md":
            text = _with_hero(text)
        files.append(File.generated(config, page, content=_from_root(text)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links out of docs/ lead to the page that a document of the root has become."""
    for name, target in PAGES.items():
        markdown = re.sub(rf"\]\(((?:\.\./)*)\.\./{re.escape(name)}(#[^)]*)?\)", rf"](\1{target}\2)", markdown)
    return markdown


def _with_hero(text: str) -> str:
    """The first page: the README's title and first paragraph become its head, over the full width."""
    title, promise, rest = text.split("\n\n", 2)
    return HERO.format(title=title.removeprefix("# "), promise=" ".join(promise.split())) + rest


def _from_root(text: str) -> str:
    text = text.replace("](docs/", "](")
    for name, target in PAGES.items():
        text = re.sub(rf"\]\({re.escape(name)}(#[^)]*)?\)", rf"]({target}\1)", text)
    return text
