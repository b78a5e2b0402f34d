// The versions: what each changed, how good it is, and going back to one.

import {get, post} from "./api.js";
import {openCompare} from "./compare.js";
import {confirm, during, notice} from "./dialogs.js";
import {byId, count, duration, interval, keyedOr, make, percent, setClass, setHidden, setText, time} from "./dom.js";
import {onChange, refresh, showOlder, state} from "./live.js";
import {follow} from "./requests.js";
import {teachMore} from "./teach.js";

const MORE = 3;
const ticked = new Set();

async function rollback(version) {
  const refused = !version.gate.passed;
  const why = refused && version.refinement ? `It is kept: ${version.gate.reasons.join("; ")}. ` : refused ? `The gate refused it: ${version.gate.reasons.join("; ")}. ` : "";
  const text = `${why}Every server answers with version ${version.version} as soon as its files are verified. Later versions stay, and learning goes on from this one.`;
  if (!(await confirm(`Serve version ${version.version}?`, text, refused ? "Serve it all the same" : "Roll back"))) return;
  const moved = await post("api/rollback", {to: version.version, force: refused});
  notice(`Version ${moved.version} is the current one now; before it was ${moved.previous ?? "none"}.`, "good");
  refresh();
}

function example(number) {
  const code = make("pre", {tabindex: 0, "aria-label": "Example"}, "loading");
  return make("details", {toggle: async (event) => {
    if (!event.target.open || code.dataset.loaded) return;
    try {
      const answer = await fetch(`api/versions/${number}/example.py`);
      setText(code, await answer.text());
      code.dataset.loaded = "yes";
    } catch (error) {
      notice(error.message, "bad");
    }
  }}, make("summary", {}, "Use it elsewhere"),
  make("p", {}, make("a", {href: `api/versions/${number}/model.zip`, download: ""}, "Download model.onnx with its class names")), make("p", {}, "Then, with Python:"), code);
}

function tick(version) {
  const box = make("input", {type: "checkbox", "aria-label": `Compare version ${version.version}`});
  box.addEventListener("change", () => {
    if (box.checked) ticked.add(version.version); else ticked.delete(version.version);
    drawCompare();
  });
  return make("label", {class: "tick"}, box, " compare");
}

// Why the gate did not simply pass it, and what a person can do then.
function verdict(version) {
  const {answer, reasons, undecided} = version.gate;
  if (answer === "passed") return null;
  if (version.refinement && answer === "refused")
    return make("div", {class: "verdict"}, make("p", {}, "Its backbone was refined, and it is kept without being served:"), make("ul", {}, ...reasons.map((reason) => make("li", {}, reason))));
  const names = [...version.new_classes, ...version.updated_classes];
  const again = make("button", {type: "button", "aria-label": `Learn what version ${version.version} was to learn again`}, "Learn again");
  again.addEventListener("click", () => during(again, async () => { follow(await post("api/relearn", {classes: names})); }));
  const more = names.slice(0, MORE).map((name) => make("button", {type: "button", click: () => teachMore(name)}, `Add images of ${name}`));
  return make("div", {class: "verdict"},
    make("p", {}, answer === "refused" ? "The gate refused it, and the version before goes on answering:" : "The gate let it pass, but too few images were measured to be sure:"),
    make("ul", {}, ...[...reasons, ...undecided].map((reason) => make("li", {}, reason))),
    make("p", {class: "bar"}, ...(answer === "refused" && names.length ? [again] : []), ...more));
}

function row(version) {
  if (version.error) return make("li", {class: "version"}, make("h3", {}, `Version ${version.version}`), make("p", {class: "bad"}, version.error));
  const back = make("button", {type: "button", class: "back"}, "Roll back to this");
  back.setAttribute("aria-label", `Roll back to version ${version.version}`);
  back.addEventListener("click", () => during(back, () => rollback(version)));
  const report = version.report ? make("p", {}, make("a", {href: `versions/${version.version}/report`}, `Report of version ${version.version}`)) : null;
  const figures = [["accuracy", `${percent(version.accuracy.cnn.all)} (${interval(version.interval, version.images)})`],
    ["of old classes", percent(version.accuracy.cnn.old)], ["of new classes", percent(version.accuracy.cnn.new)],
    ["classes", version.class_count], ["learning", duration(version.timings.learn)], ["made", time(version.created_at)]];
  return make("li", {class: "version"},
    make("div", {class: "bar"}, make("h3", {}, `Version ${version.version}`), make("span", {class: "chip"}), tick(version), back),
    make("p", {class: "changed"}, version.changed),
    verdict(version),
    make("dl", {class: "facts"}, ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    report, example(version.version));
}

function stateOf(version) {
  if (version.version === state.status.current_version) return [version.version === state.status.served_version ? "served" : "current", "good"];
  if (!version.gate.passed) return version.refinement ? ["refined and kept", ""] : ["refused", "bad"];
  if (version.gate.answer === "inconclusive") return ["too few images to tell", "warn"];
  return version.kind === "learnt" ? ["passed", ""] : [version.kind, version.kind === "provisional" ? "warn" : ""];
}

function update(node, version) {
  if (version.error) return;
  const [words, kind] = stateOf(version);
  setText(node.querySelector(".chip"), words);
  setClass(node.querySelector(".chip"), "chip " + kind);
  setHidden(node.querySelector(".back"), version.version === state.status.current_version);
}

function drawCompare() {
  byId("compare").disabled = ticked.size !== 2;
  setText(byId("compare-hint"), ticked.size === 2 ? `Versions ${[...ticked].sort((a, b) => a - b).join(" and ")}.`
    : `Tick two versions to compare them${ticked.size ? `; ${count(ticked.size, "version")} so far` : ""}.`);
}

async function compare() {
  const [first, second] = await Promise.all([...ticked].sort((a, b) => a - b).map((number) => get(`api/versions/${number}`)));
  openCompare(first, second);
}

export function startVersions() {
  byId("compare").addEventListener("click", () => during(byId("compare"), compare));
  byId("version-more").addEventListener("click", () => during(byId("version-more"), showOlder));
  onChange(({versions, total}) => {
    keyedOr(byId("version-list"), versions.slice().reverse(), "No version yet.", (one) => `${one.version} ${Boolean(one.error)}`, row, update);
    setHidden(byId("version-more"), versions.length >= total);
    for (const number of ticked) if (!versions.some((one) => one.version === number)) ticked.delete(number);
    drawCompare();
  });
}
