// The overview: well or not and why, the flow, the charts, workers and scope data.
import { chart } from "/charts.js";
import { ago, bytes, h, instant, number, plural, seconds, short } from "/dom.js";

const HEADLINE = { well: "All is well", warning: "Running, with something to look into", trouble: "Something is wrong" };
const MARK = { well: "✓", warning: "!", trouble: "✕" };
const LATE_SECONDS = 600;

export function overview(status, history) {
  return [verdict(status), flow(status), charts(history), h("div", { class: "two" }, workers(status), scopes(status))];
}

function verdict(status) {
  const facts = [
    ["accepting batches", status.ready ? "yes" : "no"],
    ["running for", ago(status.now - status.started_at)],
    ["data API", status.api || "–"],
    ["disk free", status.disk ? `${bytes(status.disk.free_bytes)} (${Math.round((100 * status.disk.free_bytes) / status.disk.total_bytes)} %)` : "–"],
    ["version", status.version],
  ];
  return h("section", { class: `verdict ${status.verdict}`, "aria-label": "State", "data-verdict": status.verdict },
    h("h1", {}, h("span", { class: "mark", "aria-hidden": "true" }, MARK[status.verdict]), HEADLINE[status.verdict]),
    h("ul", { class: "facts" }, facts.map(([name, value]) => h("li", {}, `${name} `, h("b", {}, value)))),
    status.findings.length ? h("ul", { class: "findings" }, status.findings.map(finding)) : null);
}

function finding(found) {
  const name = found.tenant ? h("a", { href: `#/tenant/${encodeURIComponent(found.tenant)}` }, "Its files") : null;
  return h("li", { class: `finding ${found.severity}` },
    h("span", { class: "tag" }, found.severity),
    h("p", {}, found.text),
    h("p", { class: "hint" }, found.hint, name ? " " : "", name));
}

function flow(status) {
  const states = Object.fromEntries(status.flow.map((step) => [step.state, step]));
  const rates = status.rates;
  const age = (step) => (step.oldest_at === null ? null : status.now - step.oldest_at);
  const uploads = status.uploads;
  const step = (state, title, big, unit, lines, marks = "") =>
    h("li", { class: `step ${marks}`, "data-state": state, "data-records": String(states[state].records) },
      h("h3", {}, title), h("div", { class: "big" }, big, " ", h("span", { class: "unit" }, unit)), lines.map((line) => line && h("p", { class: line.startsWith("oldest") ? "age" : null }, line)));
  const waiting = (state, title) => {
    const here = states[state];
    const old = age(here);
    const late = old !== null && old > LATE_SECONDS ? "late" : "";
    return step(state, title, number(here.records), here.records === 1 ? "record" : "records",
      [bytes(here.bytes), plural(here.files, state === "spooled" ? "spool" : "file"), old !== null ? `oldest ${ago(old)}` : "nothing waits"], late);
  };
  const sending = states.uploading;
  const main = [
    step("accepted", "Accepted", short(rates.accepted_records_per_second), "records/s", [`${number(states.accepted.records)} in all`, `${bytes(rates.accepted_bytes_per_second)}/s`, `${short(rates.batches_per_second)} batches/s`], rates.accepted_records_per_second ? "busy" : ""),
    waiting("spooled", "Spooled, durable"),
    waiting("staged", "Staged, packed"),
    step("uploading", "Uploading", number(sending.files), sending.files === 1 ? "file" : "files", [plural(sending.records, "record"), bytes(sending.bytes), sending.oldest_at ? `oldest ${ago(age(sending))}` : uploads.paused_since ? "paused by hand" : "idle"], sending.files ? "busy" : ""),
    step("uploaded", "Uploaded", short(rates.uploaded_records_per_second), "records/s", [`${number(states.uploaded.records)} in all`, `${number(states.uploaded.files)} files`, states.uploaded.last_at ? `last ${ago(status.now - states.uploaded.last_at)} ago` : "none since the start"], rates.uploaded_records_per_second ? "busy" : ""),
  ];
  const aside = (state, title, words) => {
    const here = states[state];
    return step(state, title, number(here.records), here.records === 1 ? "record" : "records", [`${plural(here.files, "file")}, ${bytes(here.bytes)}`, here.files ? (here.oldest_at ? `oldest ${ago(age(here))}` : words) : "none"], here.files ? "bad" : "");
  };
  return h("section", { class: "card", "aria-label": "Where the records are" },
    h("div", { class: "head" }, h("h2", {}, "Where the records are"), h("p", {}, "from the POST to the object store")),
    h("ol", { class: "flow" }, main),
    h("ul", { class: "side flow-side" }, [aside("failed", "Failed, tried again later", ""), aside("set_aside", "Set aside, in damaged/", "see the reason beside each"), states.dropped.files ? aside("dropped", "Dropped, to make room", "by apidanalytics_full_policy") : null]),
    h("p", { class: "actions" },
      states.failed.files ? h("button", { "data-order": "/api/failed/retry", "data-done": "Everything that failed is tried again." }, "Retry what failed") : null,
      uploads.paused_since === null
        ? h("button", { "data-order": "/api/uploads/pause", "data-sure": "Pause all uploads? Everything is kept until you resume.", "data-done": "All uploads are paused." }, "Pause all uploads")
        : h("button", { class: "primary", "data-order": "/api/uploads/resume", "data-done": "Uploads are resumed." }, "Resume uploads")));
}

