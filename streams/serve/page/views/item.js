// One item: what the catalogue says, and the items whose vectors point most nearly the same way.
import { ask, item as details, itemCell, picture, told } from "../api.js";
import { el, table } from "../dom.js";
import { number } from "../format.js";
import { text } from "../texts.js";
import { searchForm } from "./search.js";

const NEIGHBOURS = 20;

export function show(main, id) {
  const title = el("h1", {}, id ? `${text("item")} ${id}` : text("item"));
  const said = el("p", { role: "status", class: "note" }, id ? text("loading") : text("itemHint"));
  const result = el("div", { class: "result" });
  let isOpen = true;
  main.append(title, searchForm("item", id), said, result);

  async function load() {
    try {
      const [known, found] = await Promise.all([details(id), ask(`/v1/items/${encodeURIComponent(id)}/similar?k=${NEIGHBOURS}`)]);
      if (!isOpen) return;
      const name = known?.name ?? id;
      title.textContent = `${text("item")} ${name}`;
      said.textContent = text("loaded", { name });
      result.replaceChildren(card(id, known), neighbours(found.items));
    } catch (error) {
      if (isOpen) said.textContent = told(error);
    }
  }
  if (id) load();
  return { update() {}, redraw() {}, close() { isOpen = false; } };
}

function card(id, known) {
  const facts = [
    ["itemId", id], ["category", known?.category], ["brand", known?.brand],
    ["price", known?.price === null || known?.price === undefined ? null : number(known.price, 2)],
  ].filter(([, value]) => value);
  return el("section", { class: "card about" }, picture(id),
    el("dl", {}, facts.map(([key, value]) => el("div", {}, el("dt", {}, text(key)), el("dd", {}, value)))),
    known?.available === false ? el("p", { class: "firing" }, text("notAvailable")) : null);
}

function neighbours(items) {
  const rows = items.map((one, place) => {
    const bar = el("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${Math.max(0, one.cosine) * 100}px`;
    return [number(place + 1), itemCell(one.item_id), el("span", { class: "measure" }, bar, number(one.cosine, 3))];
  });
  return el("section", { class: "card" }, el("h2", {}, text("neighbours")),
    table(text("neighbours"), ["place", "item", "cosine"].map(key => text(key)), rows, [2]));
}
