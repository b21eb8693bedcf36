// Curves over time by uPlot, each with a legend that has the values, and a table of the same figures.
import { el, table } from "./dom.js";
import { number, tick, time } from "./format.js";
import { text } from "./texts.js";

const ALONE_S = 30; // on both sides of a single point
const HEIGHT_REM = 13.75, TABLE_ROWS = 20, SECONDS_BELOW_MS = 15 * 60_000;
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [1, 4], [12, 5]];

/** The size of the page's letters in pixels, which is larger on a very wide screen. */
const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

/** The colour of a variable of the style sheet as it is now, which depends on light and dark. */
function colour(name) {
  const probe = document.getElementById("main").appendChild(el("span"));
  probe.style.color = `var(${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

export class TimeChart {
  /** label: text above the chart. digits: decimals of a value. */
  constructor(label, digits = 0, note = null) {
    this.label = label;
    this.digits = digits;
    this.plot = null;
    this.shape = "";
    this.surface = el("div", { class: "surface", role: "img" });
    this.legend = el("ul", { class: "legend" });
    this.rows = el("div");
    this.table = el("details", { ontoggle: () => this.fillTable() }, el("summary", {}, text("asTable")), this.rows);
    this.node = el("figure", { class: "chart card" },
      el("figcaption", {}, el("h2", {}, label), note && el("p", { class: "note" }, note)),
      this.surface, this.legend, this.table);
    this.resizing = new ResizeObserver(() => this.fit());
    this.resizing.observe(this.surface);
  }

  /** times: milliseconds, ascending. series: [{name, values}], a value is null where none is known. marks: milliseconds. */
  update(times, series, marks = []) {
    Object.assign(this, { times, series, marks });
    const shape = JSON.stringify(series.map(one => one.name));
    if (shape !== this.shape || !this.plot) this.draw();
    else this.plot.setData(this.data());
    this.shape = shape;
    this.showValues(null);
    this.describe();
    if (this.table.open) this.fillTable();
  }

  /** Draw anew, for example in other colours. */
  draw() {
    this.plot?.destroy();
    this.surface.replaceChildren();
    if (!this.times?.length) return;
    const ink = colour("--ink-soft"), grid = colour("--line"), alarm = colour("--bad");
    const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: `${0.75 * rem()}px system-ui, sans-serif` };
    this.colours = this.series.map((_, place) => colour(`--series-${(place % 6) + 1}`));
    this.plot = new window.uPlot({
      width: Math.max(this.surface.clientWidth, 200),
      height: HEIGHT_REM * rem(),
      padding: [null, 2.5 * rem(), null, null], // for the last time
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      scales: { x: { range: (_, low, high) => (low === high ? [low - ALONE_S, low + ALONE_S] : [low, high]) }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high ?? 0) > 0 ? high * 1.08 : 1] } },
      series: [{}, ...this.series.map((one, place) => ({
        label: one.name, stroke: this.colours[place], width: 2, dash: DASHES[place % DASHES.length],
        spanGaps: true, points: { show: this.times.length < 40, size: 5 },
      }))],
      axes: [
        { ...axis, space: 5.5 * rem(), values: (_, splits) => splits.map(value => tick(value * 1000, this.isShort())) },
        { ...axis, size: 3.9 * rem(), values: (_, splits) => splits.map(value => number(value, splits[1] < 1 ? 2 : 0)) },
      ],
      hooks: {
        draw: [plot => this.drawMarks(plot, alarm)],
        setCursor: [plot => this.showValues(plot.cursor.idx ?? null)],
      },
    }, this.data(), this.surface);
    this.plot.root.setAttribute("aria-hidden", "true"); // the label and the table say the same
    this.fillLegend();
  }

  data() {
    return [this.times.map(ms => ms / 1000), ...this.series.map(one => one.values)];
  }

  isShort() {
    return this.times.at(-1) - this.times[0] < SECONDS_BELOW_MS;
  }

  fit() {
    const width = this.surface.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT_REM * rem() });
  }

  drawMarks(plot, stroke) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = stroke;
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const ms of this.marks) {
      const x = plot.valToPos(ms / 1000, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  fillLegend() {
    this.values = this.series.map(() => el("span", { class: "value" }));
    this.legend.replaceChildren(...this.series.map((one, place) => {
      const line = el("span", { class: "swatch", "aria-hidden": "true" });
      line.style.setProperty("--swatch", this.colours[place]);
      line.dataset.dash = String(place % DASHES.length);
      return el("li", {}, line, el("span", {}, one.name), this.values[place]);
    }));
  }

  /** Show the values at a position of the data, or the newest. */
  showValues(position) {
    this.series?.forEach((one, place) => {
      const value = position === null ? one.values.findLast(found => found !== null) : one.values[position];
      if (this.values?.[place]) this.values[place].textContent = number(value, this.digits);
    });
  }

  describe() {
    const newest = this.series.map(one => `${one.name} ${number(one.values.findLast(value => value !== null), this.digits)}`);
    this.surface.setAttribute("aria-label", `${this.label}. ${text("now")}: ${newest.join(", ")}`);
  }

  fillTable() {
    if (!this.table.open || !this.times || this.rows.contains(document.activeElement)) return;
    const rows = this.times.map((ms, row) => [time(ms), ...this.series.map(one => number(one.values[row], this.digits))]);
    const numbers = this.series.map((_, place) => place + 1);
    this.rows.replaceChildren(
      table(this.label, [text("time"), ...this.series.map(one => one.name)], rows.slice(-TABLE_ROWS).reverse(), numbers));
  }

  close() {
    this.resizing.disconnect();
    this.plot?.destroy();
  }
}
