// Says what happens to who listens to the page: whole sentences, not the pieces in which they come.

const KEPT = 30;
const SENTENCE = /[^]*?[.!?…:](?=\s)|[^\n]*\n/y;

export class Speech {
  constructor(region) {
    this.region = region;
    this.waiting = "";
  }

  /** Say something of the page itself. */
  say(text) {
    const line = document.createElement("p");
    line.textContent = text;
    this.region.append(line);
    while (this.region.children.length > KEPT) this.region.firstElementChild.remove();
  }

  /** Take a piece of the answer; say the sentences that are whole now. */
  hear(piece) {
    this.waiting += piece;
    SENTENCE.lastIndex = 0;
    let said = 0;
    while (SENTENCE.test(this.waiting)) said = SENTENCE.lastIndex;
    if (said) this.say(this.waiting.slice(0, said).trim());
    this.waiting = this.waiting.slice(said);
  }

  /** Forget what has not been said yet: it was taken back. */
  forget() {
    this.waiting = "";
  }

  /** Say the rest: the answer is complete. */
  finish() {
    if (this.waiting.trim()) this.say(this.waiting.trim());
    this.waiting = "";
  }
}
