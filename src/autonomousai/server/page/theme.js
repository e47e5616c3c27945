// Light or dark, before anything is painted: a classic script, read while the page's head is. What the reader chose stands in
// localStorage; without that, it is as the system has it.

const THEME = "autonomousai.theme";
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

// Read by main.js. Choosing what the system has anyway is following it.
globalThis.theme = {
  isDark: () => (document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark",
  toggle() {
    const wanted = this.isDark() ? "light" : "dark";
    const follows = (wanted === "dark") === systemDark.matches;
    if (follows) localStorage.removeItem(THEME);
    else localStorage.setItem(THEME, wanted);
    setTheme(follows ? null : wanted);
  },
  onSystemChange: (changed) => systemDark.addEventListener("change", changed),
};

setTheme(localStorage.getItem(THEME));
