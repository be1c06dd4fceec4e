// Shows the Copy buttons where the browser lets a page write to the clipboard, and makes them work.
// <button hidden data-copy="id of what is copied" data-copied="the word for done">, then an <output>.
const shown = 2000; // ms

function arm(button) {
  const source = document.getElementById(button.dataset.copy);
  const report = button.nextElementSibling; // tells those who do not see the button's new word
  const word = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText((source.value ?? source.textContent).trim());
    button.textContent = report.textContent = button.dataset.copied;
    setTimeout(() => {
      button.textContent = word;
      report.textContent = "";
    }, shown);
  });
}

// Not there on plain http, except on localhost: then the words are selected by hand.
if (navigator.clipboard) document.querySelectorAll("[data-copy]").forEach(arm);
