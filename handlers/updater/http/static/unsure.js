// Images that answers were unsure of: a person gives each its class, or lets it go.

import {blob, get, post, remove} from "./api.js";
import {during, notice} from "./dialogs.js";
import {byId, keyedOr, make, percent, setHidden, time} from "./dom.js";
import {onChange, refresh} from "./live.js";
import {offerNames} from "./names.js";

const PAGE = 50, PAUSE_MS = 10000;
let images = [], asked = 0;

function words(image) {
  const nearest = `${image.class_name}, ${percent(image.probability)}`;
  return `${image.unknown ? "Unknown; nearest is " + nearest : "Answered " + nearest} by version ${image.version}, ${time(1000 * image.at)}`;
}

async function show(thumbnail, image) {
  try {
    thumbnail.src = URL.createObjectURL(await blob(`api/unsure/${image.id}/thumbnail`));
    thumbnail.addEventListener("load", () => URL.revokeObjectURL(thumbnail.src), {once: true});
  } catch {
    thumbnail.remove(); // it has been deleted meanwhile; the list says so with its next look
  }
}

function gone(image, said) {
  notice(said, "good");
  images = images.filter((one) => one.id !== image.id);
  draw();
  byId("unsure-title").focus();
}

function row(image) {
  const thumbnail = make("img", {alt: "An image to label", width: 112, height: 112});
  show(thumbnail, image);
  const label = async (name) => {
    await post(`api/unsure/${image.id}/label`, {class_name: name});
    gone(image, `The image is learnt as ${name}.`);
    refresh();
  };
  const input = make("input", {type: "text", list: "class-names", required: true, maxlength: 100, autocomplete: "off"});
  offerNames(input);
  const teach = make("button", {type: "submit"}, "Teach");
  const right = make("button", {type: "button"}, `It is ${image.class_name}`);
  right.addEventListener("click", () => during(right, () => label(image.class_name)));
  const away = make("button", {type: "button", "aria-label": "Dismiss: delete this image, do not learn it"}, "Dismiss");
  away.addEventListener("click", () => during(away, async () => {
    await remove("api/unsure/" + image.id);
    gone(image, "The image is deleted.");
  }));
  const form = make("form", {class: "bar", submit: (event) => {
    event.preventDefault();
    during(teach, () => label(input.value.trim()));
  }}, right, make("label", {}, "It is ", input), teach, away);
  return make("li", {class: "file"}, thumbnail, make("div", {}, make("p", {}, words(image))), form);
}

function draw() {
  keyedOr(byId("unsure"), images, "None: the answers were sure.", (image) => image.id, row);
}

export async function showUnsure() {
  asked = Date.now();
  try {
    const found = await get("api/unsure?limit=" + PAGE);
    setHidden(byId("unsure-section"), !found.on);
    images = found.images;
    draw();
  } catch (error) {
    setHidden(byId("unsure-section"), error.status === 401 || error.status === 403);
    if (error.status !== 401 && error.status !== 403) notice("images to label: " + error.message, "bad");
  }
}

export function startUnsure() {
  onChange(() => { if (!byId("view-files").hidden && Date.now() - asked > PAUSE_MS) showUnsure(); });
}
