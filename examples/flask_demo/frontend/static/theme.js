// Light or dark: what the system says, until a choice is kept. Loaded before the page is drawn, so that nothing flashes.
{
  const root = document.documentElement;
  const wishes = matchMedia("(prefers-color-scheme: dark)");

  const kept = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is forbidden here: the choice holds for this page
    }
  };
  const keep = (theme) => {
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // as above
    }
  };
  const isDark = () => (root.dataset.theme ?? (wishes.matches ? "dark" : "light")) === "dark";

  if (kept() === "dark" || kept() === "light") root.dataset.theme = kept();

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => button.setAttribute("aria-pressed", String(isDark()));
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      keep(root.dataset.theme);
      show();
    });
    wishes.addEventListener("change", show);
    show();
  });
}
