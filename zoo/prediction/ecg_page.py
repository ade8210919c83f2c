"""The report of an annotated recording as one page of HTML."""

from __future__ import annotations

import functools
from typing import Any

from datamodules.ecg.records import Record
from datamodules.ecg.signal_quality import STRETCH_SECONDS
from zoo.errors import printable
from zoo.figures.ecg import BEAT_NAMES, CAUTION, CLASS_COLOURS, STRIP_SECONDS
from zoo.figures.ecg_report import PAPER, as_svg, paper_strip, rate_trend
from zoo.prediction.ecg_report import Strip, choose_strips, report_rows
from zoo.prediction.rhythm_episodes import (
    AFIB,
    FEWEST_INTERVALS,
    PAUSE_SECONDS,
    RATE_INTERVALS,
    REPEATS,
    SHORTEST_RUN,
    find_episodes,
    heart_rates,
    ranges_of,
    rr_seconds,
)
from zoo.tasks.ecg_annotation import Annotation

STYLE = """
:root { color-scheme: light; --line: #d9dde2; --faint: #5b6570; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 32px 60px; max-width: 1060px; background: #fff; color: #1b2026;
       font: 14px/1.45 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; }
h1 { font-size: 25px; font-weight: 600; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 17px; font-weight: 600; margin: 34px 0 8px; padding-bottom: 4px; border-bottom: 1px solid var(--line); }
h3 { font-size: 14px; font-weight: 600; margin: 18px 0 6px; }
h3 small, figcaption, .note { color: var(--faint); font-weight: 400; font-size: 12.5px; }
.note { margin: 4px 0 8px; max-width: 90ch; }
.caution { margin: 0 0 18px; padding: 9px 14px; border: 1px solid #e0b84a; border-left-width: 5px; background: #fff8e3;
           font-weight: 600; }
.warning { color: #9c3a00; margin: 4px 0; overflow-wrap: anywhere; }
.reading { margin: 2px 0; overflow-wrap: anywhere; }
dl { display: flex; flex-wrap: wrap; gap: 10px 36px; margin: 14px 0 0; }
dt { color: var(--faint); font-size: 12px; }
dd { margin: 0; font-size: 18px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 4px 0; }
th { text-align: right; font-weight: 600; font-size: 12.5px; vertical-align: bottom; border-bottom: 1px solid #8d97a1; }
td { text-align: right; border-bottom: 1px solid #eceff2; }
th, td { padding: 3px 0 3px 22px; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr:last-child td { border-bottom: 1px solid var(--line); }
.lists { columns: 2; column-gap: 40px; }
h3 small { margin-left: 6px; }
svg { display: block; width: 100%; height: auto; }
figure { margin: 0 0 14px; }
figcaption { margin-bottom: 2px; white-space: pre-wrap; }
.strip text { font: 30px Arial, "Liberation Sans", sans-serif; fill: #333; }
.strip .signal { fill: none; stroke: #111; stroke-width: 3.4; stroke-linejoin: round; }
.strip .event { fill: #ffe9b0; }
.strip .beat { text-anchor: middle; font-size: 34px; }
.strip .chosen { font-weight: 700; font-size: 42px; }
.strip .rr { text-anchor: middle; fill: #8a929a; font-size: 25px; }
.strip .time, .strip .lead { fill: #5b6570; font-size: 26px; }
.strip .lead { paint-order: stroke; stroke: #fff; stroke-width: 9px; }
@page { margin: 13mm; }
@media print {
  body { padding: 0; max-width: none; font-size: 10.5pt; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""

TEMPLATE = """{% macro table(rows) %}
<table><thead><tr>{% for name in rows[0] %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in rows %}<tr>{% for cell in row.values() %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table>{% endmacro -%}
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>ECG report: {{ name }}</title>
<style>{{ style }}</style></head><body>
{{ paper }}
<p class="caution">{{ caution }}</p>
<h1>Report of the recording <bdi>{{ name }}</bdi></h1>
{% if reading %}<p class="reading">{{ reading }}</p>{% endif %}
{% if source %}<p class="reading">{{ source }}</p>{% endif %}
{% for warning in warnings %}<p class="warning">Warning: {{ warning }}</p>
{% endfor %}
<dl><div><dt>duration, h:mm:ss</dt><dd>{{ duration }}</dd></div>
<div><dt>leads</dt><dd>{{ leads | join(", ") }}</dd></div>
<div><dt>sampling rate</dt><dd>{{ "%g" | format(fs) }} Hz</dd></div>
<div><dt>beats</dt><dd>{{ beats }}</dd></div>
<div><dt>time analysed</dt><dd>{{ analysed }}{% if quality %} %{% endif %}</dd></div></dl>
<h2>Beats</h2>
{{ table(summary) }}
<p class="note">The burden is the class's share of all beats. The rate of a class is 60 over the mean of the RR
intervals in seconds that end at its beats.</p>
<h2>Heart rate</h2>
<figure>{{ trend }}</figure>
<p class="note">A heart rate is that of {{ rate_intervals }} successive RR intervals. RR intervals across stretches in
which no lead can be read are left out.</p>
<h2>Signal quality</h2>
{% if quality %}{{ table(quality) }}
<p class="note">Share of time. Stretches of a second in which at least one lead has no fault are analysed: {{ analysed
}} % of the recording.</p>
{% else %}<p class="note">Signal quality was not assessed: all of the recording counts as analysed.</p>{% endif %}
<h2>By time</h2>
{{ table(times) }}
<p class="note">Times from the start of the recording, h:mm:ss. Rates in beats a minute: the smallest and the largest
over {{ rate_intervals }} intervals, the mean of all RR intervals.</p>
<h2>Rhythm episodes</h2>
{{ table(episodes) }}
<p class="note">A run has at least {{ shortest_run }} beats of a class in a row, bigeminy (NV) and trigeminy (NNV) at
least {{ repeats }} repetitions; a pause is an RR interval above {{ pause }} s without unusable signal. The rate of an
episode is 60 over the mean of the RR intervals inside it.</p>
<div class="lists">{% for each in lists %}<div><h3>{{ each.kind }}{% if each.found > each.rows | length %}
{{ " " }}<small>the longest {{ each.rows | length }} of {{ each.found }} listed</small>{% endif %}</h3>
{{ table(each.rows) }}</div>
{% endfor %}</div>
<h2>Heart rate variability</h2>
{{ table([variability]) }}
<p class="note">Of intervals between neighbouring beats of class N outside atrial fibrillation and unusable signal,
over the whole recording (Task Force of the ESC and NASPE, 1996); at least {{ fewest }} are needed.</p>
<h2>Strips</h2>
<p class="note">{{ "%g" | format(strip_seconds) }} seconds each; a small square is 0.04 s wide, a large one 0.2 s.
Above each strip are the classes of its beats, {{ classes }}, and between them the RR intervals in milliseconds; what
the strip shows is in bold.</p>
{% for kind in strips %}<section><h3>{{ kind.title }} <small>{{ kind.strips | length }} of {{ kind.found }} shown{% if
kind.strips | length < kind.found %}, {{ kind.order }}{% endif %}</small></h3>
{% for strip in kind.strips %}<figure><figcaption>{{ strip.caption }}</figcaption>{{ draw(strip) }}</figure>
{% endfor %}</section>
{% else %}<p class="note">There are no beats.</p>{% endfor %}
</body></html>
"""
"""The page, in the language of jinja2."""


def report_page(record: Record, found: Annotation, source: str = "") -> bytes:
    """Return the report of a recording as a page of HTML that needs no other file, network or script.

    Args:
        record: The recording, its leads in the order in which they were annotated.
        found: Its beats.
        source: A line that says where the beats come from; none if empty.
    """
    from markupsafe import Markup

    fs, samples, rr = record.fs, len(record.signal), rr_seconds(found, record.fs)
    episodes, rows = find_episodes(found, fs), _printable(report_rows(record, found))
    shaded: dict[str, Any] = {AFIB: [(each.start / fs, each.stop / fs) for each in episodes if each.kind == AFIB]}
    if found.quality is not None:
        shaded["not analysed"] = ranges_of(~found.quality.usable) * STRETCH_SECONDS
    figure = rate_trend(found.sample, heart_rates(rr), fs, samples, shaded, rows["name"].replace("$", r"\$"))

    def draw(strip: Strip) -> Markup:
        lead = _clearest_lead(found, strip.start / fs, len(record.leads))
        drawn = paper_strip(
            record.signal[:, lead], fs, strip.start, found.sample, found.symbol, strip.marked, rows["leads"][lead]
        )
        return Markup(drawn)

    colours = "".join(f".strip .{symbol} {{ fill: {_css(colour)}; }}\n" for symbol, colour in CLASS_COLOURS.items())
    page = _template().render(
        **rows,
        beats=f"{len(found.sample):,}",
        source=printable(source),
        caution=CAUTION,
        style=Markup(STYLE + colours),
        paper=Markup(PAPER),
        trend=Markup(as_svg(figure)),
        draw=draw,
        strips=choose_strips(found, fs, samples, episodes),
        classes=", ".join(f"{symbol} {name}" for symbol, name in BEAT_NAMES.items()),
        rate_intervals=RATE_INTERVALS,
        shortest_run=SHORTEST_RUN,
        repeats=REPEATS,
        pause=f"{PAUSE_SECONDS:g}",
        fewest=FEWEST_INTERVALS,
        strip_seconds=STRIP_SECONDS,
    )
    return page.encode()


@functools.cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(TEMPLATE)


def _printable(value: Any) -> Any:
    """Return rows with all texts as ``printable`` has them."""
    if isinstance(value, dict):
        return {name: _printable(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(each) for each in value]
    return printable(value) if isinstance(value, str) else value


def _css(colour: str) -> str:
    from matplotlib.colors import to_hex

    return to_hex(colour)


def _clearest_lead(found: Annotation, start: float, leads: int) -> int:
    """Return the first of the leads with the fewest faulty stretches in the strip that begins at a time in seconds."""
    if found.quality is None:
        return 0
    first = int(start / STRETCH_SECONDS)
    part = found.quality.faults[first : first + int(STRIP_SECONDS / STRETCH_SECONDS) + 1, :leads]
    return int((part != 0).sum(0).argmin()) if part.size else 0
