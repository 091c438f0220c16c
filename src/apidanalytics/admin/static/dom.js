// Elements and words. Text from outside only ever becomes a text node, so no name can be markup.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Puts new content in the place of old, but leaves what is the same alone: focus and selection stay.
export function show(place, ...content) {
  const next = content.flat();
  for (const [index, element] of next.entries()) {
    const now = place.children[index];
    if (!now) place.append(element);
    else if (!now.isEqualNode(element) && !now.contains(document.activeElement)) now.replaceWith(element);
    else if (!now.isEqualNode(element)) update(now, element);
  }
  while (place.children.length > next.length) place.lastElementChild.remove();
}

// While somebody is at work inside, only the parts that hold no focus change.
function update(now, next) {
  if (now.children.length !== next.children.length || !now.children.length) return;
  for (const [index, child] of [...next.children].entries()) {
    const known = now.children[index];
    if (known.isEqualNode(child)) continue;
    if (known.contains(document.activeElement)) update(known, child);
    else known.replaceWith(child);
  }
}

const whole = new Intl.NumberFormat("en-US");
export const number = (value) => (value === null || value === undefined ? "–" : whole.format(Math.round(value)));

export function short(value) {
  if (value === null || value === undefined) return "–";
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (Math.abs(value) >= size) return `${(value / (unit === "k" ? 1e3 : size)).toPrecision(3)}${unit}`;
  }
  return Math.abs(value) < 10 && value % 1 ? value.toFixed(1) : number(value);
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let size = value;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (size < 1024) return `${size < 10 && unit !== "B" ? size.toFixed(1) : Math.round(size)} ${unit}`;
    size /= 1024;
  }
  return `${size.toFixed(1)} TiB`;
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value === 0) return "0";
  if (value < 1) return `${value < 0.01 ? (value * 1000).toFixed(1) : Math.round(value * 1000)} ms`;
  return value < 100 ? `${value.toFixed(1)} s` : ago(value);
}

export function ago(value) {
  const s = Math.max(value, 0);
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

export function instant(at) {
  if (!at) return "–";
  const date = new Date(at * 1000);
  const day = date.toDateString() === new Date().toDateString() ? "" : `${date.toISOString().slice(0, 10)} `;
  return `${day}${date.toTimeString().slice(0, 8)}`;
}

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
