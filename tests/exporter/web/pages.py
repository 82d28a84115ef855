"""What a browser would make of a page."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The links, rows and text of a page, and whatever it would load from elsewhere.

    Attributes:
        styles: the class of the cell with a text.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.text = ""
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.tables: list[list[list[str]]] = []
        self.styles: dict[str, str] = {}
        self._style = ""
        self._in_cell = False
        self.feed(html)
        self.text = " ".join(self.text.split())

    def read_table(self, titles: list[str]) -> list[list[str]]:
        """The rows of the table with these titles; none if there is no such table."""
        return [row for head, *rows in self.tables if head == titles for row in rows]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.rows.append([])
            self.tables[-1].append(self.rows[-1])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            self._in_cell = True
            self._style = dict(attrs).get("class") or ""
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"
        if self._in_cell:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._in_cell = False
            self.styles[self.rows[-1][-1]] = self._style
