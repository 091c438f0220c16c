// The page: which part is shown, and asking again every two seconds while somebody looks.
import { ask, order } from "/api.js";
import { h, instant, show } from "/dom.js";
import { overview } from "/overview.js";
import { filePage, tenantList, tenantPage } from "/tenants.js";

const EVERY_MILLISECONDS = 2000;
const main = document.getElementById("main");
const live = document.getElementById("live");
const wanted = { search: "", only: "all", sort: "name", descending: false, offset: 0, limit: 50 };
let level = "info";
let timer = 0;
let shown = null;

const now = () => Date.now() / 1000;

const VIEWS = {
  async ""() {
    const [status, history] = await Promise.all([ask("/api/status"), ask("/api/history")]);
    document.title = `${{ well: "✓", warning: "!", trouble: "✕" }[status.verdict]} apidanalytics`;
    return overview(status, history.series);
  },
  async tenants() {
    const answer = await ask("/api/tenants", wanted);
    const frame = main.querySelector("#tenants") ? null : tenantFrame();
    if (frame) show(main, frame);
    show(main.querySelector("#tenants"), tenantList(answer, wanted, now()));
    return null;
  },
  async tenant(name) {
    const [tenant, files] = await Promise.all([ask(`/api/tenants/${encodeURIComponent(name)}`), ask("/api/files", { tenant: name, limit: 50 })]);
    return tenantPage(tenant, files, now());
  },
  file: async (id) => filePage(await ask(`/api/files/${encodeURIComponent(id)}`), now()),
  async events() {
    const answer = await ask("/api/events", { level, limit: 300 });
    if (!main.querySelector("#events")) show(main, eventFrame());
    show(main.querySelector("#events"), eventTable(answer.events));
    return null;
  },
  settings: async () => settingsPage((await ask("/api/settings")).settings),
};

function tenantFrame() {
  const only = [["all", "all tenants"], ["trouble", "only those in trouble"], ["waiting", "only those with data that waits"]];
  return h("section", { class: "card", "aria-label": "Tenants" },
    h("div", { class: "head" }, h("h1", {}, "Tenants"), h("p", {}, "records by state")),
    h("div", { class: "tools" },
      h("input", { type: "search", placeholder: "Search by name", "aria-label": "Search tenants by name", value: wanted.search, oninput: (event) => refine({ search: event.target.value }) }),
      h("select", { "aria-label": "Which tenants", onchange: (event) => refine({ only: event.target.value }) }, only.map(([value, words]) => h("option", { value, selected: value === wanted.only }, words)))),
    h("div", { id: "tenants" }));
}

function refine(change) {
  Object.assign(wanted, { offset: 0 }, change);
  refresh();
}

function eventFrame() {
  return h("section", { class: "card", "aria-label": "Recent events" },
    h("div", { class: "head" }, h("h1", {}, "Recent events"), h("p", {}, "of the agent and its workers, newest first")),
    h("div", { class: "tools" }, h("label", { for: "level" }, "Least level"),
      h("select", { id: "level", onchange: (event) => { level = event.target.value; refresh(); } }, ["debug", "info", "warning", "error"].map((name) => h("option", { value: name, selected: name === level }, name)))),
    h("div", { id: "events" }));
}

const LEVELS = { debug: "", info: "note", warning: "warning", error: "trouble", critical: "trouble" };
const HEAD = new Set(["number", "at", "time", "level", "event", "process", "pid"]);

function eventTable(events) {
  if (!events.length) return [h("p", { class: "empty" }, "Nothing of this level lately.")];
  const details = (event) => Object.entries(event).filter(([name]) => !HEAD.has(name)).map(([name, value]) => `${name}=${value}`).join("  ");
  return [h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of events" }, h("table", {},
    h("thead", {}, h("tr", {}, ["time", "level", "event", "process", "details"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, [...events].reverse().map((event) => h("tr", {},
      h("td", { class: "short" }, instant(event.at)), h("td", {}, h("span", { class: `pill ${LEVELS[event.level] ?? ""}` }, event.level)),
      h("td", { class: "short" }, h("code", {}, event.event)), h("td", { class: "short" }, event.process), h("td", { class: "wide mono" }, details(event)))))))];
}

function settingsPage(settings) {
  return [h("section", { class: "card", "aria-label": "Settings" },
    h("div", { class: "head" }, h("h1", {}, "Effective settings"), h("p", {}, "secrets are masked")),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of settings" }, h("table", {},
      h("thead", {}, h("tr", {}, ["key", "value", "from", "what it is"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, settings.map((line) => h("tr", {}, h("td", {}, h("code", {}, line.key)), h("td", { class: "name mono" }, line.value), h("td", {}, line.origin), h("td", { class: "wide" }, line.help)))))))];
}

function route() {
  const [, name = "", ...rest] = location.hash.split("/");
  return [name in VIEWS ? name : "", decodeURIComponent(rest.join("/"))];
}

async function refresh() {
  clearTimeout(timer);
  const asked = location.hash;
  const [name, argument] = route();
  try {
    const content = await VIEWS[name](argument);
    if (asked !== location.hash) return;
    if (content) show(main, content);
    say(`Live, as of ${instant(now())}`, false);
  } catch (error) {
    if (asked !== location.hash) return;
    if (error.status === 404) show(main, [h("section", { class: "card" }, h("h1", {}, "Not found"), h("p", {}, error.message))]);
    else say(error.status ? error.message : "The service does not answer. Trying again …", true);
  }
  if (shown !== asked) {
    shown = asked;
    main.querySelector("h1")?.setAttribute("tabindex", "-1");
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, EVERY_MILLISECONDS);
}

function say(words, lost) {
  live.textContent = words;
  live.classList.toggle("lost", lost);
}

function toast(words) {
  const place = document.getElementById("toast");
  place.textContent = words;
  place.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { place.hidden = true; }, 5000);
}

async function carryOut(button) {
  if (button.dataset.sure && !confirm(button.dataset.sure)) return;
  button.disabled = true;
  try {
    await order(button.dataset.order);
    toast(button.dataset.done);
  } catch (error) {
    toast(`It was not done: ${error.message}`);
  }
  button.blur();
  button.disabled = false;
  await refresh();
}

function moved() {
  const [name] = route();
  for (const link of document.querySelectorAll("#nav a")) {
    const is = link.hash === `#/${name}` || (link.hash === "#/tenants" && ["tenant", "file"].includes(name));
    if (is) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren();
  document.title = "apidanalytics";
  refresh();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.order) carryOut(button);
  if (button.dataset.page) refine({ offset: Math.max(0, wanted.offset + Number(button.dataset.page) * wanted.limit) });
  if (button.dataset.sort) {
    const again = wanted.sort === button.dataset.sort;
    refine({ sort: button.dataset.sort, descending: again ? !wanted.descending : button.dataset.sort !== "name" });
  }
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
addEventListener("hashchange", moved);
moved();
