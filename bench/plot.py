"""Bars as SVG (standard library only)."""
from html import escape

COLOURS = ("#1b6ca8", "#59a5d8", "#c8553d", "#e09f3e", "#7a9e7e", "#8d6a9f", "#555555")
WIDTH, LEFT, BAR, GAP = 860, 250, 14, 12


def text(x, y, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def bar(x, y, width, colour, title):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" fill="{colour}"><title>{escape(title)}</title></rect>'


def chart(title, groups, form="{:.1f}", stacked=False):
    """`groups`: {group: {name: value}}, a bar for each, or stacked=True: {group: {name: {part: value}}}, bars of parts and
    a legend. Returns the SVG's elements from y = 0, and their height."""
    parts_of = lambda value: value if stacked else {"": value}
    rows = [(group, name, parts_of(value)) for group, bars in groups.items() for name, value in bars.items()]
    scale = (WIDTH - LEFT - 70) / (max(sum(parts.values()) for _, _, parts in rows) or 1)
    drawn, y = [text(8, 18, title)], 32
    if stacked:
        for place, part in enumerate(rows[0][2]):
            drawn += [bar(8 + 140 * place, y, BAR, COLOURS[place], part), text(12 + BAR + 140 * place, y + 11, part)]
        y += BAR + GAP
    for group, bars in groups.items():
        drawn.append(text(8, y + 11, group))
        for place, (name, value) in enumerate(bars.items()):
            x = LEFT
            drawn.append(text(LEFT - 6, y + 11, name, "end"))
            for index, (part, size) in enumerate(parts_of(value).items()):
                colour = COLOURS[(index if stacked else place) % len(COLOURS)]
                drawn.append(bar(x, y, size * scale, colour, f"{part or name}: {form.format(size)}"))
                x += size * scale
            drawn.append(text(x + 5, y + 11, form.format(sum(parts_of(value).values()))))
            y += BAR + 2
        y += GAP
    return drawn, y


def figure(*charts):
    """Charts below each other, as one file."""
    drawn, y = [], 0
    for elements, height in charts:
        drawn += [f'<g transform="translate(0 {y})">', *elements, "</g>"]
        y += height
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 8}" font-family="sans-serif" '
            f'font-size="12"><rect width="100%" height="100%" fill="white"/>\n' + "\n".join(drawn) + "\n</svg>\n")
