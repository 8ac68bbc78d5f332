"""How Data Docs look: one style, two templates (Jinja). No script, nothing fetched; light and dark, wide and narrow."""

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --paper: #fff; --soft: #f6f8fa; --line: #d1d9e0; --dim: #59636e;
  --link: #0969da; --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; --bad-soft: #ffebe9; --warn-soft: #fff8c5;
  --good-soft: #dafbe1 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --soft: #161b22; --line: #30363d;
  --dim: #9198a1; --link: #4493f8; --good: #3fb950; --bad: #f85149; --warn: #d29922; --bad-soft: #25171c;
  --warn-soft: #272115; --good-soft: #12261e } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 64rem; padding: 1.5rem 1.25rem 4rem }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
h1 { font-size: 1.6rem; margin: .5rem 0 1rem; display: flex; flex-wrap: wrap; gap: .4rem .8rem; align-items: center }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem }
h3 { font-size: 1rem; margin: 0 }
code, pre { font: .87em/1.5 ui-monospace, monospace; overflow-wrap: anywhere } .dim { color: var(--dim) }
.pill { font-size: .85rem; font-weight: 600; border-radius: 2rem; padding: .15rem .8rem; border: 1px solid }
.good { color: var(--good); background: var(--good-soft) } .bad { color: var(--bad); background: var(--bad-soft) }
.warn { color: var(--warn); background: var(--warn-soft) }
.card { border: 1px solid var(--line); border-left: .3rem solid var(--bad); border-radius: .5rem; padding: .8rem 1rem;
  margin: .8rem 0 }
.card.warning { border-left-color: var(--warn) }
.card header { display: flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: baseline }
dl { display: grid; grid-template-columns: 6rem 1fr; gap: .25rem 1rem; margin: .6rem 0 0 } dt { color: var(--dim) }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere } ul { margin: 0; padding: 0; list-style: none }
.fix { background: var(--soft); border-radius: .4rem; padding: .5rem .8rem; margin-top: .7rem }
details { margin-top: .6rem } summary { cursor: pointer; color: var(--link) }
.values { columns: 22rem; margin-top: .4rem } .values li { break-inside: avoid; overflow-wrap: anywhere }
.row { display: grid; grid-template-columns: 1.6rem 5fr 4fr 5fr; gap: .1rem .8rem; padding: .45rem .4rem;
  border-bottom: 1px solid var(--line) }
.row > * { min-width: 0; overflow-wrap: anywhere } .row.head { color: var(--dim); font-size: .87rem }
.mark { font-weight: 700 } .mark.g { color: var(--good) } .mark.b { color: var(--bad) } .mark.w { color: var(--warn) }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .7rem }
.figures div { background: var(--soft); border-radius: .5rem; padding: .6rem .8rem }
.figures b { display: block; font-size: 1.15rem; overflow-wrap: anywhere }
@media (max-width: 40rem) { body { padding: 1rem .9rem 3rem } .row { grid-template-columns: 1.6rem 1fr }
  .row > :nth-child(n+3) { grid-column: 2 } .row.head { display: none } dl { grid-template-columns: 1fr; gap: 0 }
  dd { margin-bottom: .3rem } }
"""

HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
"""

GATE = (
    HEAD
    + """<nav><a href="{{ up }}index.html">All gates</a></nav>
<h1>{{ report.gate }} <span class="pill {{ "good" if report.passed else "bad" }}">
{{- "passed" if report.passed else "failed" }}</span></h1>
<p class="dim">{{ report.expectations | length }} expectations: {{ held | length }} hold, {{ warnings | length }} warn,
{{ failed | length }} {{ "stops" if failed | length == 1 else "stop" }} the pipeline.</p>
{% for heading, entries, kind in (("Failed", failed, "critical"), ("Warnings", warnings, "warning")) if entries %}
<h2>{{ heading }}</h2>
{% for entry in entries %}
<section class="card {{ kind }}" id="{{ entry.name }}">
<header><h3>{{ entry.title }}</h3> <code class="dim">{{ entry.at }}</code></header>
<dl>
<dt>Must be</dt><dd>{{ entry.expected }}</dd>
<dt>Found</dt><dd>{{ entry.found }}</dd>
{% if entry.examples %}<dt>Examples</dt><dd><ul>
{% for example in entry.examples %}<li><code>{{ example }}</code></li>{% endfor %}</ul></dd>{% endif %}
</dl>
<div class="fix"><b>What to do:</b> {{ entry.fix }}.</div>
{% if entry.more %}<details><summary>Values at fault</summary><ul class="values">
{% for value, count in entry.more %}<li><code>{{ value }}</code>
{% if count > 1 %}<span class="dim">{{ "{:,}".format(count) }} times</span>{% endif %}</li>{% endfor %}
</ul></details>{% endif %}
</section>
{% endfor %}
{% endfor %}
{% if figures %}
<h2>Figures</h2>
<div class="figures">
{% for name, value in figures %}<div><span class="dim">{{ name }}</span><b>{{ value }}</b></div>
{% endfor %}
</div>
{% endif %}
{% for frame, entries in frames %}
<h2>{{ frame | capitalize }} <span class="dim">{{ entries | length }} hold</span></h2>
<div class="row head"><span></span><span>Expectation</span><span>Must be</span><span>Found</span></div>
{% for entry in entries %}
<div class="row"><span class="mark g">&#10004;</span>
<span title="{{ entry.expectation }}">{{ entry.title }}
{%- if entry.severity == "warning" %} <span class="dim">(warning only)</span>{% endif %}</span>
<span class="dim">{{ entry.expected }}</span><span>{{ entry.found }}</span></div>
{% endfor %}
{% endfor %}
</body>
</html>
"""
)

OVERVIEW = (
    HEAD
    + """<h1>Gates <span class="pill {{ "bad" if stopped else "good" }}">
{{- "%d failed" % stopped if stopped else "all passed" }}</span></h1>
<p class="dim">What each gate found when it last ran.</p>
<div class="row head"><span></span><span>Gate</span><span>Expectations</span><span>To look at</span></div>
{% for gate in gates %}
<div class="row">
{% if not gate.passed %}<span class="mark b">&#10008;</span>
{% elif gate.failed %}<span class="mark w">&#9888;</span>
{% else %}<span class="mark g">&#10004;</span>
{% endif %}<span><a href="{{ gate.name }}/data_docs/index.html">{{ gate.name }}</a></span>
<span class="dim">{{ gate.held }} of {{ gate.expectations }} hold</span>
<span>{% for entry in gate.failed %}
<a href="{{ gate.name }}/data_docs/index.html#{{ entry.name }}">{{ entry.title }}</a>
{%- if not loop.last %}, {% endif %}{% endfor %}</span></div>
{% endfor %}
</body>
</html>
"""
)
