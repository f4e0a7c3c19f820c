"""A benchmark's result as text, as a table for the README, and as a picture."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

# Colours that stay apart in print and for colour-blind eyes (Okabe and Ito 2008).
COLOURS = ("#999999", "#0072b2", "#e69f00", "#009e73")
INK, GRID = "#222222", "#dddddd"
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 960, 520, 90, 20, 64
TOP = 128  # room for the legend, and below it for the figures over the tallest bar


def table(result: dict) -> str:
    """The result as plain text."""
    peak, unit = result["peaks"], result["gflop_per_picture"]
    found = result["machine"]
    lines = [
        f"{found['cpu']}, {found['threads']} threads, torch {found['torch']}, "
        f"openvino {found['openvino'] or 'absent'}, load average "
        + _or_unknown(found["load_average"], ".1f"),
        "peaks, GFLOP/s: " + ", ".join(f"{k.replace('_', ' ')} {v:.0f}" for k, v in peak.items()),
        f"{unit:.2f} GFLOP per picture, both stages, as the plain network counts them",
        "",
        "engine     precision  batch  median ms     p10     p90  pictures/s  GFLOP/s  of peak  × plain",
    ]
    for run in result["runs"]:
        precision = result["engines"][run["engine"]]
        share = run["gflop_per_s"] / peak[f"convolution_{precision}"]
        lines.append(
            f"{run['engine']:10} {precision:9}  {run['batch']:5}  {run['median_ms']:9.1f} "
            f"{run['p10_ms']:7.1f} {run['p90_ms']:7.1f}  {run['pictures_per_s']:10.1f}  "
            f"{run['gflop_per_s']:7.0f}  {share:7.0%}  {run['speedup']:7.2f}"
        )
    text, strip = result["caption_encoding"], result["strip"]
    lines += [
        "",
        f"caption: {text['fresh_ms']:.1f} ms through the encoder, {text['cached_ms']:.2f} ms cached "
        "(cached in the runs above)",
        f"strip of {strip['frames']} frames, {strip['engine']}: {strip['median_ms'] / 1e3:.2f} s",
        f"peak memory of this process: {_or_unknown(result['peak_memory_mib'], '.0f')} MiB",
    ]
    for name, cold in result.get("cold_start", {}).items():
        lines.append(
            f"cold start, {name}: {cold['total_s']:.1f} s to the first picture (import "
            f"{cold['import_s']:.1f}, model {cold['model_s']:.1f}, encoder {cold['encoder_s']:.1f}, "
            f"picture {cold['first_picture_s']:.2f}), "
            f"{_or_unknown(cold['peak_memory_mib'], '.0f')} MiB"
        )
    if "page" in result:
        page = result["page"]
        lines.append(
            f"the running page: answers after {page['answers_s']:.1f} s, its first picture after "
            f"{page['first_picture_s']:.1f} s, then {page['median_ms']:.0f} ms per picture through its "
            f"API (10 % under {page['p10_ms']:.0f}, 90 % under {page['p90_ms']:.0f})"
        )
    lines.append(f"default engine, {result['default']}: {result['speedup']:.2f} × plain, batch 1")
    return "\n".join(lines)


def _or_unknown(number: float | None, form: str) -> str:
    """A number that not every system tells."""
    return "unknown" if number is None else format(number, form)


def markdown(result: dict) -> str:
    """The engines' runs as a table of the README: a row an engine, a column a batch size."""
    batches = _batches(result)
    lines = [
        "| engine | " + " | ".join(f"batch {batch}" for batch in batches) + " |",
        "|---|" + "---|" * len(batches),
    ]
    for engine, precision in result["engines"].items():
        runs = {run["batch"]: run for run in result["runs"] if run["engine"] == engine}
        cells = [
            f"{runs[batch]['median_ms']:.1f} ms ({runs[batch]['speedup']:.1f} ×)"
            for batch in batches
        ]
        name = f"**{engine}**" if engine == result["default"] else engine
        lines.append(f"| {name}, {precision} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(result: dict, path: str | Path) -> None:
    """Pictures per second of each engine at each batch size, as bars; ends mark 10 % and 90 %."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    big, small = ImageFont.load_default(20), ImageFont.load_default(15)
    engines, batches = list(result["engines"]), _batches(result)
    runs = {(run["engine"], run["batch"]): run for run in result["runs"]}
    rate = {key: run["pictures_per_s"] for key, run in runs.items()}
    step = _step(max(rate.values()))
    top = step * (int(max(rate.values()) / step) + 1)

    def height(value: float) -> float:
        return HEIGHT - BOTTOM - min(value / top, 1.04) * (HEIGHT - BOTTOM - TOP)

    title = f"Captions to pictures per second, {result['machine']['threads']} CPU threads; times as fast as the plain network"
    draw.text((LEFT, 14), title, INK, big)
    for i in range(round(top / step) + 1):
        y = height(i * step)
        draw.line((LEFT, y, WIDTH - RIGHT, y), GRID)
        draw.text((LEFT - 10, y), f"{i * step:g}", INK, small, anchor="rm")
    x = LEFT
    for colour, engine in zip(COLOURS, engines, strict=False):
        label = f"{engine}, {result['engines'][engine]}"
        draw.rectangle((x, 52, x + 14, 66), colour)
        draw.text((x + 22, 59), label, INK, small, anchor="lm")
        x += 50 + draw.textlength(label, small)

    group = (WIDTH - LEFT - RIGHT) / len(batches)
    bar = group * 0.8 / len(engines)
    for i, batch in enumerate(batches):
        start = LEFT + group * (i + 0.1)
        middle = start + group * 0.4
        draw.text((middle, HEIGHT - BOTTOM + 10), f"batch {batch}", INK, small, anchor="ma")
        for j, (colour, engine) in enumerate(zip(COLOURS, engines, strict=False)):
            left, run = start + j * bar, runs[engine, batch]
            y = height(rate[engine, batch])
            draw.rectangle((left, y, left + bar - 4, HEIGHT - BOTTOM), colour)
            centre = left + bar / 2 - 2
            slow, fast = (height(1e3 * batch / run[key]) for key in ("p90_ms", "p10_ms"))
            draw.line((centre, slow, centre, fast), INK, 2)
            text = f"{rate[engine, batch]:.0f}\n{run['speedup']:.1f}x"  # the font has no ×
            draw.text((centre, min(y, fast) - 4), text, INK, small, anchor="md", align="center")
    draw.text((LEFT, HEIGHT - 24), result["machine"]["cpu"], INK, small)
    image.save(path)


def _batches(result: dict) -> list[int]:
    return list(dict.fromkeys(run["batch"] for run in result["runs"]))


def _step(largest: float) -> float:
    """A round distance between lines, for four to ten of them."""
    step = 10.0 ** len(str(int(largest)))
    while largest / step < 4:
        step /= 2 if str(step)[0] != "5" else 2.5
    return step
