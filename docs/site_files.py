"""A hook of MkDocs: results and measurements, which stand outside docs/, are pages of the site too.

The pages link to them as they lie in the repository, so that the same links lead somewhere both
there and in the site: `[Table I](../figures/table1.md)`.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File, Files

# Parts of the repository, and of docs/ where they stand in the site.
_OUTSIDE = ("figures/*.md", "figures/*.png", "benchmarks/README.md")
_LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(?=(?:#[^)\s]*)?\))")


def on_files(files: Files, config) -> Files:
    """Add what lies outside docs/, under the path that it has in the repository."""
    root = Path(config.config_file_path).parent
    for pattern in _OUTSIDE:
        for path in sorted(root.glob(pattern)):
            uri = path.relative_to(root).as_posix()
            file = File.generated(config, uri, abs_src_path=str(path))
            if uri.endswith(".md") and uri != "figures/REPORT.md" and "README" not in uri:
                file.inclusion = file.inclusion.NOT_IN_NAV  # the report links to each
            files.append(file)
    return files


def on_page_markdown(markdown: str, page, config, files: Files) -> str:
    """Turn links that cross the border of docs/ into those between the site's pages."""
    uri = page.file.src_uri
    from_docs = not page.file.generated_by
    here = posixpath.join("docs", uri) if from_docs else uri

    def in_site(link: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link[1]))
        target_in_docs = target.startswith("docs/")
        if from_docs == target_in_docs:
            return link[1]
        target = target.removeprefix("docs/")
        return posixpath.relpath(target, posixpath.dirname(uri) or ".")

    return _LINK.sub(in_site, markdown)
