// What happens in a conversation, as it happens: by WebSocket, or by server-sent events where that does not work.
//
// The page keeps the number of the last event it has; whoever comes back asks for what follows it. Events that come
// twice are dropped by their number, so nothing is lost and nothing is shown twice.

import { io } from "./vendor/socket.io.esm.min.js";

const NAMES = [
  "message", "token", "reasoning_token", "refusal_token", "tool_request", "tool_progress", "tool_result",
  "approval_required", "approved", "text_retracted", "retrying", "delayed", "fell_back", "toolset_unavailable",
  "compacted", "complete", "error", "reset", "refused", "unreachable", "reachable",
];
const TRIES = 2; // of a WebSocket that has never worked here
const PAUSES = [500, 1000, 2000, 4000, 8000]; // milliseconds between two tries

/**
 * Keeps a channel to a conversation open.
 *
 * `onEvent(name, data)` is called once for each event, in order. `onState(state, code)` is called with "live", "lost",
 * "unavailable" (the service behind the page does not answer; it is tried again) and "refused" (with a code; the end).
 */
export class Channel {
  constructor({ conversation, lastId, forced, onEvent, onState }) {
    this.conversation = conversation;
    this.lastId = Number(lastId) || 0;
    this.onEvent = onEvent;
    this.onState = onState;
    this.tries = 0;
    this.worked = false;
    this.isAskingAgain = false; // after it was said that nobody is signed in: another tab may have signed in anew
    this.timer = 0;
    this.transport = forced === "sse" ? this.bySse() : this.bySocket();
    addEventListener("offline", () => this.lost());
    addEventListener("online", () => this.again(0));
    this.transport.open();
  }

  /** Go on after another event: the page has been read anew. */
  goOnAfter(id) {
    this.lastId = Number(id) || 0;
    this.transport.close();
    this.transport.open();
  }

  take(name, data) {
    if (name === "unreachable") this.onState("unavailable");
    else if (name === "reachable") this.onState("live");
    else if (name === "refused") this.refused(data.code);
    else if (data.id === undefined || data.id > this.lastId || name === "reset") {
      if (data.id !== undefined) this.lastId = data.id;
      this.isAskingAgain = false;
      this.onEvent(name, data);
    }
  }

  live() {
    this.tries = 0;
    this.worked = true;
    this.onState("live");
  }

  lost() {
    this.transport.close();
    this.onState("lost");
    this.again();
  }

  refused(code) {
    this.transport.close();
    if (code === "limited") {
      this.onState("unavailable");
      this.again();
    } else if (code === "unauthorized" && !this.isAskingAgain) {
      this.isAskingAgain = true;
      this.again(0);
    } else {
      clearTimeout(this.timer);
      this.onState("refused", code);
    }
  }

  again(pause = PAUSES[Math.min(this.tries, PAUSES.length - 1)]) {
    this.tries += 1;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.transport.open(), pause);
  }

  bySocket() {
    const socket = io({ transports: ["websocket"], reconnection: false, autoConnect: false, timeout: 4000 });
    let wanted = false;
    socket.on("connect", async () => {
      const wish = { conversation: this.conversation, after: String(this.lastId) };
      try {
        const { refused } = await socket.timeout(10000).emitWithAck("join", wish);
        if (refused) this.refused(refused);
        else this.live();
      } catch {
        if (wanted) this.lost();
      }
    });
    socket.onAny((name, data, taken) => {
      if (wanted) this.take(name, data);
      taken?.();
    });
    socket.on("disconnect", () => wanted && this.lost());
    socket.on("connect_error", (error) => {
      if (!wanted) return;
      if (error.type !== "TransportError" && !socket.active) return this.refused("unauthorized");
      if (!this.worked && this.tries + 1 >= TRIES) this.transport = this.bySse();
      this.lost();
    });
    return {
      open: () => {
        if (socket.connected) socket.disconnect();
        wanted = true;
        socket.connect();
      },
      close: () => {
        wanted = false;
        socket.disconnect();
      },
    };
  }

  bySse() {
    let source = null;
    const close = () => {
      source?.close();
      source = null;
    };
    const open = () => {
      close();
      const mine = new EventSource(`/conversations/${this.conversation}/events?after=${this.lastId}`);
      source = mine;
      mine.addEventListener("open", () => this.live());
      for (const name of NAMES) {
        mine.addEventListener(name, (event) => {
          if (source !== mine) return;
          if (event instanceof MessageEvent) this.take(name, JSON.parse(event.data));
          else this.lost(); // the connection's own "error"
        });
      }
    };
    return { open, close };
  }
}
