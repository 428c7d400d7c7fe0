"""Bars as SVG: throughput of every case, and where the engine's step spends its time. Standard library only."""
from html import escape

COLOURS = ("#1b6ca8", "#59a5d8", "#c8553d", "#e09f3e", "#7a9e7e", "#8d6a9f", "#555555")
WIDTH, LEFT, BAR, GAP = 860, 250, 14, 12


def text(x, y, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def bar(x, y, width, colour, title):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" fill="{colour}"><title>{escape(title)}</title></rect>'


def plot(cases):
    parts, y = [text(8, 18, "Thousand impressions per second, without loading (median)")], 32
    most = max(rate["held"]["median"] for case in cases for rate in case["rates"].values())
    scale = (WIDTH - LEFT - 70) / most
    for case in cases:
        parts.append(text(8, y + 11, f"{case['case']}, {case['optimizer']}"))
        for colour, (key, rate) in zip(COLOURS, case["rates"].items()):
            value = rate["held"]["median"]
            name = ("engine " if key in case["ratios"] else "PyTorch ") + key
            parts += [text(LEFT - 6, y + 11, name, "end"), bar(LEFT, y, value * scale, colour, key),
                      text(LEFT + value * scale + 5, y + 11, f"{value / 1e3:.1f}")]
            y += BAR + 2
        y += GAP
    parts.append(text(8, y + 16, "Milliseconds of one engine step by stage, fp32 (median)"))
    y += 30
    x = 8
    for colour, stage in zip(COLOURS, cases[0]["stages"]["fp32"]):
        parts += [bar(x, y, BAR, colour, stage), text(x + BAR + 4, y + 11, stage)]
        x += 140
    y += BAR + GAP
    longest = max(sum(case["stages"]["fp32"].values()) for case in cases)
    for case in cases:
        parts.append(text(8, y + 11, f"{case['case']}, {case['optimizer']}"))
        x = LEFT
        for colour, (stage, seconds) in zip(COLOURS, case["stages"]["fp32"].items()):
            width = seconds / longest * (WIDTH - LEFT - 70)
            parts.append(bar(x, y, width, colour, f"{stage}: {seconds * 1e3:.2f} ms"))
            x += width
        parts.append(text(x + 5, y + 11, f"{sum(case['stages']['fp32'].values()) * 1e3:.1f}"))
        y += BAR + GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 8}" font-family="sans-serif" '
            f'font-size="12"><rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")
