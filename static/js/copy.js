// Buttons that copy a text of the page, and say whether they did. Without this script they do not show: the text can be marked and copied.
(() => {
  document.querySelectorAll("button.copy[data-copies]").forEach((button) => {
    if (!navigator.clipboard) return;
    button.hidden = false;
  });
  document.addEventListener("click", async (event) => {
    const button = event.target instanceof Element && event.target.closest("button.copy[data-copies]");
    if (!button) return;
    const text = document.getElementById(button.dataset.copies);
    const status = button.parentElement.querySelector(".copied");
    const whole = [...text.querySelectorAll("p, li")].map((each) => each.textContent.trim()).join("\n") || text.textContent.trim();
    try {
      await navigator.clipboard.writeText(whole);
      status.textContent = status.dataset.said;
    } catch {
      status.textContent = status.dataset.refused;
    }
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (navigator.clipboard) event.detail.target.querySelectorAll("button.copy[data-copies]").forEach((each) => (each.hidden = false));
  });
})();
