// What happens now: throughput, lag, freshness, the last events, dead letters.
import { itemLink } from "../api.js";
import { TimeChart } from "../chart.js";
import { el, refill, table } from "../dom.js";
import { number, time } from "../format.js";
import { state } from "../state.js";
import { text } from "../texts.js";

const TILES = [
  ["applied", status => number(status.applied_per_s)],
  ["sent", status => number(status.sent_per_s)],
  ["lag", status => number(status.lag)],
  ["freshP50", status => milliseconds(status.freshness_p50_ms)],
  ["freshP99", status => milliseconds(status.freshness_p99_ms)],
  ["deadLetters", () => number(state.deadLetters.count)],
];

const milliseconds = value => (value === null || value === undefined ? number(null) : `${number(value, value < 10 ? 1 : 0)} ms`);

export function show(main) {
  const values = TILES.map(() => el("dd", {}, number(null)));
  const charts = [
    new TimeChart(text("throughput"), 0),
    new TimeChart(text("lag"), 0, text("lagNote")),
    new TimeChart(text("freshness"), 1, text("freshnessNote")),
  ];
  const events = el("div"), letters = el("div"), bundle = el("span", { class: "bundle" }, text("noBundle"));
  main.append(
    el("h1", {}, text("live")),
    el("p", { class: "note" }, `${text("bundle")}: `, bundle),
    el("dl", { class: "tiles" }, TILES.map(([key], place) => el("div", { class: "card" }, el("dt", {}, text(key)), values[place]))),
    el("div", { class: "charts" }, charts.map(chart => chart.node)),
    el("section", { class: "card" }, el("h2", {}, text("lastEvents")), events),
    el("section", { class: "card" },
      el("h2", {}, text("deadLetters")), el("p", { class: "note" }, text("deadLettersNote")), letters));

  function update(kind) {
    const status = state.statuses.at(-1);
    if (status) {
      bundle.textContent = status.bundle_id ?? text("noBundle");
      TILES.forEach(([, value], place) => { values[place].textContent = value(status); });
      const times = state.statuses.map(one => one.time_ms);
      const series = (...pairs) => pairs.map(([key, name]) => ({ name: text(key), values: state.statuses.map(one => one[name] ?? null) }));
      charts[0].update(times, series(["applied", "applied_per_s"], ["sent", "sent_per_s"]));
      charts[1].update(times, series(["lag", "lag"]));
      charts[2].update(times, series(["freshP50", "freshness_p50_ms"], ["freshP99", "freshness_p99_ms"]));
    }
    if (kind !== "metrics" && kind !== "dead_letters") refill(events, eventTable(status?.last ?? []));
    if (kind !== "metrics" && kind !== "status") refill(letters, letterTables());
  }
  return { update, redraw: () => charts.forEach(chart => chart.draw()), close: () => charts.forEach(chart => chart.close()) };
}

function eventTable(last) {
  if (!last.length) return el("p", {}, text("noEvents"));
  const rows = [...last].reverse().map(event => [
    el("a", { href: `#/user/${encodeURIComponent(event.user_id)}` }, event.user_id),
    event.action,
    itemLink(event.item_id),
    rank(event),
    time(event.event_time_ms),
  ]);
  return table(text("lastEvents"), ["user", "action", "item", "rank", "time"].map(key => text(key)), rows, [3]);
}

/** The rank of an event's item before the event. */
export function rank(event) {
  if (!event.steps) return text("firstEvent");
  if (event.rank === null) return text("unknownItem");
  return text("rankOf", { rank: number(event.rank), all: number(event.catalogue) });
}

function letterTables() {
  const { reasons, last } = state.deadLetters;
  if (!reasons.length) return el("p", {}, text("noDeadLetters"));
  return [
    table(text("deadLetters"), [text("reason"), text("field"), text("count")],
      reasons.map(one => [one.reason, one.field, number(one.count)]), [2], { class: "wide" }),
    el("details", {}, el("summary", {}, text("newestLetters")),
      table(text("newestLetters"), [text("time"), text("reason"), text("source")],
        last.map(one => [time(one.time_ms), one.reason, one.source]))),
  ];
}
