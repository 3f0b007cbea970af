// Draws each panel when it comes near the window, the others one by one in idle time, and what is left before printing.
const panels = [...document.querySelectorAll(".panels > div")];
const waiting = new Set(panels.keys());
const draw = (index) => { if (waiting.delete(index)) { drawings[index](); } };
const near = new IntersectionObserver((seen) => seen.forEach((entry) => {
  if (entry.isIntersecting) { near.unobserve(entry.target); draw(panels.indexOf(entry.target)); }
}), { rootMargin: "200px" });
panels.forEach((panel) => near.observe(panel));
const later = window.requestIdleCallback || ((work) => setTimeout(work, 30));
const drawNext = () => { const [next] = waiting; if (next !== undefined) { draw(next); later(drawNext); } };
window.addEventListener("load", () => later(drawNext));
window.addEventListener("beforeprint", () => {
  document.documentElement.style.setProperty("--print-zoom", Math.min(1, 345 / panels[0].offsetWidth)); // two on a page
  [...waiting].forEach(draw);
});
