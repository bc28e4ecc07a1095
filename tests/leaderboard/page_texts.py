"""Pages taken apart, for tests that look at them as text."""

from __future__ import annotations

import html.parser
import re

import synthetic_boards as boards

from evalkit.leaderboard.pages.html import site

VOID = {"meta", "link", "input", "img", "wbr", "br", "hr"}
DOWNLOADS = tuple(f"leaderboard.{kind}" for kind in ("csv", "json", "schema.json", "tex", "md"))


class Page(html.parser.HTMLParser):
    """A page taken apart; elements have to be closed in the order that they were opened in."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.ids, self.links, self.text = [], [], [], [], ""
        self.attributes = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        pairs = dict(attributes)
        assert len(pairs) == len(attributes), f"an attribute of {tag} twice"
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        self.ids += [pairs["id"]] if "id" in pairs else []
        self.links += [pairs[name] for name in ("href", "src") if name in pairs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def made(*all_boards, queries=()):
    sheets = [boards.sheets(boards.sheet(all_boards[0], queries))] if queries else []
    return site(all_boards, version="0.1.0", sheets=sheets)


def rows_of(text, table):
    """The rows of a table's body as lists of the cells' inner HTML."""
    body = re.search(rf'<table id="{table}".*?<tbody>(.*?)</tbody>', text, re.DOTALL)[1]
    return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line) for line in re.findall(r"<tr.*?</tr>", body)]


def columns_of(text, table):
    head = re.search(rf'<table id="{table}".*?<thead>(.*?)</thead>', text, re.DOTALL)[1]
    return re.findall(r'data-column="([^"]+)"', head)


def text_of(cell):
    return Page(f"<p>{cell}</p>").text
