// What people write and attach. A message keeps its key while nobody knows whether it has arrived, so that sending it
// again never says it twice; another message, or one that was refused, has a key of its own.

import { ask, askUntilHeard, newKey } from "./api.js";
import { fileChip } from "./turns.js";

export class Composer {
  constructor({ form, conversation, onSent }) {
    this.form = form;
    this.conversation = conversation;
    this.onSent = onSent;
    this.text = form.elements.text;
    this.file = form.querySelector("#file");
    this.list = form.querySelector("#attached");
    this.problem = form.querySelector("#problem");
    this.files = [];
    this.uploads = 0;
    this.isBusy = false;
    this.isSending = false;
    this.key = form.elements.key.value || newKey();
    this.tried = ""; // what was sent under this key
    this.wire();
  }

  wire() {
    this.form.querySelector(".attach").hidden = false;
    this.file.hidden = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.send();
    });
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.form.requestSubmit();
      }
    });
    this.text.addEventListener("input", () => this.grow());
    this.file.addEventListener("change", () => {
      for (const file of this.file.files) void this.upload(file);
      this.file.value = "";
    });
  }

  /** Say whether the assistant is answering: then nothing is sent. */
  busy(isBusy) {
    this.isBusy = isBusy;
    this.form.querySelector(".send").hidden = isBusy;
  }

  async send() {
    const text = this.text.value.trim();
    if (!text || this.isBusy || this.isSending) return;
    if (this.uploads) return this.say("A file is still on its way. Send when it is there.");
    this.say("");
    this.sending(true);
    const json = { text, files: this.files.map((file) => file.id) };
    if (this.tried && this.tried !== JSON.stringify(json)) this.key = newKey();
    this.tried = JSON.stringify(json);
    const headers = { "Idempotency-Key": this.key };
    try {
      await askUntilHeard("POST", `/api/v1/conversations/${this.conversation}/messages`, { json, headers });
      this.sent();
    } catch (error) {
      if (error.status !== 0 && error.status < 500) this.key = newKey();
      this.say(error.message, error.status === 401);
    } finally {
      this.sending(false);
    }
  }

  sent() {
    this.key = newKey();
    this.tried = "";
    this.files = [];
    this.show();
    this.text.value = "";
    this.grow();
    this.onSent();
  }

  sending(is) {
    this.isSending = is;
    this.form.setAttribute("aria-busy", String(is));
    this.text.readOnly = is;
    this.form.querySelector(".send").disabled = is;
  }

  async upload(file) {
    this.say("");
    const waiting = document.createElement("li");
    waiting.className = "chip waiting";
    waiting.textContent = `${file.name} …`;
    this.list.append(waiting);
    this.list.hidden = false;
    this.uploads += 1;
    const form = new FormData();
    form.append("file", file);
    try {
      this.files.push(await ask("POST", "/api/v1/files", { form }));
    } catch (error) {
      this.say(`${file.name}: ${error.message}`, error.status === 401);
    } finally {
      this.uploads -= 1;
      waiting.remove();
      this.show();
    }
  }

  show() {
    for (const chip of this.list.querySelectorAll(".chip:not(.waiting)")) chip.remove();
    this.list.prepend(
      ...this.files.map((file) => {
        const chip = fileChip(file);
        const button = document.createElement("button");
        button.type = "button";
        button.className = "quiet";
        button.setAttribute("aria-label", `Do not send ${file.name}`);
        button.textContent = "×";
        button.addEventListener("click", () => {
          this.files = this.files.filter((other) => other !== file);
          this.show();
          this.text.focus();
        });
        chip.append(button);
        return chip;
      }),
    );
    this.list.hidden = this.list.children.length === 0;
  }

  say(problem, isSignedOut = false) {
    this.problem.textContent = problem;
    this.problem.hidden = !problem;
    if (isSignedOut) this.problem.append(" ", signInLink());
  }

  grow() {
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
  }
}

/** Return a link that leads back here after the sign-in. */
export function signInLink() {
  const link = document.createElement("a");
  link.href = `/sign-in?next=${encodeURIComponent(location.pathname)}`;
  link.textContent = "Sign in";
  return link;
}
