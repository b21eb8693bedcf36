// How well the model foresees the next event: curves with alarm marks, and bundles side by side.
import { TimeChart } from "../chart.js";
import { el, refill, table } from "../dom.js";
import { number, time } from "../format.js";
import { state } from "../state.js";
import { text } from "../texts.js";

const METRICS = [["recall", "recall@20"], ["mrr", "mrr@20"]];
const FIRST = ["model", "popularity", "last_item", "frozen_1h", "frozen_1d"]; // other systems follow in order of name

export function show(main) {
  const charts = METRICS.map(([key]) => new TimeChart(text(key), 4));
  const choice = el("select", { id: "bundle", onchange: () => drawCharts() });
  const curves = el("div", { class: "charts" }, charts.map(chart => chart.node));
  const empty = el("p", { class: "card" }, text("noMetrics"));
  const sideBySide = el("div"), alarms = el("div");
  main.append(
    el("h1", {}, text("quality")),
    el("p", { class: "note" }, text("qualityNote"), " ", text("alarmMark")),
    el("p", {}, el("label", {}, text("bundle"), " ", choice)),
    empty,
    curves,
    el("section", { class: "card" },
      el("h2", {}, text("sideBySide")), el("p", { class: "note" }, text("sideBySideNote")), sideBySide),
    el("section", { class: "card" }, el("h2", {}, text("alarms")), alarms));

  function drawCharts() {
    const events = inOrder(state.metrics.filter(event => event.bundle_id === choice.value));
    const systems = systemsOf(events);
    const marks = state.alarms.filter(alarm => alarm.bundle_id === choice.value).map(alarm => alarm.starts_at_ms);
    METRICS.forEach(([, metric], place) => charts[place].update(
      events.map(event => event.window_end_ms),
      systems.map(system => ({ name: nameOf(system), values: events.map(event => event.metrics[system]?.[metric] ?? null) })),
      marks));
  }

  function update(kind) {
    if (kind === "status" || kind === "dead_letters") return;
    const bundles = [...new Set(state.metrics.map(event => event.bundle_id))];
    const isNew = bundles.join(" ") !== [...choice.options].map(option => option.value).join(" ");
    if (isNew) {
      const before = choice.value;
      choice.replaceChildren(...bundles.map(bundle => el("option", { value: bundle }, bundle)));
      choice.value = bundles.includes(before) ? before : bundles.at(-1) ?? "";
    }
    empty.hidden = bundles.length > 0;
    curves.hidden = !bundles.length;
    drawCharts();
    refill(sideBySide, bundles.length ? bundleTable(bundles) : el("p", {}, text("noMetrics")));
    refill(alarms, alarmTable());
  }
  return { update, redraw: () => charts.forEach(chart => chart.draw()), close: () => charts.forEach(chart => chart.close()) };
}

const inOrder = events => [...events].sort((one, other) => one.window_end_ms - other.window_end_ms);

/** All systems that are scored in these events. */
function systemsOf(events) {
  const found = new Set(events.flatMap(event => Object.keys(event.metrics)));
  return [...FIRST.filter(name => found.has(name)), ...[...found].filter(name => !FIRST.includes(name)).sort()];
}

/** The name of a system for people. A system that another program brings has its own name. */
const nameOf = system => (FIRST.includes(system) ? text(system) : system);

function bundleTable(bundles) {
  const rows = bundles.flatMap(bundle => {
    const events = inOrder(state.metrics.filter(event => event.bundle_id === bundle));
    return systemsOf(events).map(system => [
      bundle, nameOf(system), ...METRICS.map(([, metric]) => number(mean(events, system, metric), 4)),
      number(events.reduce((sum, event) => sum + eventsOf(event, system), 0)),
      time(events[0].window_start_ms), time(events.at(-1).window_end_ms),
    ]);
  });
  const head = ["bundle", "system", "recall", "mrr", "events", "from", "until"].map(key => text(key));
  return table(text("sideBySide"), head, rows, [2, 3, 4]);
}

/** The number of events over which a window scored a system: some systems are scored on a part of the events. */
export const eventsOf = (event, system) => (event.metrics[system] ? event.compared?.[system]?.events ?? event.events : 0);

/** The mean of a metric, weighted by the system's events. Windows without the metric do not count. */
export function mean(events, system, metric) {
  let sum = 0, count = 0;
  for (const event of events) {
    const value = event.metrics[system]?.[metric];
    if (value === null || value === undefined) continue;
    sum += value * eventsOf(event, system);
    count += eventsOf(event, system);
  }
  return count ? sum / count : null;
}

function alarmTable() {
  if (!state.alarms.length) return el("p", {}, text("noAlarms"));
  const rows = [...state.alarms].sort((one, other) => other.starts_at_ms - one.starts_at_ms).map(alarm => [
    alarm.name, el("span", { class: alarm.state }, ["firing", "resolved"].includes(alarm.state) ? text(alarm.state) : alarm.state),
    alarm.bundle_id, alarm.slice, time(alarm.starts_at_ms), time(alarm.ends_at_ms), alarm.detail,
  ]);
  return table(text("alarms"), ["alarm", "state", "bundle", "slice", "from", "until", "detail"].map(key => text(key)), rows);
}
