// The page of a conversation: what happens is shown, what people do is sent.

import { ask, askUntilHeard, newKey } from "./api.js";
import { Channel } from "./channel.js";
import { Composer, signInLink } from "./composer.js";
import { Speech } from "./speech.js";
import { Turns } from "./turns.js";
import { wordsOf } from "./words.js";

const NEAR = 120; // pixels from the end at which the page follows what comes
const SHOWN = 3000; // milliseconds for which it is said that the connection is back

const main = document.getElementById("main");
const root = document.getElementById("turns");
const stopper = document.getElementById("stopper");
const connection = document.getElementById("connection");
const conversation = main.dataset.conversation;
const path = `/api/v1/conversations/${conversation}`;

const speech = new Speech(document.getElementById("announcer"));
const turns = new Turns({ root, conversation, outcomes: JSON.parse(main.dataset.outcomes), speech });
const composer = new Composer({
  form: document.getElementById("composer"),
  conversation,
  onSent: () => toEnd(),
});

let isReading = false; // the page is read anew: what comes meanwhile is in it

const channel = new Channel({
  conversation,
  lastId: main.dataset.lastEventId,
  forced: new URLSearchParams(location.search).get("transport"),
  onEvent: take,
  onState: showState,
});

function take(name, data) {
  if (isReading) return;
  if (name === "reset") {
    void readAnew();
    return;
  }
  const follows = isNearEnd();
  turns.apply(name, data);
  if (name === "message") document.getElementById("empty")?.remove();
  if (name === "complete") void refreshTitle();
  showRunning();
  if (follows) toEnd();
}

/** Read the page anew: the events between what it shows and now are kept nowhere. */
async function readAnew() {
  isReading = true;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const read = page.getElementById("turns");
    if (!answer.ok || !read) throw new Error("this is another page");
    root.replaceChildren(...read.children);
    turns.takeUp();
    isReading = false;
    channel.goOnAfter(page.getElementById("main").dataset.lastEventId);
    showRunning();
    toEnd();
  } catch {
    showState("unavailable");
    setTimeout(readAnew, 3000);
  }
}

async function refreshTitle() {
  const shown = document.querySelectorAll(`[data-title-of="${CSS.escape(conversation)}"]`);
  const { title } = await ask("GET", path).catch(() => ({}));
  if (!title) return;
  for (const element of shown) element.textContent = title;
  document.title = `${title} · Assistant`;
}

function showRunning() {
  stopper.hidden = !turns.isRunning;
  composer.busy(turns.isRunning);
}

function showState(state, code) {
  const before = connection.dataset.state;
  connection.dataset.state = state;
  if (state === "live") {
    const isBack = before !== "" && before !== "live";
    connection.textContent = isBack ? wordsOf("back") : "";
    connection.hidden = !isBack;
    if (isBack) setTimeout(() => (connection.hidden ||= connection.dataset.state === "live"), SHOWN);
    return;
  }
  connection.textContent = wordsOf(state === "refused" ? code : state);
  if (code === "unauthorized") connection.append(" ", signInLink());
  connection.hidden = false;
}

async function stop() {
  try {
    await ask("POST", `${path}/stop`, { json: {} });
  } catch (error) {
    composer.say(error.message, error.status === 401);
  }
}

async function decide(card, isAllowed) {
  const buttons = card.querySelectorAll("button");
  const problem = card.querySelector('[data-field="problem"]');
  for (const button of buttons) button.disabled = true;
  problem.hidden = true;
  try {
    const json = { approve: isAllowed, digest: card.elements.digest.value };
    await ask("POST", `${path}/approvals/${encodeURIComponent(card.dataset.approval)}`, { json });
    composer.text.focus();
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
    for (const button of buttons) button.disabled = false;
  }
}

/** Say again what was said in a turn that failed. */
async function sayAgain(form) {
  const { key, text } = form.elements;
  const button = form.querySelector("button");
  const problem = form.querySelector('[data-field="problem"]');
  const json = { text: text.value, files: new FormData(form).getAll("file") };
  button.disabled = true;
  problem.hidden = true;
  try {
    await askUntilHeard("POST", `${path}/messages`, { json, headers: { "Idempotency-Key": key.value } });
    form.remove();
    composer.text.focus();
    toEnd();
  } catch (error) {
    if (error.status !== 0 && error.status < 500) key.value = newKey();
    problem.textContent = error.message;
    problem.hidden = false;
    button.disabled = false;
  }
}

function isNearEnd() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < NEAR;
}

function toEnd() {
  document.documentElement.scrollTop = document.documentElement.scrollHeight;
}

root.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.matches(".approval, .again")) return;
  event.preventDefault();
  if (form.matches(".again")) void sayAgain(form);
  else void decide(form, event.submitter?.getAttribute("value") === "yes");
});
stopper.addEventListener("submit", (event) => {
  event.preventDefault();
  void stop();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && turns.isRunning && !event.defaultPrevented) {
    event.preventDefault();
    void stop();
  }
});

document.querySelector(".hint.js").removeAttribute("hidden");
showRunning();
toEnd();
composer.text.focus({ preventScroll: true });
