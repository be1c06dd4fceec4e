// Markets: the filter works while one types, and what was changed is counted.
// Every row is on the page, so a choice in a hidden one is sent too. markets/page.py decides the same.
const filter = document.querySelector("[data-markets-filter]");
const form = document.querySelector("[data-markets]");

function fits(row, group, { q, group: wanted, state }) {
  const words = q.toLowerCase().replaceAll("ё", "е").split(/\s+/).filter(Boolean);
  const isThere = (word) => row.dataset.find.includes(word);
  const inState = { "": true, own: row.dataset.own !== "default", new: "new" in row.dataset };
  if (wanted && wanted !== group) return false;
  return words.every(isThere) && (inState[state] ?? row.dataset.state === state);
}

function show() {
  const wanted = Object.fromEntries(new FormData(filter));
  let shown = 0;
  for (const section of form.querySelectorAll("[data-group]")) {
    const rows = [...section.querySelectorAll("tbody tr")];
    for (const row of rows) row.hidden = !fits(row, section.dataset.group, wanted);
    section.hidden = rows.every((row) => row.hidden);
    shown += rows.filter((row) => !row.hidden).length;
  }
  form.querySelector("[data-shown]").value = shown;
  form.querySelector("[data-none]").hidden = shown > 0;
  const asked = Object.entries(wanted).filter(([, value]) => value);
  history.replaceState(null, "", asked.length ? `?${new URLSearchParams(asked)}` : location.pathname);
}

function count() {
  const is = (input) => input.value !== input.closest("tr").dataset.own;
  const total = [...form.querySelectorAll("input:checked")].filter(is).length;
  changed.querySelector("output").value = total;
  changed.hidden = !total;
}
const changed = form?.querySelector("[data-changed]"); // is there for those who may change
if (changed) form.addEventListener("change", count);
if (changed) addEventListener("pageshow", count); // what Back brings along counts too
filter?.addEventListener("input", show);
filter?.addEventListener("submit", (event) => (event.preventDefault(), show()));
