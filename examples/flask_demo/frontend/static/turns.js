// Shows the events of a conversation as its turns: what was said, the tools that were used, the answer as it comes.
//
// `message` begins a turn, or begins it anew; events of a turn that the page already shows as finished are skipped. So a
// page may be given events from before what it shows, and still ends with the same.

import { newKey } from "./api.js";
import { wordsOf } from "./words.js";

const OVER = new Set(["completed", "failed", "cancelled"]);

const copy = (id) => {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {any} */ (template.content.firstElementChild.cloneNode(true));
};
const field = (element, name) => element.querySelector(`[data-field="${name}"]`);
const pretty = (value) => JSON.stringify(value ?? null, null, 2);

export class Turns {
  constructor({ root, conversation, outcomes, speech }) {
    this.root = root;
    this.conversation = conversation;
    this.outcomes = outcomes;
    this.speech = speech;
    this.takeUp();
  }

  /** Go on with the turns that are on the page: the last of them may not be over. */
  takeUp() {
    const last = this.root.lastElementChild;
    this.turn = last && !OVER.has(last.dataset.status) ? last : null;
    this.segments = this.turn ? [...this.turn.querySelectorAll(".answer.plain-text")] : [];
    this.isOpen = false; // whether the next piece of text belongs to the last segment
  }

  get isRunning() {
    return this.turn?.dataset.status === "running";
  }

  apply(name, data) {
    if (name === "message") this.begin(data);
    else if (this.turn) this[`on_${name}`]?.(data);
  }

  begin({ request_id: id, text, files = [] }) {
    const shown = [...this.root.children].find((turn) => turn.dataset.turn === id);
    this.segments = [];
    this.isOpen = false;
    this.speech.forget();
    for (const form of this.root.querySelectorAll(".again")) form.remove();
    if (shown && OVER.has(shown.dataset.status)) {
      this.turn = null;
      return;
    }
    this.turn = copy("turn-template");
    this.turn.dataset.turn = id;
    field(this.turn, "said").textContent = text;
    const list = this.turn.querySelector(".files");
    list.hidden = files.length === 0;
    list.replaceChildren(...files.map((file) => fileChip(file)));
    if (shown) shown.replaceWith(this.turn);
    else this.root.append(this.turn);
  }

  on_token({ text }) {
    this.note("");
    if (!this.isOpen) {
      const segment = document.createElement("div");
      segment.className = "answer plain-text";
      segment.append("");
      field(this.turn, "steps").append(segment);
      this.segments.push(segment);
      this.isOpen = true;
    }
    this.segments.at(-1).firstChild.appendData(text);
    this.speech.hear(text);
  }

  on_refusal_token(data) {
    this.on_token(data);
  }

  on_text_retracted({ text }) {
    const shown = this.segments.map((segment) => segment.textContent).join("");
    let left = text && shown.endsWith(text) ? text.length : (this.segments.at(-1)?.textContent.length ?? 0);
    while (left > 0) {
      const segment = this.segments.at(-1);
      const kept = segment.textContent.slice(0, Math.max(segment.textContent.length - left, 0));
      left -= segment.textContent.length - kept.length;
      segment.firstChild.data = kept;
      if (!kept) {
        this.segments.pop().remove();
        this.isOpen = false;
      }
    }
    this.speech.forget();
    this.speech.say("The answer so far was taken back. It is made anew.");
  }

  on_tool_request(data) {
    this.note("");
    this.speech.finish();
    this.outcome(this.asked(data), "");
    this.speech.say(`Uses ${data.tool}.`);
  }

  on_tool_progress({ call_id: id, progress, total, message }) {
    const card = this.card(id);
    if (!card) return;
    const line = field(card, "progress");
    line.hidden = false;
    line.textContent = [message, total ? `${progress} of ${total}` : progress].filter((part) => part != null).join(": ");
  }

  on_tool_result({ call_id: id, tool, outcome, text }) {
    const card = this.card(id);
    if (!card) return;
    field(card, "text").textContent = text ?? "";
    field(card, "progress").hidden = true;
    this.outcome(card, outcome);
    this.speech.say(`${tool}: ${this.outcomes[outcome] ?? outcome}.`);
  }

  on_approval_required(data) {
    const { call_id: id, tool, arguments: given, digest } = data;
    if (this.approval(id)) return;
    this.outcome(this.asked(data), "waiting");
    const card = copy("approval-template");
    card.dataset.approval = id;
    card.action = `/conversations/${this.conversation}/approvals/${encodeURIComponent(id)}`;
    card.elements.digest.value = digest;
    field(card, "tool").textContent = tool;
    field(card, "arguments").textContent = pretty(given);
    field(this.turn, "steps").append(card);
    this.speech.say(`The assistant asks whether it may use ${tool}. Allow or deny it.`);
  }

