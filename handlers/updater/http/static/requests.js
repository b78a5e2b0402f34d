// Changes that a person asked for, until they are done. They are kept for this tab, so that a reload shows them again.

import {get} from "./api.js";
import {byId, keyed, make, setHidden, setText} from "./dom.js";
import {refresh} from "./live.js";
import {say} from "./say.js";

const KEPT = "lucir-requests", PAUSE_MS = 1500;
const WORDS = {waiting: "waits for its turn", running: "is being done", unknown: "is no longer known"};
let requests = JSON.parse(sessionStorage.getItem(KEPT) || "[]");
let timer = 0;

function ended(state) {
  const done = state.done;
  if (done.result === "published") return `done: version ${done.version}`;
  return `${done.result}${done.reason ? ": " + done.reason : ""}`;
}

function draw() {
  sessionStorage.setItem(KEPT, JSON.stringify(requests));
  setHidden(byId("requests"), !requests.length);
  keyed(byId("request-list"), requests, (one) => one.id,
    (one) => make("li", {}, make("b", {}, one.what), " ", make("span", {}),
      make("button", {type: "button", class: "plain", "aria-label": `Dismiss: ${one.what}`,
        click: () => { requests = requests.filter((other) => other.id !== one.id); draw(); }}, "×")),
    (node, one) => setText(node.children[1], one.words));
}

async function look() {
  for (const one of requests.filter((each) => !each.over)) {
    try {
      const state = await get("api/requests/" + one.id);
      one.over = state.state === "done";
      one.words = one.over ? ended(state) : WORDS[state.state];
      if (one.over) {
        say(`${one.what}: ${one.words}`);
        refresh();
      }
    } catch (error) {
      one.over = error.status === 404;
      one.words = error.message;
    }
  }
  draw();
  clearTimeout(timer);
  if (requests.some((one) => !one.over)) timer = setTimeout(look, PAUSE_MS);
}

export function follow(answer) {
  say(`${answer.operation} ${WORDS.waiting}`);
  requests.push({id: answer.request, what: answer.operation, words: WORDS.waiting, over: false});
  look();
}

export function startRequests() {
  look();
}
