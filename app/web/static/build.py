"""Makes `nhsuk.css` (and its `.gz`) from the published nhsuk-frontend package.

    npm pack nhsuk-frontend@10.6.1
    python app/web/static/build.py nhsuk-frontend-10.6.1.tgz

What must stay true: no font or other file is fetched from anywhere (the Frutiger faces are licensed to the NHS and dropped),
and only the components of `KEPT` stay, so that a page with its style is small. Add a component here when a page first uses it.
"""

import gzip
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

VERSION = "10.6.1"
KEPT = """
    back-link body button button-group caption card checkboxes date-input details error-message error-summary fieldset footer
    form-group frontend-supported grid header heading hint input inset-text label lede-text link list main-wrapper
    notification-banner pagination panel radios section-break select skip-link summary-list table tag task-list template
    textarea u warning-callout width-container
""".split()
_BLOCK = re.compile(r"\.nhsuk-([a-z]+(?:-[a-z]+)*)")
_HACKS = ("-ms-high-contrast:none", "screen\\0")


def _split(css: str) -> Iterator[tuple[str, str]]:
    """Top-level rules as (prelude, body). A statement without a body, such as `@charset`, has an empty one."""
    at = 0
    while at < len(css):
        brace, semicolon = css.find("{", at), css.find(";", at)
        if brace < 0:
            return
        if 0 <= semicolon < brace:
            yield css[at:semicolon], ""
            at = semicolon + 1
            continue
        depth, end = 1, brace + 1
        while depth:
            depth += {"{": 1, "}": -1}.get(css[end], 0)
            end += 1
        yield css[at:brace], css[brace + 1 : end - 1]
        at = end


def _kept(selector: str) -> bool:
    """Whether every nhsuk class that the selector names is of a kept component."""
    return all(any(name == block or name.startswith(f"{block}-") for block in KEPT) for name in _BLOCK.findall(selector))


def _selectors(prelude: str) -> Iterator[str]:
    depth, start = 0, 0
    for at, character in enumerate(prelude):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if character == "," and not depth:
            yield prelude[start:at]
            start = at + 1
    yield prelude[start:]


def prune(css: str) -> str:
    """`css` without fonts, old-browser hacks and components that no page uses; neighbours under the same media query are joined."""
    kept: list[tuple[str, str]] = []
    for prelude, body in _split(css):
        if prelude.startswith(("@font-face", "@charset")) or any(hack in prelude for hack in _HACKS):
            continue
        if prelude.startswith("@"):
            inner = prune(body)
            if inner and kept and kept[-1][0] == prelude:
                kept[-1] = (prelude, kept[-1][1] + inner)
            elif inner:
                kept.append((prelude, inner))
        elif wanted := ",".join(selector for selector in _selectors(prelude) if _kept(selector)):
            kept.append((wanted, body))
    return "".join(f"{prelude}{{{body}}}" for prelude, body in kept)


def build(package: Path) -> bytes:
    """The style sheet of the package at `package` (the `.tgz` of npm), pruned, in Arial."""
    with tarfile.open(package) as archive:
        member = archive.extractfile("package/dist/nhsuk/nhsuk-frontend.min.css")
        if member is None:
            raise SystemExit(f"{package} holds no style sheet.")
        css = member.read().decode()
    css = prune(css).replace("Frutiger W01,arial", "arial")
    return f"/* nhsuk-frontend {VERSION}, MIT, see LICENSES.md; pruned by build.py */\n{css}\n".encode()


if __name__ == "__main__":
    here = Path(__file__).parent
    style = build(Path(sys.argv[1]))
    (here / "nhsuk.css").write_bytes(style)
    sys.stdout.write(f"{len(style)} bytes, {len(gzip.compress(style, 9))} compressed\n")