  on_approved({ call_id: id, approved }) {
    this.approval(id)?.remove();
    if (this.card(id)) this.outcome(this.card(id), "");
    this.turn.dataset.status = "running";
    this.speech.say(approved ? "Allowed." : "Denied.");
  }

  on_retrying(data) {
    this.note(wordsOf("retrying", data));
  }

  on_delayed(data) {
    this.note(wordsOf("delayed", data));
  }

  on_fell_back(data) {
    this.note(wordsOf("fell_back", data));
  }

  on_toolset_unavailable(data) {
    this.remark(wordsOf("toolset_unavailable", data));
  }

  on_compacted(data) {
    this.remark(wordsOf("compacted", data));
  }

  on_complete({ status, output, html, citations = [] }) {
    this.turn.dataset.status = status;
    this.note(status === "cancelled" ? wordsOf("stopped") : "");
    if (status === "waiting") return;
    if (status === "cancelled") this.dropText();
    else this.answer(output, html);
    this.end();
    this.cite(citations);
    if (status === "cancelled") this.speech.say("Stopped.");
  }

  on_error({ error }) {
    this.turn.dataset.status = "failed";
    this.dropText();
    this.note(wordsOf("failed", error ?? {}));
    this.offerAgain();
    this.end();
  }

  /** Put the finished answer in the place of the text as it came. */
  answer(output, html) {
    if (output === null || output === undefined || output === "") return;
    const segment = this.isOpen ? this.segments.pop() : document.createElement("div");
    segment.className = "answer";
    if (html === undefined) {
      segment.classList.add("plain-text");
      segment.textContent = typeof output === "string" ? output : pretty(output);
    } else {
      segment.innerHTML = html; // rendered and cleaned by the server
    }
    if (!segment.isConnected) field(this.turn, "steps").append(segment);
  }

  /** Take away what was said of an answer that there will not be. */
  dropText() {
    if (this.isOpen) this.segments.pop().remove();
    this.isOpen = false;
    this.speech.forget();
  }

  /** Offer to say the same again, with the same files. */
  offerAgain() {
    const form = copy("again-template");
    form.elements.key.value = newKey();
    form.elements.text.value = field(this.turn, "said").textContent;
    for (const { dataset } of this.turn.querySelectorAll(".said [data-file]")) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "file", value: dataset.file }));
    }
    field(this.turn, "note").after(form);
  }

  end() {
    this.speech.finish();
    for (const card of this.turn.querySelectorAll('.tool:is([data-outcome=""], [data-outcome="waiting"])')) this.outcome(card, "cancelled");
    for (const card of this.turn.querySelectorAll(".approval")) card.remove();
    this.isOpen = false;
    this.segments = [];
  }

  cite(citations) {
    const section = this.turn.querySelector(".citations");
    section.hidden = citations.length === 0;
    section.querySelector("ol").replaceChildren(
      ...citations.map((one) => {
        const item = copy("citation-template");
        for (const name of ["label", "place", "text"]) field(item, name).textContent = one[name] ?? "";
        field(item, "title").textContent = one.title || one.source || "";
        return item;
      }),
    );
  }

  outcome(card, outcome) {
    card.dataset.outcome = outcome;
    field(card, "outcome").textContent = this.outcomes[outcome] ?? outcome;
  }

  /** Say under the answer what holds just now; nothing takes it away. */
  note(text) {
    const line = field(this.turn, "note");
    if (text && line.textContent !== text) this.speech.say(text);
    line.textContent = text;
    line.hidden = !text;
  }

  /** Say in its place among the steps what stays true. */
  remark(text) {
    const line = document.createElement("p");
    line.className = "note";
    line.textContent = text;
    field(this.turn, "steps").append(line);
    this.isOpen = false;
    this.speech.say(text);
  }

  /** Return the card of a call that has no result yet; it is made where there is none. */
  asked({ call_id: id, tool, arguments: given }) {
    this.isOpen = false;
    let card = this.card(id);
    if (card && ["", "waiting"].includes(card.dataset.outcome)) return card;
    card = copy("tool-template");
    card.dataset.call = id;
    field(card, "tool").textContent = tool;
    field(card, "arguments").textContent = pretty(given);
    field(this.turn, "steps").append(card);
    return card;
  }

  /** Return the card of a call; a model may use an id again, so it is the last one. */
  card(id) {
    return [...this.turn.querySelectorAll(`.tool[data-call="${CSS.escape(id)}"]`)].at(-1);
  }

  approval(id) {
    return this.turn.querySelector(`.approval[data-approval="${CSS.escape(id)}"]`);
  }
}

/** Return a file as it is listed: a link that loads it down. */
export function fileChip({ id, name }) {
  const chip = copy("file-template");
  chip.dataset.file = id;
  const link = field(chip, "name");
  link.textContent = name;
  link.href = `/api/v1/files/${encodeURIComponent(id)}`;
  return chip;
}
