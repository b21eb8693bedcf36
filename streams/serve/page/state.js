// What the stream has told, and who wants to know what is new.

const MOST_STATUSES = 300, MOST_METRICS = 1_000, MOST_ALARMS = 200;

export const state = { statuses: [], metrics: [], alarms: [], deadLetters: { count: 0, reasons: [], last: [] } };

const listeners = new Set();

/** Call a function after every message, until the returned function is called. */
export function listen(call) {
  listeners.add(call);
  return () => listeners.delete(call);
}

/** Take in a message of the stream. */
export function take(kind, data) {
  if (kind === "snapshot") {
    state.statuses = data.statuses;
    state.metrics = data.metrics;
    state.alarms = data.alarms;
    state.deadLetters = data.dead_letters;
  } else if (kind === "status") {
    state.statuses = [...state.statuses, data].slice(-MOST_STATUSES);
  } else if (kind === "metrics") {
    const known = new Set(state.metrics.map(event => event.id));
    state.metrics = [...state.metrics, ...data.filter(event => !known.has(event.id))].slice(-MOST_METRICS);
  } else if (kind === "alarms") {
    const name = alarm => JSON.stringify([alarm.bundle_id, alarm.name, alarm.slice, alarm.starts_at_ms]);
    const last = new Map(state.alarms.map(alarm => [name(alarm), alarm]));
    for (const alarm of data) { // the last state of an alarm counts, and makes it the newest one
      last.delete(name(alarm));
      last.set(name(alarm), alarm);
    }
    state.alarms = [...last.values()].slice(-MOST_ALARMS);
  } else if (kind === "dead_letters") {
    state.deadLetters = data;
  }
  for (const call of [...listeners]) call(kind);
}
