/** The list of prompts. */

import { colourOf, css, inkOn } from "./colours.js";
import { kindOf } from "./prompt_store.js";
import { describe, percentages } from "./prompt_words.js";

const SHOWN_TEXT = 40;

/** @typedef {import("./prompt_store.js").Prompt} Prompt */

/**
 * @typedef {object} Row A prompt in the list.
 * @property {Prompt} prompt
 * @property {string} name
 * @property {import("./prompt_store.js").Status | null} status
 * @property {boolean} isSelected
 */

export class PromptList {
  /** @type {Map<string, {element: HTMLElement, shown: string}>} */ #items = new Map();

  /**
   * @param {HTMLElement} element
   * @param {HTMLElement} empty Displayed while there is no prompt.
   * @param {object} hooks
   * @param {(id: string) => void} hooks.onSelect
   * @param {(id: string) => void} hooks.onRemove
   * @param {(id: string) => void} hooks.onStep
   * @param {(id: string, name: string) => void} hooks.onRename
   */
  constructor(element, empty, hooks) {
    this.element = element;
    this.empty = empty;
    this.hooks = hooks;
  }

  /** @param {Row[]} rows @param {boolean} withSource Whether to display the source of each prompt. */
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
  #showRow({ prompt, name, status, isSelected }, position, withSource) {
    const state = describe(status);
    const percent = percentages(status);
    const rgb = colourOf(status?.track_id ?? -1);
    const colour = css(rgb);
    const detail = detailOf(prompt, withSource);
    const shown = [name, position, state.words, percent, colour, detail, isSelected].join("|");
    const item = this.#items.get(prompt.id) ?? this.#make(prompt.id);
    if (this.element.children[position] !== item.element) {
      this.element.insertBefore(item.element, this.element.children[position] ?? null);
    }
    if (item.shown === shown) return;
    item.shown = shown;
    const { element } = item;
    element.dataset.state = status?.state ?? "pending";
    element.dataset.track = String(status?.track_id ?? -1);
    element.querySelector(".prompt-name").textContent = name;
    element.querySelector(".prompt-remove").setAttribute("aria-label", `Delete ${name}`);
    element.style.setProperty("--colour", colour);
    element.style.setProperty("--ink-on-colour", inkOn(rgb));
    element.dataset.doubt = String(state.icon === "doubt");
    element.style.setProperty("--share", `${Math.round((status?.confidence ?? 0) * 100)}%`);
    element.querySelector(".prompt-choose").setAttribute("aria-pressed", String(isSelected));
    element.querySelector(".prompt-key").textContent = position < 9 ? String(position + 1) : "";
    element.querySelector(".prompt-detail").textContent = detail;
    element.querySelector(".prompt-state use").setAttribute("href", `#icon-${state.icon}`);
    element.querySelector(".prompt-state").title = state.meaning;
    element.querySelector(".prompt-words").textContent = state.words;
    element.querySelector(".prompt-percent").textContent = percent;
    element.querySelector(".prompt-step").hidden = !isSelected || kindOf(prompt) === "text";
  }

  /** @param {string} id */
  #make(id) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("prompt-template"));
    const element = /** @type {HTMLElement} */ (template.content.firstElementChild.cloneNode(true));
    element.dataset.id = id;
    const choose = element.querySelector(".prompt-choose");
    choose.addEventListener("click", (event) => event.detail < 2 && this.hooks.onSelect(id));
    choose.addEventListener("dblclick", () => this.rename(id));
    choose.addEventListener("keydown", (event) => {
      if (event.key !== "F2") return;
      event.preventDefault();
      this.rename(id);
    });
    element.querySelector(".prompt-step").addEventListener("click", () => this.hooks.onStep(id));
    element.querySelector(".prompt-remove").addEventListener("click", () => this.hooks.onRemove(id));
    this.#connectField(element, id);
    const item = { element, shown: "" };
    this.#items.set(id, item);
    return item;
  }

  /** @param {string} id Prompt whose name is edited. */
  rename(id) {
    const element = this.#items.get(id)?.element;
    if (!element) return;
    const field = element.querySelector("input");
    field.value = element.querySelector(".prompt-name").textContent;
    field.hidden = false;
    field.select();
    field.focus();
  }

  /** @param {HTMLElement} element @param {string} id */
  #connectField(element, id) {
    const field = element.querySelector("input");
    const choose = /** @type {HTMLButtonElement} */ (element.querySelector(".prompt-choose"));
    /** @param {boolean} isKept */
    const finish = (isKept) => {
      if (field.hidden) return;
      const name = field.value.trim();
      field.hidden = true;
      if (isKept && name && name !== element.querySelector(".prompt-name").textContent) this.hooks.onRename(id, name);
    };
    field.addEventListener("blur", () => finish(true));
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      // Both keys have another function on the page.
      event.preventDefault();
      event.stopPropagation();
      finish(event.key === "Enter");
      choose.focus();
    });
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
