// Keeps live parts from swallowing another page: when the session has ended, the answer is the sign-in page, and the whole page goes there.
document.addEventListener("htmx:beforeSwap", (event) => {
  const asked = new URL(event.detail.pathInfo.requestPath, location.href);
  const answered = event.detail.xhr.responseURL && new URL(event.detail.xhr.responseURL);
  if (answered && answered.pathname !== asked.pathname) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

// A part with fields in it waits while somebody is at them: nothing that was typed or opened is lost. What is pressed meanwhile is
// answered with what happened.
const inHand = (part) =>
  part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea, summary")
  || part.querySelector("details[open]") !== null
  || [...part.querySelectorAll("input:not([type=hidden]), textarea")].some((field) => field.value !== field.defaultValue);
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (part.hasAttribute("data-unless-typing") && inHand(part)) event.preventDefault();
});
