// Asks the service. A token is kept in this tab only, and asked for when the service wants one.

const KEY = "apidanalytics-token";

export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

export async function ask(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== null));
  return call(query.size ? `${path}?${query}` : path, { method: "GET" });
}

export const order = (path) => call(path, { method: "POST", headers: { "X-Apidanalytics": "page" } });

async function call(path, options) {
  const token = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(15000) });
  if (response.status === 401) {
    await askForToken();
    return call(path, options);
  }
  const answer = await response.json();
  if (!response.ok) throw new Refused(response.status, answer.error);
  return answer;
}

let asking = null;

function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("ask");
    const input = document.getElementById("token");
    input.value = "";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(KEY, input.value.trim());
      asking = null;
      resolve();
    }, { once: true });
  });
  return asking;
}
