// <form data-once>: a second press while the first is on its way does nothing.
// The server holds the same promise; this only spares people the page that says so.
const patience = 10_000; // ms: a connection that died must not leave a dead button

function release(form) {
  delete form.dataset.sent;
  for (const button of form.querySelectorAll("button")) button.disabled = false;
}

function guard(event) {
  const form = event.currentTarget;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  // Later, because a disabled button's own name and value would not be sent.
  setTimeout(() => {
    for (const button of form.querySelectorAll("button")) button.disabled = true;
  });
  setTimeout(() => release(form), patience);
}

const forms = document.querySelectorAll("form[data-once]");
for (const form of forms) form.addEventListener("submit", guard);
// Back brings a page out of the browser's cache as it was left: with its buttons off.
addEventListener("pageshow", () => forms.forEach(release));
