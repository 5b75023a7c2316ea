// Find: a window is taken on its chart by mouse, touch or keys, and what cannot be asked is shown as the page would show it.
// Attributes and presentation attributes only: the page's policy forbids inline styles.
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  // 400 is the page that says what is wrong: it takes the place of the last answer.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status === 400 && ["found", "answer"].includes(event.detail.target.id)) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });

  // What is asked while a new search is being counted is asked of the new search, once its answer has taken the place of the last one's:
  // else the question would be of the last search, and its answer would find no place.
  let asked = null;
  document.addEventListener("htmx:beforeRequest", (event) => {
    const buttons = [...document.querySelectorAll(".questions button[hx-get]")];
    const counting = document.getElementById("find-busy")?.classList.contains("htmx-request");
    if (!counting || !buttons.includes(event.detail.elt)) return;
    event.preventDefault();
    asked = { button: buttons.indexOf(event.detail.elt), target: document.getElementById("ask-target").value };
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (asked === null || document.getElementById("find-busy")?.classList.contains("htmx-request")) return;
    const { button, target } = asked;
    asked = null;
    const choice = document.getElementById("ask-target");
    if (choice && [...choice.options].some((each) => each.value === target)) choice.value = target;
    document.querySelectorAll(".questions button[hx-get]")[button]?.click();
  });

  // A time that is typed takes the place of "the last hour"; a hidden field would be sent along.
  document.addEventListener("input", (event) => {
    if (event.target.matches("#find-from, #find-to")) forgetPreset();
  });

  function forgetPreset() {
    document.querySelector('#find-preset input[name="window"]')?.remove();
    for (const button of document.querySelectorAll("#find-preset [aria-pressed]")) button.removeAttribute("aria-pressed");
  }

  function make(name, attributes, parent) {
    const made = document.createElementNS(SVG, name);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    parent.append(made);
    return made;
  }

  function prepare(figure) {
    const form = document.getElementById("find-form");
    const edges = figure.dataset.edges?.split("|") ?? [];
    const svg = figure.querySelector(".plot svg");
    const bars = edges.length - 1;
    if (!form || !svg || bars < 1 || figure.classList.contains("draggable")) return;
    figure.classList.add("draggable");
    figure.querySelector(".drag-hint").hidden = false;
    const height = svg.viewBox.baseVal.height;
    const told = figure.querySelector(".drag-hint").dataset;
    let begin = 0;
    let end = bars;
    let anchor = null;

    // The chart's picture has one name for those who hear it; the handles are a group of their own beside it.
    const overlay = make("svg", { class: "overlay", viewBox: `0 0 ${bars} ${height}`, preserveAspectRatio: "none", role: "group", "aria-label": told.group }, svg.parentElement);
    const chosen = make("rect", { class: "chosen", y: 0, height, width: 0, x: 0 }, overlay);
    const title = make("title", {}, overlay);
    const handles = [told.begin, told.end].map((label) =>
      make("rect", { class: "handle", y: 0, height, tabindex: 0, role: "slider", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": bars }, overlay),
    );

    function show() {
      const whole = begin === 0 && end === bars;
      chosen.setAttribute("x", begin);
      chosen.setAttribute("width", whole ? 0 : end - begin);
      const thick = (bars * 7) / Math.max(overlay.getBoundingClientRect().width, 100);
      [begin, end].forEach((at, number) => {
        handles[number].setAttribute("width", thick);
        handles[number].setAttribute("x", number === 0 ? Math.max(at - thick, -thick) : Math.min(at, bars));
        handles[number].setAttribute("aria-valuenow", at);
        handles[number].setAttribute("aria-valuetext", edges[at].replace("T", " "));
      });
    }

    function take() {
      if (end <= begin) return;
      forgetPreset();
      form.elements.from.value = edges[begin];
      form.elements.to.value = edges[end];
      form.dispatchEvent(new Event("change", { bubbles: true }));
    }

    function at(event) {
      const box = svg.getBoundingClientRect();
      return Math.min(Math.max(((event.clientX - box.left) / box.width) * bars, 0), bars);
    }

    // What lies under the pointer is told by the bars, which the overlay covers.
    function tell(event) {
      const bar = svg.querySelectorAll(".bar")[Math.min(Math.floor(at(event)), bars - 1)];
      title.textContent = bar?.querySelector("title")?.textContent ?? "";
    }

    function drag(event) {
      if (anchor === null) return tell(event);
      const now = at(event);
      begin = Math.floor(Math.min(anchor, now));
      end = Math.max(Math.ceil(Math.max(anchor, now)), begin + 1);
      show();
    }

    overlay.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const handle = handles.indexOf(event.target);
      anchor = handle === 0 ? end - 0.5 : handle === 1 ? begin + 0.5 : at(event);
      overlay.setPointerCapture(event.pointerId);
      if (handle < 0) drag(event);
    });
    overlay.addEventListener("pointermove", drag);
    overlay.addEventListener("pointerup", (event) => {
      if (anchor === null) return;
      drag(event);
      anchor = null;
      take();
    });
    overlay.addEventListener("pointercancel", () => {
      anchor = null;
      begin = 0;
      end = bars;
      show();
    });
    overlay.addEventListener("keydown", (event) => {
      const handle = handles.indexOf(event.target);
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -bars, End: bars }[event.key];
      if (handle >= 0 && step) {
        if (handle === 0) begin = Math.min(Math.max(begin + step, 0), end - 1);
        else end = Math.max(Math.min(end + step, bars), begin + 1);
        show();
      } else if (event.key === "Enter" || event.key === " ") {
        focusNext = handle;
        take();
      } else if (event.key === "Escape") {
        begin = 0;
        end = bars;
        show();
      } else {
        return;
      }
      event.preventDefault();
    });
    show();
    if (focusNext !== null) {
      handles[focusNext]?.focus();
      focusNext = null;
    }
  }

  let focusNext = null;
  const prepareAll = () => document.querySelectorAll("#found .histogram").forEach(prepare);
  document.addEventListener("DOMContentLoaded", prepareAll);
  document.addEventListener("htmx:afterSettle", prepareAll);
})();
