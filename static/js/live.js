// Keeps live parts from swallowing another page: when the session has ended, the answer is the sign-in page, and the whole page goes there.
document.addEventListener("htmx:beforeSwap", (event) => {
  const asked = new URL(event.detail.pathInfo.requestPath, location.href);
  const answered = event.detail.xhr.responseURL && new URL(event.detail.xhr.responseURL);
  if (answered && answered.pathname !== asked.pathname) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});
