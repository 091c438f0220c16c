// Tenants, the files of one, and the history of one file.
import { ago, bytes, h, instant, number, plural, seconds } from "/dom.js";

const COLUMNS = [["name", "tenant"], ["accepted", "accepted"], ["spooled", "spooled"], ["staged", "staged"], ["failed", "failed"], ["uploaded", "uploaded"], ["oldest", "oldest"]];
const PILL = { staged: "note", failed: "trouble", uploaded: "well", set_aside: "warning", dropped: "warning" };

export function tenantList(answer, wanted, now) {
  const sort = ([key, title]) => {
    const is = wanted.sort === key;
    const arrow = is ? (wanted.descending ? " ↓" : " ↑") : "";
    return h("th", { scope: "col", class: key === "name" ? null : "num", "aria-sort": is ? (wanted.descending ? "descending" : "ascending") : null },
      h("button", { "data-sort": key }, title + arrow));
  };
  const body = answer.tenants.length
    ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of tenants" }, h("table", {},
      h("thead", {}, h("tr", {}, COLUMNS.map(sort), h("th", { scope: "col" }, "state"))),
      h("tbody", {}, answer.tenants.map((tenant) => row(tenant, now)))))
    : h("p", { class: "empty" }, answer.all ? "No tenant is like that." : "No tenant has sent anything yet.");
  const last = Math.min(answer.offset + answer.tenants.length, answer.found);
  return [body, h("div", { class: "pages" },
    h("button", { "data-page": "-1", disabled: answer.offset === 0 }, "Previous"),
    h("span", {}, answer.found ? `${number(answer.offset + 1)}–${number(last)} of ${plural(answer.found, "tenant")}` : "0 tenants"),
    h("button", { "data-page": "1", disabled: last >= answer.found }, "Next"))];
}

function row(tenant, now) {
  const cell = (state) => h("td", { class: "num" }, tenant.counts[state].records ? number(tenant.counts[state].records) : "–");
  return h("tr", {},
    h("td", { class: "name" }, h("a", { href: `#/tenant/${encodeURIComponent(tenant.tenant)}` }, tenant.tenant || "(nobody can tell)")),
    ["accepted", "spooled", "staged", "failed", "uploaded"].map(cell),
    h("td", { class: "num" }, tenant.oldest_at === null ? "–" : ago(now - tenant.oldest_at)),
    h("td", { class: "wide" }, state(tenant, now)));
}

function state(tenant, now) {
  const paused = tenant.paused_since === null ? null : h("span", { class: "pill note" }, `paused for ${ago(now - tenant.paused_since)}`);
  if (tenant.trouble === null) return paused ?? h("span", { class: "pill well" }, "well");
  return h("span", {}, paused, paused ? " " : "", h("span", { class: "pill trouble" }, `failing for ${ago(now - tenant.trouble_since)}`), " ", tenant.trouble);
}

export function tenantPage(tenant, files, now) {
  const path = encodeURIComponent(tenant.tenant);
  const counts = ["accepted", "spooled", "staged", "failed", "uploaded", "set_aside", "dropped"];
  return [
    h("section", { class: "card", "aria-label": "Tenant" },
      h("p", { class: "soft" }, h("a", { href: "#/tenants" }, "All tenants")),
      h("div", { class: "head" }, h("h1", { class: "mono" }, tenant.tenant), state(tenant, now)),
      h("dl", {},
        tenant.org ? [h("dt", {}, "organization"), h("dd", {}, tenant.org), h("dt", {}, "environment"), h("dd", {}, tenant.env)] : [],
        counts.flatMap((name) => [h("dt", {}, name.replace("_", " ")), h("dd", {}, `${plural(tenant.counts[name].records, "record")}, ${bytes(tenant.counts[name].bytes)}`)]),
        tenant.oldest_at === null ? [] : [h("dt", {}, "oldest that waits"), h("dd", {}, `${ago(now - tenant.oldest_at)} old`)]),
      h("p", { class: "actions" },
        tenant.paused_since === null
          ? h("button", { "data-order": `/api/tenants/${path}/pause`, "data-sure": "Pause the uploads of this tenant? Its files are kept until you resume.", "data-done": "This tenant's uploads are paused." }, "Pause uploads")
          : h("button", { class: "primary", "data-order": `/api/tenants/${path}/resume`, "data-done": "This tenant's uploads are resumed." }, "Resume uploads"),
        tenant.counts.failed.files ? h("button", { "data-order": `/api/failed/${path}/retry`, "data-done": "What failed is tried again." }, "Retry what failed") : null)),
    h("section", { class: "card", "aria-label": "Files" },
      h("div", { class: "head" }, h("h2", {}, "Files"), h("p", {}, "newest first, as far back as the ledger goes")),
      files.files.length ? fileTable(files.files, now) : h("p", { class: "empty" }, "No file yet: records are packed when their interval is over."),
      files.more ? h("p", { class: "soft" }, "There are more; the API lists them all (GET /api/files).") : null),
  ];
}

