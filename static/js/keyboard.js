// Keyboard shortcuts. The dialog in the page lists them, and says by data attributes what each does; nothing here changes anything but the
// place and the focus. Keys in fields, and those pressed together with Ctrl, Alt or Meta, are left alone.
(() => {
  const dialog = document.getElementById("shortcuts");
  if (!dialog || dialog.dataset.keys === "off") return;
  const shortcuts = new Map(
    [...dialog.querySelectorAll("[data-shortcut]")].map((each) => [each.dataset.shortcut, each.dataset]),
  );
  const ROWS = "#result_list tbody tr, .entries > li, ul.cards > li, .rows tbody tr";
  const SEQUENCE_MILLISECONDS = 1500;
  let begun = "";
  let begunAt = 0;

  const focusable = (row) => row.querySelector("a[href], button:not([disabled])");
  const move = (by) => {
    const rows = [...document.querySelectorAll(ROWS)].filter((row) => focusable(row));
    if (!rows.length) return;
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1);
    focusable(rows[next]).focus();
  };
  const acts = {
    search: () => (document.getElementById("search-box") || document.getElementById("searchbar"))?.focus(),
    "next-row": () => move(1),
    "previous-row": () => move(-1),
    "next-page": () => document.querySelector('a[rel~="next"]')?.click(),
    "previous-page": () => document.querySelector('a[rel~="prev"]')?.click(),
    help: () => (dialog.open ? dialog.close() : dialog.showModal()),
  };
  const writes = (element) =>
    element instanceof Element && element.closest("input, textarea, select, [contenteditable], [role=textbox], [role=slider]");

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.repeat || writes(event.target)) return;
    if (event.key === "Escape") {
      document.querySelectorAll("details.menu[open]").forEach((menu) => {
        menu.open = false;
        menu.querySelector("summary").focus();
      });
      return;
    }
    const sequence = performance.now() - begunAt < SEQUENCE_MILLISECONDS && begun ? `${begun} ${event.key}` : event.key;
    begun = "";
    const found = shortcuts.get(sequence) ?? shortcuts.get(event.key);
    if (dialog.open && found?.act !== "help") return;
    if (found) {
      event.preventDefault();
      if (found.href) location.assign(found.href);
      else acts[found.act]?.();
    } else if ([...shortcuts.keys()].some((keys) => keys.startsWith(`${event.key} `))) {
      begun = event.key;
      begunAt = performance.now();
    }
  });
  dialog.querySelector("button.close")?.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.querySelectorAll('a[data-opens="shortcuts"]').forEach((link) =>
    link.addEventListener("click", (event) => {
      event.preventDefault();
      dialog.showModal();
    }),
  );
})();
