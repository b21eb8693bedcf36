// Requests to the server, with the token where one is needed.
import { el } from "./dom.js";
import { text } from "./texts.js";

const TOKEN = "thalweg-token";
const details = new Map(); // item id -> promise of what the catalogue says; null where it does not know the item

/** An answer that is not the wanted one. */
export class ProblemError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `${status}`);
    this.status = status;
    this.type = problem.type ?? "";
  }
}

let asking = null; // one dialog serves all requests that wait for a token

/** fetch() with the token. Asks the reader for a token where the server wants one, and then sends the request again. */
export async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const answer = await fetch(path, { ...options, headers, cache: "no-store" });
    if (answer.status !== 401) return answer;
    asking ??= askForToken(token !== null).finally(() => { asking = null; });
    await asking;
  }
}

/** The body of an answer. Throws ProblemError, and TypeError where the server does not answer. */
export async function ask(path) {
  const answer = await request(path);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ProblemError(answer.status, body);
  return body;
}

/** What to tell the reader about an error. */
export const told = error =>
  error instanceof ProblemError ? text("failed", { detail: error.message }) : text("noAnswer");

function askForToken(isWrong) {
  const dialog = document.getElementById("token-dialog");
  const input = document.getElementById("token");
  document.getElementById("token-wrong").textContent = isWrong ? text("tokenWrong") : "";
  input.value = "";
  return new Promise(done => {
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(TOKEN, input.value.trim());
      done();
    }, { once: true });
    dialog.addEventListener("cancel", event => event.preventDefault()); // nothing works without a token
    if (!dialog.open) dialog.showModal();
  });
}

/** What the catalogue says of an item; null where it does not know the item. */
export function item(id) {
  if (!details.has(id)) {
    const found = ask(`/v1/items/${encodeURIComponent(id)}`).catch(error => {
      if (!(error instanceof ProblemError && error.status === 404)) details.delete(id); // ask again the next time
      return null;
    });
    details.set(id, found);
    if (details.size > 2_000) details.delete(details.keys().next().value);
  }
  return details.get(id);
}

/** A link to an item, which shows the id until the catalogue has answered, and the name from then on. */
export function itemLink(id) {
  const link = el("a", { href: `#/item/${encodeURIComponent(id)}` }, id);
  item(id).then(found => {
    if (found?.name) {
      link.textContent = found.name;
      link.title = id;
    }
  });
  return link;
}

/** The picture of an item. Without a picture, a tile with the first letter of the name. */
export function picture(id) {
  const tile = el("span", { class: "picture", "aria-hidden": "true" });
  tile.style.setProperty("--hue", [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7));
  const show = name => { tile.textContent = [...name][0]?.toUpperCase() ?? ""; };
  show(id);
  item(id).then(found => {
    if (found?.name) show(found.name);
    if (!found?.image_url?.startsWith("https:")) return;
    const image = el("img", { src: found.image_url, alt: "", onload: () => tile.replaceChildren(image) });
  });
  return tile;
}

/** The picture and the name of an item. */
export const itemCell = id => el("span", { class: "item" }, picture(id), itemLink(id));