function fileTable(files, now) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of files" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "interval began"), h("th", { scope: "col" }, "state"), ["records", "size", "attempts"].map((name) => h("th", { scope: "col", class: "num" }, name)), h("th", { scope: "col" }, "last error"), h("th", { scope: "col" }, "file"))),
    h("tbody", {}, files.map((file) => h("tr", {},
      h("td", {}, instant(file.start_at)),
      h("td", {}, h("span", { class: `pill ${PILL[file.state]}` }, file.state.replace("_", " "))),
      [number(file.records), bytes(file.size_bytes), number(file.attempts)].map((value) => h("td", { class: "num" }, value)),
      h("td", { class: "wide" }, file.reason ?? "–"),
      h("td", { class: "name" }, h("a", { class: "mono", href: `#/file/${file.id}` }, file.name)))))));
}

export function filePage(file, now) {
  const steps = [
    [file.start_at, "", "The interval of its records began."],
    [file.staged_at, "", "Packed, and ready to upload."],
    ...file.recent_attempts.map((attempt) => [attempt.began_at, attempt.reason ? "trouble" : "well",
      attempt.reason ? `Attempt failed after ${seconds(attempt.seconds)}: ${attempt.reason}` : `Delivered in ${seconds(attempt.seconds)}.`]),
    ...(file.state === "failed" ? [[file.settled_at, "trouble", `Gave up for now: ${file.reason}`]] : []),
    ...(file.state === "uploaded" ? [[file.settled_at, "well", "The ledger says: uploaded."]] : []),
    ...(file.state === "set_aside" ? [[file.settled_at, "trouble", `Set aside: ${file.reason}`]] : []),
    ...(file.state === "staged" && file.next_attempt_at > now ? [[file.next_attempt_at, "", "Next attempt."]] : []),
  ].sort((one, other) => one[0] - other[0]);
  const rows = [
    ["records", number(file.records)], ["size", `${bytes(file.size_bytes)} (${bytes(file.bytes)} as lines)`], ["attempts that counted", number(file.attempts)],
    ["last error", file.reason ?? "none"], ["SHA-256", file.sha256], ["ETag", file.etag ?? "–"], ["directory", file.directory],
  ];
  return [h("section", { class: "card", "aria-label": "File" },
    h("p", { class: "soft" }, h("a", { href: `#/tenant/${encodeURIComponent(file.tenant)}` }, file.tenant)),
    h("div", { class: "head" }, h("h1", { class: "mono" }, file.name), h("span", { class: `pill ${PILL[file.state]}` }, file.state.replace("_", " "))),
    h("dl", {}, rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", { class: "mono" }, value)]))),
  h("section", { class: "card", "aria-label": "History" }, h("div", { class: "head" }, h("h2", {}, "History"), h("p", {}, "attempts are remembered since the service started")),
    h("ol", { class: "timeline" }, steps.map(([at, mark, words]) => h("li", { class: mark }, h("span", { class: "soft" }, `${instant(at)}  `), words))))];
}
