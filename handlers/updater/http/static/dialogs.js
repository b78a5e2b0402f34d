// What the page says and asks: notices, "are you sure", the token, the API key.

import {askSecretBy, get, token} from "./api.js";
import {byId, make, setClass, setHidden, setText} from "./dom.js";
import {removeNode} from "./focus.js";

const NOTICES = 4;

export function notice(text, kind = "") {
  const box = byId("notices");
  const line = make("p", {class: "notice " + kind}, make("span", {}, text));
  line.append(make("button", {type: "button", class: "plain", "aria-label": "Dismiss: " + text, click: () => removeNode(line)}, "×"));
  box.append(line);
  while (box.children.length > NOTICES) removeNode(box.firstElementChild);
  return line;
}

// What a notice said is over; one that was dismissed stays away.
export function changeNotice(line, text, kind) {
  if (!line.isConnected) return;
  setClass(line, "notice " + kind);
  setText(line.firstChild, text);
  line.lastChild.setAttribute("aria-label", "Dismiss: " + text);
}

// What lies outside an open dialog can neither be read nor pressed, so what the page says goes where the person is. In the
// document the dialogs that open over another one come last.
function placeLive() {
  const host = [...document.querySelectorAll("dialog:modal")].at(-1) || document.body;
  if (byId("live").parentElement !== host) host.append(byId("live"));
}

export function showDialog(dialog) {
  dialog.addEventListener("close", placeLive, {once: true});
  dialog.showModal();
  placeLive();
}

// Run what a button does: the button waits meanwhile and keeps the focus, and a failure is said.
export async function during(button, work) {
  if (button.ariaDisabled === "true") return undefined;
  button.ariaDisabled = "true";
  try {
    return await work();
  } catch (error) {
    notice(error.message, "bad");
    return undefined;
  } finally {
    button.ariaDisabled = null;
  }
}

// Resolves to true when the person agrees. `more` is a node with further choices.
export function confirm(title, text, action, more) {
  const dialog = byId("confirm");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-yes"), action);
  byId("confirm-more").replaceChildren(...(more ? [more] : []));
  return new Promise((resolve) => {
    const end = (agreed) => () => { dialog.returnValue = agreed ? "yes" : ""; dialog.close(); };
    byId("confirm-yes").onclick = end(true);
    byId("confirm-no").onclick = end(false);
    dialog.onclose = () => { resolve(dialog.returnValue === "yes"); dialog.returnValue = ""; };
    showDialog(dialog);
    byId("confirm-no").focus();
  });
}

export function closeButton(dialog) {
  return make("button", {type: "button", class: "plain close", "aria-label": "Close", click: () => dialog.close()}, "×");
}

// Resolves to whether there is one now. Several calls that miss it at the same time share the question.
const questions = new Map();
function askSecret(secret) {
  if (!questions.has(secret)) questions.set(secret, question(secret).finally(() => questions.delete(secret)));
  return questions.get(secret);
}

function question(secret) {
  const part = (name) => byId(`${secret.name}-${name}`), dialog = byId(secret.name);
  part("text").value = secret.text;
  return new Promise((resolve) => {
    let kept = false;
    part("form").onsubmit = (event) => {
      event.preventDefault();
      secret.keep(part("text").value.trim());
      kept = Boolean(secret.text);
      dialog.close();
    };
    part("no").onclick = () => dialog.close();
    dialog.onclose = () => { resolve(kept); if (secret === token) showAccess(); };
    showDialog(dialog);
  });
}

async function showAccess() {
  try {
    const access = await get("api/access");
    setHidden(byId("token-open"), !access.token);
    setText(byId("token-open"), access.allowed ? "Token ✓" : "Token needed");
    if (!access.allowed && !access.token) notice("This page can only be looked at from here: " + access.why, "warn");
    if (!access.allowed && token.text) notice("The token is not the right one.", "bad");
  } catch (error) {
    notice(error.message, "bad");
  }
}

// The notices lie over the end of the page: it grows by their height, and what has the focus is scrolled clear of them.
function keepClear() {
  new ResizeObserver(([entry]) => document.documentElement.style.setProperty("--notices", `${entry.borderBoxSize[0].blockSize}px`)).observe(byId("notices"));
}

export function startDialogs() {
  keepClear();
  askSecretBy(askSecret);
  byId("token-open").addEventListener("click", () => askSecret(token));
  showAccess();
}
