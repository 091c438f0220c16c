// Lines over the last hour, drawn as SVG; the last values stand beside them in words.
import { ago, h, svg } from "/dom.js";

const WIDEST = 600;
const HEIGHT = 170;
const LEFT = 52;
const BOTTOM = 20;

export function chart(title, help, at, lines, format) {
  const width = roomFor();
  const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
  const top = nice(Math.max(...values, 0));
  const from = at[0] ?? 0;
  const span = Math.max((at[at.length - 1] ?? 0) - from, 1);
  const x = (time) => LEFT + ((time - from) / span) * (width - LEFT - 4);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - 10);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" });
  for (const share of [0, 0.5, 1]) {
    const level = y(top * share);
    picture.append(svg("line", { class: "grid", x1: LEFT, x2: width, y1: level, y2: level }));
    picture.append(svg("text", { class: "axis", x: LEFT - 8, y: level + 4, "text-anchor": "end" }, format(top * share)));
  }
  for (const share of [0, 0.5, 1]) {
    const anchor = ["start", "middle", "end"][share * 2];
    const words = share === 1 ? "now" : `${ago(span * (1 - share))} ago`;
    if (at.length > 1) picture.append(svg("text", { class: "axis", x: x(from + span * share), y: HEIGHT - 4, "text-anchor": anchor }, words));
  }
  for (const [index, line] of lines.entries()) {
    const runs = unbroken(at, line.values).map((run) => run.map(([time, value]) => [x(time).toFixed(1), y(value).toFixed(1)]));
    const paths = runs.map((run) => `M${run.map((point) => point.join(" ")).join("L")}`);
    const areas = runs.map((run, part) => `${paths[part]}V${y(0)}H${run[0][0]}Z`);
    if (index === 0 && runs.length) picture.append(svg("path", { class: "area", d: areas.join("") }));
    picture.append(svg("path", { class: `line s${index}`, d: paths.join("") }));
    for (const [[cx, cy]] of runs.filter((run) => run.length === 1)) picture.append(svg("circle", { class: `dot s${index}`, cx, cy, r: 2.5 }));
  }
  const legend = lines.map((line, index) => h("li", {}, h("span", { class: `key s${index}` }), `${line.name} `, h("b", {}, format(last(line.values)))));
  const head = h("div", { class: "head" }, h("h3", {}, title), h("p", {}, help));
  return h("section", { class: "card chart", "aria-label": title }, head, values.length ? picture : h("p", { class: "empty" }, "Nothing yet: the first points come within ten seconds."), h("ul", { class: "legend" }, legend));
}

// As wide as its card, so that words in it keep their shape: two cards beside each other, or one on a small screen.
function roomFor() {
  const room = document.getElementById("main").clientWidth - (innerWidth > 900 ? 96 : 28);
  return Math.max(240, Math.min(innerWidth > 900 ? room / 2 - 50 : room - 40, WIDEST));
}

const last = (values) => [...values].reverse().find((value) => value !== null) ?? null;

// The points in runs without a gap: nothing can be said of a percentile while nobody posts, and a point alone is a dot.
function unbroken(at, values) {
  const runs = [];
  for (const [index, value] of values.entries()) {
    if (value === null) continue;
    if (index === 0 || values[index - 1] === null) runs.push([]);
    runs[runs.length - 1].push([at[index], value]);
  }
  return runs;
}

function nice(value) {
  if (value <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * size).find((step) => step >= value * 1.02) ?? 10 * size;
}
