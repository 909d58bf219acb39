/** Dark or light: as the system has it, until somebody chooses. */

const KEY = "streamseg.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** @returns {"dark" | "light"} The one that is shown. */
export function shownTheme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === "dark" || chosen === "light") return chosen;
  return system.matches ? "dark" : "light";
}

/**
 * @param {HTMLButtonElement} button Switches; says what it would switch to.
 * @param {() => void} changed Another one is shown.
 */
export function connectTheme(button, changed) {
  const stored = localStorage.getItem(KEY);
  if (stored) document.documentElement.dataset.theme = stored;
  const label = () => {
    const other = shownTheme() === "dark" ? "light" : "dark";
    button.setAttribute("aria-label", `Switch to ${other}`);
    button.title = `Switch to ${other}`;
    button.querySelector("use").setAttribute("href", other === "light" ? "#icon-sun" : "#icon-moon");
  };
  button.addEventListener("click", () => {
    const other = shownTheme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = other;
    localStorage.setItem(KEY, other);
    label();
    changed();
  });
  system.addEventListener("change", () => {
    label();
    changed();
  });
  label();
}
