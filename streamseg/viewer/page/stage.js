/** The tiles of all sources: one at a time with tabs, or all in a grid. */

import { Tile } from "./tile.js";

/** Number of sources from which all are shown at first, in four columns. */
const WALL_SOURCES = 10;

export class Stage {
  /** @type {Map<string, Tile>} */ tiles = new Map();
  /** @type {string | null} */ active = null;
  isGrid = false;
  /** Whether the user has chosen between one and all. */
  #isChosen = false;

  /**
   * @param {{stage: HTMLElement, tabs: HTMLElement, gridButton: HTMLElement}} elements
   * @param {(source: string) => Tile} makeTile
   * @param {() => void} changed Called when other sources are visible or another one is active.
   */
  constructor(elements, makeTile, changed) {
    this.elements = elements;
    this.makeTile = makeTile;
    this.changed = changed;
    elements.gridButton.addEventListener("click", () => this.toggleGrid());
  }

  get activeTile() {
    return this.active === null ? null : (this.tiles.get(this.active) ?? null);
  }

  /** The visible sources. @returns {string[]} */
  get visible() {
    return this.isGrid ? [...this.tiles.keys()] : this.active === null ? [] : [this.active];
  }

  /** @param {string[]} sources All sources; known ones keep their tiles. */
  setSources(sources) {
    for (const [source, tile] of this.tiles) {
      if (sources.includes(source)) continue;
      tile.remove();
      this.tiles.delete(source);
    }
    for (const source of sources) {
      if (this.tiles.has(source)) continue;
      const tile = this.makeTile(source);
      this.tiles.set(source, tile);
      this.elements.stage.append(tile.element);
    }
    if (!this.#isChosen) this.isGrid = sources.length >= WALL_SOURCES;
    if (sources.length < 2) this.isGrid = false;
    if (!sources.includes(this.active)) this.active = sources[0] ?? null;
    this.elements.tabs.replaceChildren(...sources.map((source) => this.#makeTab(source)));
    this.elements.gridButton.hidden = sources.length < 2;
    // More tabs than that have no room; the list of sources has all of them.
    this.elements.tabs.hidden = sources.length < 2 || sources.length >= WALL_SOURCES;
    this.#arrange();
  }

  /** @param {string} source */
  activate(source) {
    if (this.active === source || !this.tiles.has(source)) return;
    this.active = source;
    this.#arrange();
  }

  /** @param {number} by Number of positions, cyclic. */
  activateNext(by) {
    const sources = [...this.tiles.keys()];
    if (sources.length < 2) return;
    this.activate(sources[(sources.indexOf(this.active) + by + sources.length) % sources.length]);
  }

  toggleGrid() {
    if (this.tiles.size < 2) return;
    this.#isChosen = true;
    this.isGrid = !this.isGrid;
    this.#arrange();
  }

  invalidate() {
    for (const tile of this.tiles.values()) tile.invalidate();
  }

  /** @param {string} source */
  #makeTab(source) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.dataset.source = source;
    tab.textContent = source;
    tab.addEventListener("click", () => this.activate(source));
    return tab;
  }

  #arrange() {
    const { stage, tabs, gridButton } = this.elements;
    stage.classList.toggle("grid", this.isGrid);
    gridButton.setAttribute("aria-pressed", String(this.isGrid));
    for (const [source, tile] of this.tiles) {
      tile.element.hidden = !this.isGrid && source !== this.active;
      tile.element.classList.toggle("active", this.isGrid && source === this.active);
    }
    for (const tab of tabs.children) tab.setAttribute("aria-pressed", String(tab.dataset.source === this.active));
    this.changed();
  }
}
