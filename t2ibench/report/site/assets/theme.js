// Before anything is drawn: says that scripts run, and takes the reader's choice of dark or light.
"use strict";
(() => {
  const root = document.documentElement;
  let theme = null;
  try { theme = localStorage.getItem("t2ibench.theme"); } catch (error) { theme = null; }
  if (theme !== "dark" && theme !== "light") theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  root.classList.add("js", theme);
})();
window.T2I = window.T2I || [];
