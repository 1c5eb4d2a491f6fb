"""One HTML file that holds everything a reader of a comparison needs: the answer first, then how it came."""

from __future__ import annotations

import base64
import math
from html import escape
from string import Template
from typing import TYPE_CHECKING

import pandas as pd

from metastudy.figures import label

if TYPE_CHECKING:
    from metastudy.own_data.comparing import Compared

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}
.answer{background:#eef4fa;border-left:4px solid #0072b2;padding:.6rem 1rem}
.answer p{margin:.4rem 0}
table{border-collapse:collapse;font-size:.9rem;width:100%}
th,td{padding:.25rem .5rem;text-align:right;border-bottom:1px solid #e2e2e2;font-variant-numeric:tabular-nums}
th{border-bottom:2px solid #999}
td:first-child,th:first-child{text-align:left}
tr.use td{font-weight:600;background:#f4f9f2}
.better{color:#00684c}.worse{color:#9b2d6b}
img{max-width:100%}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dd{margin:0}
.scroll{overflow-x:auto}
</style></head><body>
<h1>$title</h1>
<div class="answer">$answer</div>
<h2>How good each method is</h2>
<img alt="$metric and gain over $reference against the number of labels" src="data:image/png;base64,$figure">
$tables
<p>Intervals are 95%; gains are paired, over $units; p is adjusted over the methods of a table (Holm).
The reference is $reference, $direction. Highlighted: what the sentence above recommends.</p>
<h2>What was read</h2><dl>$facts</dl>
<h2>What limits this</h2><ul>$notes</ul>
<h2>How to use a method, and to run this again</h2>
<pre>$commands</pre>
<p>$seconds s with $jobs processes. All scores, the draws and a manifest with hashes lie beside this page.</p>
</body></html>
""")


def page(found: Compared, figure: bytes) -> str:
    """The page; nothing in it points elsewhere."""
    prepared = found.prepared
    use = found.advice[0].use
    facts = "".join(
        f"<dt>{escape(str(n))}</dt><dd>{v:,}</dd>" if isinstance(v, int) else
        f"<dt>{escape(str(n))}</dt><dd>{escape(str(v))}</dd>"
        for n, v in prepared.facts.items()
    )  # fmt: skip
    kept = ("path", "out", "shots")
    again = " ".join(_typed(n, v) for n, v in found.options.model_dump(exclude_defaults=True).items() if n not in kept)
    shots = " ".join(map(str, prepared.family.shots))
    commands = (
        f"metastudy compare {found.kind} {found.options.path.name} --shots {shots} {again}".strip()
        + f"\nmetastudy predict {found.kind} {found.options.path.name} NEW --method {use!r} --out predictions.csv ..."
    )
    families = found.scores["family"].nunique()
    return PAGE.substitute(
        title=escape(f"{found.kind.capitalize()} of {found.options.path.name}: which method, with few labels?"),
        answer="".join(f"<p>{escape(a.sentence)}</p>" for a in found.advice),
        metric=escape(label(prepared.metric)), reference=escape(prepared.reference),
        figure=base64.b64encode(figure).decode(),
        tables="".join(_table(found, k) for k in prepared.family.shots),
        units=f"{families} parts of the data that share no query" if prepared.family.clustered else
        f"{found.scores['task'].nunique()} queries",
        direction="and lower is better" if prepared.lower_is_better else "and higher is better",
        facts=facts, notes="".join(f"<li>{escape(n)}</li>" for n in found.notes) or "<li>nothing else</li>",
        commands=escape(commands), seconds=f"{found.seconds:.0f}", jobs=found.options.jobs,
    )  # fmt: skip


def _typed(name: str, value: object) -> str:
    words = " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return f"--{name.replace('_', '-')}" + ("" if value is True else f" {words}")


def _table(found: Compared, shots: int) -> str:
    own = found.table[found.table["shots"] == shots]
    own = own.sort_values("mean", ascending=found.prepared.lower_is_better, kind="stable")
    use = next(a.use for a in found.advice if a.shots == shots)
    heads = (f"k = {shots}", label(found.prepared.metric), "gain", "p", "")
    head = f"<tr>{''.join(f'<th>{escape(h)}</th>' for h in heads)}</tr>"
    rows = "".join(_row(r, r.method == use) for r in own.itertuples())
    return f'<div class="scroll"><table>{head}{rows}</table></div><br>'


def _row(row: tuple, recommended: bool) -> str:
    gain = f"{row.gain:+.3f} [{row.gain_low:+.3f}, {row.gain_high:+.3f}]"
    gain = "" if math.isnan(row.gain_low) else gain
    p = "" if pd.isna(row.p_adjusted) else f"{row.p_adjusted:.2g}"
    cells = f"<td>{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]</td><td>{gain}</td><td>{p}</td>"
    marked = ' class="use"' if recommended else ""
    return f'<tr{marked}><td>{escape(row.method)}</td>{cells}<td class="{row.verdict}">{row.verdict}</td></tr>'
