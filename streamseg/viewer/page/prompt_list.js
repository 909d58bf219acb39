/** The list of prompts beside the picture. */

import { colourOf, css } from "./colours.js";
import { kindOf } from "./prompts.js";

/** State of a prompt: its icon in the page's sprite, and in words. */
const STATES = {
  bound: { icon: "bound", words: "bound" },
  lost: { icon: "lost", words: "lost" },
  reacquired: { icon: "found", words: "found again" },
  none: { icon: "none", words: "no object" },
  asked: { icon: "asked", words: "asked" },
};
const SHOWN_TEXT = 40;

/** @typedef {import("./prompts.js").Prompt} Prompt */

/**
 * @typedef {object} Row What the list shows of a prompt.
 * @property {Prompt} prompt
 * @property {import("./prompts.js").Status | null} status
 * @property {boolean} isSelected
 */

export class PromptList {
  /** @type {Map<string, {element: HTMLElement, shown: string}>} */ #items = new Map();

  /**
   * @param {HTMLElement} element
   * @param {HTMLElement} empty Shown while there is no prompt.
   * @param {{chosen: (id: string) => void, removed: (id: string) => void, stepped: (id: string) => void}} hooks
   */
  constructor(element, empty, hooks) {
    this.element = element;
    this.empty = empty;
    this.hooks = hooks;
  }

  /** @param {Row[]} rows @param {boolean} withSource Say which source each belongs to. */
  show(rows, withSource) {
    this.empty.hidden = rows.length > 0;
    const ids = new Set(rows.map(({ prompt }) => prompt.id));
    for (const [id, { element }] of this.#items) {
      if (ids.has(id)) continue;
      element.remove();
      this.#items.delete(id);
    }
    for (const [position, row] of rows.entries()) this.#showRow(row, position, withSource);
  }

  /** @param {Row} row @param {number} position @param {boolean} withSource */
  #showRow({ prompt, status, isSelected }, position, withSource) {
    const state = STATES[status?.state ?? "asked"] ?? STATES.asked;
    const percent = Math.round((status?.confidence ?? 0) * 100);
    const colour = css(colourOf(status?.track_id ?? -1));
    const detail = detailOf(prompt, withSource);
    const shown = [position, state.words, percent, colour, detail, isSelected].join("|");
    const item = this.#items.get(prompt.id) ?? this.#make(prompt.id);
    if (this.element.children[position] !== item.element) {
      this.element.insertBefore(item.element, this.element.children[position] ?? null);
    }
    if (item.shown === shown) return;
    item.shown = shown;
    const { element } = item;
    element.dataset.state = status?.state ?? "asked";
    element.dataset.track = String(status?.track_id ?? -1);
    element.style.setProperty("--colour", colour);
    element.style.setProperty("--share", `${percent}%`);
    element.querySelector(".prompt-choose").setAttribute("aria-pressed", String(isSelected));
    element.querySelector(".prompt-key").textContent = position < 9 ? String(position + 1) : "";
    element.querySelector(".prompt-detail").textContent = detail;
    element.querySelector(".prompt-state use").setAttribute("href", `#icon-${state.icon}`);
    element.querySelector(".prompt-words").textContent = state.words;
    element.querySelector(".prompt-percent").textContent = percent ? `${percent} %` : "";
    element.querySelector(".prompt-step").hidden = !isSelected || kindOf(prompt) === "text";
  }

  /** @param {string} id */
  #make(id) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("prompt-template"));
    const element = /** @type {HTMLElement} */ (template.content.firstElementChild.cloneNode(true));
    element.dataset.id = id;
    element.querySelector(".prompt-name").textContent = id;
    const remove = element.querySelector(".prompt-remove");
    remove.setAttribute("aria-label", `Delete ${id}`);
    element.querySelector(".prompt-choose").addEventListener("click", () => this.hooks.chosen(id));
    element.querySelector(".prompt-step").addEventListener("click", () => this.hooks.stepped(id));
    remove.addEventListener("click", () => this.hooks.removed(id));
    const item = { element, shown: "" };
    this.#items.set(id, item);
    return item;
  }
}

/** @param {Prompt} prompt @param {boolean} withSource @returns {string} */
function detailOf(prompt, withSource) {
  const kind = kindOf(prompt);
  const num = prompt.points?.length ?? 1;
  const text = prompt.text ?? "";
  const words = {
    point: num === 1 ? "point" : `${num} points`,
    box: "box",
    mask: "mask",
    text: `“${text.length > SHOWN_TEXT ? `${text.slice(0, SHOWN_TEXT)}…` : text}”`,
    everything: "everything",
  }[kind];
  return withSource ? `${words} · ${prompt.source ?? "all sources"}` : words;
}
