"""How the site is made of the repository's own files (mkdocs.yml): pages keep their paths, so a link that holds here holds there.

Notebooks become pages with the outputs they keep, nothing is executed; formulas become MathML, which browsers draw by themselves.
"""

import html
import re
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    "*.md", "LICENSE", "NOTICE", "CITATION.cff", "docs/*.md", "docs/*.css", "docs/*.js", "docs/pictures/*",
    "tests/README.md", "data_manifests/**/*.md", "notebooks/*.png", "notebooks/**/*.ipynb",
)  # fmt: skip
TEMPLATE = """{%- extends 'markdown/index.md.j2' -%}
{% macro picture(output, kind) %}
![{{ output.metadata.get(kind, {}).get('alt') or output.metadata.get('alt') or 'What the cell above drew' }}](
{{- output.metadata.filenames[kind] | path2url }})
{% endmacro %}
{% macro printed(text) %}
```{ .text .output }
{{ text | trim | strip_ansi }}
```
{% endmacro %}
{% block data_png %}{{ picture(output, 'image/png') }}{% endblock %}
{% block data_jpg %}{{ picture(output, 'image/jpeg') }}{% endblock %}
{% block data_svg %}{{ picture(output, 'image/svg+xml') }}{% endblock %}
{% block stream %}{{ printed(output.text) }}{% endblock %}
{% block data_text %}{{ printed(output.data['text/plain']) }}{% endblock %}
"""
EXPORTER = MarkdownExporter(extra_loaders=[DictLoader({"page.md.j2": TEMPLATE})], template_file="page.md.j2")


class Notebook(File):
    """A notebook as a page of the site: ``text`` is its Markdown."""

    text: str

    def is_documentation_page(self) -> bool:
        return True


def files_of_the_site() -> list[str]:
    """The paths of all pages and of what they show, relative to the repository."""
    paths = {path.relative_to(ROOT).as_posix() for pattern in FILES for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path for path in paths if ".ipynb_checkpoints" not in path)


def titled(path: str) -> str:
    """What the navigation calls a notebook: its number, where it has one, and its heading."""
    heading = nbformat.read(ROOT / path, as_version=4).cells[0].source.partition("\n")[0].strip("# ")
    number = Path(path).stem.partition("_")[0]
    return f"{number} {heading}" if number.isdigit() else heading


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A pattern in the navigation becomes the pages that fit, in order."""
    pages = files_of_the_site()

    def grown(entry):
        if isinstance(entry, dict):
            return {title: grown(below) for title, below in entry.items()}
        if isinstance(entry, list):
            return [grown(below) for below in entry]
        return [{titled(page): page} for page in pages if Path(page).match(entry)] if "*" in entry else entry

    config.nav = grown(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The repository's files in the place of those below docs/; the theme's stay."""
    site = Files([file for file in files if file.src_dir != config.docs_dir])
    for path in files_of_the_site():
        kind = Notebook if path.endswith(".ipynb") else File
        site.append(kind(path, str(ROOT), config.site_dir, config.use_directory_urls))
        if kind is Notebook:
            folder = Path(path).with_suffix("")
            site.get_file_from_path(path).text, pictures = as_markdown(ROOT / path, folder.name)
            for name, content in pictures.items():
                site.append(File.generated(config, f"{folder.parent.as_posix()}/{name}", content=content))
    return site


def as_markdown(path: Path, folder: str) -> tuple[str, dict[str, bytes]]:
    """A notebook with its kept outputs as Markdown, and its pictures by their names in ``folder``."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)  # lives in JupyterLab alone
    text, resources = EXPORTER.from_notebook_node(notebook, {"output_files_dir": folder, "unique_key": "output"})
    return text, resources["outputs"]


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """The Markdown of a notebook; other pages are read as they are."""
    return page.file.text if isinstance(page.file, Notebook) else None


def on_page_content(html_text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas, as the Markdown extension arithmatex marks them, become MathML."""
    pattern = r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>'

    def drawn(match):
        return convert(html.unescape(match[3]).strip(), display="block" if match[2] == "[" else "inline")

    return re.sub(pattern, drawn, html_text, flags=re.DOTALL)
