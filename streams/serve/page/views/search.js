// A form that asks for an id and opens its address, with an answer below.
import { el } from "../dom.js";
import { text } from "../texts.js";

/** kind: user or item. id: the id that is shown. suggestions: a datalist, or null. */
export function searchForm(kind, id, suggestions = null) {
  const field = el("input", {
    id: `${kind}-id`, value: id, required: true, maxlength: 256, autocomplete: "off", spellcheck: "false", list: suggestions?.id,
  });
  const submit = event => {
    event.preventDefault();
    location.hash = `#/${kind}/${encodeURIComponent(field.value.trim())}`;
  };
  return el("form", { class: "search card", role: "search", onsubmit: submit },
    el("label", { for: `${kind}-id` }, text(`${kind}Id`)), field, el("button", { type: "submit" }, text("show")), suggestions);
}
