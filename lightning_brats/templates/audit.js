// Shows the flagged cases of the kinds and with the words that are asked for.

function filterFlags() {
  const words = document.getElementById("search").value.toLowerCase();
  const kind = document.querySelector(".chip[aria-pressed=true]").dataset.kind;
  const lookOnly = document.getElementById("look-only").checked;
  let shown = 0;
  for (const row of document.querySelectorAll("#flag-table tbody tr")) {
    const fits = (kind === "" || row.dataset.kinds.split(" ").includes(kind))
      && (!lookOnly || row.dataset.look === "1")
      && row.textContent.toLowerCase().includes(words);
    row.hidden = !fits;
    shown += fits;
  }
  document.getElementById("shown").textContent = shown;
}

document.documentElement.classList.add("js");
if (document.getElementById("flag-table")) {
  document.getElementById("search").addEventListener("input", filterFlags);
  document.getElementById("look-only").addEventListener("change", filterFlags);
  for (const chip of document.querySelectorAll(".chip")) {
    chip.addEventListener("click", () => {
      for (const other of document.querySelectorAll(".chip")) other.setAttribute("aria-pressed", other === chip);
      filterFlags();
    });
  }
}
