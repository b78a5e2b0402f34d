// Two versions beside each other.

import {closeButton, showDialog} from "./dialogs.js";
import {byId, interval, make, percent} from "./dom.js";

const SHOWN = 30;

function named(names) {
  const rest = names.length - SHOWN;
  return names.length ? names.slice(0, SHOWN).join(", ") + (rest > 0 ? ` and ${rest} more` : "") : "none";
}

function table(name, heads, rows) {
  return make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": name}, make("table", {"aria-label": name},
    make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", {scope: "col"}, text)))),
    make("tbody", {}, ...rows.map(([name, ...cells]) => make("tr", {}, make("th", {scope: "row"}, name), ...cells.map((cell) => make("td", {}, cell)))))));
}

const signed = (change, digits = 0) => `${change > 0 ? "+" : ""}${change.toFixed(digits)}`;
const points = (change) => `${signed(100 * change, 1)} points`;

function figures(first, second) {
  const share = (name, read) => {
    const [before, after] = [read(first), read(second)];
    return [name, percent(before), percent(after), before === null || after === null ? "–" : points(after - before)];
  };
  return [
    share("accuracy, all classes", (one) => one.accuracy.cnn.all),
    ["its 95 % interval", interval(first.interval, first.images), interval(second.interval, second.images), ""],
    share("accuracy, old classes", (one) => one.accuracy.cnn.old),
    share("accuracy, new classes", (one) => one.accuracy.cnn.new),
    share("forgetting", (one) => one.forgetting),
    ["classes", first.class_count, second.class_count, signed(second.class_count - first.class_count)],
    ["exemplars", first.exemplar_count, second.exemplar_count, signed(second.exemplar_count - first.exemplar_count)],
  ];
}

function moved(first, second) {
  const both = second.classes.filter((name) => name in first.class_accuracy && name in second.class_accuracy);
  return both.map((name) => [name, first.class_accuracy[name], second.class_accuracy[name]])
    .filter(([, before, after]) => before !== after)
    .sort((a, b) => Math.abs(b[2] - b[1]) - Math.abs(a[2] - a[1]))
    .slice(0, SHOWN)
    .map(([name, before, after]) => [name, percent(before), percent(after), points(after - before)]);
}

export function openCompare(first, second) {
  const dialog = byId("compare-dialog");
  const [before, after] = [new Set(first.classes || []), new Set(second.classes || [])];
  const heads = ["", `version ${first.version}`, `version ${second.version}`, "change"];
  const damaged = first.error || second.error;
  const content = damaged ? [make("p", {class: "bad"}, damaged)] : [
    ...[first, second].map((one) => make("p", {}, `Version ${one.version}: ${one.changed}.`)),
    table("Figures of both versions", ["Figure", ...heads.slice(1)], figures(first, second)),
    make("p", {}, `Only in version ${second.version}: ${named(second.classes.filter((name) => !before.has(name)))}.`),
    make("p", {}, `Only in version ${first.version}: ${named(first.classes.filter((name) => !after.has(name)))}.`),
    make("h3", {}, "Classes whose accuracy differs"),
    moved(first, second).length ? table("Accuracy of classes in both versions", ["Class", ...heads.slice(1)], moved(first, second)) : make("p", {}, "None."),
  ];
  dialog.replaceChildren(closeButton(dialog), make("h2", {id: "compare-title"}, `Versions ${first.version} and ${second.version}`), ...content);
  showDialog(dialog);
}
