// Airflow shows this page in a frame whose sandbox may neither open a window nor navigate the
// one around it. So a link that leads outside is followed by Airflow's own document, which is
// of the same origin; and the page takes the colours that Airflow has.
const around = window.parent;

function follow(event) {
  const link = event.target.closest("a[data-outside]");
  if (!link) return;
  event.preventDefault();
  const twin = around.document.createElement("a");
  twin.href = link.href;
  twin.rel = "noopener";
  const aside = event.ctrlKey || event.metaKey || event.shiftKey || event.button === 1;
  twin.target = aside || link.target === "_blank" ? "_blank" : "_self";
  around.document.body.append(twin);
  twin.click();
  twin.remove();
}

function wear(root) {
  const scheme = root.classList.contains("dark") ? "dark" : "light";
  document.documentElement.style.colorScheme = scheme;
}

if (around !== window) {
  document.addEventListener("click", follow);
  document.addEventListener("auxclick", (event) => { if (event.button === 1) follow(event); });
  const root = around.document.documentElement;
  new MutationObserver(() => wear(root)).observe(root, { attributeFilter: ["class"] });
  wear(root);
}
