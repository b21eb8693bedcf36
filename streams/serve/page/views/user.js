// One user: events lately seen, the vector's way on the map, and recommendations before and after the last update.
import { ask, itemCell, told } from "../api.js";
import { el, refill, table } from "../dom.js";
import { number, signed, time } from "../format.js";
import { state } from "../state.js";
import { text } from "../texts.js";
import { explanation } from "./explanation.js";
import { rank } from "./live.js";
import { userMap } from "./map.js";
import { searchForm } from "./search.js";

const SHOWN = 10, RANKS_BEFORE = 500, RETRY_MS = 1_000, RETRIES = 8;
let map = null; // the map of the bundle, asked for once

export function show(main, id) {
  const suggestions = el("datalist", { id: "recent-users" });
  const recent = el("ul", { class: "chips" });
  const said = el("p", { role: "status", class: "note" }, id ? text("loading") : text("userHint"));
  const result = el("div", { class: "result" });
  let isOpen = true, shownEvent = "";
  main.append(
    el("h1", {}, id ? `${text("user")} ${id}` : text("user")),
    searchForm("user", id, suggestions),
    el("section", { "aria-labelledby": "recent-title", class: "recent" }, el("h2", { id: "recent-title" }, text("recentUsers")), recent),
    said,
    result);

  async function load(retries = RETRIES) {
    try {
      const found = await ask(`/v1/live/users/${encodeURIComponent(id)}?k=${SHOWN}`);
      if (map?.bundle_id !== found.bundle_id) map = await ask("/v1/live/map");
      if (!isOpen) return;
      shownEvent = found.events[0]?.id ?? "";
      said.textContent = found.known ? text("knownUser", { steps: number(found.after.steps) }) : text("unknownUser");
      refill(result, sections(found));
    } catch (error) {
      if (!isOpen) return;
      said.textContent = told(error);
      if (error.status === 503 && retries) setTimeout(() => isOpen && load(retries - 1), RETRY_MS);
    }
  }

  function update(kind) {
    const last = state.statuses.at(-1)?.last ?? [];
    if (kind === "status" || kind === "snapshot" || !kind) {
      const users = [...new Set(last.map(event => event.user_id))].reverse();
      suggestions.replaceChildren(...users.map(user => el("option", { value: user })));
      refill(recent, users.map(user => el("li", {}, el("a", { href: `#/user/${encodeURIComponent(user)}` }, user))));
    }
    const newest = last.findLast(event => event.user_id === id);
    if (id && newest && newest.id !== shownEvent) load();
  }
  if (id) load();
  return { update, redraw() {}, close() { isOpen = false; } };
}

function sections(found) {
  const section = (title, ...children) => el("section", { class: "card" }, el("h2", {}, title), children.filter(child => child !== null));
  return [
    section(text("map"), userMap(map.items, map.explained, found.places, found.after.items)),
    section(text("after"), el("p", { class: "note" }, text("movedNote")), afterTable(found), found.known ? explanation(found.user_id) : null),
    section(text("seenEvents"), found.events.length
      ? el("div", {}, el("p", { class: "note" }, text("turnedNote")), eventTable(found.events))
      : el("p", {}, text("noSeenEvents"))),
    section(text("before"), found.before
      ? el("div", {}, el("p", { class: "note" }, text("knownUser", { steps: number(found.before.steps) })), beforeTable(found.before))
      : el("p", {}, text("noBefore"))),
  ];
}

function eventTable(events) {
  const rows = events.map(event => [
    time(event.event_time_ms), event.action, itemCell(event.item_id), rank(event),
    event.turned_degrees === null ? number(null) : text("degrees", { value: number(event.turned_degrees, 1) }),
  ]);
  return table(text("seenEvents"), ["time", "action", "item", "rank", "turned"].map(key => text(key)), rows, [3, 4]);
}

function afterTable(found) {
  const rows = found.after.items.map((item, place) => {
    const change = item.score_before === null ? null : item.score - item.score_before;
    return [number(place + 1), itemCell(item.item_id), number(item.score, 2), signed(change), placeBefore(item, place + 1, found.before)];
  });
  return table(text("after"), ["place", "item", "score", "change", "rankBefore"].map(key => text(key)), rows, [2, 3, 4]);
}

/** The earlier place, with an arrow for the eye: a reader compares both places. */
function placeBefore(item, now, before) {
  if (!before) return number(null);
  const place = item.rank_before ?? RANKS_BEFORE + 1;
  const told = item.rank_before === null ? text("newInList", { most: number(RANKS_BEFORE) }) : number(place);
  if (place === now) return told;
  const arrow = el("span", { "aria-hidden": "true" }, place > now ? "▲ " : "▼ ");
  return el("span", { class: place > now ? "up" : "down" }, arrow, told);
}

function beforeTable(before) {
  const rows = before.items.map((item, place) => [number(place + 1), itemCell(item.item_id), number(item.score, 2)]);
  return table(text("before"), ["place", "item", "score"].map(key => text(key)), rows, [2]);
}