function charts(history) {
  const { at } = history;
  const line = (name, key) => ({ name, values: history[key] });
  return h("div", { class: "charts" },
    chart("Records per second", "accepted and uploaded", at, [line("accepted", "accepted_records_per_second"), line("uploaded", "uploaded_records_per_second")], short),
    chart("Time to the 200", "from the last byte of a batch", at, [line("median", "request_p50_seconds"), line("99 %", "request_p99_seconds")], seconds),
    chart("Backlog", "records that are not delivered yet", at, [line("records", "backlog_records")], short),
    chart("Disk", "room left", at, [line("free", "disk_free_bytes")], bytes));
}

function workers(status) {
  const pill = { running: "well", starting: "note", down: "trouble" };
  return h("section", { class: "card", "aria-label": "Workers" },
    h("div", { class: "head" }, h("h2", {}, "Workers"), h("p", {}, "one process per core")),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of workers" }, h("table", {},
      h("thead", {}, h("tr", {}, ["worker", "state"].map((name) => h("th", { scope: "col" }, name)), ["connections", "requests", "memory", "restarts"].map((name) => h("th", { scope: "col", class: "num" }, name)))),
      h("tbody", {}, status.workers.map((worker) => h("tr", {},
        h("td", {}, `${worker.index}`, h("span", { class: "soft" }, ` pid ${worker.pid ?? "–"}`)),
        h("td", {}, h("span", { class: `pill ${worker.writable === false ? "trouble" : pill[worker.state]}` }, worker.writable === false ? "disk refuses" : worker.state)),
        [number(worker.connections), number(worker.requests), bytes(worker.memory_bytes), number(worker.restarts)].map((value) => h("td", { class: "num" }, value))))))));
}

function scopes(status) {
  const known = status.scopes;
  const rows = [
    ["source", known.source ?? "none"],
    ["state", known.trouble ? `cannot be read since ${instant(known.trouble_since)}: ${known.trouble}` : (known.state ?? "read")],
    ["version", known.version ?? "none"],
    ["age", known.published_at ? ago(status.now - known.published_at) : "–"],
    ["tenants", number(known.tenants)],
    ["API keys", number(known.api_keys)],
  ];
  return h("section", { class: "card", "aria-label": "Scope data" },
    h("div", { class: "head" }, h("h2", {}, "Scope data"), h("p", {}, "who may send, and who is behind an API key")),
    h("dl", {}, rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}
