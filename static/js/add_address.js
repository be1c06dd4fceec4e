// "Your address is … Add it": appends it to the allowlist, once.
for (const button of document.querySelectorAll("[data-add-address]")) {
  const list = document.getElementById(button.dataset.to);
  button.hidden = false;
  button.addEventListener("click", () => {
    const entries = list.value.split(/[\s,;]+/).filter(Boolean);
    if (!entries.includes(button.dataset.addAddress)) {
      list.value = [...entries, button.dataset.addAddress].join("\n");
    }
    list.focus();
  });
}
