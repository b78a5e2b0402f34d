// Accuracy over versions as a drawing, of the width of its box so that its words keep their size; it is drawn anew only
// when a version has been added or the box has another width.

import {byId, make, percent} from "./dom.js";
import {onChange} from "./live.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 560, H = 210, LEFT = 52, RIGHT = 16, TOP = 12, BOTTOM = 28, LABEL = 40;
let drawn = "";

export function draw(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function grid(svg, width, y) {
  for (const tick of [0, .25, .5, .75, 1]) {
    svg.append(draw("line", {x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick), class: "grid"}));
    svg.append(draw("text", {x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end"}, 100 * tick + " %"));
  }
}

function line(svg, versions, scope, x, y) {
  let path = "";
  const dots = [];
  versions.forEach((version, place) => {
    const value = version.accuracy.cnn[scope];
    if (value === null) return;
    const provisional = version.kind === "provisional";
    if (version.gate.passed && !provisional) path += `${path ? "L" : "M"}${x(place).toFixed(1)} ${y(value).toFixed(1)}`;
    const kind = version.gate.passed ? provisional ? "d-provisional" : "d-" + scope : "d-refused";
    const dot = draw("circle", {cx: x(place), cy: y(value), r: provisional ? 3 : 4, class: kind});
    dot.append(draw("title", {}, `version ${version.version} (${version.kind}), ${scope} classes: ${percent(value)}`));
    dots.push(dot);
  });
  svg.append(draw("path", {d: path || "M0 0", class: "s-" + scope}), ...dots);
}

function drawing(versions, width) {
  const latest = versions[versions.length - 1];
  const words = `Accuracy of ${versions.length} versions; the latest, version ${latest.version}: ${percent(latest.accuracy.cnn.all)} over all classes`;
  const svg = draw("svg", {viewBox: `0 0 ${width} ${H}`, role: "img", "aria-label": words});
  const x = (place) => versions.length === 1 ? (LEFT + width - RIGHT) / 2 : LEFT + place * (width - LEFT - RIGHT) / (versions.length - 1);
  const y = (value) => TOP + (1 - value) * (H - TOP - BOTTOM);
  grid(svg, width, y);
  const step = Math.ceil(versions.length * LABEL / (width - LEFT - RIGHT));
  versions.forEach((version, place) => {
    if (place % step === 0) svg.append(draw("text", {x: x(place), y: H - 8, "text-anchor": "middle"}, "v" + version.version));
  });
  for (const scope of ["old", "new", "all"]) line(svg, versions, scope, x, y);
  return svg;
}

export function startChart() {
  onChange(({versions}) => {
    const good = versions.filter((version) => !version.error);
    const width = byId("chart").clientWidth || WIDTH; // none while another view is shown
    const wanted = [width, ...good.map((version) => version.version)].join();
    if (wanted === drawn && byId("chart").firstChild) return;
    drawn = wanted;
    byId("chart").replaceChildren(good.length ? drawing(good, width) : make("p", {class: "empty"}, "No version yet: teach at least two classes."));
  });
}
