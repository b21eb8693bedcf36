// Elements without markup in strings, so that no text of a user or an item can become markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children. A child that is null is left out. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined));
  return node;
}

/** A table with a caption. head: texts. rows: arrays of texts or elements. numbers: positions of columns of numbers. */
export function table(caption, head, rows, numbers = [], attributes = {}) {
  const kind = position => (numbers.includes(position) ? "number" : null);
  const body = rows.map(cells =>
    el("tr", {}, cells.map((cell, position) =>
      position ? el("td", { class: kind(position) }, cell) : el("th", { scope: "row", class: kind(position) }, cell))));
  // A wide table scrolls by itself, and a reader with a keyboard must reach it.
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", attributes,
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, head.map((name, position) => el("th", { scope: "col", class: kind(position) }, name)))),
      el("tbody", {}, body)));
}

/** Put children into a node, unless the reader is inside: a link must not vanish under the focus. */
export function refill(node, ...children) {
  if (!node.contains(document.activeElement)) node.replaceChildren(...children.flat().filter(child => child !== null));
}
