/** The list of outputs with their states. */

import { describeSink, numUnwritten } from "./sink_state.js";

/** Number of outputs from which those that write are counted, not listed. */
const MAX_LISTED = 3;
/** The sink that sends frames to this page, whose state is visible anyway. */
const OWN = "page";

export class SinkList {
  #shown = "";

  /** @param {HTMLElement} section Hidden while there is no output. */
  constructor(section) {
    this.section = section;
    this.list = section.querySelector("ul");
  }

  /** @param {any[]} sinks Statistics of the sinks, see `SinkStats`. @param {number} nowMs ms since 1970. */
  show(sinks, nowMs) {
    const rows = rowsOf(sinks.filter(({ name }) => name !== OWN), nowMs);
    const shown = JSON.stringify(rows);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.section.hidden = rows.length === 0;
    this.list.replaceChildren(...rows.map(makeRow));
  }
}

/** @typedef {{name: string, state: string, words: string, title: string}} SinkRow */

/** @param {any[]} sinks @param {number} nowMs @returns {SinkRow[]} Those in trouble first. */
function rowsOf(sinks, nowMs) {
  const writing = sinks.filter(({ state }) => state === "ok");
  const others = sinks.filter(({ state }) => state !== "ok").map((sink) => rowOf(sink, nowMs));
  if (writing.length <= MAX_LISTED) return [...others, ...writing.map((sink) => rowOf(sink, nowMs))];
  const title = writing.map(({ name }) => name).join(", ");
  return [...others, { name: `${writing.length} ${others.length ? "other " : ""}outputs`, state: "ok", words: "Writing", title }];
}

/** @param {any} sink @param {number} nowMs @returns {SinkRow} */
function rowOf(sink, nowMs) {
  const words = describeSink(sink, nowMs);
  const lost = numUnwritten(sink);
  return { name: sink.name, state: sink.state, words: lost ? `${words}; ${lost} ${lost === 1 ? "frame" : "frames"} not written` : words, title: sink.error ?? "" };
}

/** @param {SinkRow} row @returns {HTMLElement} */
function makeRow({ name, state, words, title }) {
  const item = document.createElement("li");
  item.dataset.state = state;
  item.title = title;
  for (const [className, text] of [["row-name", name], ["row-words", words]]) {
    const part = document.createElement("span");
    Object.assign(part, { className, textContent: text });
    item.append(part);
  }
  return item;
}
