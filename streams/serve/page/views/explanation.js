// What each event of a user did to the first recommendation. The server reads the user's history for that, so on demand.
import { ask, itemCell, told } from "../api.js";
import { el, table } from "../dom.js";
import { number, signed, time } from "../format.js";
import { text } from "../texts.js";

/** A button, and below it the answer. */
export function explanation(userId) {
  const answer = el("div", { "aria-live": "polite" });
  const explain = async () => {
    answer.replaceChildren(el("p", { class: "note" }, text("loading")));
    try {
      answer.replaceChildren(...shown(await ask(`/v1/users/${encodeURIComponent(userId)}/explanation`)));
    } catch (error) {
      answer.replaceChildren(el("p", {}, told(error)));
    }
  };
  return el("div", {}, el("p", {}, el("button", { type: "button", onclick: explain }, text("explain"))), answer);
}

function shown(found) {
  const what = el("p", {}, itemCell(found.item_id), " ", text("explainedScore", { score: number(found.model_score, 2), rank: number(found.rank) }));
  if (!found.events) return [what, el("p", { class: "note" }, found.events_missing ?? "")];
  const rows = [...found.events].reverse().map(event => [
    time(event.event_time_ms), event.action, itemCell(event.item_id),
    number(event.moved_l2, 3), signed(event.score_change), number(event.rank_without),
  ]);
  const head = ["time", "action", "item", "movedBy", "scoreByEvent", "rankWithout"].map(key => text(key));
  return [what, el("p", { class: "note" }, text("explainNote")), table(text("explain"), head, rows, [3, 4, 5])];
}
