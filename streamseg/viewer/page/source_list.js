/** The list of sources, with their states, and buttons that restart and remove them. */

import { describeState } from "./source_state.js";

/** Time in which a second press removes a source. */
const CONFIRM_MS = 4000;

/** @typedef {{id: string, stats: any}} SourceRow A source, and its statistics; null before the first. */

export class SourceList {
  /** @type {Map<string, HTMLElement>} */ #rows = new Map();

  /**
   * @param {HTMLElement} element
   * @param {object} hooks
   * @param {(id: string) => void} hooks.onSelect
   * @param {(id: string) => void} hooks.onRestart
   * @param {(id: string) => void} hooks.onRemove
   */
  constructor(element, hooks) {
    this.element = element;
    this.hooks = hooks;
  }

  /** @param {SourceRow[]} sources @param {string | null} active */
  show(sources, active) {
    const ids = new Set(sources.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      const next = /** @type {HTMLElement | null} */ (row.nextElementSibling ?? row.previousElementSibling);
      // The keyboard continues with the next source.
      if (row.contains(document.activeElement)) next?.querySelector("button")?.focus();
      row.remove();
      this.#rows.delete(id);
    }
    for (const { id, stats } of sources) this.#showRow(this.#rows.get(id) ?? this.#make(id), stats, id === active);
  }

  /** @param {HTMLElement} row @param {any} stats @param {boolean} isActive */
  #showRow(row, stats, isActive) {
    const [words, text] = stats ? describeRow(stats) : ["", ""];
    row.dataset.state = stats?.state ?? "";
    row.querySelector(".row-choose").setAttribute("aria-pressed", String(isActive));
    const label = /** @type {HTMLElement} */ (row.querySelector(".row-words"));
    if (label.textContent !== words) label.textContent = words;
    if (label.title !== text) label.title = text;
  }

  /** @param {string} id @returns {HTMLElement} */
  #make(id) {
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("source-template"));
    const row = /** @type {HTMLElement} */ (template.content.firstElementChild.cloneNode(true));
    row.dataset.source = id;
    row.querySelector(".row-name").textContent = id;
    row.querySelector(".row-choose").addEventListener("click", () => this.hooks.onSelect(id));
    const restart = /** @type {HTMLButtonElement} */ (row.querySelector(".source-restart"));
    restart.setAttribute("aria-label", `Restart ${id}`);
    restart.addEventListener("click", () => this.hooks.onRestart(id));
    connectRemove(/** @type {HTMLButtonElement} */ (row.querySelector(".source-remove")), id, () => this.hooks.onRemove(id));
    this.#rows.set(id, row);
    this.element.append(row);
    return row;
  }
}

/** Ask for a second press. @param {HTMLButtonElement} button @param {string} id @param {() => void} remove */
function connectRemove(button, id, remove) {
  let timer = 0;
  /** @param {boolean} isArmed */
  const arm = (isArmed) => {
    clearTimeout(timer);
    button.classList.toggle("armed", isArmed);
    const label = isArmed ? `Press again to remove ${id}` : `Remove ${id}`;
    button.setAttribute("aria-label", label);
    button.title = label;
    if (isArmed) timer = setTimeout(() => arm(false), CONFIRM_MS);
  };
  arm(false);
  button.addEventListener("blur", () => arm(false));
  button.addEventListener("click", () => {
    const isConfirmed = button.classList.contains("armed");
    arm(!isConfirmed);
    if (isConfirmed) remove();
  });
}

/** @param {any} stats @returns {[string, string]} Few words, and the whole text. */
function describeRow({ state, state_seconds: seconds, error, silent_seconds: age, fps }) {
  const [text] = describeState(state, seconds, error, age);
  if (text === null) return [`${fps.toFixed(1)} fps`, ""];
  return [describeState(state, seconds, null)[0] ?? state, text];
}
