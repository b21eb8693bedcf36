// Numbers and times as the chosen language writes them.
import { currentLanguage } from "./texts.js";

const NONE = "–";
const made = new Map();

function formatter(kind, options) {
  const key = `${currentLanguage()} ${kind.name} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new kind(currentLanguage(), options));
  return made.get(key);
}

export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  return formatter(Intl.NumberFormat, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** A number with its sign, for a change. */
export function signed(value, digits = 2) {
  if (value === null || value === undefined) return NONE;
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "exceptZero" };
  return formatter(Intl.NumberFormat, options).format(value);
}

export function share(value) {
  return formatter(Intl.NumberFormat, { style: "percent", maximumFractionDigits: 0 }).format(value);
}

/** The time of the day, and the day where it is not today. The text breaks between both alone. */
export function time(ms) {
  if (!ms) return NONE;
  const isToday = new Date(ms).toDateString() === new Date().toDateString();
  return formatter(Intl.DateTimeFormat, isToday ? { timeStyle: "medium" } : { dateStyle: "short", timeStyle: "medium" })
    .format(ms).replace(/(?<!,)\s/g, "\u00a0");
}

/** Hours and minutes for the axis of a chart, with seconds where the chart shows a short time. */
export function tick(ms, hasSeconds) {
  const options = { hour: "2-digit", minute: "2-digit", ...(hasSeconds ? { second: "2-digit" } : {}) };
  return formatter(Intl.DateTimeFormat, options).format(ms);
}
