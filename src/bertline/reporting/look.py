"""How the report looks: a style beside that of Data Docs, and the template (Jinja) of what follows their HEAD.

No script, nothing fetched.
"""

STYLE = """
html { scroll-behavior: smooth } body { max-width: 76rem }
:root { --c0: #0969da; --c1: #bf5b04; --c2: #1a7f37; --c3: #8250df; --c4: #bf3989;
  --heat: 9 105 218 }
@media (prefers-color-scheme: dark) { :root { --c0: #4493f8; --c1: #e3873a; --c2: #3fb950; --c3: #ab7df8;
  --c4: #e275ad; --heat: 68 147 248 } }
nav { display: flex; overflow-x: auto; white-space: nowrap; gap: 1rem; padding: .6rem 0;
  border-bottom: 1px solid var(--line); position: sticky; top: 0; background: var(--paper); z-index: 2 }
section.task { border-top: 1px solid var(--line); margin-top: 2.4rem }
h2, h3 { scroll-margin-top: 4rem } h3 { margin: 1.6rem 0 .5rem }
.scroll { overflow-x: auto; max-width: 100% } .scroll + p { margin-top: .8rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } caption { text-align: left; color: var(--dim) }
th, td { padding: .3rem .65rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th { font-weight: 600; color: var(--dim) } th:first-child, td:first-child { text-align: left }
.scores :is(th, td):is(:nth-child(-n+2), :nth-child(4)) { text-align: left }
.scores :is(th, td) { white-space: normal; vertical-align: top } .scores .whole { white-space: nowrap }
.scores :is(th, td):last-child { min-width: 11rem }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(21rem, 100%), 1fr)); gap: 1rem 1.6rem }
figure { margin: 0; min-width: 0 } figcaption { font-weight: 600; margin-bottom: .3rem }
.chart { width: 100%; height: auto; max-width: 34rem; display: block; overflow: visible }
.chart.reliability { max-width: 20rem }
.chart text { font: 14px system-ui, sans-serif; fill: var(--dim) } .mid { text-anchor: middle }
.end { text-anchor: end }
.grid { stroke: var(--line); stroke-width: 1 } .line { fill: none; stroke-width: 2; stroke-linejoin: round }
.dashed { stroke-dasharray: 5 4 } .ideal { stroke: var(--ink); stroke-dasharray: 4 4 }
.c0 { stroke: var(--c0) } .c1 { stroke: var(--c1) } .c2 { stroke: var(--c2) } .c3 { stroke: var(--c3) }
.c4 { stroke: var(--c4) }
.dot { fill: var(--paper); stroke-width: 1.6 } .bar { fill: var(--c0) } .bar.count { opacity: .45 }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .85rem; color: var(--dim) }
.legend span { display: inline-flex; align-items: center; gap: .4rem } .key { width: 26px; height: 10px }
.confusion td { text-align: center; border: 1px solid var(--paper); min-width: 2.6rem;
  background: rgb(var(--heat) / calc(var(--share) * 55%)) }
.confusion th { border: 0; font-weight: 400; font-size: .87rem } .confusion tbody th { text-align: right }
.confusion thead th { text-align: center } .confusion .axis { color: var(--ink); font-weight: 600;
  text-align: left }
.two { display: flex; flex-wrap: wrap; gap: .5rem 3rem; align-items: start } .two > * { min-width: 0; max-width: 100% }
.calibration { flex: 0 1 20rem }
.mistakes { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: .7rem;
  padding: 0; list-style: none }
.mistakes li { border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; overflow-wrap: anywhere }
.mistakes p { margin: .35rem 0 0 } .verdict { display: flex; flex-wrap: wrap; gap: .3rem .9rem; align-items: baseline }
.verdict b { font-weight: 600 } .wrong { color: var(--bad) } .right { color: var(--good) }
.small { font-size: .87rem } p { max-width: 60rem }
"""

PAGE = """<h1>Report</h1>
<div class="figures">
{% for name, value in figures %}<div><span class="dim">{{ name }}</span><b>{{ value }}</b></div>
{% endfor %}
</div>
<nav>{% if scores %}<a href="#scoreboard">Scoreboard</a>{% endif %}
<a href="#pretraining">Pre-training</a>
{% for task in tasks %}<a href="#{{ task.anchor }}">{{ task.name }}</a>
{% endfor %}</nav>
{% if scores %}
<h2 id="scoreboard">Scoreboard</h2>
<div class="scroll"><table class="scores">
<thead><tr>{% for cell in scores.heading %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in scores.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% for remark in scores.remarks %}<p>{{ remark }}</p>
{% endfor %}
<p class="dim small">{{ scores.legend }}</p>
{% endif %}
<h2 id="pretraining">Pre-training</h2>
{{ charts(pretraining) }}
{% for task in tasks %}
<section class="task">
<h2 id="{{ task.anchor }}">{{ task.name }} <span class="dim">{{ task.kind }}</span></h2>
<p>The model that was kept (seed {{ task.seed }}) on {{ task.rows }} test rows:
{% for name, value, interval in task.scores %}{{ name }} <b>{{ value }}</b>{% if interval %} (95 % interval
{{ interval }}){% endif %}{{ "; " if not loop.last else "." }}{% endfor %}</p>
{{ charts(task.curves) }}
<div class="two">
<div>
<h3>Confusion</h3>
<div class="scroll"><table class="confusion">
<thead><tr><th></th><th class="axis" colspan="{{ task.confusion.columns | length }}">predicted</th></tr>
<tr><th class="axis">actual</th>{% for name in task.confusion.columns %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for name, cells in task.confusion.rows %}<tr><th>{{ name }}</th>
{%- for count, share in cells %}<td style="--share:{{ share }}">{{ count }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
<p class="dim small">{{ task.confusion.note }}</p>
</div>
{% if task.calibration %}
<div class="calibration">
<h3>Calibration</h3>
{{ task.calibration.diagram }}
<p class="small">Expected calibration error <b>{{ task.calibration.error }}</b>. <span class="dim">Bars: the share that
is right among the rows of one confidence; on the dashed line a model is as sure as it is right.</span></p>
</div>
{% endif %}
</div>
<h3>Slices</h3>
<div class="two">
{% for table in task.slices %}<div class="scroll"><table>
<thead><tr><th>{{ table.by }}</th><th>rows</th>
{%- for name in table.metrics %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for name, count, cells in table.rows %}<tr><td>{{ name }}</td><td>{{ count }}</td>
{%- for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endfor %}
</div>
<h3>Worst mistakes</h3>
{% if task.mistakes %}
<ol class="mistakes">
{% for mistake in task.mistakes %}<li>
<div class="verdict"><span><span class="dim">said</span> <b class="wrong"><bdi>{{ mistake.predicted }}</bdi></b></span>
<span><span class="dim">right is</span> <b class="right"><bdi>{{ mistake.actual }}</bdi></b></span>
<span class="dim">{{ mistake.how }}</span></div>
{% for column, text in mistake.texts %}<p><span class="dim">{{ column }}</span> <bdi>{{ text }}</bdi></p>
{% endfor %}
<p class="dim small">{{ mistake.id }}</p>
</li>
{% endfor %}
</ol>
{% else %}
<p>None.</p>
{% endif %}
</section>
{% endfor %}
</body>
</html>
"""
