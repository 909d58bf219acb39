/** Dark or light theme: the system's setting until the user chooses one. */

const KEY = "streamseg.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** @returns {"dark" | "light"} The current theme. */
export function currentTheme() {
  const chosen = document.documentElement.dataset.theme;
  if (chosen === "dark" || chosen === "light") return chosen;
  return system.matches ? "dark" : "light";
}

/**
 * @param {HTMLButtonElement} button Switches the theme; its label names the other one.
 * @param {() => void} changed Called after the theme has changed.
 */
export function connectTheme(button, changed) {
  const stored = localStorage.getItem(KEY);
  if (stored) document.documentElement.dataset.theme = stored;
  const label = () => {
    const other = currentTheme() === "dark" ? "light" : "dark";
    button.setAttribute("aria-label", `Switch to the ${other} theme`);
    button.title = `Switch to the ${other} theme`;
    button.querySelector("use").setAttribute("href", other === "light" ? "#icon-sun" : "#icon-moon");
  };
  button.addEventListener("click", () => {
    const other = currentTheme() === "dark" ? "light" : "dark";
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
