// The map of the bundle as a picture: some items, the way of a user, and what is recommended now.
import { el, svg } from "../dom.js";
import { share } from "../format.js";
import { text } from "../texts.js";

const WIDTH = 640, HEIGHT = 440, MARGIN = 24;

/** ground: [{x, y}] of items. places: [{x, y, steps}] of the user, oldest first. items: [{x, y, item_id}]. */
export function userMap(ground, explained, places, items) {
  const all = [...ground, ...places, ...items];
  const scale = scaleOf(all);
  const dot = (point, attributes) => {
    const [x, y] = scale(point);
    return svg("circle", { cx: x, cy: y, ...attributes });
  };
  const way = places.map(place => scale(place).join(",")).join(" ");
  const label = text("mapLabel", { count: places.length });
  return el("figure", { class: "map" },
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
      svg("g", { class: "ground" }, ground.map(point => dot(point, { r: 2.5 }))),
      svg("g", { class: "recommended" }, items.map(item => {
        const [x, y] = scale(item);
        return svg("rect", { x: x - 4, y: y - 4, width: 8, height: 8 }, svg("title", {}, item.item_id));
      })),
      svg("g", { class: "way" },
        svg("polyline", { points: way }),
        places.map((place, number) => dot(place, { r: number === places.length - 1 ? 7 : 4, class: number === places.length - 1 ? "newest" : null })))),
    el("figcaption", { class: "note" }, text("mapNote", { share: share(explained[0] + explained[1]) })));
}

/** The same scale along both axes, so that distances can be compared. */
function scaleOf(points) {
  const xs = points.map(point => point.x), ys = points.map(point => point.y);
  const middle = values => (Math.min(...values) + Math.max(...values)) / 2;
  const span = values => Math.max(...values) - Math.min(...values) || 1;
  const factor = Math.min((WIDTH - 2 * MARGIN) / span(xs), (HEIGHT - 2 * MARGIN) / span(ys));
  const [x0, y0] = [middle(xs), middle(ys)];
  return point => [rounded(WIDTH / 2 + (point.x - x0) * factor), rounded(HEIGHT / 2 - (point.y - y0) * factor)];
}

const rounded = value => Math.round(value * 10) / 10;
