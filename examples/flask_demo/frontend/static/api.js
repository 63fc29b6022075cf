// Asks the front end, which passes it on to the orchestrator.

import { sentence } from "./words.js";

const token = document.querySelector('meta[name="csrf-token"]')?.getAttribute("content") ?? "";

/** What was asked is refused (`status` of HTTP, `code` of the API), or could not be asked (`status` 0). */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// Where the API says nothing, or nothing for people.
const WORDS = {
  0: "The server cannot be reached. Check your connection.",
  401: "You are signed out. Sign in again.",
  403: "That is not allowed.",
  404: "That does not exist any more.",
  409: "The assistant is busy with this conversation. Wait for its answer, or stop it.",
  413: "That is too large.",
  415: "Files of this kind cannot be read. Text, Markdown and PDF can.",
  422: "That could not be taken as it is.",
  429: "You have used up what you may ask for now. Try again a little later.",
  503: "The assistant cannot be reached at the moment. Try again.",
};

/** Return the answer as JSON. `what` has `json` or `form`, and `headers`. Throws Refused. */
export async function ask(method, path, what = {}) {
  const headers = { Accept: "application/json", "X-CSRF-Token": token, ...what.headers };
  let body = what.form;
  if (what.json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(what.json);
  }
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, credentials: "same-origin", redirect: "error" });
  } catch {
    throw new Refused(0, "unreachable", WORDS[0]);
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  const { code = "", message = "" } = told.error ?? {};
  throw new Refused(answer.status, code, words(answer.status, message));
}

function words(status, message) {
  const ours = WORDS[status] ?? "That did not work. Try again.";
  if (!message || status === 401 || status >= 500) return ours;
  return sentence(message);
}

/** Ask again, with the same key, while nobody can be reached: a message that arrived twice is one message. */
export async function askUntilHeard(method, path, what, pauses = [500, 1000, 2000, 4000]) {
  for (const pause of pauses) {
    try {
      return await ask(method, path, what);
    } catch (error) {
      if (error.status !== 0 && error.status !== 503) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  return ask(method, path, what);
}

/** Return a key that nobody else has. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
