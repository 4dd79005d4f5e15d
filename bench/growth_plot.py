#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""growth_plot.py POINTS SVG - a table of medians, and a plot, of what growth.sh
measured. Each line of POINTS: what step cpu p50 p99."""
import statistics
import sys

METRICS = (("processor time, us a message", 2), ("99th percentile latency, us", 4))
TITLES = {
    "known": "known clients",
    "held": "polls held",
    "queued": "messages queued",
    "children": "children",
}
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 380, 210, 56, 34, 34


def read(path):
    points = {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            what, step, cpu, p50, p99 = line.split()
            row = (what, int(step), float(cpu), float(p50), float(p99))
            points.setdefault(what, {}).setdefault(int(step), []).append(row)
    return points


def median(rows, column):
    return statistics.median(row[column] for row in rows)


def table(points):
    print("\n| | | CPU s/1M | ratio | p50 us | p99 us | ratio |\n|---|---|---|---|---|---|---|")
    for what, steps in points.items():
        first = steps[min(steps)]
        for step in sorted(steps):
            rows = steps[step]
            cpu, p99 = median(rows, 2), median(rows, 4)
            print(
                f"| {TITLES[what]} | {step:,} | {cpu:.1f} | {cpu / median(first, 2):.2f} "
                f"| {median(rows, 3):.0f} | {p99:.0f} | {p99 / median(first, 4):.2f} |"
            )


def text(x, y, words, anchor="middle", size=11, more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}"{more}>{words}</text>'


def panel(left, top, what, steps, metric):
    """A band shows 20% more and less than the median of the first step."""
    words, column = metric
    most = max(row[column] for rows in steps.values() for row in rows) * 1.15
    names = sorted(steps)

    def x_of(i):
        return left + LEFT + (i + 0.5) * (WIDTH - LEFT - 12) / len(names)

    def y_of(value):
        return top + HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM)

    base = median(steps[names[0]], column)
    out = [
        text(left + LEFT, top + 18, f"{words}, by {TITLES[what]}", "start", 12),
        f'<rect x="{left + LEFT}" y="{y_of(min(base * 1.2, most)):.1f}" width="{WIDTH - LEFT - 12}" '
        f'height="{y_of(base * 0.8) - y_of(min(base * 1.2, most)):.1f}" fill="#e8eef6"/>',
        f'<path d="M{left + LEFT},{top + TOP}V{y_of(0):.0f}H{left + WIDTH - 12}" '
        'fill="none" stroke="#888"/>',
    ]
    for share in (0, 0.5, 1):
        value = most / 1.15 * share
        out.append(text(left + LEFT - 6, y_of(value) + 4, f"{value:.4g}", "end"))
    line = " ".join(
        f"{x_of(i):.1f},{y_of(median(steps[name], column)):.1f}" for i, name in enumerate(names)
    )
    out.append(f'<polyline points="{line}" fill="none" stroke="#1f5fa8" stroke-width="2"/>')
    for i, name in enumerate(names):
        out.append(text(x_of(i), top + HEIGHT - 16, f"{name:,}"))
        for row in steps[name]:
            out.append(
                f'<circle cx="{x_of(i):.1f}" cy="{y_of(row[column]):.1f}" r="3" '
                'fill="#1f5fa8" fill-opacity="0.5"/>'
            )
    return out


def plot(points, path):
    out = []
    for row, (what, steps) in enumerate(points.items()):
        for column, metric in enumerate(METRICS):
            out += panel(column * WIDTH, row * HEIGHT, what, steps, metric)
    width, height = WIDTH * len(METRICS), HEIGHT * len(points)
    with open(path, "w", encoding="utf-8") as svg:
        svg.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'font-family="sans-serif" fill="#222"><rect width="{width}" height="{height}" '
            'fill="#fff"/>' + "\n".join(out) + "</svg>\n"
        )


def main():
    points = read(sys.argv[1])
    table(points)
    plot(points, sys.argv[2])


main()
