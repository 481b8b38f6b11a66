"""Runs the README's and the documentation's blocks, as printed, page by page.

`python tests/pages.py docs/tutorials/*.md` runs those pages and puts the pictures that their code
writes beside them, in place of those that they show.

A page's blocks run in their order, from an empty namespace that they share, in an empty folder:

- ```python runs as it stands;
- ```console runs the commands behind `$`, `mvae-tf` in this process and others in a shell;
- ```text below a block shows what it printed, as do a ```console block's other lines: to within a
  quarter where numbers are not whole, with any times, and with `...` for lines that are left out;
- a block below `<!-- not run: the reason -->` doesn't run, and every ```bash block is such a one;
  one below `<!-- run where MNIST is at hand -->` runs there.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

import mvae_tf
from mvae_tf.commands import program

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+\.png)\)")

_MARK = re.compile(r"<!-- (not run: \S[^>]*|run where MNIST is at hand) -->\s*\Z")
_NUMBER = re.compile(r"\d+(?::\d\d)+|\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?")


def parse(path: Path) -> Document:
    """Return a page's blocks."""
    others = (CodeBlockParser(language, _run_here) for language in ("console", "text", "bash"))
    return Document.parse(str(path), PythonCodeBlockParser(), *others)


def run(path: Path) -> list[str]:
    """Run a page's blocks in the current folder, which should be empty.

    Returns:
        Why blocks were left out, one reason each.

    Raises:
        AssertionError: a command fails, or what is printed differs from what the page shows.
        Exception: whatever a block raises.
    """
    document, left_out = parse(path), []
    printed = None  # by the block above; None where it didn't run
    for example in document.examples():
        language, reason = _language(example), _reason(document, example)
        if reason:
            left_out.append(reason)
            printed = None
        elif language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                example.evaluate()
            printed = printed.getvalue()
        elif language == "console":
            for command, shown in commands(example.parsed):
                printed = _output(command)
                _require_alike(shown, printed, f"{_place(example)}, {command}")
        elif language == "text":
            if printed is not None:
                _require_alike(example.parsed, printed, _place(example))
        else:
            raise AssertionError(f"{_place(example)}: expected a mark why {language} isn't run.")
    return left_out


def commands(block: str) -> list[tuple[str, str]]:
    """Return the commands of a console block, and what it shows of each one's output."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    assert len(parts) > 1 and not parts[0], f"Expected a command behind $. Received: {block}"
    pattern = re.compile(r"((?:.*\\\n)*.*)\n?((?:.*\n?)*)")
    return [pattern.fullmatch(part).groups() for part in parts[1:]]


def is_alike(shown: str, printed: str) -> bool:
    """Say whether one line shows the other; see the module's docstring."""
    if _NUMBER.sub("#", shown).split() != _NUMBER.sub("#", printed).split():
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return all(map(_near, *zip(*pairs, strict=True))) if _NUMBER.search(shown) else True


def _near(shown, printed):
    if ":" in shown or ":" in printed:
        return ":" in shown and ":" in printed
    expected, received = (float(number.replace(",", "")) for number in (shown, printed))
    if not set(shown + printed) & set(".e"):
        return expected == received
    last_digit = 10.0 ** -len(shown.partition(".")[2])
    return abs(received - expected) <= max(abs(expected) / 4, last_digit)


def _require_alike(shown, printed, place):
    lines = iter(printed.splitlines())
    missing = [
        line
        for line in shown.splitlines()
        if line.strip() not in ("", "...") and not any(is_alike(line, other) for other in lines)
    ]
    assert not missing, f"{place}: expected\n{shown}\nReceived:\n{printed}"


def _output(command):
    words = shlex.split(command, comments=True)
    if words[:3] == ["python", "-m", "mvae_tf"]:
        words = ["mvae-tf", *words[3:]]
    if words[0] == "mvae-tf":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            status = program.main(words[1:])
        printed = re.sub(r".*\r", "", printed.getvalue())  # of a bar, what stands there at last
        assert status == 0, f"{command}\n{printed}"
        return printed
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    done = subprocess.run(
        command,
        shell=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": path},
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def _language(example: Example):
    opening = example.document.text[example.region.start :].lstrip().partition("\n")[0]
    return opening.strip("` ")


def _reason(document, example):
    mark = _MARK.search(document.text[: example.region.start])
    if mark is None or (mark[1].startswith("run where") and _mnist_is_at_hand()):
        return None
    return mark[1].removeprefix("not run: ").replace("run where MNIST is", "MNIST isn't")


def _mnist_is_at_hand():
    folder = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    manual = folder / "downloads" / "manual"
    archive = "train-images-idx3-ubyte.gz"
    return any(path.exists() for path in (folder / "mnist", manual / archive, manual / "mnist"))


def _place(example):
    return f"{Path(example.path).relative_to(ROOT)}, line {example.line}"


def _run_here(example):
    raise AssertionError("`run` alone runs these.")


def _main(paths):
    for path in (Path(path).resolve() for path in paths):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            print(path, mvae_tf.__version__, *run(path), sep="\n  ")
            for name in PICTURE.findall(path.read_text()):
                if Path(name).exists():
                    shutil.copy(name, path.parent / name)


if __name__ == "__main__":
    _main(sys.argv[1:])
