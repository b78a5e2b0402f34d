// Trying an image: the answer with probabilities, typical images beside it, and a wrong answer corrected with one click.

import {classify, exemplar, query, sendFile} from "./api.js";
import {confirm, during, notice} from "./dialogs.js";
import {byId, make, percent} from "./dom.js";
import {chosenFiles, droppedFiles, dropZone} from "./drop.js";
import {refresh} from "./live.js";
import {isKnown, offerNames} from "./names.js";
import {say} from "./say.js";

const CLASSES = 5, ALIKE = 5, TYPICAL = 3, LOOKALIKES = 2;
let shown = null;

async function correct(file, name) {
  if (!name) return;
  if (!(await isKnown(name)) && !(await confirm(`Teach the new class “${name}”?`,
    "No class has this name yet. One image is little to learn a class from: add more of them soon.", "Teach it"))) return;
  await sendFile("POST", "api/corrections?" + query({class: name}), file);
  notice(`The image is learnt as ${name}. Ask again when the next version is served.`, "good");
  refresh();
}

function correction(file, predictions) {
  const input = make("input", {type: "text", list: "class-names", autocomplete: "off", maxlength: 100, "aria-label": "Right class"});
  offerNames(input);
  const others = predictions.slice(1, 4).map(({class: name}) => {
    const button = make("button", {type: "button"}, `It is ${name}`);
    button.addEventListener("click", () => during(button, () => correct(file, name)));
    return button;
  });
  const teach = make("button", {type: "submit"}, "Teach");
  const form = make("form", {class: "bar correction"}, make("span", {}, "Wrong?"), ...others, make("label", {}, "It is ", input), teach);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    during(teach, () => correct(file, input.value.trim()));
  });
  return form;
}

function rows(predictions) {
  return make("ol", {class: "answers"}, ...predictions.map(({class: name, probability}) => make("li", {},
    make("span", {class: "name"}, name), make("span", {class: "number"}, percent(probability)),
    make("meter", {min: 0, max: 1, value: probability, "aria-label": `Probability of ${name}`}))));
}

function typical(version, predictions) {
  return predictions.slice(0, LOOKALIKES).map(({class: name}) => make("figure", {},
    make("div", {class: "thumbs"}, ...Array.from({length: TYPICAL}, (_, rank) => thumb(exemplar(version, name, rank), `Exemplar of ${name}`))),
    make("figcaption", {class: "soft"}, "typical of " + name)));
}

function alike(version, nearest) {
  return nearest.map(({class: name, rank, cosine}) => make("figure", {class: "near"},
    make("div", {class: "thumbs"}, thumb(exemplar(version, name, rank), `Exemplar of ${name}`)),
    make("figcaption", {class: "soft"}, name, make("br"), "cosine " + cosine.toFixed(2))));
}

// What the network finds most alike among the exemplars; where it cannot tell, typical images of the best classes.
async function compare(box, file, {model_version: version, predictions}) {
  let found = [];
  try {
    found = (await sendFile("POST", `api/versions/${version}/nearest?` + query({count: ALIKE}), file)).nearest;
  } catch (error) {
    notice("most alike exemplars: " + error.message, "bad");
  }
  box.replaceChildren(make("h3", {}, found.length ? "Most alike among the exemplars" : "Typical images"),
    make("div", {class: "typical"}, ...(found.length ? alike(version, found) : typical(version, predictions))));
}

export function thumb(address, words = "") {
  const image = make("img", {src: address, alt: words, loading: "lazy", width: 56, height: 56});
  image.addEventListener("error", () => image.remove());
  return image;
}

function showAnswer(file, answer) {
  const best = answer.predictions[0];
  const tried = make("img", {class: "tried", src: shown, alt: "The image you tried"});
  const words = answer.unknown ? `Unknown: it looks like no class that was learnt; nearest is ${best.class} (${percent(best.probability)})`
    : `${best.class}, ${percent(best.probability)}`;
  const near = make("div", {}, make("p", {class: "soft"}, "Looking for the most alike exemplars …"));
  byId("try-answer").replaceChildren(
    make("div", {class: "answer"}, tried, make("div", {},
      make("p", {class: answer.unknown ? "best warn" : "best"}, words),
      rows(answer.predictions), make("p", {class: "soft"}, `answered by version ${answer.model_version}`))),
    near,
    correction(file, answer.unknown ? [null, ...answer.predictions] : answer.predictions));
  say(`${words}, answered by version ${answer.model_version}`);
  compare(near, file, answer);
}

async function tryImage(file) {
  if (!file) return;
  if (shown) URL.revokeObjectURL(shown);
  shown = URL.createObjectURL(file);
  byId("try-answer").replaceChildren(make("p", {class: "soft"}, "Asking …"));
  say("Asking …");
  try {
    showAnswer(file, await classify("api/predict?" + query({top_k: CLASSES}), file));
  } catch (error) {
    byId("try-answer").replaceChildren(make("p", {class: "bad"}, error.message));
    say(error.message);
  }
}

export function startTry() {
  dropZone(byId("try-drop"), async (transfer) => tryImage((await droppedFiles(transfer))[0]?.file));
  for (const id of ["try-file", "try-camera"]) {
    byId(id).addEventListener("change", (event) => { tryImage(chosenFiles(event.target)[0]?.file); event.target.value = ""; });
  }
}
