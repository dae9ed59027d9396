"""A report as a browser takes it apart."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "hr", "input", "wbr", "line", "rect"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and refuses what does not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack, self.attributes, self.texts, self.tags = [], [], [], []
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str):
        if tag not in VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data: str):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())
