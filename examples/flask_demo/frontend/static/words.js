// What the page says of what happens, in plain words that are true.

const seconds = (number) => {
  const whole = Math.max(1, Math.ceil(number));
  return whole === 1 ? "a second" : `${whole} seconds`;
};

/** Return a message of the API as a sentence. */
export function sentence(message) {
  return message && `${message[0].toUpperCase()}${message.slice(1)}${/[.!?]$/.test(message) ? "" : "."}`;
}

const WORDS = {
  retrying: ({ attempt, delay }) =>
    `A call to a service failed. It is tried again ${delay >= 1 ? `in ${seconds(delay)}` : "now"} (attempt ${attempt}).`,
  delayed: ({ reason, expected }) => {
    const why = reason === "rate_limit" ? "No more requests are allowed just now" : "All places are taken just now";
    return expected == null ? `${why}. It goes on by itself.` : `${why}. It goes on in about ${seconds(expected)}.`;
  },
  fell_back: () => "The model could not answer. Another one is asked in its place.",
  toolset_unavailable: ({ toolset }) => `The tools of “${toolset}” cannot be reached. This answer is made without them.`,
  compacted: () => "The conversation has grown long. From here on the assistant sees a shortened form of its beginning.",
  stopped: () => "Stopped. What had been said of this answer was not kept.",
  failed: ({ message }) => `The answer could not be finished. ${sentence(message ?? "")}`.trim(),
  lost: () => "The connection is lost. Trying again…",
  unavailable: () => "The assistant cannot be reached at the moment. Trying again…",
  back: () => "Connected again.",
  unauthorized: () => "You are signed out.",
  not_found: () => "This conversation does not exist any more.",
  refused: () => "This conversation cannot be followed. Load the page again.",
};

/** Return the sentence for an event or a state of the connection. */
export function wordsOf(name, data = {}) {
  return (WORDS[name] ?? WORDS.refused)(data);
}
