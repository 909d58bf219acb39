/** The form that adds a source. Its fields are the keys of a source's section in a configuration, which the server lists. */

/**
 * @typedef {object} Field A key of a section, see `config/source_fields.py`.
 * @property {string} key
 * @property {"text" | "number" | "number or text" | "flag" | "choice"} kind
 * @property {boolean} required
 * @property {any} default
 * @property {boolean} nullable
 * @property {string[]} choices
 */

/** What is chosen first. */
const FIRST_TYPE = "stream";
/** @type {Record<string, string>} */
const TYPE_WORDS = {
  stream: "RTSP or HTTP camera, video file",
  webcam: "webcam of the server",
  images: "image, folder of images",
  recording: "replay of a recording",
  ros: "ROS 2 topic, in a node only",
  scene: "rendered test scene",
};
/** Keys that are always visible; the others are settings with defaults. */
const MAIN_KEYS = ["url", "path", "device", "id"];

/**
 * The value of a field; undefined: the default, which is omitted.
 * @param {Field} field
 * @param {string | boolean} entered
 * @returns {any} Texts that are no numbers are left to the server, which reports them.
 */
export function valueOf({ kind, nullable, default: preset }, entered) {
  if (typeof entered === "boolean" || kind === "choice") return entered === preset ? undefined : entered;
  const text = entered.trim();
  if (text === "") return undefined;
  if (nullable && text === "null") return null;
  if (kind === "number" && Number.isFinite(Number(text))) return Number(text);
  if (kind === "number or text" && /^\d+$/.test(text)) return Number(text);
  return text;
}

/**
 * Assign the parts of the server's error to the fields that they name.
 * @param {string} error Such as "source: url: Field required; weight: …".
 * @param {string[]} keys
 * @returns {{byKey: Map<string, string>, rest: string}} `rest` concerns no single field.
 */
export function assignErrors(error, keys) {
  /** @type {Map<string, string>} */
  const byKey = new Map();
  /** @type {string[]} */
  const rest = [];
  let last = "";
  for (const part of error.replace(/^(sources\.add: )?source: /, "").split("; ")) {
    const key = keys.find((one) => part.startsWith(`${one}: `)) ?? "";
    // A part without a key continues the one before.
    if (key) byKey.set(key, part.slice(key.length + 2));
    else if (last) byKey.set(last, `${byKey.get(last)}; ${part}`);
    else rest.push(part);
    last = key || last;
  }
  return { byKey, rest: rest.join("; ") };
}

export class SourceForm {
  /** @type {Record<string, Field[]>} */ #types = {};

  /**
   * @param {HTMLDialogElement} dialog
   * @param {(op: string, args: object) => Promise<any>} call Rejected with the server's error.
   * @param {(id: string) => void} added
   */
  constructor(dialog, call, added) {
    this.dialog = dialog;
    this.call = call;
    this.added = added;
    this.form = dialog.querySelector("form");
    this.type = dialog.querySelector("select");
    this.error = /** @type {HTMLElement} */ (dialog.querySelector(".form-error"));
    this.submit = /** @type {HTMLButtonElement} */ (dialog.querySelector('[type="submit"]'));
    this.type.addEventListener("change", () => this.#showFields());
    dialog.querySelector(".dialog-close").addEventListener("click", () => dialog.close());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    // An address may contain a password.
    dialog.addEventListener("close", () => this.#clear());
  }

  /** Open the dialog; rejected if the server does not list the types. */
  async open() {
    this.#types = (await this.call("sources.types", {})).types;
    this.type.replaceChildren(
      ...Object.keys(this.#types).map((name) => new Option(TYPE_WORDS[name] ? `${name}: ${TYPE_WORDS[name]}` : name, name)),
    );
    if (FIRST_TYPE in this.#types) this.type.value = FIRST_TYPE;
    this.#showFields();
    this.dialog.showModal();
    this.dialog.querySelector("input")?.focus();
  }

  get #fields() {
    return this.#types[this.type.value] ?? [];
  }

  #clear() {
    for (const part of this.dialog.querySelectorAll(".fields")) part.replaceChildren();
    this.#showErrors(new Map(), "");
  }

  #showFields() {
    this.#clear();
    const [main, more] = this.dialog.querySelectorAll(".fields");
    for (const field of this.#fields) (MAIN_KEYS.includes(field.key) ? main : more).append(makeField(field));
  }

  async #send() {
    /** @type {Record<string, any>} */
    const section = { type: this.type.value };
    for (const field of this.#fields) {
      const input = this.#input(field.key);
      const value = valueOf(field, field.kind === "flag" ? input.checked : input.value);
      if (value !== undefined) section[field.key] = value;
    }
    this.submit.disabled = true;
    try {
      const { id } = await this.call("sources.add", section);
      this.dialog.close();
      this.#clear(); // the event of the dialog follows later
      this.added(id);
    } catch (error) {
      const { byKey, rest } = assignErrors(error.message, this.#fields.map(({ key }) => key));
      this.#showErrors(byKey, rest);
    } finally {
      this.submit.disabled = false;
    }
  }

  /** @param {Map<string, string>} byKey @param {string} rest */
  #showErrors(byKey, rest) {
    this.error.textContent = rest;
    this.error.hidden = !rest;
    for (const { key } of this.#fields) {
      const input = this.#input(key);
      if (!input) continue;
      const text = byKey.get(key) ?? "";
      const note = /** @type {HTMLElement} */ (input.closest(".field").querySelector(".field-error"));
      note.textContent = text;
      note.hidden = !text;
      input.setAttribute("aria-invalid", String(text !== ""));
    }
    const invalid = /** @type {HTMLElement | null} */ (this.dialog.querySelector('[aria-invalid="true"]'));
    const hidden = invalid?.closest("details");
    if (hidden) hidden.open = true;
    invalid?.focus();
  }

  /** @param {string} key @returns {any} */
  #input(key) {
    return this.dialog.querySelector(`#source-${key}`);
  }
}

/** @param {Field} field @returns {HTMLElement} */
function makeField(field) {
  const { key, kind, required, nullable, choices } = field;
  const row = document.createElement("div");
  row.className = "field";
  const label = document.createElement("label");
  label.htmlFor = `source-${key}`;
  label.textContent = required ? `${key} (required)` : key;
  const input = document.createElement(kind === "choice" ? "select" : "input");
  input.id = label.htmlFor;
  input.setAttribute("aria-describedby", `${input.id}-error`);
  if (input instanceof HTMLSelectElement) {
    input.append(...choices.map((choice) => new Option(choice, choice)));
    input.value = field.default;
  } else if (kind === "flag") {
    input.type = "checkbox";
    input.checked = field.default;
  } else {
    Object.assign(input, { type: "text", autocomplete: "off", spellcheck: false, placeholder: hintOf(field) });
    if (kind === "number") input.inputMode = nullable ? "text" : "decimal";
  }
  const error = document.createElement("p");
  Object.assign(error, { id: `${input.id}-error`, className: "field-error", hidden: true });
  error.setAttribute("role", "alert");
  row.append(label, input, error);
  return row;
}

/** @param {Field} field @returns {string} */
function hintOf({ key, default: preset, required, nullable }) {
  if (key === "url") return "rtsp://user:password@camera/stream";
  if (key === "id") return "name in topics and files; empty: a free one";
  if (required) return "";
  const word = preset === null ? "none" : String(preset);
  return nullable && preset !== null ? `${word}; null for none` : word;
}
