#!/usr/bin/env python3
"""Draws what `tmux capture-pane -e -p` prints as an SVG: standard input to standard output.

    ansi-to-svg.py [--title TEXT] [--columns N]

Text is monospace, every run of one colour at its column, so that widths of fonts do not matter. Of the
escape sequences only colours, bold, dim, underline and reverse (SGR) are understood, others are left out.
"""

import argparse
import re
import sys
from html import escape

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 8.4, 18, 14
MARGIN, BAR_HEIGHT = 14, 30
FOREGROUND, BACKGROUND = "#d4d7dd", "#14161b"
NORMAL = ["#3b4048", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d4d7dd"]
BRIGHT = ["#7f848e", "#ff7b86", "#b5e890", "#ffd68a", "#7fc1ff", "#dd92f2", "#6fd3df", "#ffffff"]
SEQUENCE = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|\x1b[()][A-Z0-9]|[\x0e\x0f]")


class Style:
    """What the next character looks like."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.fg = self.bg = None
        self.bold = self.dim = self.underline = self.reverse = False

    def apply(self, text):
        codes = [int(code or 0) for code in text.split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.reset()
            elif code in (1, 22):
                self.bold, self.dim = code == 1, False
            elif code == 2:
                self.dim = True
            elif code in (4, 24):
                self.underline = code == 4
            elif code in (7, 27):
                self.reverse = code == 7
            elif code in (38, 48):
                colour = indexed(codes)
                if code == 38:
                    self.fg = colour
                else:
                    self.bg = colour
            elif code == 39:
                self.fg = None
            elif code == 49:
                self.bg = None
            elif 30 <= code <= 37:
                self.fg = NORMAL[code - 30]
            elif 40 <= code <= 47:
                self.bg = NORMAL[code - 40]
            elif 90 <= code <= 97:
                self.fg = BRIGHT[code - 90]
            elif 100 <= code <= 107:
                self.bg = BRIGHT[code - 100]

    def look(self):
        fg, bg = self.fg or FOREGROUND, self.bg
        if self.reverse:
            fg, bg = bg or BACKGROUND, fg
        return fg, bg, self.bold, self.dim, self.underline


def indexed(codes):
    """The colour after 38 or 48: `5;N` or `2;R;G;B`. Takes its codes."""
    kind = codes.pop(0) if codes else None
    if kind == 2 and len(codes) >= 3:
        return "#%02x%02x%02x" % tuple(codes.pop(0) for _ in range(3))
    if kind != 5 or not codes:
        return None
    number = codes.pop(0)
    if number < 16:
        return (NORMAL + BRIGHT)[number]
    if number >= 232:
        return "#%02x%02x%02x" % ((8 + 10 * (number - 232),) * 3)
    levels = (0, 95, 135, 175, 215, 255)
    red, rest = divmod(number - 16, 36)
    return "#%02x%02x%02x" % (levels[red], levels[rest // 6], levels[rest % 6])


def runs(line, style):
    """Pieces of one look: (column, text, look)."""
    found, column, start = [], 0, 0
    for match in list(SEQUENCE.finditer(line)) + [None]:
        text = line[start : match.start() if match else len(line)]
        if text:
            found.append((column, text, style.look()))
            column += len(text)
        if match:
            start = match.end()
            if match.group(2) == "m":
                style.apply(match.group(1))
    return found, column


def number(value):
    return f"{value:.1f}".rstrip("0").rstrip(".")


# Blocks are drawn as rectangles: fonts leave gaps between them.
EIGHTHS = {character: (index + 1) / 8 for index, character in enumerate("▁▂▃▄▅▆▇█")}


def draw_run(column, row, text, look):
    fg, bg, bold, dim, underline = look
    x, y = MARGIN + column * CELL_WIDTH, MARGIN + BAR_HEIGHT + row * CELL_HEIGHT
    if bg:
        yield rectangle(x, y, len(text) * CELL_WIDTH, CELL_HEIGHT, bg)
    for match in re.finditer(r"█+|░+|[▁▂▃▄▅▆▇]", text):
        block, left = match.group(), x + match.start() * CELL_WIDTH
        height = CELL_HEIGHT * (EIGHTHS.get(block[0], 1))
        # Bars of cores keep a gap, so that one is told from the next.
        shade = ' opacity="0.45"' if block[0] == "░" else ""
        yield rectangle(left, y + CELL_HEIGHT - height, len(block) * CELL_WIDTH, height, fg, shade)
    text = re.sub("[▁▂▃▄▅▆▇█░]", " ", text)
    for match in re.finditer(r"\S+(?: \S+)*", text):
        left, words = x + match.start() * CELL_WIDTH, match.group()
        more = ' font-weight="bold"' if bold else ""
        more += ' opacity="0.6"' if dim else ""
        more += ' text-decoration="underline"' if underline else ""
        yield (
            f'<text x="{number(left)}" y="{number(y + 13.5)}" fill="{fg}"{more} '
            f'textLength="{number(len(words) * CELL_WIDTH)}">{escape(words)}</text>'
        )


def rectangle(x, y, width, height, fill, more=""):
    sizes = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    return f'<rect {sizes} fill="{fill}"{more}/>'


def main():
    parser = argparse.ArgumentParser(description="Draws a terminal's screen as an SVG.")
    parser.add_argument("--title", default="")
    parser.add_argument("--columns", type=int, default=80)
    arguments = parser.parse_args()
    style, drawn, columns = Style(), [], arguments.columns
    lines = sys.stdin.read().rstrip("\n").split("\n")
    for row, line in enumerate(lines):
        found, width = runs(line, style)
        columns = max(columns, width)
        for column, text, look in found:
            drawn.extend(draw_run(column, row, text, look))
    width = columns * CELL_WIDTH + 2 * MARGIN
    height = len(lines) * CELL_HEIGHT + BAR_HEIGHT + 2 * MARGIN
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}" font-size="{FONT_SIZE}" '
        'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" '
        'xml:space="preserve">'
    )
    print(f"<title>{escape(arguments.title)}</title>")
    print(f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>')
    for index, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        print(f'<circle cx="{MARGIN + 7 + 20 * index}" cy="20" r="6" fill="{colour}"/>')
    print(f'<text x="50%" y="25" fill="{BRIGHT[0]}" text-anchor="middle">{escape(arguments.title)}</text>')
    print("\n".join(drawn))
    print("</svg>")


main()
